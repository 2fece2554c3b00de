"""Honest grading of diabetic retinopathy from colour fundus photographs.

Research software, not a medical device. Start with ``retinagrade --help`` or ``docs/design.md``.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retinagrade.grader import Grader, Grading

__all__ = ["Grader", "Grading", "__version__"]
__version__ = "0.1.0"

# ONNX Runtime else sends usage to its makers, and keeps an identifier of the machine on its disk; it reads this when it
# is first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> object:
    """The grader, which is loaded when it is asked for: no other command needs its runtime."""
    if name in ("Grader", "Grading"):
        return getattr(import_module("retinagrade.grader"), name)
    raise AttributeError(f"module 'retinagrade' has no attribute {name!r}")

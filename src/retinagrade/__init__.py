"""Honest grading of diabetic retinopathy from colour fundus photographs.

Research software, not a medical device. Start with ``retinagrade --help`` or ``docs/design.md``.
"""

__version__ = "0.1.0"

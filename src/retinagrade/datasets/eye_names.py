"""Names of photographs that tell patient and eye, as public data sets write them."""

from __future__ import annotations

import re
from typing import Final

LEFT_OR_RIGHT: Final = re.compile(r"(?P<patient>.+)_(?P<side>left|right)", re.IGNORECASE)
"""EyePACS's names, and those of many others: ``10_left``."""
DEEPDRID: Final = re.compile(r"(?P<patient>\d+)_(?P<side>[lr])\d+")
"""DeepDRiD's names: ``1_l1`` and ``1_l2`` are two photographs of patient 1's left eye."""


def parse_eye_name(name: str) -> tuple[str, str] | None:
    """Patient and eye by the name of a photograph; ``None`` where it isn't in one of the two forms.

    Args:
        name: A file's name without its suffix.

    Returns:
        The patient, and ``L`` or ``R``.

    Example:
        >>> [eye_of_name(name) for name in ("10_left", "7_r2", "left_over")]
        [('10', 'L'), ('7', 'R'), None]
    """
    match = LEFT_OR_RIGHT.fullmatch(name) or DEEPDRID.fullmatch(name)
    return match and (match["patient"], match["side"][0].upper())

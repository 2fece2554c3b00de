"""Names of photographs that tell patient and eye, as public data sets write them."""

from __future__ import annotations

import re
from typing import Final

LEFT_OR_RIGHT: Final = re.compile(r"(?P<patient>.+)_(?P<side>left|right)", re.IGNORECASE)
"""Names in EyePACS and many other data sets: ``10_left``."""
DEEPDRID_NAME: Final = re.compile(r"(?P<patient>\d+)_(?P<side>[lr])\d+")
"""Names in DeepDRiD: ``1_l1`` and ``1_l2`` are two photographs of patient 1's left eye."""


def parse_eye_name(name: str) -> tuple[str, str] | None:
    """Reads patient and eye from the name of a photograph.

    Args:
        name: A file's name without its suffix.

    Returns:
        The patient, and ``L`` or ``R``; ``None`` for a name in neither of the two forms.

    Example:
        >>> [parse_eye_name(name) for name in ("10_left", "7_r2", "left_over")]
        [('10', 'L'), ('7', 'R'), None]
    """
    match = LEFT_OR_RIGHT.fullmatch(name) or DEEPDRID_NAME.fullmatch(name)
    return match and (match["patient"], match["side"][0].upper())

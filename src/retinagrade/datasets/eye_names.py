"""Names of photographs that tell patient and eye, as public data sets write them."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePath
from typing import Final

from retinagrade.cells import parse_side
from retinagrade.images.formats import without_photograph_suffix

NAMED_EYE: Final = re.compile(r"(?P<patient>.*[^_\-. ])[_\-. ]+(?P<side>left|right|od|os|l|r)", re.IGNORECASE)
"""Names that end in the eye: ``10_left`` in EyePACS, ``P1_OD``, ``P2-L`` and ``P3 os`` from cameras and clinics."""
DEEPDRID_NAME: Final = re.compile(r"(?P<patient>\d+)_(?P<side>[lr])\d+")
"""Names in DeepDRiD: ``1_l1`` and ``1_l2`` are two photographs of patient 1's left eye."""


def parse_eye_name(name: str) -> tuple[str, str] | None:
    """Reads patient and eye from the name of a photograph.

    Args:
        name: A file's name without its suffix.

    Returns:
        The patient, and ``L`` or ``R``; ``None`` for a name in neither of the two forms. Letters with accents have one
        form (NFC), whatever the system that wrote the name: macOS stores accents apart.

    Example:
        >>> [parse_eye_name(name) for name in ("10_left", "P1-OD", "7_r2", "left_over")]
        [('10', 'L'), ('P1', 'R'), ('7', 'R'), None]
    """
    name = unicodedata.normalize("NFC", name)
    match = NAMED_EYE.fullmatch(name) or DEEPDRID_NAME.fullmatch(name)
    return match and (match["patient"], parse_side(match["side"]))


def eye_of_path(path: str) -> tuple[str, str] | None:
    """Reads patient and eye from the name of a photograph's file, as :func:`parse_eye_name` does.

    Example:
        >>> eye_of_path("train/10_left.jpeg")
        ('10', 'L')
    """
    return parse_eye_name(without_photograph_suffix(PurePath(path)).name)

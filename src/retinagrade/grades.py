"""The five ICDR grades, and the index of each.

Source: C. P. Wilkinson et al., "Proposed international clinical diabetic retinopathy and diabetic macular
edema disease severity scales", Ophthalmology 110(9), 2003.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final


class Grade(IntEnum):
    """International Clinical Diabetic Retinopathy severity; the value is the index of its probability.

    Example:
        >>> Grade(2).label, Grade.MODERATE >= REFERABLE
        ('moderate', True)
    """

    NONE = 0
    MILD = 1
    MODERATE = 2
    SEVERE = 3
    PROLIFERATIVE = 4

    @property
    def label(self) -> str:
        """Name in lower case, for tables and plots."""
        return self.name.lower()


N_GRADES: Final = len(Grade)
REFERABLE: Final = Grade.MODERATE
"""Referable retinopathy is this grade or worse."""
VISION_THREATENING: Final = Grade.SEVERE
"""Vision-threatening retinopathy is this grade or worse."""
PROBABILITY_COLUMNS: Final = tuple(f"p{grade.value}" for grade in Grade)
"""Columns of a predictions table, ``p0`` to ``p4``."""

_NAMES: Final = {
    "nodr": Grade.NONE,
    "no": Grade.NONE,
    "none": Grade.NONE,
    "normal": Grade.NONE,
    "healthy": Grade.NONE,
    "noapparentretinopathy": Grade.NONE,
    "mild": Grade.MILD,
    "moderate": Grade.MODERATE,
    "severe": Grade.SEVERE,
    "proliferative": Grade.PROLIFERATIVE,
    "proliferate": Grade.PROLIFERATIVE,
    "proliferating": Grade.PROLIFERATIVE,
    "pdr": Grade.PROLIFERATIVE,
}


def grade_from_name(name: str) -> Grade | None:
    """Returns the grade that a folder or class name means: ``0`` … ``4``, or an English name in any case.

    Separators and the words "diabetic retinopathy" and "NPDR" are ignored. So the function knows the folders of public
    Kaggle sets (``No_DR Mild Moderate Severe Proliferate_DR``) and the names in the report's table.

    Args:
        name: A folder or class name.

    Returns:
        The grade, or ``None`` for an unknown name: callers must refuse it, and never guess by its position.

    Example:
        >>> [grade_from_name(n) for n in ("No_DR", "MILD", "3", "Proliferate_DR", "Severe NPDR")]
        [<Grade.NONE: 0>, <Grade.MILD: 1>, <Grade.SEVERE: 3>, <Grade.PROLIFERATIVE: 4>, <Grade.SEVERE: 3>]
        >>> grade_from_name("cataract") is None
        True
    """
    if name.strip() in {str(grade.value) for grade in Grade}:
        return Grade(int(name))
    key = re.sub(r"[^a-z0-9]", "", name.lower())
    if key in _NAMES:
        return _NAMES[key]
    return _NAMES.get(re.sub(r"(npdr|dr|diabeticretinopathy|retinopathy)$", "", key))

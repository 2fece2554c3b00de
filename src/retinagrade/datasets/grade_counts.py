"""Photographs counted by grade and split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pandas as pd

from retinagrade.grades import N_GRADES, Grade

NO_SPLIT: Final = "no split"
"""Row of the photographs that are in no split yet."""
_NO_GRADE: Final = "ungraded"


def count_grades(table: pd.DataFrame) -> dict[str, int]:
    """Counts photographs by grade.

    Args:
        table: A manifest's table.

    Returns:
        Numbers of photographs under the keys ``0`` to ``4`` and ``ungraded``.
    """
    counts = {str(grade): int((table["grade"] == grade).sum()) for grade in range(N_GRADES)}
    return {**counts, _NO_GRADE: int(table["grade"].isna().sum())}


def count_grades_by_split(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Counts photographs by split and grade.

    Args:
        table: A manifest's table.

    Returns:
        The counts of :func:`count_grades` by split; photographs without a split are under :data:`NO_SPLIT`.
    """
    splits = table["split"].fillna(NO_SPLIT)
    return {str(split): count_grades(rows) for split, rows in table.groupby(splits)}


def describe_grade_counts(counts: Mapping[str, int]) -> str:
    """Writes counts by grade as a phrase, without the grades that no photograph has.

    Args:
        counts: Counts as :func:`count_grades` returns them.

    Example:
        >>> describe_grade_counts({"0": 2, "1": 0, "2": 1, "3": 0, "4": 0, "ungraded": 3})
        '2 without retinopathy, 1 moderate, 3 ungraded'
    """
    names = {str(grade.value): grade.label for grade in Grade} | {str(Grade.NONE.value): "without retinopathy"}
    return ", ".join(f"{count} {names.get(grade, grade)}" for grade, count in counts.items() if count)

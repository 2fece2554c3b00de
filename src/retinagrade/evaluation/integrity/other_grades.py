"""Grades that contradict each other: those of a table and of the grades beside it, or before and after the training."""

from __future__ import annotations

import pandas as pd

from retinagrade.evaluation.integrity.findings import Finding
from retinagrade.evaluation.integrity.leaks import are_other_photographs, with_origin
from retinagrade.manifest import Manifest
from retinagrade.messages import counted, first_few


def check_other_grades(table: pd.DataFrame, grades: pd.DataFrame) -> list[Finding]:
    """Looks for grades in a table of predictions that the given grades contradict.

    Args:
        table: The predictions: ``image_id`` (unique) and ``grade`` (nullable).
        grades: The given grades, with the same columns.

    Returns:
        One finding, or none.
    """
    differing = _differing(table, grades)
    if not len(differing):
        return []
    return [
        Finding(
            "other-grades",
            f"The table has other grades of its own for {len(differing)} of {counted(len(table), 'photograph')} "
            f"({first_few(differing)}). The metrics use the given grades (--grades), not those in the "
            "table's column grade. Make sure that they are the ones that you mean.",
        )
    ]


def check_reader_saw_result(grades: pd.DataFrame) -> list[Finding]:
    """Looks for grades that people gave after they had seen the program's, as the service's page exports them.

    Args:
        grades: The given grades: ``image_id``, ``grade`` and, where known, ``reader_saw_result``.

    Returns:
        One finding, or none.
    """
    if "reader_saw_result" not in grades:
        return []
    answers = grades["reader_saw_result"].astype("string").str.casefold()
    saw = grades["image_id"][(answers.eq("true") & grades["grade"].notna()).fillna(False)]
    if not len(saw):
        return []
    return [
        Finding(
            "reader-saw-result",
            f"{counted(len(saw), 'grade')} were given after the reader had seen the program's ({first_few(saw)}), so "
            "the two agree too well. Let readers decide first, before the page shows the program's answer.",
        )
    ]


def check_changed_grades(table: pd.DataFrame, trained_on: Manifest, predicted: Manifest | None = None) -> list[Finding]:
    """Looks for photographs whose grades have changed since the training.

    Args:
        table: The predictions: ``image_id`` (unique) and ``grade`` (nullable).
        trained_on: The manifest that the network was trained on.
        predicted: The prepared set of the photographs; by default that of ``trained_on``.

    Returns:
        One finding, or none.
    """
    known = trained_on.table
    evaluated = with_origin(table, (trained_on if predicted is None else predicted).table)
    differing = _differing(table[~are_other_photographs(evaluated, known)], known)
    if not len(differing):
        return []
    return [
        Finding(
            "changed-grades",
            f"{counted(len(differing), 'photograph')} had another grade when the network was trained "
            f"({first_few(differing)}). The table has the present grades. If they are corrections, train "
            "again; else restore the old ones.",
        )
    ]


def _differing(table: pd.DataFrame, grades: pd.DataFrame) -> pd.Series:
    """Returns the ids of photographs that have two different grades."""
    both = table[["image_id", "grade"]].merge(grades[["image_id", "grade"]], on="image_id", suffixes=("", "_other"))
    both = both.dropna(subset=["grade", "grade_other"])
    return both["image_id"][both["grade"].astype(int) != both["grade_other"].astype(int)]

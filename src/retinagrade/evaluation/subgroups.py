"""Subgroups: the same figures for the photographs of each camera, eye, data set, or whatever a column says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from retinagrade.errors import UsageError
from retinagrade.evaluation.applied import measured
from retinagrade.evaluation.figures import figures
from retinagrade.evaluation.intervals import RESAMPLES, Interval, intervals
from retinagrade.evaluation.predictions import graded
from retinagrade.grades import REFERABLE

FIGURES: Final = (
    "quadratic_weighted_kappa",
    "accuracy",
    "referable_auc",
    "referable_sensitivity",
    "referable_specificity",
)
"""What subgroups are compared by."""
CUSTOMARY: Final = ("dataset", "laterality")
"""Columns that are looked at without being asked for, where they tell photographs apart."""
FEWEST: Final = 10
"""Referable photographs, and such that are not, below which a subgroup's figures say next to nothing."""
MISSING: Final = "(missing)"
_MOST: Final = 20


@dataclass(frozen=True)
class Subgroup:
    """The photographs that share a value.

    Attributes:
        column: Which column.
        value: Which value, or a range of numbers.
        photographs: How many.
        figures: :data:`FIGURES`; ``None`` where undefined.
        intervals: Their 95 % intervals.
        small: Whether there are fewer than :data:`FEWEST` referable photographs, or others.
    """

    column: str
    value: str
    photographs: int
    figures: dict[str, float | None]
    intervals: dict[str, Interval | None]
    small: bool

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "column": self.column,
            "value": self.value,
            "photographs": self.photographs,
            "small": self.small,
            "figures": {name: measured(self.figures, self.intervals, name) for name in FIGURES},
        }


def subgroups(table: pd.DataFrame, column: str, *, resamples: int = RESAMPLES, seed: int = 0) -> list[Subgroup]:
    """Evaluates the photographs of each value of a column apart.

    Args:
        table: Columns ``image_id``, ``p0`` … ``p4``, ``grade`` and the column; where known ``patient_id``.
        column: Text, or numbers: of more than twenty, the four quarters of the photographs.
        resamples: Resamples for intervals.
        seed: Of the resamples.

    Returns:
        One entry a value, in order; photographs without one under :data:`MISSING`.

    Raises:
        UsageError: There is no such column, or it has too many values to be subgroups.
    """
    if column not in table:
        raise UsageError(f"--by {column}: no such column; there are {', '.join(map(str, table.columns))}")
    known = table[table["grade"].notna()]
    found = []
    for value, rows in known.groupby(_values(known[column]), sort=False):
        photographs = graded(rows)
        referable = int((photographs.grades >= REFERABLE).sum())
        found.append(
            Subgroup(
                column,
                str(value),
                len(photographs),
                {name: figures(photographs).values[name] for name in FIGURES},
                intervals(photographs, FIGURES, resamples=resamples, seed=seed).values,
                min(referable, len(photographs) - referable) < FEWEST,
            )
        )
    return found


def customary(table: pd.DataFrame) -> list[str]:
    """The columns of :data:`CUSTOMARY` that tell the graded photographs of a table apart."""
    known = table[table["grade"].notna()]
    return [column for column in CUSTOMARY if column in known and known[column].dropna().nunique() > 1]


def _values(column: pd.Series) -> pd.Series:
    """What each photograph is grouped by, in a table that is sorted by it."""
    text = column.astype("string").str.strip().replace("", pd.NA)
    numbers = pd.to_numeric(text, errors="coerce")
    if text.nunique() <= _MOST:
        by_number = numbers.notna().equals(text.notna())
        order = sorted(text.dropna().unique(), key=float if by_number else str)
        return text.astype(pd.CategoricalDtype([*order, MISSING], ordered=True)).fillna(MISSING)
    if numbers.notna().sum() < text.notna().sum():
        raise UsageError(
            f"--by {column.name}: {text.nunique()} different texts are too many for subgroups (at most {_MOST})"
        )
    edges = np.unique(np.quantile(numbers.dropna(), (0, 0.25, 0.5, 0.75, 1)))
    names = [f"{low:g} to {high:g}" for low, high in zip(edges[:-1], edges[1:], strict=True)]
    cut = pd.cut(numbers, edges, labels=names, include_lowest=True)
    return cut.cat.add_categories([MISSING]).fillna(MISSING)

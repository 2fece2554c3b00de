"""Subgroups: the same figures for the photographs of each camera, eye, data set, or whatever a column says."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd

from retinagrade.errors import UsageError
from retinagrade.evaluation.fitting.application import metric_to_json
from retinagrade.evaluation.intervals import RESAMPLES, Interval, metric_intervals
from retinagrade.evaluation.named_metrics import grading_metrics
from retinagrade.evaluation.predictions import graded_predictions
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
            "figures": {name: metric_to_json(self.figures, self.intervals, name) for name in FIGURES},
        }


def evaluate_subgroups(
    table: pd.DataFrame, column: str, *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Subgroup]:
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
    values, order = _values(known[column])
    found = []
    for value in order:
        photographs = graded_predictions(known[values == value])
        found_here = grading_metrics(photographs).values
        referable = int((photographs.grades >= REFERABLE).sum())
        found.append(
            Subgroup(
                column,
                value,
                len(photographs),
                {name: found_here[name] for name in FIGURES},
                metric_intervals(photographs, FIGURES, resamples=resamples, seed=seed).values,
                min(referable, len(photographs) - referable) < FEWEST,
            )
        )
    return found


def default_subgroup_columns(table: pd.DataFrame) -> list[str]:
    """The columns of :data:`CUSTOMARY` that tell the graded photographs of a table apart."""
    known = table[table["grade"].notna()]
    return [column for column in CUSTOMARY if column in known and len(set(known[column].dropna()) - {""}) > 1]


def _values(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """What each photograph is grouped by (N,), text, and the groups in order."""
    text = column.astype(str).str.strip().where(column.notna(), "").to_numpy(dtype=str)
    missing = text == ""
    names = np.unique(text[~missing])
    numbers = pd.to_numeric(pd.Series(text), errors="coerce").to_numpy()
    are_numbers = not np.isnan(numbers[~missing]).any()
    if len(names) <= _MOST:
        order = sorted(names.tolist(), key=float if are_numbers else str)
    elif are_numbers:
        edges = np.unique(np.quantile(numbers[~missing], (0, 0.25, 0.5, 0.75, 1)))
        order = [f"{low:g} to {high:g}" for low, high in pairwise(edges.tolist())]
        places = np.clip(np.searchsorted(edges, numbers, side="left") - 1, 0, len(order) - 1)
        text = np.array(order)[np.where(missing, 0, places)]
    else:
        raise UsageError(
            f"--by {column.name}: {len(names)} different texts are too many for subgroups (at most {_MOST})"
        )
    return np.where(missing, MISSING, text), order + [MISSING] * bool(missing.any())

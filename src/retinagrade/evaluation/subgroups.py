"""Subgroups: metrics of the photographs of each camera, eye, data set, or other value of a column."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retinagrade.errors import UsageError
from retinagrade.evaluation.fitting.applied_calibration import metric_to_json
from retinagrade.evaluation.intervals import Interval, metric_intervals
from retinagrade.evaluation.named_metrics import compute_metrics
from retinagrade.evaluation.predictions import graded_predictions
from retinagrade.evaluation.resampling import RESAMPLES
from retinagrade.grades import REFERABLE

SUBGROUP_METRICS: Final = (
    "quadratic_weighted_kappa",
    "accuracy",
    "referable_auc",
    "referable_sensitivity",
    "referable_specificity",
)
"""Metrics of each subgroup."""
DEFAULT_SUBGROUP_COLUMNS: Final = ("dataset", "laterality")
"""Columns that define subgroups without a request, if they have several values."""
SMALL_SUBGROUP: Final = 10
"""A subgroup is small if it has fewer referable photographs, or fewer non-referable photographs, than this number: its
metrics then say next to nothing."""
MISSING_VALUE: Final = "(missing)"
"""Name of the subgroup of photographs without a value."""
_MOST_VALUES: Final = 20


@dataclass(frozen=True)
class Subgroup:
    """The photographs with the same value in a column.

    Attributes:
        column: Name of the column.
        value: The value, or a range of numbers.
        photographs: Number of photographs.
        metrics: The :data:`SUBGROUP_METRICS`; ``None`` where undefined.
        intervals: Their 95 % intervals.
        small: True below :data:`SMALL_SUBGROUP` referable or non-referable photographs.
    """

    column: str
    value: str
    photographs: int
    metrics: dict[str, float | None]
    intervals: dict[str, Interval | None]
    small: bool

    def to_json(self) -> dict[str, Any]:
        """Returns the subgroup for ``metrics.json``."""
        return {
            "column": self.column,
            "value": self.value,
            "photographs": self.photographs,
            "small": self.small,
            "metrics": {name: metric_to_json(self.metrics, self.intervals, name) for name in SUBGROUP_METRICS},
        }


def evaluate_subgroups(
    table: pd.DataFrame, column: str, *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Subgroup]:
    """Evaluates the photographs of each value of a column separately.

    Args:
        table: Columns ``image_id``, ``p0`` … ``p4``, ``grade`` and the column; where known ``patient_id``.
        column: A column of text or numbers. More than twenty different numbers become four ranges with equally many
            photographs.
        resamples: Number of resamples for the intervals.
        seed: Seed of the resamples.

    Returns:
        One subgroup for each value, in order; photographs without a value are the subgroup :data:`MISSING_VALUE`.

    Raises:
        UsageError: The column is missing, or it has too many different texts.
    """
    if column not in table:
        raise UsageError(f"--by {column}: no such column; the columns are {', '.join(map(str, table.columns))}")
    graded = table[table["grade"].notna()]
    values, order = group_values(graded[column])
    subgroups = []
    for value in order:
        predictions = graded_predictions(graded[values == value])
        all_metrics = compute_metrics(predictions).values
        referable = int((predictions.grades >= REFERABLE).sum())
        subgroups.append(
            Subgroup(
                column,
                value,
                len(predictions),
                {name: all_metrics[name] for name in SUBGROUP_METRICS},
                metric_intervals(predictions, SUBGROUP_METRICS, resamples=resamples, seed=seed).values,
                min(referable, len(predictions) - referable) < SMALL_SUBGROUP,
            )
        )
    return subgroups


def default_subgroup_columns(table: pd.DataFrame) -> list[str]:
    """Returns the :data:`DEFAULT_SUBGROUP_COLUMNS` in which the graded photographs of a table have several values."""
    graded = table[table["grade"].notna()]
    return [
        column
        for column in DEFAULT_SUBGROUP_COLUMNS
        if column in graded and len(set(graded[column].dropna()) - {""}) > 1
    ]


def group_values(column: pd.Series) -> tuple[NDArray[np.str_], list[str]]:
    """Groups photographs by their values in a column.

    Args:
        column: Text or numbers (N,), some of them perhaps missing.

    Returns:
        The name of each photograph's group (N,), and the names of the groups in order.

    Raises:
        UsageError: The column has too many different texts.
    """
    text = column.astype(str).str.strip().where(column.notna(), "").to_numpy(dtype=str)
    missing = text == ""
    names = np.unique(text[~missing])
    numbers = pd.to_numeric(pd.Series(text), errors="coerce").to_numpy()
    are_numbers = not np.isnan(numbers[~missing]).any()
    if len(names) <= _MOST_VALUES:
        order = sorted(names.tolist(), key=float if are_numbers else str)
    elif are_numbers:
        edges = np.unique(np.quantile(numbers[~missing], (0, 0.25, 0.5, 0.75, 1)))
        order = [f"{low:g} to {high:g}" for low, high in pairwise(edges.tolist())]
        ranges = np.clip(np.searchsorted(edges, numbers, side="left") - 1, 0, len(order) - 1)
        text = np.array(order)[np.where(missing, 0, ranges)]
    else:
        raise UsageError(
            f"--by {column.name}: {len(names)} different texts are too many for subgroups (at most {_MOST_VALUES})"
        )
    return np.where(missing, MISSING_VALUE, text), order + [MISSING_VALUE] * bool(missing.any())

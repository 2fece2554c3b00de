"""All figures of graded photographs, by name: the one list that tables, intervals and comparisons go by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from retinagrade.evaluation import metrics
from retinagrade.evaluation.metrics import MatrixMetric, Undefined
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.grades import REFERABLE, VISION_THREATENING, Grade

TASKS: Final = {"referable": REFERABLE, "vision_threatening": VISION_THREATENING}
"""What is looked for, and the grade from which on it is there."""
DECISION_METRICS: Final[dict[str, MatrixMetric[[]]]] = {
    "sensitivity": metrics.sensitivity,
    "specificity": metrics.specificity,
    "ppv": metrics.ppv,
    "npv": metrics.npv,
}
"""Metrics of a decision, of its two-by-two table, by name."""
GRADE_METRICS: Final[dict[str, MatrixMetric[[int]]]] = {
    "precision": metrics.precision,
    "recall": metrics.recall,
    "f1": metrics.f1,
    "specificity": metrics.grade_specificity,
}
"""Metrics of a single grade, of the confusion matrix and the grade, by name."""


@dataclass(frozen=True)
class NamedMetrics:
    """Figures by name.

    Attributes:
        values: In the order of :data:`METRIC_NAMES`; ``None`` where undefined.
        undefined: Why, by the names of those that are.
    """

    values: dict[str, float | None]
    undefined: dict[str, str]


@dataclass(frozen=True)
class NamedMatrixMetric:
    """A figure of the confusion matrix alone: a metric of a view of it."""

    metric: MatrixMetric[Any]
    arguments: tuple[int, ...] = ()
    view: Callable[[np.ndarray], np.ndarray] = np.asarray

    def __call__(self, matrix: np.ndarray) -> float:
        """The figure of counts (5, 5); raises ``Undefined``."""
        return self.metric(self.view(matrix), *self.arguments)

    def stacked(self, matrices: np.ndarray) -> np.ndarray:
        """The figure of every one of (…, 5, 5); NaN where undefined."""
        return self.metric.stacked(self.view(matrices), *self.arguments)


_OF_ALL_GRADES = (
    metrics.accuracy,
    metrics.majority_baseline,
    metrics.chance_accuracy,
    metrics.quadratic_weighted_kappa,
    metrics.linear_weighted_kappa,
    metrics.unweighted_kappa,
    metrics.balanced_accuracy,
    metrics.mean_absolute_grade_error,
    metrics.off_by_two_or_more,
    metrics.macro_precision,
    metrics.macro_recall,
    metrics.macro_f1,
    metrics.weighted_precision,
    metrics.weighted_recall,
    metrics.weighted_f1,
)
MATRIX_METRICS: Final[dict[str, NamedMatrixMetric]] = {
    **{metric.__name__: NamedMatrixMetric(metric) for metric in _OF_ALL_GRADES},
    **{
        f"{task}_{name}": NamedMatrixMetric(metric, view=partial(metrics.two_by_two_tables_from, grade=grade))
        for task, grade in TASKS.items()
        for name, metric in DECISION_METRICS.items()
    },
    **{
        f"grade_{grade.value}_{name}": NamedMatrixMetric(metric, (grade.value,))
        for grade in Grade
        for name, metric in GRADE_METRICS.items()
    },
}
"""Figures of the grades that were given: of the confusion matrix alone."""
PROBABILITY_METRICS: Final[dict[str, Callable[[np.ndarray, np.ndarray], float]]] = {
    "macro_auc": metrics.macro_auc,
    "referable_auc": metrics.referable_auc,
    "referable_average_precision": metrics.referable_average_precision,
    "vision_threatening_auc": metrics.vision_threatening_auc,
    "vision_threatening_average_precision": metrics.vision_threatening_average_precision,
    "brier": metrics.brier,
    "log_loss": metrics.log_loss,
    "expected_calibration_error": metrics.expected_calibration_error,
}
"""Figures of grades (N,) and probabilities (N, 5)."""
METRIC_NAMES: Final = (*MATRIX_METRICS, *PROBABILITY_METRICS)
"""Every figure."""
LOWER_IS_BETTER: Final = frozenset(
    {"mean_absolute_grade_error", "off_by_two_or_more", "brier", "log_loss", "expected_calibration_error"}
)
"""Figures of what is wrong."""


def compute_metric(photographs: GradedPredictions, name: str) -> float:
    """One figure of graded photographs.

    Args:
        photographs: At least one.
        name: Of :data:`METRIC_NAMES`.

    Raises:
        Undefined: With the reason.
    """
    return _ways(photographs)[name]()


def compute_matrix_metrics(matrix: np.ndarray) -> NamedMetrics:
    """The figures that a confusion matrix alone gives.

    Args:
        matrix: Counts (5, 5) by grade (row) and predicted grade (column).

    Returns:
        All of :data:`MATRIX_METRICS`. A photograph counts as referable where it was given grade 2 or worse, and as
        vision-threatening from grade 3 on.

    Example:
        >>> matrix_figures(np.diag([5, 0, 3, 0, 0])).values["referable_sensitivity"]
        1.0
    """
    return _figures({name: partial(figure, matrix) for name, figure in MATRIX_METRICS.items()})


def compute_metrics(photographs: GradedPredictions) -> NamedMetrics:
    """All figures of graded photographs; the grade that was given is the most probable one.

    Args:
        photographs: Any number, none included (everything is undefined then).

    Returns:
        All of :data:`METRIC_NAMES`.
    """
    return _figures(_ways(photographs))


def _ways(photographs: GradedPredictions) -> dict[str, Callable[[], float]]:
    """How each figure of graded photographs is made."""
    matrix = metrics.confusion_matrix(photographs.grades, photographs.predicted)
    return {
        **{name: partial(figure, matrix) for name, figure in MATRIX_METRICS.items()},
        **{
            name: partial(figure, photographs.grades, photographs.probabilities)
            for name, figure in PROBABILITY_METRICS.items()
        },
    }


def _figures(ways: dict[str, Callable[[], float]]) -> NamedMetrics:
    values: dict[str, float | None] = {}
    undefined: dict[str, str] = {}
    for name, figure in ways.items():
        try:
            values[name] = figure()
        except Undefined as reason:
            values[name], undefined[name] = None, str(reason)
    return NamedMetrics(values, undefined)

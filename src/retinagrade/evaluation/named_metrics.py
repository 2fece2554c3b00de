"""All metrics of graded photographs by name: the one list behind tables, intervals and comparisons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from retinagrade.evaluation import metrics
from retinagrade.evaluation.metrics import MatrixMetric, Undefined
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.grades import REFERABLE, VISION_THREATENING, Grade

ProbabilityMetric = Callable[[NDArray[Any], NDArray[np.float64]], float]

TASKS: Final = {"referable": REFERABLE, "vision_threatening": VISION_THREATENING}
"""Screening tasks, with the mildest grade that counts as disease."""
DECISION_METRICS: Final[dict[str, MatrixMetric[[]]]] = {
    "sensitivity": metrics.sensitivity,
    "specificity": metrics.specificity,
    "ppv": metrics.ppv,
    "npv": metrics.npv,
}
"""Metrics of a decision, from its two-by-two table, by name."""
GRADE_METRICS: Final[dict[str, MatrixMetric[[int]]]] = {
    "precision": metrics.precision,
    "recall": metrics.recall,
    "f1": metrics.f1,
    "specificity": metrics.grade_specificity,
}
"""Metrics of a single grade, from the confusion matrix and the grade, by name."""


@dataclass(frozen=True)
class NamedMetrics:
    """Metrics by name.

    Attributes:
        values: Values in the order of :data:`METRIC_NAMES`; ``None`` where a metric is undefined.
        undefined: Reasons why a value is ``None``, by name.
    """

    values: dict[str, float | None]
    undefined: dict[str, str]


@dataclass(frozen=True)
class NamedMatrixMetric:
    """A metric of the confusion matrix, with its arguments.

    Attributes:
        metric: The metric.
        arguments: Its arguments after the matrix.
        view: Prepares the matrix, for example as a two-by-two table.
    """

    metric: MatrixMetric[Any]
    arguments: tuple[int, ...] = ()
    view: Callable[[NDArray[Any]], NDArray[Any]] = np.asarray

    def __call__(self, matrix: NDArray[Any]) -> float:
        """Computes the metric of counts (5, 5), or raises ``Undefined``."""
        return self.metric(self.view(matrix), *self.arguments)

    def stacked(self, matrices: NDArray[Any]) -> NDArray[np.float64]:
        """Computes the metric of every matrix in (…, 5, 5); NaN where undefined."""
        return self.metric.stacked(self.view(matrices), *self.arguments)


_ALL_GRADES: Final = (
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
    **{metric.__name__: NamedMatrixMetric(metric) for metric in _ALL_GRADES},
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
"""Metrics of the predicted grades, which need only the confusion matrix, by name."""
PROBABILITY_METRICS: Final[dict[str, ProbabilityMetric]] = {
    "macro_auc": metrics.macro_auc,
    "referable_auc": metrics.referable_auc,
    "referable_average_precision": metrics.referable_average_precision,
    "vision_threatening_auc": metrics.vision_threatening_auc,
    "vision_threatening_average_precision": metrics.vision_threatening_average_precision,
    "brier": metrics.brier,
    "log_loss": metrics.log_loss,
    "expected_calibration_error": metrics.expected_calibration_error,
}
"""Metrics of grades (N,) and probabilities (N, 5), by name."""
METRIC_NAMES: Final = (*MATRIX_METRICS, *PROBABILITY_METRICS)
"""Names of all metrics."""
LOWER_IS_BETTER: Final = frozenset(
    {"mean_absolute_grade_error", "off_by_two_or_more", "brier", "log_loss", "expected_calibration_error"}
)
"""Names of the metrics that measure errors."""


def compute_metric(predictions: GradedPredictions, name: str) -> float:
    """Computes one metric of graded photographs.

    Args:
        predictions: At least one photograph.
        name: One of :data:`METRIC_NAMES`.

    Raises:
        Undefined: The metric is undefined, with the reason.
    """
    return _computations(predictions)[name]()


def compute_matrix_metrics(matrix: NDArray[Any]) -> NamedMetrics:
    """Computes the metrics that need only a confusion matrix.

    Args:
        matrix: Counts (5, 5) by grade (row) and predicted grade (column).

    Returns:
        All of :data:`MATRIX_METRICS`. A photograph is positive for referable retinopathy if its predicted grade is 2 or
        worse, and for vision-threatening retinopathy if it is 3 or worse.

    Example:
        >>> compute_matrix_metrics(np.diag([5, 0, 3, 0, 0])).values["referable_sensitivity"]
        1.0
    """
    return _compute({name: partial(metric, matrix) for name, metric in MATRIX_METRICS.items()})


def compute_metrics(predictions: GradedPredictions) -> NamedMetrics:
    """Computes all metrics of graded photographs; the predicted grade is the most probable one.

    Args:
        predictions: Any number of photographs; without photographs, all metrics are undefined.

    Returns:
        All of :data:`METRIC_NAMES`.
    """
    return _compute(_computations(predictions))


def _computations(predictions: GradedPredictions) -> dict[str, Callable[[], float]]:
    matrix = metrics.confusion_matrix(predictions.grades, predictions.predicted)
    return {
        **{name: partial(metric, matrix) for name, metric in MATRIX_METRICS.items()},
        **{
            name: partial(metric, predictions.grades, predictions.probabilities)
            for name, metric in PROBABILITY_METRICS.items()
        },
    }


def _compute(computations: dict[str, Callable[[], float]]) -> NamedMetrics:
    values: dict[str, float | None] = {}
    undefined: dict[str, str] = {}
    for name, compute in computations.items():
        try:
            values[name] = compute()
        except Undefined as reason:
            values[name], undefined[name] = None, str(reason)
    return NamedMetrics(values, undefined)

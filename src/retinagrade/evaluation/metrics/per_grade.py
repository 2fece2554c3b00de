"""Metrics of single grades, and their averages over the grades that are present, from the confusion matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from retinagrade.evaluation.metrics.agreement import accuracy, balanced_accuracy
from retinagrade.evaluation.metrics.confusion import average_over_grades, hits, matrix_metric, total

_NEVER_PREDICTED = "a grade that is present was never predicted, so it has no precision"


@matrix_metric("no photograph has the predicted grade {}")
def precision(matrix: NDArray[Any], grade: int) -> NDArray[np.float64]:
    """Computes the share of the photographs with a predicted grade that really have this grade.

    Raises:
        Undefined: The grade was never predicted.
    """
    return _precisions(matrix)[..., grade]


@matrix_metric("no photograph has grade {}")
def recall(matrix: NDArray[Any], grade: int) -> NDArray[np.float64]:
    """Computes the share of the photographs of a grade that have this predicted grade.

    Raises:
        Undefined: No photograph has the grade.
    """
    return np.asarray(hits(matrix) / matrix.sum(axis=-1))[..., grade]


@matrix_metric("no photograph has grade {}, and none has it as predicted grade")
def f1(matrix: NDArray[Any], grade: int) -> NDArray[np.float64]:
    """Computes the harmonic mean of precision and recall; 0 if a grade is present and never predicted.

    Raises:
        Undefined: No photograph has the grade or the predicted grade.
    """
    return _f1s(matrix)[..., grade]


@matrix_metric("all photographs have grade {}")
def grade_specificity(matrix: NDArray[Any], grade: int) -> NDArray[np.float64]:
    """Computes the share of the photographs of other grades that don't have this predicted grade.

    Raises:
        Undefined: All photographs have the grade.
    """
    support, predicted, right = matrix.sum(axis=-1), matrix.sum(axis=-2), hits(matrix)
    others = total(matrix) - support[..., grade]
    return np.asarray((others - predicted[..., grade] + right[..., grade]) / others)


@matrix_metric(_NEVER_PREDICTED)
def macro_precision(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Computes the mean :func:`precision` of the grades that are present.

    Raises:
        Undefined: One of these grades was never predicted. A precision of 0, or a mean without this grade, would be
            another metric.
    """
    return average_over_grades(_precisions(matrix), matrix.sum(axis=-1) > 0)


@matrix_metric()
def macro_recall(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Computes the mean :func:`recall` of the grades that are present; it equals the :func:`balanced_accuracy`."""
    return balanced_accuracy.stacked(matrix)


@matrix_metric()
def macro_f1(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Computes the mean :func:`f1` of the grades that are present."""
    return average_over_grades(_f1s(matrix), matrix.sum(axis=-1) > 0)


@matrix_metric(_NEVER_PREDICTED)
def weighted_precision(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Computes the mean :func:`precision` of the grades that are present, weighted by their photographs.

    Raises:
        Undefined: One of these grades was never predicted.
    """
    return average_over_grades(_precisions(matrix), matrix.sum(axis=-1))


@matrix_metric()
def weighted_recall(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Computes the mean :func:`recall`, weighted by the photographs of each grade; it equals the :func:`accuracy`."""
    return accuracy.stacked(matrix)


@matrix_metric()
def weighted_f1(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Computes the mean :func:`f1` of the grades that are present, weighted by their photographs."""
    return average_over_grades(_f1s(matrix), matrix.sum(axis=-1))


def _precisions(matrix: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(hits(matrix) / matrix.sum(axis=-2))


def _f1s(matrix: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(2 * hits(matrix) / (matrix.sum(axis=-1) + matrix.sum(axis=-2)))

"""Confusion matrices and two-by-two tables, and metrics as formulas on them.

A confusion matrix has a row for every grade and a column for every predicted grade. A metric without a value raises
:class:`Undefined` with the reason; no undefined metric silently becomes 0. A :class:`MatrixMetric` also computes a
stack of matrices at once (:meth:`MatrixMetric.stacked`), for resampling.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec

import numpy as np
from numpy.typing import NDArray

from retinagrade.grades import N_GRADES

Arguments = ParamSpec("Arguments")
Formula = Callable[Concatenate[NDArray[Any], Arguments], NDArray[np.float64]]
NO_PHOTOGRAPHS = "there are no graded photographs"


class Undefined(ValueError):  # noqa: N818 - an undefined metric is no error
    """A metric has no value for this data; the message gives the reason."""


class MatrixMetric(Generic[Arguments]):
    """A metric of a confusion matrix: one formula for a single matrix and for stacks of matrices.

    A call with one matrix returns a float, or raises :class:`Undefined`.
    """

    __name__: str

    def __init__(self, formula: Formula[Arguments], reason: str) -> None:
        """Wraps a formula.

        Args:
            formula: Computes values (…) from counts (…, K, K); 0 / 0 where the metric is undefined.
            reason: Reason why the metric can be undefined for one or more photographs; ``{}`` stands for the grade.
        """
        self._formula, self._reason = formula, reason
        update_wrapper(self, formula)

    def __call__(self, matrix: NDArray[Any], *args: Arguments.args, **kwargs: Arguments.kwargs) -> float:
        """Computes the metric of one matrix (K, K).

        Raises:
            Undefined: There are no photographs, or the metric's own reason applies.
        """
        if not matrix.any():
            raise Undefined(NO_PHOTOGRAPHS)
        value = float(self.stacked(matrix, *args, **kwargs))
        if np.isnan(value):
            raise Undefined(self._reason.format(*args))
        return value

    def stacked(self, matrices: NDArray[Any], *args: Arguments.args, **kwargs: Arguments.kwargs) -> NDArray[np.float64]:
        """Computes the metric of every matrix in (…, K, K): values (…), NaN where undefined."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self._formula(matrices, *args, **kwargs), dtype=np.float64)


def matrix_metric(reason: str = NO_PHOTOGRAPHS) -> Callable[[Formula[Arguments]], MatrixMetric[Arguments]]:
    """Turns a formula into a :class:`MatrixMetric`, as a decorator.

    Args:
        reason: As for :class:`MatrixMetric`.
    """
    return lambda formula: MatrixMetric(formula, reason)


def confusion_matrix(grades: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.int64]:
    """Counts photographs by grade (row) and predicted grade (column).

    Args:
        grades: Grades (N,), int, 0 to 4.
        predicted: Predicted grades (N,), int, 0 to 4, of the same photographs.

    Returns:
        Counts (5, 5).

    Example:
        >>> int(confusion_matrix(np.array([0, 3]), np.array([0, 4]))[3, 4])
        1
    """
    cells = np.asarray(grades, dtype=np.int64) * N_GRADES + np.asarray(predicted, dtype=np.int64)
    return np.bincount(cells, minlength=N_GRADES**2).reshape(N_GRADES, N_GRADES)


def two_by_two_table(truths: NDArray[np.bool_], decisions: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Counts photographs without (row 0) and with (row 1) a disease, by negative (column 0) and positive decisions.

    Args:
        truths: True for photographs with the disease (N,).
        decisions: True for positive photographs (N,).

    Returns:
        Counts (2, 2).
    """
    cells = np.asarray(truths, dtype=np.int64) * 2 + np.asarray(decisions, dtype=np.int64)
    return np.bincount(cells, minlength=4).reshape(2, 2)


def two_by_two_tables_from(matrices: NDArray[Any], grade: int) -> NDArray[Any]:
    """Reduces confusion matrices (…, 5, 5) to two-by-two tables (…, 2, 2) of "this grade or worse".

    Example:
        >>> two_by_two_tables_from(np.eye(5, dtype=int), 2).tolist()
        [[2, 0], [0, 3]]
    """
    starts = [0, grade]
    tables: NDArray[Any] = np.add.reduceat(np.add.reduceat(matrices, starts, axis=-1), starts, axis=-2)
    return tables


def total(matrices: NDArray[Any]) -> NDArray[Any]:
    """Returns the number of photographs (…) of matrices (…, K, K)."""
    return np.asarray(matrices.sum(axis=(-2, -1)))


def hits(matrices: NDArray[Any]) -> NDArray[Any]:
    """Returns the number of right predictions of each grade (…, K), from matrices (…, K, K)."""
    return np.diagonal(matrices, axis1=-2, axis2=-1)


def average_over_grades(values: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the weighted mean over the last axis; NaN where a value with a weight above 0 is NaN."""
    return np.asarray(np.where(weights > 0, values * weights, 0.0).sum(axis=-1) / weights.sum(axis=-1))

"""Agreement of predicted grades with grades: accuracies, kappas and grade errors, from the confusion matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from retinagrade.evaluation.metrics.confusion import average_over_grades, hits, matrix_metric, total
from retinagrade.grades import N_GRADES

_FAR = 2
_NO_DISAGREEMENT = "all photographs have one grade and this predicted grade, so there is no disagreement by chance"


@matrix_metric()
def accuracy(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Computes the share of photographs with the right predicted grade.

    Raises:
        Undefined: There are no photographs.
    """
    return np.asarray(hits(matrix).sum(axis=-1) / total(matrix))


@matrix_metric()
def majority_baseline(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Computes the accuracy of always predicting the most frequent grade: the baseline of every other accuracy."""
    return np.asarray(matrix.sum(axis=-1).max(axis=-1) / total(matrix))


@matrix_metric()
def chance_accuracy(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Computes the expected accuracy of the same predictions if they were independent of the grades."""
    return np.asarray((matrix.sum(axis=-1) * matrix.sum(axis=-2)).sum(axis=-1) / total(matrix) ** 2)


@matrix_metric(_NO_DISAGREEMENT)
def quadratic_weighted_kappa(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Computes Cohen's kappa with weights that grow with the square of the distance between grades 0 to 4 (QWK).

    Source: J. Cohen, "Weighted kappa", Psychological Bulletin 70(4), 1968.

    Returns:
        From -1 to 1; 0 is chance, 1 perfect agreement.

    Raises:
        Undefined: There are no photographs, or all have one grade and this predicted grade.

    Example:
        >>> quadratic_weighted_kappa(np.diag([3, 2, 2, 1, 1]))
        1.0
    """
    return _kappa(matrix, _distances() ** 2)


@matrix_metric(_NO_DISAGREEMENT)
def linear_weighted_kappa(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Computes Cohen's kappa with weights that grow with the distance between grades 0 to 4.

    Source, range and errors: as :func:`quadratic_weighted_kappa`.
    """
    return _kappa(matrix, _distances())


@matrix_metric(_NO_DISAGREEMENT)
def unweighted_kappa(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Computes Cohen's kappa with the same weight for every wrong grade; papers on retinopathy rarely report it.

    Source: J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20(1),
    1960. Range and errors: as :func:`quadratic_weighted_kappa`.
    """
    return _kappa(matrix, _distances() > 0)


@matrix_metric()
def balanced_accuracy(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Computes the mean recall of the grades that are present.

    Raises:
        Undefined: There are no photographs.
    """
    support = matrix.sum(axis=-1)
    return average_over_grades(hits(matrix) / support, support > 0)


@matrix_metric()
def mean_absolute_grade_error(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Computes the mean distance between grade and predicted grade, in grades, 0 to 4.

    Raises:
        Undefined: There are no photographs.
    """
    return np.asarray((matrix * _distances()).sum(axis=(-2, -1)) / total(matrix))


@matrix_metric()
def off_by_two_or_more(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Computes the share of photographs whose predicted grade is two or more grades off.

    Raises:
        Undefined: There are no photographs.
    """
    return np.asarray((matrix * (_distances() >= _FAR)).sum(axis=(-2, -1)) / total(matrix))


def _distances() -> NDArray[np.int64]:
    grades = np.arange(N_GRADES)
    return np.asarray(np.abs(grades[:, None] - grades))


def _kappa(matrix: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float64]:
    by_chance = matrix.sum(axis=-1)[..., :, None] * matrix.sum(axis=-2)[..., None, :] * weights
    return np.asarray(1 - (weights * matrix).sum(axis=(-2, -1)) * total(matrix) / by_chance.sum(axis=(-2, -1)))

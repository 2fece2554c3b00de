"""Grade cuts: turn the expected grade into a grade, for the highest quadratic weighted kappa.

The most probable grade maximises the accuracy. Kappa punishes a mistake by the square of its size, and so prefers the
middle of the possible grades. The cut points of ``models/cut_points.py`` are different: they turn the output of a
regression into probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from retinagrade.evaluation.fitting.operating_points import threshold_between
from retinagrade.evaluation.fitting.out_of_fold import out_of_fold
from retinagrade.evaluation.metrics import Undefined, confusion_matrix, quadratic_weighted_kappa
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.grades import N_GRADES

_ENDS: Final = (-0.5, N_GRADES - 0.5)
"""A cut below or above all photographs lies halfway to the ends of the scale, if all grades are equally wide."""


class GradeCuts(BaseModel):
    """Cuts of the expected grade: the grade of a photograph is the number of cuts that its expected grade reaches.

    Attributes:
        cuts: Expected grades at which grades 1, 2, 3 and 4 start; never decreasing.
        quadratic_weighted_kappa: Quadratic weighted kappa on the photographs of the fit.
        cross_validated: Quadratic weighted kappa if cuts that are fitted on four fifths grade the other fifth; ``None``
            where undefined.
        of_most_probable: Quadratic weighted kappa of the most probable grade; ``None`` where undefined.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    cuts: tuple[float, float, float, float]
    quadratic_weighted_kappa: float = Field(le=1)
    cross_validated: float | None = Field(ge=-1, le=1)
    of_most_probable: float | None = Field(ge=-1, le=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if any(low > high for low, high in pairwise(self.cuts)):
            raise ValueError(f"cuts must not decrease: {self.cuts}")
        return self


def expected_grade(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Computes the mean grade under the probabilities.

    Args:
        probabilities: Probabilities (N, 5).

    Returns:
        Expected grades (N,), 0 to 4.

    Example:
        >>> expected_grade(np.array([[0.5, 0, 0.25, 0, 0.25]]))
        array([1.5])
    """
    expected: NDArray[np.float64] = probabilities @ np.arange(N_GRADES, dtype=np.float64)
    return expected


def apply_grade_cuts(cuts: GradeCuts, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns the grades by the cuts.

    Args:
        cuts: The fitted cuts.
        probabilities: Probabilities (N, 5), calibrated in the same way as for the fit.

    Returns:
        Grades (N,), 0 to 4.
    """
    return np.searchsorted(cuts.cuts, expected_grade(probabilities), side="right").astype(np.int64)


def fit_grade_cuts(predictions: GradedPredictions) -> GradeCuts:
    """Finds the cuts with the highest quadratic weighted kappa on these photographs.

    Kappa is 1 less the quotient of two sums over photographs: disagreement, and disagreement by chance. For a guess of
    the quotient, dynamic programming finds the cuts that beat the guess most; their quotient is the next guess, until
    no cuts beat it (W. Dinkelbach, "On nonlinear fractional programming", Management Science 13(7), 1967).

    Args:
        predictions: Validation photographs.

    Returns:
        Cuts in the middle between neighbouring photographs. If predicting a grade never pays, its two cuts are equal or
        in the same gap between photographs.

    Raises:
        Undefined: Fewer than two grades are present, or no cuts are better than chance.
    """
    cuts, kappa = _best_cuts(predictions)
    return GradeCuts.model_validate(
        {
            "cuts": cuts,
            "quadratic_weighted_kappa": kappa,
            "cross_validated": _or_none(lambda: _kappa(predictions, out_of_fold(predictions, _fit_and_cut))),
            "of_most_probable": _or_none(lambda: _kappa(predictions, predictions.predicted)),
        }
    )


def _best_cuts(predictions: GradedPredictions) -> tuple[list[float], float]:
    """Returns the four cuts, and their kappa."""
    grades = predictions.grades.astype(np.float64)
    if len(predictions) == 0 or (grades == grades[0]).all():
        raise Undefined("fewer than two grades are present")
    scores, score_index = np.unique(expected_grade(predictions.probabilities), return_inverse=True)
    candidates = np.arange(N_GRADES, dtype=np.float64)
    observed = _sums((candidates - grades[:, None]) ** 2, score_index)
    by_chance = _sums((grades**2)[:, None] + candidates**2 - 2 * grades.mean() * candidates, score_index)
    quotient, splits = 1.0, None  # 1 is chance
    while True:
        next_splits = _best_splits(observed - quotient * by_chance)
        next_quotient = _total(observed, next_splits) / _total(by_chance, next_splits)
        if next_quotient >= quotient - 1e-12:
            break
        quotient, splits = next_quotient, next_splits
    if splits is None:
        raise Undefined("no cuts of the expected grade are better than chance")
    edges = np.concatenate([_ENDS[:1], scores, _ENDS[1:]])
    cuts: list[float] = []
    for split in splits:
        cuts.append(threshold_between(max([edges[split], *cuts[-1:]]), edges[split + 1]))
    return cuts, 1 - quotient


def _fit_and_cut(predictions: GradedPredictions, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.searchsorted(_best_cuts(predictions)[0], expected_grade(probabilities), side="right")


def _kappa(predictions: GradedPredictions, predicted: NDArray[np.int64]) -> float:
    return quadratic_weighted_kappa(confusion_matrix(predictions.grades, predicted))


def _or_none(kappa: Callable[[], float]) -> float | None:
    try:
        return kappa()
    except Undefined:
        return None


def _sums(costs: NDArray[np.float64], score_index: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums the costs (N, 5) of predicting each grade over the first 0 … M different scores: (M + 1, 5)."""
    by_score = np.stack([np.bincount(score_index, column) for column in costs.T], axis=1)
    return np.concatenate([np.zeros((1, N_GRADES)), by_score.cumsum(axis=0)])


def _best_splits(sums: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns the splits (4,) of M scores with the lowest total, 0 to M and in order; grade k starts at split k - 1."""
    positions = np.arange(len(sums))
    total, starts = sums[:, 0], []
    for grade in range(1, N_GRADES):
        start_costs = total - sums[:, grade]
        lowest = np.minimum.accumulate(start_costs)
        is_new = np.concatenate([[True], start_costs[1:] < lowest[:-1]])
        starts.append(np.maximum.accumulate(np.where(is_new, positions, 0)))
        total = lowest + sums[:, grade]
    splits, end = [], len(sums) - 1
    for start in reversed(starts):
        end = int(start[end])
        splits.append(end)
    return np.array(splits[::-1])


def _total(sums: NDArray[np.float64], splits: NDArray[np.int64]) -> float:
    edges = np.concatenate([[0], splits, [len(sums) - 1]])
    grades = np.arange(N_GRADES)
    return float((sums[edges[1:], grades] - sums[edges[:-1], grades]).sum())

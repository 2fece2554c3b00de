"""Grade cuts: turn the expected grade into a grade so that quadratic weighted kappa is highest.

The most probable grade maximises accuracy; kappa punishes a miss by its square, and so prefers the middle of what is
possible. Not to be confused with ``models/cut_points.py``, which makes probabilities of a regression's output.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from retinagrade.evaluation.fitting.operating_points import threshold_between
from retinagrade.evaluation.fitting.out_of_fold import out_of_fold
from retinagrade.evaluation.metrics import Undefined, confusion_matrix, quadratic_weighted_kappa
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.grades import N_GRADES

_ENDS: Final = (-0.5, N_GRADES - 0.5)
"""Cuts below or above all photographs lie halfway to these: where the outer grades end if all are equally wide."""


class GradeCuts(BaseModel):
    """A photograph's grade is the number of cuts that its expected grade reaches.

    Attributes:
        cuts: Expected grades at which grades 1, 2, 3 and 4 begin; never decreasing.
        quadratic_weighted_kappa: Of the photographs that they were fitted on.
        cross_validated: Quadratic weighted kappa where each fifth is graded by cuts fitted on the other four; ``None``
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
            raise ValueError(f"cuts must not decrease, and are {self.cuts}")
        return self


def expected_grade(probabilities: np.ndarray) -> np.ndarray:
    """The mean grade that probabilities stand for.

    Args:
        probabilities: Probabilities (N, 5).

    Returns:
        Expected grades (N,), 0 to 4.

    Example:
        >>> expected_grade(np.array([[0.5, 0, 0.25, 0, 0.25]]))
        array([1.5])
    """
    expected: np.ndarray = probabilities @ np.arange(N_GRADES, dtype=np.float64)
    return expected


def apply_grade_cuts(cuts: GradeCuts, probabilities: np.ndarray) -> np.ndarray:
    """Grades by cuts.

    Args:
        cuts: The cuts.
        probabilities: Probabilities (N, 5), calibrated as those that they were fitted on.

    Returns:
        Grades (N,), int64, 0 to 4.
    """
    return np.searchsorted(cuts.cuts, expected_grade(probabilities), side="right").astype(np.int64)


def fit_grade_cuts(graded: GradedPredictions) -> GradeCuts:
    """Finds the cuts of the highest quadratic weighted kappa; no others are better on these photographs.

    Kappa is 1 less the quotient of two sums over photographs, disagreement and disagreement by chance. So for a guess
    of the quotient, dynamic programming finds the cuts that beat it most; their quotient is the next guess, until none
    is beaten (W. Dinkelbach, "On nonlinear fractional programming", Management Science 13(7), 1967).

    Args:
        graded: Validation photographs.

    Returns:
        Cuts in the middle between neighbouring photographs. Where a grade is never worth giving, its cuts share a gap.

    Raises:
        Undefined: Photographs of fewer than two grades, or no cuts are better than chance.
    """
    cuts, kappa = _best_cuts(graded)
    return GradeCuts.model_validate(
        {
            "cuts": cuts,
            "quadratic_weighted_kappa": kappa,
            "cross_validated": _or_none(lambda: _kappa(graded, out_of_fold(graded, _fit_and_cut))),
            "of_most_probable": _or_none(lambda: _kappa(graded, graded.predicted)),
        }
    )


def _best_cuts(graded: GradedPredictions) -> tuple[list[float], float]:
    """The four cuts, and the kappa that they give."""
    known = graded.grades.astype(np.float64)
    if len(graded) == 0 or (known == known[0]).all():
        raise Undefined("fewer than two grades are present")
    scores, place = np.unique(expected_grade(graded.probabilities), return_inverse=True)
    given = np.arange(N_GRADES, dtype=np.float64)
    observed = _sums((given - known[:, None]) ** 2, place)
    by_chance = _sums((known**2)[:, None] + given**2 - 2 * known.mean() * given, place)
    quotient, splits = 1.0, None  # 1 is chance
    while True:
        tried = _best_splits(observed - quotient * by_chance)
        better = _total(observed, tried) / _total(by_chance, tried)
        if better >= quotient - 1e-12:
            break
        quotient, splits = better, tried
    if splits is None:
        raise Undefined("no cuts of the expected grade are better than chance")
    edges = np.concatenate([_ENDS[:1], scores, _ENDS[1:]])
    cuts: list[float] = []
    for split in splits:
        cuts.append(threshold_between(max([edges[split], *cuts[-1:]]), edges[split + 1]))
    return cuts, 1 - quotient


def _fit_and_cut(graded: GradedPredictions, probabilities: np.ndarray) -> np.ndarray:
    return np.searchsorted(_best_cuts(graded)[0], expected_grade(probabilities), side="right")


def _kappa(graded: GradedPredictions, given: np.ndarray) -> float:
    return quadratic_weighted_kappa(confusion_matrix(graded.grades, given))


def _or_none(kappa: Callable[[], float]) -> float | None:
    try:
        return kappa()
    except Undefined:
        return None


def _sums(costs: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Costs (N, 5) of giving each photograph each grade, as sums (M + 1, 5) of the first 0 … M different scores."""
    by_score = np.stack([np.bincount(place, column) for column in costs.T], axis=1)
    return np.concatenate([np.zeros((1, N_GRADES)), by_score.cumsum(axis=0)])


def _best_splits(sums: np.ndarray) -> np.ndarray:
    """The splits (4,) of M scores, 0 to M and in order, of the lowest total; grade k starts at split k - 1."""
    positions = np.arange(len(sums))
    total, starts = sums[:, 0], []
    for grade in range(1, N_GRADES):
        begun = total - sums[:, grade]
        lowest = np.minimum.accumulate(begun)
        is_new = np.concatenate([[True], begun[1:] < lowest[:-1]])
        starts.append(np.maximum.accumulate(np.where(is_new, positions, 0)))
        total = lowest + sums[:, grade]
    splits, end = [], len(sums) - 1
    for start in reversed(starts):
        end = int(start[end])
        splits.append(end)
    return np.array(splits[::-1])


def _total(sums: np.ndarray, splits: np.ndarray) -> float:
    edges = np.concatenate([[0], splits, [len(sums) - 1]])
    grades = np.arange(N_GRADES)
    return float((sums[edges[1:], grades] - sums[edges[:-1], grades]).sum())

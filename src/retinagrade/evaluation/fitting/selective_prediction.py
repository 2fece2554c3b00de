"""Selective prediction: a person reviews the photographs that the network is least certain of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from retinagrade.evaluation.fitting.operating_points import threshold_between
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.predictions import GradedPredictions

ReviewRuleName = Literal["share", "error"]


@dataclass(frozen=True)
class RiskCoverage:
    """Error rates among the most certain photographs, for every number of photographs that are kept.

    Attributes:
        coverage: Share of the photographs that are kept (N,), 1/N to 1.
        error: Share of wrong grades among the kept photographs (N,).
        far_off: Share of grades that are off by two or more among the kept photographs (N,).
    """

    coverage: NDArray[np.float64]
    error: NDArray[np.float64]
    far_off: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Area under the curve of the error rate (AURC): its mean over all numbers of kept photographs."""
        return float(self.error.mean())

    @property
    def area_far_off(self) -> float:
        """Area under the curve of grades that are off by two or more."""
        return float(self.far_off.mean())


class ReviewThreshold(BaseModel):
    """A photograph needs review by a person if the probability of its most probable grade is below ``confidence``.

    Attributes:
        rule: The goal: at most a ``share`` of the photographs is reviewed, or at most a share of ``error`` remains.
        target: That share.
        confidence: The threshold.
        reviewed: Share of the photographs that need review, among those that the threshold was fitted on.
        error: Share of wrong grades among the other photographs, likewise.
        far_off: Share of grades that are off by two or more among the other photographs, likewise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rule: ReviewRuleName
    target: float = Field(gt=0, lt=1)
    confidence: float = Field(ge=0, le=1)
    reviewed: float = Field(ge=0, lt=1)
    error: float = Field(ge=0, le=1)
    far_off: float = Field(ge=0, le=1)


def top_probability(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the probability (N,) of the most probable grade, from probabilities (N, 5)."""
    top: NDArray[np.float64] = probabilities.max(axis=1)
    return top


def needs_review(threshold: ReviewThreshold, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Decides which photographs a person must review.

    Args:
        threshold: The fitted threshold.
        probabilities: Probabilities (N, 5), calibrated in the same way as for the fit.

    Returns:
        Decisions (N,).
    """
    return top_probability(probabilities) < threshold.confidence


def risk_coverage(predictions: GradedPredictions) -> RiskCoverage:
    """Computes the risk-coverage curve by confidence.

    Photographs of the same confidence share their mistakes evenly, so that their order doesn't matter.

    Source: Y. Geifman et al., "Bias-reduced uncertainty estimation for deep neural classifiers", ICLR 2019.

    Args:
        predictions: At least one photograph.

    Example:
        >>> p = np.array([[0.9, 0.1, 0, 0, 0], [0.6, 0.4, 0, 0, 0]])
        >>> curve = risk_coverage(GradedPredictions(np.array(["a", "b"]), np.array([0, 1]), p, np.arange(2)))
        >>> curve.error.tolist(), curve.area
        ([0.0, 0.5], 0.25)
    """
    kept = np.arange(1, len(predictions) + 1)
    _, level, count = np.unique(-top_probability(predictions.probabilities), return_inverse=True, return_counts=True)
    shares = [
        np.repeat(np.bincount(level, mistakes) / count, count).cumsum() / kept for mistakes in _mistakes(predictions)
    ]
    return RiskCoverage(kept / len(predictions), *shares)


def fit_review_threshold(predictions: GradedPredictions, rule: ReviewRuleName, target: float) -> ReviewThreshold:
    """Fits a threshold on the confidence.

    With ``share``, as many photographs are reviewed as the target allows; with ``error``, as few as the target needs.
    The rule ``error`` picks the luckiest of many thresholds: expect more mistakes on new photographs, especially if few
    are kept.

    Args:
        predictions: At least one validation photograph.
        rule: The quantity that the target limits.
        target: Above 0 and below 1.

    Raises:
        Undefined: Even the most certain photographs have a larger share of errors.
    """
    levels, level, count = np.unique(
        -top_probability(predictions.probabilities), return_inverse=True, return_counts=True
    )
    kept = count.cumsum()
    error, far_off = (np.bincount(level, mistakes).cumsum() / kept for mistakes in _mistakes(predictions))
    reviewed = (len(predictions) - kept) / len(predictions)
    meets = np.flatnonzero(reviewed <= target if rule == "share" else error <= target)
    if not len(meets):
        raise Undefined(f"even the most certain photographs have a share of errors above {target:.1%}")
    last = meets[0] if rule == "share" else meets[-1]
    below = -levels[last + 1] if last + 1 < len(levels) else 0.0
    return ReviewThreshold(
        rule=rule,
        target=target,
        confidence=threshold_between(below, -levels[last]),
        reviewed=float(reviewed[last]),
        error=float(error[last]),
        far_off=float(far_off[last]),
    )


def _mistakes(predictions: GradedPredictions) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Returns which grades (N,) are wrong, and which are off by two or more."""
    distance = np.abs(predictions.predicted - predictions.grades)
    return distance > 0, distance >= 2

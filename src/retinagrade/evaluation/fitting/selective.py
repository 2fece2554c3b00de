"""Selective prediction: what is gained by leaving the least certain photographs to a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from retinagrade.evaluation.fitting.operating_points import threshold_between
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.predictions import GradedPredictions

ReferralRule = Literal["share", "error"]


@dataclass(frozen=True)
class RiskCoverage:
    """What goes wrong among the most certain photographs, for every number of them.

    Attributes:
        coverage: Share of the photographs that are kept (N,), 1/N to 1.
        error: Share of wrong grades among those kept (N,).
        far_off: Share of grades that are off by 2 or more among those kept (N,).
    """

    coverage: np.ndarray
    error: np.ndarray
    far_off: np.ndarray

    @property
    def area(self) -> float:
        """Area under the curve of the error rate (AURC): its mean over all numbers of photographs kept."""
        return float(self.error.mean())

    @property
    def area_far_off(self) -> float:
        """The same of the grades that are off by 2 or more."""
        return float(self.far_off.mean())


class Referral(BaseModel):
    """A photograph goes to a person where the probability of its most probable grade is below ``confidence``.

    Attributes:
        rule: What was asked for: at most a ``share`` referred, or at most a share of ``error`` among those kept.
        target: That share.
        confidence: The threshold.
        referred: Share of the photographs referred, of those that it was fitted on.
        error: Share of wrong grades among those kept, likewise.
        far_off: Share of grades off by 2 or more among those kept, likewise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rule: ReferralRule
    target: float = Field(gt=0, lt=1)
    confidence: float = Field(ge=0, le=1)
    referred: float = Field(ge=0, lt=1)
    error: float = Field(ge=0, le=1)
    far_off: float = Field(ge=0, le=1)


def top_probability(probabilities: np.ndarray) -> np.ndarray:
    """The probability (N,) of the most probable grade, of probabilities (N, 5)."""
    top: np.ndarray = probabilities.max(axis=1)
    return top


def needs_review(referral: Referral, probabilities: np.ndarray) -> np.ndarray:
    """Which photographs go to a person.

    Args:
        referral: The rule as fitted.
        probabilities: Probabilities (N, 5), calibrated as those that it was fitted on.

    Returns:
        Decisions (N,), bool.
    """
    return top_probability(probabilities) < referral.confidence


def risk_coverage(graded: GradedPredictions) -> RiskCoverage:
    """The risk-coverage curve by confidence.

    Photographs of the same confidence share their mistakes evenly, so that their order doesn't matter.

    Source: Y. Geifman et al., "Bias-reduced uncertainty estimation for deep neural classifiers", ICLR 2019.

    Args:
        graded: Photographs, at least one.

    Example:
        >>> p = np.array([[0.9, 0.1, 0, 0, 0], [0.6, 0.4, 0, 0, 0]])
        >>> curve = risk_coverage(Graded(np.array(["a", "b"]), np.array([0, 1]), p, np.arange(2)))
        >>> curve.error.tolist(), curve.area
        ([0.0, 0.5], 0.25)
    """
    kept = np.arange(1, len(graded) + 1)
    _, place, count = np.unique(-top_probability(graded.probabilities), return_inverse=True, return_counts=True)
    shares = [np.repeat(np.bincount(place, mistakes) / count, count).cumsum() / kept for mistakes in _mistakes(graded)]
    return RiskCoverage(kept / len(graded), *shares)


def fit_referral(graded: GradedPredictions, rule: ReferralRule, target: float) -> Referral:
    """Fits a threshold on the confidence.

    With ``share``, as many are referred as the target allows; with ``error``, as few as it takes. The second picks the
    luckiest of many thresholds: expect more mistakes on other photographs, the more so the fewer are kept.

    Args:
        graded: Validation photographs, at least one.
        rule: What the target is a share of.
        target: Above 0 and below 1.

    Raises:
        Undefined: Even the most certain photographs have a larger share of errors.
    """
    levels, place, count = np.unique(-top_probability(graded.probabilities), return_inverse=True, return_counts=True)
    kept = count.cumsum()
    error, far_off = (np.bincount(place, mistakes).cumsum() / kept for mistakes in _mistakes(graded))
    referred = (len(graded) - kept) / len(graded)
    meets = np.flatnonzero(referred <= target if rule == "share" else error <= target)
    if not len(meets):
        raise Undefined(f"even the most certain photographs have a share of errors above {target:.1%}")
    last = meets[0] if rule == "share" else meets[-1]
    below = -levels[last + 1] if last + 1 < len(levels) else 0.0
    return Referral(
        rule=rule,
        target=target,
        confidence=threshold_between(below, -levels[last]),
        referred=float(referred[last]),
        error=float(error[last]),
        far_off=float(far_off[last]),
    )


def _mistakes(graded: GradedPredictions) -> tuple[np.ndarray, np.ndarray]:
    """Which grades (N,) are wrong, and which are off by 2 or more."""
    distance = np.abs(graded.predicted - graded.grades)
    return distance > 0, distance >= 2

"""Two networks on the same photographs: is one better, or is it chance?

What two networks get wrong is mostly the same photographs, so a difference is far better known than either figure:
overlapping intervals of the two say little, the interval of their difference says it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.stats import norm, rankdata

from retinagrade.errors import JoinError
from retinagrade.evaluation.intervals import LEVEL, RESAMPLES, Interval, percentile_interval, resampled_metrics
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.named_metrics import compute_metrics
from retinagrade.evaluation.predictions import GradedPredictions

COMPARED_METRICS: Final = (
    "quadratic_weighted_kappa",
    "accuracy",
    "referable_auc",
    "vision_threatening_auc",
    "macro_auc",
)
"""The figures that are compared where nobody asks for others."""


@dataclass(frozen=True)
class Difference:
    """A figure of two networks.

    Attributes:
        first: The first network's; ``None`` where undefined.
        second: The second one's.
        difference: First less second.
        interval: 95 % interval of the difference; ``None`` with a reason.
        p_value: Two-sided: how often chance alone would make such a difference where there is none.
        reason: Why something is ``None``.
    """

    first: float | None
    second: float | None
    difference: float | None = None
    interval: Interval | None = None
    p_value: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class DeLongTest:
    """DeLong's test of a difference of two areas under ROC curves.

    Attributes:
        first: The first area.
        second: The second one.
        difference: First less second.
        low: Lower end of the difference's 95 % interval.
        high: Its upper end.
        z: Difference in standard errors.
        p_value: Two-sided, by the normal distribution.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    z: float
    p_value: float


def paired_differences(
    first: GradedPredictions,
    second: GradedPredictions,
    names: Sequence[str] = COMPARED_METRICS,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Difference]:
    """Differences of figures of two networks, by the bootstrap: both are seen on the same resamples of patients.

    The p value is the interval's other side: twice the share of the resamples whose difference is on the other side of
    0 or at 0, counting the difference itself as one of them, so never below 2 / (resamples + 1).

    Source: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 13 and 15.

    Args:
        first: Photographs as the first network saw them.
        second: The same photographs as the second one did, in any order.
        names: Which of :data:`~retinagrade.evaluation.named_metrics.METRIC_NAMES`.
        resamples: How many.
        seed: Of the resamples.

    Returns:
        By name.

    Raises:
        JoinError: They are not the same photographs, or have other grades.
    """
    first, second = _same_photographs(first, second)
    ours, theirs = compute_metrics(first), compute_metrics(second)
    drawn = [resampled_metrics(part, names, resamples=resamples, seed=seed) for part in (first, second)]
    differences = {}
    for name in names:
        one, other = ours.values[name], theirs.values[name]
        if one is None or other is None:
            differences[name] = Difference(one, other, reason=(ours.undefined | theirs.undefined)[name])
            continue
        resampled = drawn[0][name] - drawn[1][name]
        try:
            if len(np.unique(first.patients)) < 2:
                raise Undefined("there is only one patient")
            difference = Difference(one, other, one - other, percentile_interval(resampled), _p_value(resampled))
        except Undefined as reason:
            difference = Difference(one, other, one - other, reason=str(reason))
        differences[name] = difference
    return differences


def delong_test(truths: np.ndarray, first: np.ndarray, second: np.ndarray) -> DeLongTest:
    """DeLong's test that two scores of the same photographs have the same area under the ROC curve.

    It takes photographs for independent. Where patients have several, as both eyes, it makes too much of them: there
    :func:`paired_differences` is the one to believe.

    Sources: E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44(3), 1988; computed from ranks as by X. Sun,
    W. Xu, "Fast implementation of DeLong's algorithm", IEEE Signal Processing Letters 21(11), 2014.

    Args:
        truths: Whether a photograph has the finding (N,), bool.
        first: The first network's scores (N,), larger where the finding is likelier.
        second: The second one's, of the same photographs.

    Returns:
        Areas, their difference, its interval and p value. The p value of two scores of one order is 1.

    Raises:
        Undefined: Fewer than two photographs with the finding or without it, or areas that differ and can't vary.
    """
    positives, negatives = int(truths.sum()), int((~truths).sum())
    if min(positives, negatives) < 2:
        raise Undefined("DeLong's test needs two photographs with the finding and two without it")
    scores = np.stack([first, second])
    ranks = rankdata(scores, axis=1)
    # Of each positive, the share of negatives below it; of each negative, the share of positives above it.
    above = (ranks[:, truths] - rankdata(scores[:, truths], axis=1)) / negatives
    below = 1 - (ranks[:, ~truths] - rankdata(scores[:, ~truths], axis=1)) / positives
    areas = above.mean(axis=1)
    covariance = np.cov(above) / positives + np.cov(below) / negatives
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if np.array_equal(above[0], above[1]) and np.array_equal(below[0], below[1]):
        return DeLongTest(float(areas[0]), float(areas[1]), 0.0, 0.0, 0.0, 0.0, 1.0)
    if variance <= 0:
        raise Undefined("the difference of the areas doesn't vary with the photographs, so nothing can be said of it")
    error = variance**0.5
    margin = float(norm.ppf((1 + LEVEL) / 2)) * error
    return DeLongTest(
        float(areas[0]),
        float(areas[1]),
        difference,
        difference - margin,
        difference + margin,
        difference / error,
        float(2 * norm.sf(abs(difference) / error)),
    )


def _p_value(differences: np.ndarray) -> float:
    defined = differences[~np.isnan(differences)]
    tail = min((defined <= 0).sum(), (defined >= 0).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(defined) + 1)))


def _same_photographs(
    first: GradedPredictions, second: GradedPredictions
) -> tuple[GradedPredictions, GradedPredictions]:
    """Both in the order of ``image_id``, with the patients of the one that knows more of them to be the same."""
    first, second = (part.rows(np.argsort(part.image_ids, kind="stable")) for part in (first, second))
    if not np.array_equal(first.image_ids, second.image_ids):
        only = [np.setdiff1d(a.image_ids, b.image_ids) for a, b in ((first, second), (second, first))]
        raise JoinError(
            f"the two networks were not given the same photographs ({len(only[0])} only to the first, {len(only[1])} "
            f"only to the second: {', '.join(np.concatenate(only)[:5])}): predict the same split with both"
        )
    differing = first.image_ids[first.grades != second.grades]
    if len(differing):
        raise JoinError(
            f"{len(differing)} photographs have two grades ({', '.join(differing[:5])}): give both networks' "
            "predictions the same table of grades"
        )
    patients = min((first.patients, second.patients), key=lambda whose: len(np.unique(whose)))
    return replace(first, patients=patients), replace(second, patients=patients)

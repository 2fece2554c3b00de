"""Differences between two networks on the same photographs: better, or chance?

Two networks mostly fail on the same photographs, so their difference is known much better than either metric.
Overlapping intervals of the two metrics say little; the interval of the difference answers the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from retinagrade.errors import JoinError
from retinagrade.evaluation.intervals import LEVEL, Interval, percentile_interval
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.named_metrics import compute_metrics
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.evaluation.resampling import RESAMPLES, resampled_metrics
from retinagrade.messages import counted, describe_alike, first_few

COMPARED_METRICS: Final = (
    "quadratic_weighted_kappa",
    "accuracy",
    "referable_auc",
    "vision_threatening_auc",
    "macro_auc",
)
"""Metrics that are compared by default."""


@dataclass(frozen=True)
class Difference:
    """A metric of two networks.

    Attributes:
        first: The metric of the first network; ``None`` where undefined.
        second: The metric of the second network; ``None`` where undefined.
        difference: First minus second.
        interval: 95 % interval of the difference; ``None`` with a reason.
        p_value: Two-sided p value of the hypothesis that there is no difference.
        reason: Reason why an attribute is ``None``.
    """

    first: float | None
    second: float | None
    difference: float | None = None
    interval: Interval | None = None
    p_value: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class DeLongTest:
    """Result of DeLong's test of the difference between two areas under ROC curves.

    Attributes:
        first: The first area.
        second: The second area.
        difference: First minus second.
        low: Lower end of the 95 % interval of the difference.
        high: Upper end of this interval.
        z: Difference divided by its standard error.
        p_value: Two-sided p value, by the normal distribution.
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
    """Computes differences between the metrics of two networks, by the bootstrap on the same resamples of patients.

    The p value is twice the share of the resamples whose difference is 0 or has the opposite sign. The observed
    difference counts as one of the resamples, so the p value is never below 2 / (resamples + 1).

    Source: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 13 and 15.

    Args:
        first: Predictions of the first network.
        second: Predictions of the second network for the same photographs, in any order.
        names: Some of :data:`~retinagrade.evaluation.named_metrics.METRIC_NAMES`.
        resamples: Number of resamples.
        seed: Seed of the resamples.

    Returns:
        The differences by the names of the metrics.

    Raises:
        JoinError: The photographs differ, or a photograph has different grades.
    """
    first, second = _align(first, second)
    metrics = [compute_metrics(part) for part in (first, second)]
    reasons = metrics[0].undefined | metrics[1].undefined
    resampled = [resampled_metrics(part, names, resamples=resamples, seed=seed) for part in (first, second)]
    differences = {}
    for name in names:
        one, other = (part.values[name] for part in metrics)
        if one is None or other is None:
            differences[name] = Difference(one, other, reason=reasons[name])
            continue
        values = resampled[0][name] - resampled[1][name]
        try:
            if len(np.unique(first.patients)) < 2:
                raise Undefined("there is only one patient")
            difference = Difference(one, other, one - other, percentile_interval(values), _p_value(values))
        except Undefined as reason:
            difference = Difference(one, other, one - other, reason=str(reason))
        differences[name] = difference
    return differences


def delong_test(truths: NDArray[np.bool_], first: NDArray[np.floating], second: NDArray[np.floating]) -> DeLongTest:
    """Tests whether two scores of the same photographs have the same area under the ROC curve, after DeLong.

    The test assumes independent photographs. If patients have several, such as both eyes, it overstates the evidence;
    trust :func:`paired_differences` there.

    Sources: E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44(3), 1988; computed from ranks after X. Sun,
    W. Xu, "Fast implementation of DeLong's algorithm", IEEE Signal Processing Letters 21(11), 2014.

    Args:
        truths: True for photographs with the disease (N,).
        first: Scores of the first network (N,); a larger score means that the disease is more likely.
        second: Scores of the second network for the same photographs (N,).

    Returns:
        The areas, their difference, its interval and its p value. The p value of two scores with the same order is 1.

    Raises:
        Undefined: Fewer than two photographs have the disease or are without it, or the areas differ but can't vary.
    """
    positives, negatives = int(truths.sum()), int((~truths).sum())
    if min(positives, negatives) < 2:
        raise Undefined("DeLong's test needs two photographs with the disease and two without it")
    scores = np.stack([first, second])
    ranks = rankdata(scores, axis=1)
    # For each positive, the share of negatives below it; for each negative, the share of positives above it.
    above = (ranks[:, truths] - rankdata(scores[:, truths], axis=1)) / negatives
    below = 1 - (ranks[:, ~truths] - rankdata(scores[:, ~truths], axis=1)) / positives
    areas = above.mean(axis=1)
    covariance = np.cov(above) / positives + np.cov(below) / negatives
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if np.array_equal(above[0], above[1]) and np.array_equal(below[0], below[1]):
        return DeLongTest(float(areas[0]), float(areas[1]), 0.0, 0.0, 0.0, 0.0, 1.0)
    if variance <= 0:
        raise Undefined("the difference between the areas doesn't vary with the photographs, so it can't be tested")
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


def _p_value(differences: NDArray[Any]) -> float:
    defined = differences[~np.isnan(differences)]
    tail = min((defined <= 0).sum(), (defined >= 0).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(defined) + 1)))


def _align(first: GradedPredictions, second: GradedPredictions) -> tuple[GradedPredictions, GradedPredictions]:
    """Sorts both by ``image_id``, and gives both the patients of the one that knows of more shared patients."""
    first, second = (part.rows(np.argsort(part.image_ids, kind="stable")) for part in (first, second))
    if not np.array_equal(first.image_ids, second.image_ids):
        alike = describe_alike(np.setxor1d(first.image_ids, second.image_ids).tolist())
        only = [np.setdiff1d(a.image_ids, b.image_ids) for a, b in ((first, second), (second, first))]
        raise JoinError(
            f"the two networks have predictions of different photographs ({len(only[0])} only of the first, "
            f"{len(only[1])} only of the second: {first_few(np.concatenate(only))}){alike}: "
            "predict the same split with both"
        )
    differing = first.image_ids[first.grades != second.grades]
    if len(differing):
        raise JoinError(
            f"{counted(len(differing), 'photograph')} with two grades ({first_few(differing)}): join both networks' "
            "predictions with the same table of grades"
        )
    patients = min((first.patients, second.patients), key=lambda numbers: len(np.unique(numbers)))
    return replace(first, patients=patients), replace(second, patients=patients)

"""Metrics of lesion maps: average precision and Dice by pixel, and the FROC curve by lesion.

Sources: the IDRiD challenge (P. Porwal et al., "IDRiD: Diabetic Retinopathy – Segmentation and Grading Challenge",
Medical Image Analysis 59, 2020) ranks by the area under the precision-recall curve over the pixels of all photographs;
the Retinopathy Online Challenge (M. Niemeijer et al., IEEE Transactions on Medical Imaging 29(1), 2010) by sensitivity
at ⅛ to 8 false lesions in a photograph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.evaluation.metrics import Undefined

LEVELS: Final = 1024
"""Number of levels that probabilities are counted at; they are even in the logit, between the probabilities 1e-6 and
1 - 1e-6."""
FALSE_LESIONS: Final = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
"""False lesions in a photograph at which the FROC curve is read."""
LEAST_PEAK: Final = 0.05
"""Lowest probability of a peak that counts as a detection."""
_LOGIT: Final = float(np.log(1e6))
_PEAK_WIDTH: Final = 7
"""Side of the window, in pixels of the map, in which a detection has the highest probability."""
_TOLERANCE: Final = 3
"""Distance from a lesion, in pixels of the map, within which a peak belongs to it: outlines are drawn by hand."""


@dataclass(frozen=True)
class LesionCounts:
    """The counts of one kind of lesion in one photograph, from which all metrics are computed.

    Attributes:
        inside: Number of pixels of the lesions at each level of probability (LEVELS,).
        outside: Number of the other pixels of the field of view (LEVELS,).
        found: Highest probability in each lesion (L,), 0 to 1.
        false: Probability of each detection outside all lesions (D,), 0 to 1.
    """

    inside: NDArray[np.int64]
    outside: NDArray[np.int64]
    found: NDArray[np.float64]
    false: NDArray[np.float64]


def count_lesions(
    probability: NDArray[np.float32], lesions: NDArray[np.bool_], inside: NDArray[np.bool_], scale: float = 1
) -> LesionCounts:
    """Counts the pixels and the lesions of one kind in one photograph.

    Args:
        probability: Probability of the lesion (H, W), 0 to 1.
        lesions: True (H, W) on outlined lesions.
        inside: True (H, W) inside the field of view.
        scale: Number of pixels for one pixel of the network's map, for maps that were enlarged.

    Returns:
        The counts.
    """
    likely = np.clip(probability, 1e-6, 1 - 1e-6)
    level = ((np.log(likely / (1 - likely)) + _LOGIT) / (2 * _LOGIT) * (LEVELS - 1)).astype(np.int64)
    pixels = [np.bincount(level[inside & part], minlength=LEVELS) for part in (lesions, ~lesions)]
    number, labels = cv2.connectedComponents(lesions.astype(np.uint8))
    found = np.zeros(number)
    np.maximum.at(found, labels.reshape(-1).astype(np.intp), probability.reshape(-1).astype(np.float64))
    window = np.ones((2 * round((_PEAK_WIDTH // 2) * scale) + 1,) * 2, np.uint8)
    peaks = (probability >= cv2.dilate(probability, window)) & (probability >= LEAST_PEAK) & inside
    near = cv2.dilate(lesions.astype(np.uint8), np.ones((2 * round(_TOLERANCE * scale) + 1,) * 2, np.uint8)) > 0
    _, first = np.unique(cv2.connectedComponents((peaks & ~near).astype(np.uint8))[1], return_index=True)
    false = probability.reshape(-1)[first[1:]].astype(np.float64)  # a plateau is one detection
    return LesionCounts(pixels[0].astype(np.int64), pixels[1].astype(np.int64), found[1:], false)


def level_logits() -> NDArray[np.float64]:
    """Returns the logit (LEVELS,) in the middle of each level."""
    return np.asarray((np.arange(LEVELS) + 0.5) / (LEVELS - 1) * 2 * _LOGIT - _LOGIT)


def average_precision(counts: Sequence[LesionCounts]) -> float:
    """Computes the area under the precision-recall curve over the pixels of all photographs.

    Raises:
        Undefined: No photograph has a lesion.
    """
    inside = np.sum([each.inside for each in counts], axis=0)[::-1].cumsum()
    outside = np.sum([each.outside for each in counts], axis=0)[::-1].cumsum()
    if not len(counts) or not inside[-1]:
        raise Undefined("no photograph has a lesion of this kind")
    precision = inside / np.maximum(inside + outside, 1)
    return float((np.diff(inside, prepend=0) * precision).sum() / inside[-1])


def dice(counts: Sequence[LesionCounts], threshold: float = 0.5) -> float:
    """Computes the Dice coefficient over the pixels of all photographs, at a threshold of the probability.

    Raises:
        Undefined: Neither the maps nor the outlines have a lesion.
    """
    first = int(np.ceil((np.log(threshold / (1 - threshold)) + _LOGIT) / (2 * _LOGIT) * (LEVELS - 1)))
    true = sum(int(each.inside[first:].sum()) for each in counts)
    predicted = true + sum(int(each.outside[first:].sum()) for each in counts)
    outlined = sum(int(each.inside.sum()) for each in counts)
    if not predicted + outlined:
        raise Undefined("neither the maps nor the outlines have a lesion of this kind")
    return 2 * true / (predicted + outlined)


def froc(counts: Sequence[LesionCounts], false_lesions: Sequence[float] = FALSE_LESIONS) -> NDArray[np.float64]:
    """Computes the sensitivity by lesion at numbers of false lesions in a photograph.

    Args:
        counts: The counts of each photograph.
        false_lesions: Mean numbers of false lesions in a photograph.

    Returns:
        The sensitivity at each of them, 0 to 1: the share of outlined lesions whose highest probability exceeds that of
        the first false lesion that isn't allowed. If that one shares its probability with others, because maps have
        256 steps, they are ordered at random: the sensitivity is the mean over all orders.

    Raises:
        Undefined: No photograph has a lesion.
    """
    found = np.concatenate([each.found for each in counts]) if counts else np.zeros(0)
    if not len(found):
        raise Undefined("no photograph has a lesion of this kind")
    false = np.sort(np.concatenate([each.false for each in counts]))[::-1]
    return np.array([_sensitivity(found, false, int(np.floor(each * len(counts) + 1e-9))) for each in false_lesions])


def _sensitivity(found: NDArray[np.float64], false: NDArray[np.float64], allowed: int) -> float:
    """Computes the share of lesions that are found before one false lesion more than the allowed number."""
    if allowed >= len(false):
        return float(np.mean(found >= LEAST_PEAK))
    peak = false[allowed]
    # A lesion of the same probability comes before the false lesion that isn't allowed in this share of all orders.
    before = (allowed - np.sum(false > peak) + 1) / (np.sum(false == peak) + 1)
    return float(np.mean(found > peak) + np.mean(found == peak) * before)


def resample_photographs(
    metric: Callable[[Sequence[LesionCounts]], float],
    counts: Sequence[LesionCounts],
    groups: Sequence[object],
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Computes a 95 % bootstrap interval of a metric, by drawing whole groups of photographs.

    Args:
        metric: The metric of a sequence of counts.
        counts: The counts of each photograph.
        groups: The group (N,) of each photograph, such as its patient.
        resamples: Number of draws.
        seed: Seed of the draws.

    Returns:
        The 2.5 % and 97.5 % quantiles over the draws that define the metric; ``None`` where fewer than two groups
        exist.
    """
    members: dict[object, list[LesionCounts]] = {}
    for group, each in zip(groups, counts, strict=True):
        members.setdefault(group, []).append(each)
    if len(members) < 2:
        return None
    rng, drawn, values = np.random.default_rng(seed), list(members.values()), []
    for _ in range(resamples):
        chosen = [each for index in rng.integers(len(drawn), size=len(drawn)) for each in drawn[index]]
        try:
            values.append(metric(chosen))
        except Undefined:
            continue
    if not values:
        return None
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)

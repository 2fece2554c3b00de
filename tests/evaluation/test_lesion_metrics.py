"""Metrics of lesion maps, against scikit-learn and cases that can be counted by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from retinagrade.evaluation.lesion_metrics import (
    LesionCounts,
    average_precision,
    count_lesions,
    dice,
    froc,
    resample_photographs,
)
from retinagrade.evaluation.metrics import Undefined

SIDE = 64
EVERYWHERE = np.ones((SIDE, SIDE), bool)


def drawn(seed: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A map that is higher on random squares."""
    rng = np.random.default_rng(seed)
    lesions = np.zeros((SIDE, SIDE), bool)
    for x, y in rng.integers(4, SIDE - 8, (3, 2)):
        lesions[y : y + 4, x : x + 4] = True
    logits = rng.normal(-3, 1.5, (SIDE, SIDE)) + 3 * lesions
    return (1 / (1 + np.exp(-logits))).astype(np.float32), lesions


@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_average_precision_is_that_of_scikit_learn_over_all_pixels(seed: int) -> None:
    maps = [drawn(seed), drawn(seed + 1)]
    counts = [count_lesions(probability, lesions, EVERYWHERE) for probability, lesions in maps]
    expected = average_precision_score(
        np.concatenate([lesions.ravel() for _, lesions in maps]), np.concatenate([p.ravel() for p, _ in maps])
    )
    assert average_precision(counts) == pytest.approx(expected, abs=0.01)


@given(seed=st.integers(0, 1000), threshold=st.sampled_from([0.2, 0.5, 0.8]))
@settings(max_examples=15, deadline=None)
def test_dice_is_that_of_the_thresholded_map(seed: int, threshold: float) -> None:
    probability, lesions = drawn(seed)
    # Pixels are counted by levels, so that the threshold is the border of a level beside it.
    level = 2 * np.log(1e6) / 1023
    logit = np.log(threshold / (1 - threshold))
    lowest, highest = (1 / (1 + np.exp(-each)) for each in (logit - level, logit + level))
    near = [lowest, *probability[(probability > lowest) & (probability < highest)], highest]
    possible = [2 * ((probability >= t) & lesions).sum() / ((probability >= t).sum() + lesions.sum()) for t in near]
    found = dice([count_lesions(probability, lesions, EVERYWHERE)], threshold)
    assert np.isclose(possible, found, rtol=1e-9).any()


def test_pixels_outside_the_field_of_view_count_nothing() -> None:
    probability, lesions = drawn(0)
    half = EVERYWHERE.copy()
    half[:, SIDE // 2 :] = False
    counts = count_lesions(probability, lesions, half)
    assert counts.inside.sum() + counts.outside.sum() == half.sum()
    assert counts.inside.sum() == (lesions & half).sum()


def hand_made() -> list[LesionCounts]:
    """Two photographs: lesions at .9, .6 and .3; false detections at .8 and .4."""
    probability = np.full((SIDE, SIDE), 0.01, np.float32)
    lesions = np.zeros((SIDE, SIDE), bool)
    for (x, y), value in {(5, 5): 0.9, (25, 5): 0.6}.items():
        lesions[y : y + 3, x : x + 3] = True
        probability[y + 1, x + 1] = value
    probability[50, 50] = 0.8
    second = np.full((SIDE, SIDE), 0.01, np.float32)
    outlined = np.zeros((SIDE, SIDE), bool)
    outlined[30:33, 30:33] = True
    second[31, 31] = 0.3
    second[10:12, 50:53] = 0.4  # a plateau is one detection
    second[31, 35] = 0.35  # near the lesion: no false one
    return [count_lesions(probability, lesions, EVERYWHERE), count_lesions(second, outlined, EVERYWHERE)]


def test_froc_by_hand() -> None:
    counts = hand_made()
    assert sorted(np.concatenate([each.found for each in counts]).round(2)) == [0.3, 0.6, 0.9]
    assert sorted(np.concatenate([each.false for each in counts]).round(2)) == [0.4, 0.8]
    # No false lesion is allowed: the threshold is .8; one in two photographs: .4; two: all detections count.
    np.testing.assert_allclose(froc(counts, [0, 0.5, 1, 8]), [1 / 3, 2 / 3, 1, 1])


@given(
    found=st.lists(st.sampled_from([0.1, 0.5, 1.0]), min_size=1, max_size=3),
    false=st.lists(st.sampled_from([0.1, 0.5, 1.0]), max_size=3),
    allowed=st.integers(0, 3),
)
@settings(max_examples=40, deadline=None)
def test_lesions_of_equal_probability_are_found_in_any_order(
    found: list[float], false: list[float], allowed: int
) -> None:
    nothing = np.zeros(1, np.int64)
    peaks = [(-value, True) for value in found] + [(-value, False) for value in false]
    sensitivities = []
    for order in itertools.permutations(peaks):
        ranked = sorted(order, key=lambda peak: peak[0])
        false_before = np.cumsum([not is_lesion for _, is_lesion in ranked])
        sensitivities.append(
            np.mean([before <= allowed for before, (_, lesion) in zip(false_before, ranked, strict=True) if lesion])
        )
    counts = [LesionCounts(nothing, nothing, np.array(found), np.array(false))]
    assert froc(counts, [allowed])[0] == pytest.approx(np.mean(sensitivities))


def test_a_perfect_map_has_perfect_metrics_and_no_lesion_has_none() -> None:
    _, lesions = drawn(3)
    counts = [count_lesions(lesions.astype(np.float32), lesions, EVERYWHERE)]
    assert average_precision(counts) == pytest.approx(1)
    assert dice(counts) == pytest.approx(1)
    assert froc(counts).min() == 1
    empty = [count_lesions(np.zeros((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), bool), EVERYWHERE)]
    for metric in (average_precision, dice, froc):
        with pytest.raises(Undefined):
            metric(empty)


def test_intervals_draw_whole_groups() -> None:
    counts = [count_lesions(*drawn(seed), EVERYWHERE) for seed in range(12)]
    value = average_precision(counts)
    single = resample_photographs(average_precision, counts, range(12), resamples=200)
    assert single is not None
    assert single[0] < value < single[1]
    doubled = resample_photographs(average_precision, counts * 2, [*range(12), *range(12)], resamples=200)
    assert doubled == pytest.approx(single, abs=1e-9)  # a copy in the same group adds nothing
    assert resample_photographs(average_precision, counts, [0] * 12) is None

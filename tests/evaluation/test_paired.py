"""Two networks on the same photographs: their difference, with an interval and a p value, and DeLong's test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from retinagrade.errors import JoinError
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.named_metrics import compute_metrics
from retinagrade.evaluation.paired import COMPARED_METRICS, delong_test, paired_differences
from retinagrade.evaluation.predictions import GradedPredictions
from tests.evaluation.asah import asah
from tests.evaluation.photographs import some_photographs


@pytest.mark.parametrize(
    ("first", "second", "z", "p_value", "low", "high"),
    [
        ("wfns", "s100b", 2.20898359144091, 0.0271757822291882, 0.0104061769564846, 0.174214419249478),
        ("wfns", "ndka", 2.79777591868904, 0.00514557970691098, 0.0634011709339876, 0.3600405634833566),
        ("ndka", "s100b", -1.39077002573558, 0.164295175223054, -0.2876917446341914, 0.0488706064228094),
    ],
)
def test_delong_gives_what_proc_publishes(
    first: str, second: str, z: float, p_value: float, low: float, high: float
) -> None:
    poor, scores = asah()
    found = delong_test(poor, scores[first], scores[second])
    areas = {"wfns": 0.823678861788618, "s100b": 0.731368563685637, "ndka": 0.611957994579946}
    assert (found.first, found.second) == pytest.approx((areas[first], areas[second]), abs=1e-12)
    assert (found.z, found.p_value, found.low, found.high) == pytest.approx((z, p_value, low, high), rel=1e-9)


def by_definition(truths: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Difference of the areas and its variance: DeLong's placements, every positive beside every negative."""
    placed = []
    for scores in (first, second):
        beside = scores[truths][:, None] - scores[~truths]
        placed.append((beside > 0) + 0.5 * (beside == 0))
    pairs = placed[0] - placed[1]
    positives, negatives = pairs.shape
    variance = pairs.mean(axis=1).var(ddof=1) / positives + pairs.mean(axis=0).var(ddof=1) / negatives
    return float(pairs.mean()), float(variance)


@given(st.integers(0, 2**32 - 1), st.integers(4, 40))
def test_delong_is_its_definition(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    truths = rng.permutation(np.arange(size) < rng.integers(2, size - 1))
    first, second = rng.normal(truths, 1).round(1), rng.normal(truths, 1).round(1)
    difference, variance = by_definition(truths, first, second)
    if variance < 1e-12:
        return
    found = delong_test(truths, first, second)
    assert found.first == pytest.approx(roc_auc_score(truths, first))
    assert found.difference == pytest.approx(difference, abs=1e-12)
    assert found.z == pytest.approx(difference / variance**0.5, abs=1e-6)
    assert found.p_value == pytest.approx(2 * norm.sf(abs(difference) / variance**0.5), abs=1e-6)


def test_delong_where_nothing_varies() -> None:
    truths, scores = np.array([True, True, False, False]), np.array([4, 3, 2, 1])
    assert delong_test(truths, scores, 10 * scores).p_value == 1
    with pytest.raises(Undefined, match="doesn't vary"):
        delong_test(truths, scores, -scores)
    with pytest.raises(Undefined, match="two without"):
        delong_test(np.array([True, True, True, False]), scores, scores)


def worse(photographs: GradedPredictions, seed: int, share: float) -> GradedPredictions:
    """The same photographs, by a network that guesses a share of them."""
    rng = np.random.default_rng(seed)
    guessed = rng.random(len(photographs)) < share
    guesses = rng.dirichlet(np.ones(5), len(photographs))
    return replace(photographs, probabilities=np.where(guessed[:, None], guesses, photographs.probabilities))


def test_differences_are_of_the_metrics_and_change_sign_with_the_networks() -> None:
    first = some_photographs(400, 0, skill=2)
    second = worse(first, 0, 0.3)
    forth, back = paired_differences(first, second, resamples=200), paired_differences(second, first, resamples=200)
    assert tuple(forth) == COMPARED_METRICS
    for name in COMPARED_METRICS:
        ours, theirs = compute_metrics(first).values[name], compute_metrics(second).values[name]
        assert ours is not None
        assert theirs is not None
        one, other = forth[name], back[name]
        assert one.difference == ours - theirs > 0
        assert one.p_value == other.p_value == pytest.approx(2 / 201)
        assert one.interval is not None
        assert other.interval is not None
        assert 0 < one.interval.low < one.difference < one.interval.high
        assert (one.interval.low, one.interval.high) == pytest.approx((-other.interval.high, -other.interval.low))


def test_a_difference_is_better_known_than_either_metric() -> None:
    first = some_photographs(400, 0, skill=2)
    difference = paired_differences(first, worse(first, 0, 0.02), resamples=200)["accuracy"].interval
    apart = paired_differences(first, worse(first, 0, 0.98), resamples=200)["accuracy"].interval
    assert difference is not None
    assert apart is not None
    assert difference.high - difference.low < (apart.high - apart.low) / 2


def test_where_there_is_no_difference_p_is_rarely_small() -> None:
    p_values = []
    for seed in range(200):
        base = some_photographs(150, seed, skill=2)
        first, second = worse(base, seed, 0.3), worse(base, seed + 1000, 0.3)
        found = paired_differences(first, second, ["accuracy"], resamples=100, seed=seed)
        p_values.append(found["accuracy"].p_value)
    small = np.mean([p is not None and p < 0.05 for p in p_values])
    assert small < 0.1  # 0.05, and three standard errors of 200 repetitions


def test_rows_are_joined_by_id_and_patients_of_either_table_count() -> None:
    first = some_photographs(100, 0)
    second = worse(first, 0, 0.3)
    shuffled = second.rows(np.random.default_rng(0).permutation(100))
    alone = replace(shuffled, patients=np.arange(100))  # a table without patient ids
    assert paired_differences(first, shuffled, resamples=30) == paired_differences(first, second, resamples=30)
    assert paired_differences(first, alone, resamples=30) == paired_differences(first, second, resamples=30)


def test_other_photographs_or_grades_are_refused() -> None:
    first = some_photographs(20, 0)
    with pytest.raises(JoinError, match=r"1 only of the first, 0 only of the second: i00019\)"):
        paired_differences(first, first.rows(np.arange(19)))
    other = replace(first, grades=np.where(np.arange(20) == 3, (first.grades + 1) % 5, first.grades))
    with pytest.raises(JoinError, match=r"1 photograph with two grades \(i00003\)"):
        paired_differences(first, other)


def test_what_can_not_be_compared_says_why() -> None:
    photographs = some_photographs(40, 0, grades=[0, 1])
    found = paired_differences(photographs, worse(photographs, 0, 0.5), resamples=30)
    assert found["referable_auc"].difference is None
    assert found["referable_auc"].reason == "no photograph is referable"
    same = paired_differences(photographs, photographs, resamples=30)["accuracy"]
    assert same.difference == 0
    assert same.interval is None
    assert "nearly all resamples" in same.reason

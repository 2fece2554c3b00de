"""Averages and weights: by hand, the report's numbers, and what no order may change."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from scipy.stats import gmean

from retinagrade.datasets.balance import inverse_frequency_weights
from retinagrade.ensembles.averaging import (
    accuracies,
    accuracy_weights,
    geometric_mean,
    kappa_weights,
    recall_weights,
    weighted_mean,
)
from retinagrade.ensembles.scores import MemberScores
from retinagrade.evaluation.metrics import confusion_matrix, quadratic_weighted_kappa
from tests.ensembles.simulated import any_scores, some_scores


def said(*members: list[int], grades: list[int]) -> MemberScores:
    """Members that give grades without a doubt."""
    probabilities = np.stack([np.eye(5)[member] for member in members], axis=1)
    return MemberScores(np.array(grades), probabilities, np.arange(len(grades)))


def test_weights_by_accuracy_by_hand() -> None:
    scores = said([0, 0, 2, 4], [0, 1, 2, 3], grades=[0, 1, 2, 3])  # 2 and 4 of 4 are right
    assert accuracies(scores).tolist() == [0.5, 1.0]
    assert accuracy_weights(scores) == pytest.approx([1 / 3, 2 / 3])
    assert accuracy_weights(said([1], [2], [3], grades=[0])) == pytest.approx([1 / 3] * 3)  # nobody is right


def test_class_weights_are_the_reports() -> None:
    """N / (5 n_i), cut after five digits, of the 25,808 photographs of grade 0 that the report could read.

    EyePACS has 25,810, which would give 2.87564 and not 2.87548.
    """
    grades = np.repeat(np.arange(5), [25808, 2443, 5292, 873, 708])
    weights = np.floor(inverse_frequency_weights(grades) * 1e5) / 1e5
    assert weights.tolist() == [0.27219, 2.87548, 1.32743, 8.04673, 9.92203]


def test_weights_by_recall_by_hand() -> None:
    # Recalls: the first one's 1 of grade 0 and 1/2 of grade 3; the second one's 0.5 and 1.
    scores = said([0, 0, 3, 0], [0, 2, 3, 3], grades=[0, 0, 3, 3])
    class_weights = np.array([0.5, 9.0, 9.0, 4.0, 9.0])  # those of absent grades count for nothing
    first, second = 0.5 * 1 + 4 * 0.5, 0.5 * 0.5 + 4 * 1
    assert recall_weights(scores, class_weights) == pytest.approx([first / 6.75, second / 6.75])


def test_means_by_hand() -> None:
    scores = np.array([[[0.5, 0.5, 0, 0, 0], [0.1, 0.2, 0.7, 0, 0], [0, 0, 0, 0, 1]]])
    assert weighted_mean(scores, np.array([0.5, 0.5, 0]))[0] == pytest.approx([0.3, 0.35, 0.35, 0, 0])
    assert weighted_mean(scores, np.array([0.5, 0.5, 0])).argmax() == 1  # the milder of two equals
    both = geometric_mean(scores[:, :2])[0]
    assert both[:2] == pytest.approx(np.sqrt([0.05, 0.1]) / np.sqrt([0.05, 0.1]).sum(), abs=1e-5)
    assert both[2] < 1e-5


@given(any_scores())
def test_means_are_means(scores: MemberScores) -> None:
    members = scores.probabilities.shape[1]
    equal = np.full(members, 1 / members)
    assert weighted_mean(scores.probabilities, equal) == pytest.approx(scores.probabilities.mean(axis=1))
    positive = (scores.probabilities + 0.01) / 1.05
    expected = gmean(positive, axis=1)
    assert geometric_mean(positive) == pytest.approx(expected / expected.sum(axis=1, keepdims=True))


@given(any_scores())
def test_no_order_matters(scores: MemberScores) -> None:
    rng = np.random.default_rng(len(scores))
    photographs, order = rng.permutation(len(scores)), rng.permutation(scores.probabilities.shape[1])
    shuffled = scores.rows(photographs)
    shuffled = replace(shuffled, probabilities=shuffled.probabilities[:, order])
    class_weights = rng.random(5)
    for ours, theirs in (
        (accuracy_weights(scores), accuracy_weights(shuffled)),
        (recall_weights(scores, class_weights), recall_weights(shuffled, class_weights)),
    ):
        assert theirs == pytest.approx(ours[order])
        before, after = weighted_mean(scores.probabilities, ours), weighted_mean(shuffled.probabilities, theirs)
        assert after == pytest.approx(before[photographs])
        assert np.array_equal(after.argmax(axis=1), before[photographs].argmax(axis=1))
    before, after = geometric_mean(scores.probabilities), geometric_mean(shuffled.probabilities)
    assert after == pytest.approx(before[photographs])
    assert kappa_of(shuffled, kappa_weights(shuffled)) == pytest.approx(kappa_of(scores, kappa_weights(scores)))


def kappa_of(scores: MemberScores, weights: np.ndarray) -> float:
    if len(np.unique(scores.grades)) < 2:
        return 1.0
    mean = weighted_mean(scores.probabilities, weights)
    return quadratic_weighted_kappa(confusion_matrix(scores.grades, mean.argmax(axis=1)))


@pytest.mark.parametrize("seed", range(8))
def test_the_search_finds_what_a_fine_grid_finds(seed: int) -> None:
    scores = some_scores(60, 3, seed, skill=0.5)
    found = kappa_weights(scores)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
    grid = (np.array(parts) / 20 for parts in product(range(21), repeat=3) if sum(parts) == 20)
    best = max(kappa_of(scores, weights) for weights in grid)
    assert kappa_of(scores, found) > best - 0.01
    assert kappa_of(scores, found) >= max(kappa_of(scores, start) for start in (*np.eye(3), np.full(3, 1 / 3)))


def test_where_nothing_is_better_the_search_stays_at_equal_weights() -> None:
    scores = said([0, 1, 2], [0, 1, 2], [0, 1, 2], grades=[0, 1, 2])
    assert kappa_weights(scores) == pytest.approx([1 / 3] * 3)
    assert kappa_weights(said([0, 0], [0, 1], grades=[0, 0])) == pytest.approx([0.5, 0.5])


@given(any_scores())
def test_identical_members_give_back_the_member(scores: MemberScores) -> None:
    one = scores.probabilities[:, :1]
    same = replace(scores, probabilities=one.repeat(3, axis=1))
    for weights in (accuracy_weights(same), recall_weights(same, np.ones(5)), kappa_weights(same)):
        assert weights == pytest.approx([1 / 3] * 3)
    assert weighted_mean(same.probabilities, np.full(3, 1 / 3)) == pytest.approx(one[:, 0])
    assert geometric_mean(same.probabilities) == pytest.approx(one[:, 0], abs=1e-10)

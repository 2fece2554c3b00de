"""Majority vote: by hand, and its tie rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from retinagrade.ensembles.scores import MemberScores
from retinagrade.ensembles.voting import majority_vote
from tests.ensembles.simulated import any_scores


def votes(*grades: int) -> np.ndarray:
    """One photograph, to which each member gives a grade without a doubt."""
    return np.eye(5)[list(grades)][None]


@pytest.mark.parametrize(
    ("given_grades", "accuracies", "winner", "shares"),
    [
        ((2, 2, 0), (0.1, 0.2, 0.9), 2, (1 / 3, 0, 2 / 3, 0, 0)),  # two of three, however accurate the third
        ((0, 3, 4), (0.5, 0.7, 0.6), 3, (1 / 3.5, 0, 0, 1.5 / 3.5, 1 / 3.5)),  # all differ: the best one decides
        (
            (1, 1, 2, 2, 4),
            (0.1, 0.2, 0.3, 0.1, 0.9),
            2,
            (0, 2 / 5.5, 2.5 / 5.5, 0, 1 / 5.5),
        ),  # the best isn't in the tie
        ((3, 1), (0.5, 0.5), 1, (0, 1.5 / 2.5, 0, 1 / 2.5, 0)),  # nobody is better: the milder grade
        ((4,), (0.0,), 4, (0, 0, 0, 0, 1)),
    ],
)
def test_by_hand(
    given_grades: tuple[int, ...], accuracies: tuple[float, ...], winner: int, shares: tuple[float, ...]
) -> None:
    combined = majority_vote(votes(*given_grades), np.array(accuracies))
    assert combined.argmax() == winner
    assert combined[0] == pytest.approx(shares)


def test_a_member_votes_for_its_most_probable_grade_and_the_milder_of_two() -> None:
    doubts = np.array([[[0.4, 0.0, 0.4, 0.2, 0.0], [0.0, 0.3, 0.0, 0.3, 0.4]]])
    assert majority_vote(doubts, np.array([0.4, 0.5])).argmax() == 4
    assert majority_vote(doubts, np.array([0.5, 0.4])).argmax() == 0


@given(any_scores())
def test_the_winner_has_the_most_votes_whatever_the_order(scores: MemberScores) -> None:
    rng = np.random.default_rng(len(scores))
    members = scores.probabilities.shape[1]
    accuracies = rng.integers(0, 10, (members,)) / 10
    combined = majority_vote(scores.probabilities, accuracies)
    counts = np.eye(5)[scores.probabilities.argmax(axis=2)].sum(axis=1)
    assert (np.take_along_axis(counts, combined.argmax(axis=1)[:, None], 1)[:, 0] == counts.max(axis=1)).all()
    assert combined.sum(axis=1) == pytest.approx(1)
    photographs, order = rng.permutation(len(scores)), rng.permutation(members)
    again = majority_vote(scores.probabilities[photographs][:, order], accuracies[order])
    assert np.array_equal(again, combined[photographs])

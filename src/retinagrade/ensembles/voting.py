"""Majority vote: every member gives each photograph one grade."""

from __future__ import annotations

import numpy as np

from retinagrade.grades import N_GRADES


def majority_vote(probabilities: np.ndarray, accuracies: np.ndarray) -> np.ndarray:
    """The grade that most members give; a tie goes to the one given by the member with the best accuracy.

    Probabilities are the shares of the votes. Where grades tie, the winner counts for half a vote more, so that it is
    the most probable grade there, too. Members of one accuracy who disagree leave the tie to the milder grade. So the
    order of members never matters.

    Args:
        probabilities: Scores (N, M, 5) of M members; each votes for its most probable grade, the milder of two equals.
        accuracies: Their accuracies (M,) on validation photographs.

    Returns:
        Probabilities (N, 5), float64, of sum 1.

    Example:
        Three members disagree on the first photograph; the second one is the best.

        >>> says = np.eye(5)
        >>> votes = np.stack([says[[0, 2, 4]], says[[1, 1, 3]]])
        >>> majority_vote(votes, np.array([0.5, 0.7, 0.6])).round(3).tolist()
        [[0.286, 0.0, 0.429, 0.0, 0.286], [0.0, 0.667, 0.0, 0.333, 0.0]]
    """
    votes = np.eye(N_GRADES)[probabilities.argmax(axis=2)]
    counts = votes.sum(axis=1)
    tied = counts == counts.max(axis=1, keepdims=True)
    best_voter = np.where(votes > 0, accuracies[:, None], -1.0).max(axis=1)
    winner = np.where(tied, best_voter, -1.0).argmax(axis=1)
    deciding = np.eye(N_GRADES)[winner] * (tied.sum(axis=1) > 1)[:, None] / 2
    shares: np.ndarray = (counts + deciding) / (counts + deciding).sum(axis=1, keepdims=True)
    return shares

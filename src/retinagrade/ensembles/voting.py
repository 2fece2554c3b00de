"""Majority vote: each member votes for one grade of each photograph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retinagrade.grades import N_GRADES


def majority_vote(probabilities: NDArray[np.float64], accuracies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Computes the shares of the votes; the most accurate member decides a tie.

    The winner of a tie gets half a vote more, so that it is the most probable grade. If members of the same accuracy
    disagree, the milder grade wins. The order of the members never matters.

    Args:
        probabilities: Scores (N, M, 5) of M members; each votes for its most probable grade, the milder of two equals.
        accuracies: Accuracies of the members (M,) on validation photographs.

    Returns:
        Probabilities (N, 5) of sum 1.

    Example:
        Three members disagree on the first photograph; the second one is the best.

        >>> votes_for = np.eye(5)
        >>> votes = np.stack([votes_for[[0, 2, 4]], votes_for[[1, 1, 3]]])
        >>> majority_vote(votes, np.array([0.5, 0.7, 0.6])).round(3).tolist()
        [[0.286, 0.0, 0.429, 0.0, 0.286], [0.0, 0.667, 0.0, 0.333, 0.0]]
    """
    votes = np.eye(N_GRADES)[probabilities.argmax(axis=2)]
    counts = votes.sum(axis=1)
    tied = counts == counts.max(axis=1, keepdims=True)
    best_voter = np.where(votes > 0, accuracies[:, None], -1.0).max(axis=1)
    winner = np.where(tied, best_voter, -1.0).argmax(axis=1)
    deciding = np.eye(N_GRADES)[winner] * (tied.sum(axis=1) > 1)[:, None] / 2
    shares: NDArray[np.float64] = (counts + deciding) / (counts + deciding).sum(axis=1, keepdims=True)
    return shares

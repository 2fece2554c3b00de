"""Sets of neighbouring grades, grown from the most probable one; apart from their fitting, to be applied without it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retinagrade.grades import N_GRADES


def ordinal_scores(probabilities: np.ndarray) -> np.ndarray:
    """How much probability is inside before a set, grown from the most probable grade, takes each grade in.

    Args:
        probabilities: Probabilities (N, 5).

    Returns:
        Scores (N, 5), 0 to 1; 0 for the most probable grade (the milder one of two equals). Of two neighbours that are
        equal, the worse grade comes first.

    Example:
        >>> ordinal_scores(np.array([[0.0, 0.25, 0.5, 0.125, 0.125]]))
        array([[1.   , 0.5  , 0.   , 0.75 , 0.875]])
    """
    rows = np.arange(len(probabilities))
    low = high = probabilities.argmax(axis=1) + 1  # in a table with an impossible grade on either side
    padded = np.pad(probabilities, ((0, 0), (1, 1)), constant_values=-1.0)
    inside = padded[rows, low]
    scores = np.zeros_like(padded)
    for _ in range(N_GRADES - 1):
        worse = padded[rows, high + 1] >= padded[rows, low - 1]
        taken = np.where(worse, high + 1, low - 1)
        scores[rows, taken] = inside
        inside = inside + padded[rows, taken]
        low, high = np.where(worse, low, taken), np.where(worse, taken, high)
    return scores[:, 1:-1]


def grow_sets(probabilities: np.ndarray, limits: Sequence[float | None]) -> np.ndarray:
    """The sets of grades whose scores are at most their limits.

    Where limits differ between grades, a set could have a hole, which is filled.

    Args:
        probabilities: Probabilities (N, 5).
        limits: Of grades 0 to 4; ``None`` for no limit.

    Returns:
        Whether each grade is in each set (N, 5), bool; at least one is, and no hole is between two that are.
    """
    highest = np.array([np.inf if limit is None else limit for limit in limits])
    inside = ordinal_scores(probabilities) <= highest
    begun = np.logical_or.accumulate(inside, axis=1)
    to_come = np.logical_or.accumulate(inside[:, ::-1], axis=1)[:, ::-1]
    filled: np.ndarray = begun & to_come
    return filled

"""Sets of neighbouring grades that grow from the most probable grade; this module needs no libraries for fitting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retinagrade.grades import N_GRADES


def ordinal_scores(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Computes the probability inside a growing set just before it includes each grade.

    The set starts with the most probable grade and takes in the more probable neighbour at each step.

    Args:
        probabilities: Probabilities (N, 5).

    Returns:
        Scores (N, 5), 0 to 1; 0 for the most probable grade (the milder one of two equals). If two neighbours are
        equally probable, the worse grade comes first.

    Example:
        >>> ordinal_scores(np.array([[0.0, 0.25, 0.5, 0.125, 0.125]]))
        array([[1.   , 0.5  , 0.   , 0.75 , 0.875]])
    """
    rows = np.arange(len(probabilities))
    low = high = probabilities.argmax(axis=1) + 1  # columns of a table with an impossible grade on either side
    padded = np.pad(probabilities, ((0, 0), (1, 1)), constant_values=-1.0)
    inside = padded[rows, low]
    scores = np.zeros_like(padded)
    for _ in range(N_GRADES - 1):
        worse = padded[rows, high + 1] >= padded[rows, low - 1]
        added = np.where(worse, high + 1, low - 1)
        scores[rows, added] = inside
        inside = inside + padded[rows, added]
        low, high = np.where(worse, low, added), np.where(worse, added, high)
    return scores[:, 1:-1]


def grow_sets(probabilities: NDArray[np.floating], limits: Sequence[float | None]) -> NDArray[np.bool_]:
    """Returns the sets of grades whose scores are at most their limits.

    If the limits of the grades differ, a set could have a hole; holes are filled.

    Args:
        probabilities: Probabilities (N, 5).
        limits: Limits of grades 0 to 4; ``None`` means no limit.

    Returns:
        True for the grades in each set (N, 5); every set has at least one grade and no hole.
    """
    highest = np.array([np.inf if limit is None else limit for limit in limits])
    inside = ordinal_scores(probabilities) <= highest
    started = np.logical_or.accumulate(inside, axis=1)
    unfinished = np.logical_or.accumulate(inside[:, ::-1], axis=1)[:, ::-1]
    filled: NDArray[np.bool_] = started & unfinished
    return filled

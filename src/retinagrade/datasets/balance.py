"""Class balancing by under- and over-sampling (report §2.5), for the training loader alone."""

from __future__ import annotations

import numpy as np


def balance(grades: np.ndarray, per_grade: int, rng: np.random.Generator) -> np.ndarray:
    """Draws the same number of photographs of every grade that is present.

    Under-sampling drops photographs; over-sampling repeats each equally often, give or take one.

    Args:
        grades: Grades (N,), int.
        per_grade: Photographs to draw of each grade.
        rng: Where the draws come from.

    Returns:
        Rows (number of present grades × ``per_grade``,), int, grouped by grade.

    Example:
        >>> rows = balance(np.array([0, 0, 0, 0, 3]), 2, np.random.default_rng(0))
        >>> np.array([0, 0, 0, 0, 3])[rows]
        array([0, 0, 3, 3])
    """
    drawn = []
    for grade in np.unique(grades):
        rows = np.flatnonzero(grades == grade)
        whole, rest = divmod(per_grade, len(rows))
        drawn.append(np.concatenate([np.tile(rows, whole), rng.choice(rows, rest, replace=False)]))
    return np.concatenate(drawn)

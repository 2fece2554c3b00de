"""Class balancing by under- and over-sampling (report §2.5), or by weights in the loss; in training alone."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from retinagrade.grades import N_GRADES

Balance = int | Literal["square-root", "inverse-frequency"]
_POWERS: Final = {"square-root": 0.5, "inverse-frequency": 0.0}


def balance(grades: np.ndarray, how: Balance, rng: np.random.Generator) -> np.ndarray:
    """Draws photographs so that rare grades count for more.

    Under-sampling drops photographs; over-sampling repeats each of a grade equally often, give or take one.

    Args:
        grades: Grades (N,), int.
        how: How many photographs to draw of every grade that is present (the report's way). ``inverse-frequency``
            draws as many as there are, of every grade equally many; ``square-root`` as many as there are, in
            proportion to the square roots of the grades' numbers, which is half-way to that.
        rng: Where the draws come from.

    Returns:
        Rows (M,), int, grouped by grade.

    Example:
        >>> grades = np.array([0, 0, 0, 0, 3])
        >>> grades[balance(grades, 2, np.random.default_rng(0))]
        array([0, 0, 3, 3])
        >>> grades[balance(grades, "square-root", np.random.default_rng(0))]
        array([0, 0, 0, 3, 3])
    """
    present, counts = np.unique(grades, return_counts=True)
    drawn = []
    for grade, count in zip(present, _numbers(counts, how), strict=True):
        rows = np.flatnonzero(grades == grade)
        whole, rest = divmod(int(count), len(rows))
        drawn.append(np.concatenate([np.tile(rows, whole), rng.choice(rows, rest, replace=False)]))
    return np.concatenate(drawn)


def inverse_frequency_weights(grades: np.ndarray) -> np.ndarray:
    """Weights of the grades by which all that are present count for equally much: N / (5 n) where n have a grade.

    Args:
        grades: Grades (N,), int, at least one.

    Returns:
        Weights (5,), float64, whose mean over the photographs is 1: where grades are absent, only those present are
        counted in place of the 5, and the weight of an absent one is 0.

    Example:
        >>> inverse_frequency_weights(np.array([0, 0, 0, 1]))
        array([0.66666667, 2.        , 0.        , 0.        , 0.        ])
    """
    counts = np.bincount(grades, minlength=N_GRADES)
    present = counts > 0
    weights = np.zeros(N_GRADES)
    weights[present] = len(grades) / present.sum() / counts[present]
    return weights


def _numbers(counts: np.ndarray, how: Balance) -> np.ndarray:
    """How many photographs to draw of each grade."""
    if isinstance(how, int):
        return np.full(len(counts), how)
    shares = counts ** _POWERS[how]
    exact = shares / shares.sum() * counts.sum()
    numbers: np.ndarray = np.floor(exact).astype(int)
    largest = np.argsort(numbers - exact, kind="stable")[: counts.sum() - numbers.sum()]
    numbers[largest] += 1  # the largest remainders take what rounding down has left
    return numbers

"""Class balancing of training photographs by under- and over-sampling (report §2.5), or by weights in the loss."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from retinagrade.grades import N_GRADES

Balance = int | Literal["square-root", "inverse-frequency"]
_POWERS: Final = {"square-root": 0.5, "inverse-frequency": 0.0}


def balance(grades: NDArray[np.integer[Any]], target: Balance, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draws photographs so that rare grades count for more.

    Under-sampling drops photographs; over-sampling repeats all photographs of a grade equally often, give or take one.

    Args:
        grades: Grades (N,).
        target: Number of photographs to draw of each present grade (the report's way); or a rule that draws N
            photographs: ``inverse-frequency`` draws equally many of each present grade, and ``square-root``, half-way
            to that, draws in proportion to the square roots of the grades' frequencies.
        rng: Generator of the draws.

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
    for grade, count in zip(present, _numbers_to_draw(counts, target), strict=True):
        rows = np.flatnonzero(grades == grade)
        whole, rest = divmod(int(count), len(rows))
        drawn.append(np.concatenate([np.tile(rows, whole), rng.choice(rows, rest, replace=False)]))
    return np.concatenate(drawn)


def describe_repetition(grades: NDArray[np.integer[Any]], target: Balance) -> str | None:
    """Describes the grades of which balancing draws more photographs than there are, so that it repeats some.

    Args:
        grades: Grades (N,).
        target: As for :func:`balance`.

    Returns:
        One line; ``None`` where no photograph is repeated.

    Example:
        >>> describe_repetition(np.array([0, 0, 0, 3]), 3)
        'training.balance=3 draws 3 photographs of grade 3 from 1 in each epoch, and repeats them up to 3 times'
    """
    present, counts = np.unique(grades, return_counts=True)
    drawn = _numbers_to_draw(counts, target)
    rare = [
        f"{number} photographs of grade {grade} from {count}"
        for grade, count, number in zip(present, counts, drawn, strict=True)
        if number > count
    ]
    if not rare:
        return None
    most = int(np.ceil(drawn / counts).max())
    return f"training.balance={target} draws {', '.join(rare)} in each epoch, and repeats them up to {most} times"


def inverse_frequency_weights(grades: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Computes weights by which all present grades count equally: N / (G n) for n photographs of one of G grades.

    Args:
        grades: Grades (N,), at least one.

    Returns:
        Weights (5,), whose mean over the photographs is 1. The weight of an absent grade is 0.

    Example:
        >>> inverse_frequency_weights(np.array([0, 0, 0, 1]))
        array([0.66666667, 2.        , 0.        , 0.        , 0.        ])
    """
    counts = np.bincount(grades, minlength=N_GRADES)
    present = counts > 0
    weights = np.zeros(N_GRADES)
    weights[present] = len(grades) / present.sum() / counts[present]
    return weights


def _numbers_to_draw(counts: NDArray[np.intp], target: Balance) -> NDArray[np.intp]:
    """Computes the numbers (G,) of photographs to draw of each present grade from their frequencies (G,)."""
    if isinstance(target, int):
        return np.full(len(counts), target)
    shares = counts ** _POWERS[target]
    exact = shares / shares.sum() * counts.sum()
    numbers: NDArray[np.intp] = np.floor(exact).astype(np.intp)
    largest = np.argsort(numbers - exact, kind="stable")[: counts.sum() - numbers.sum()]
    numbers[largest] += 1  # the largest remainders get the photographs that rounding down has left
    return numbers

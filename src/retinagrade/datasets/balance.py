"""Class balancing of training photographs by under- and over-sampling (report §2.5), or by weights in the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def draw_by_source(
    sources: NDArray[np.str_], weights: Mapping[str, float], rows: NDArray[np.intp], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Draws as many rows again, so that each data set has its share of them.

    Args:
        sources: Data set (N,) of each photograph.
        weights: Weights of the data sets, positive; those without a row have no part in the draw.
        rows: Rows (M,) that are drawn without shares.
        rng: Generator of the draws.

    Returns:
        Rows (M,), grouped by data set. Those of a data set are repeated equally often, give or take one.

    Example:
        >>> sources = np.array(["a", "b", "b", "b"])
        >>> draw_by_source(sources, {"a": 1, "b": 1}, np.arange(4), np.random.default_rng(0)).tolist()
        [0, 0, 2, 3]
    """
    drawn = []
    for name, number in source_numbers(sources[rows], weights).items():
        own = rows[sources[rows] == name]
        whole, rest = divmod(number, len(own))
        drawn.append(np.concatenate([np.tile(own, whole), rng.choice(own, rest, replace=False)]))
    return np.concatenate(drawn)


def source_numbers(sources: NDArray[np.str_], weights: Mapping[str, float]) -> dict[str, int]:
    """Computes how many of M draws each data set gets by its weight.

    Args:
        sources: Data set (M,) of each draw without shares.
        weights: Weights of the data sets, positive.

    Returns:
        Numbers, whose sum is M, by data set; only those with a draw.

    Example:
        >>> source_numbers(np.array(["a", "b", "b", "b", "b"]), {"a": 2, "b": 1, "c": 5})
        {'a': 3, 'b': 2}
    """
    present = np.unique(sources)
    shares = np.array([weights[str(name)] for name in present])
    numbers = _largest_remainders(shares, len(sources))
    return {str(name): int(number) for name, number in zip(present, numbers, strict=True)}


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


def describe_source_repetition(sources: NDArray[np.str_], drawn: Sequence[int]) -> str | None:
    """Describes the data sets of which an epoch draws more photographs than there are, so that it repeats some.

    Args:
        sources: Data set (N,) of each photograph.
        drawn: The rows of an epoch.

    Returns:
        One line; ``None`` where no data set has fewer photographs than draws.

    Example:
        >>> describe_source_repetition(np.array(["a", "b", "b"]), [0, 0, 2])
        'training.sources and balance draw 2 photographs of a from 1 in each epoch'
    """
    names, counts = np.unique(sources, return_counts=True)
    numbers = [int((sources[list(drawn)] == name).sum()) for name in names]
    rare = [
        f"{number} photographs of {name} from {count}"
        for name, count, number in zip(names, counts, numbers, strict=True)
        if number > count
    ]
    return f"training.sources and balance draw {', '.join(rare)} in each epoch" if rare else None


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
    return _largest_remainders(counts ** _POWERS[target], int(counts.sum()))


def _largest_remainders(shares: NDArray[np.floating[Any]], total: int) -> NDArray[np.intp]:
    """Divides a number by shares (G,) into whole numbers (G,) with this sum."""
    exact = shares / shares.sum() * total
    numbers: NDArray[np.intp] = np.floor(exact).astype(np.intp)
    largest = np.argsort(numbers - exact, kind="stable")[: total - numbers.sum()]
    numbers[largest] += 1  # the largest remainders get the photographs that rounding down has left
    return numbers

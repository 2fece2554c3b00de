"""Permutation tests of the best of many candidates, and the allowance for neighbours that resemble each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from retinagrade.grades import N_GRADES

DRAWS: Final = 1_000
"""Draws of a permutation test: the smallest p-value is 1 / (draws + 1), below one in a thousand."""


class BestOfDraws:
    """The best of many candidates in random draws, which are made when they are needed, with a fixed seed."""

    def __init__(self, draw_best: Callable[[np.random.Generator], float]) -> None:
        """Prepares the draws.

        Args:
            draw_best: Returns the statistic of the best candidate for a random assignment.
        """
        self._draw_best = draw_best
        self._generator = np.random.default_rng(0)
        self._drawn: list[float] = []

    def p_value(self, observed: float) -> float:
        """Returns the probability that the best of all candidates is as good by chance as the observed one.

        The draws stop at the first one that is as good, because the p-value can no longer fall below one in a thousand
        (J. Besag, P. Clifford, "Sequential Monte Carlo p-values", Biometrika 78(2), 1991).
        """
        for number in range(DRAWS):
            if number == len(self._drawn):
                self._drawn.append(self._draw_best(self._generator))
            if self._drawn[number] >= observed:
                return 1 / (number + 1)
        return 1 / (DRAWS + 1)


def standardised(values: NDArray[Any]) -> NDArray[np.float64]:
    """Returns values (N,) with mean 0 and mean square 1, NaN counted as the mean; zeros where all are equal."""
    known = ~np.isnan(values)
    centred = np.where(known, values - values[known].mean(), 0.0)
    scale = np.sqrt((centred**2).mean())
    return centred / scale if scale > 0 else np.zeros(len(values))


def within_grades(grades: NDArray[np.float64], values: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the distance of values (N,) or (N, K) from the mean of their grade (N,); 0 where the grade is NaN."""
    distances = np.zeros(values.shape)
    for grade in range(N_GRADES):
        chosen = grades == grade
        if chosen.any():
            distances[chosen] = values[chosen] - values[chosen].mean(axis=0)
    return distances


def neighbour_inflation(grades: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Returns how much resemblance of neighbours inflates the variance of a correlation; at least 1.

    The two eyes of a person, or photographs of one camera that stand side by side, are not independent. Source: M. S.
    Bartlett, "Some aspects of the time-correlation problem", Journal of the Royal Statistical Society 98(3), 1935, with
    weights that fall with the distance. What the grades explain of the predictions doesn't count: a file by folders of
    grades is no less honest.

    Args:
        grades: Grades (N,) in the order of a file, NaN where unknown.
        expected: Expected grades (N,) of the same photographs.
    """
    first, second = standardised(grades), standardised(within_grades(grades, expected))
    count = len(first)
    reach = min(count // 4, max(4, round(count ** (1 / 3))))
    total = 1.0
    for distance in range(1, reach + 1):
        one = first[distance:] @ first[:-distance] / count
        other = second[distance:] @ second[:-distance] / count
        total += 2 * (1 - distance / (reach + 1)) * one * other
    return max(1.0, float(total))

"""Test of independence: are the predicted grades independent of the grades?"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, chi2_contingency, ncx2, random_table

from retinagrade.evaluation.integrity.findings import CHANCE_ALPHA
from retinagrade.evaluation.metrics import Undefined

INDEPENDENCE_ALPHA: Final = CHANCE_ALPHA
"""Significance level: at and above this p value, independence is not rejected. Chance predictions pass as dependent
once in a hundred times."""
USEFUL_ASSOCIATION: Final = 0.2
"""Cramér's V of a useful network, the effect size of :attr:`Independence.power`."""
_SMALLEST_EXPECTED: Final = 5
_RANDOM_TABLES: Final = 9_999
_MOST_PHOTOGRAPHS: Final = 100_000


@dataclass(frozen=True)
class Independence:
    """Result of the test of the hypothesis that predicted grades are independent of grades.

    Attributes:
        chi2: Pearson's statistic.
        degrees_of_freedom: Degrees of freedom of the table without empty rows and columns.
        p_value: Probability of this statistic or a larger one under the hypothesis.
        cramers_v: Effect size, 0 (none) to 1, corrected for bias.
        power: Probability that the test detects an association of :data:`USEFUL_ASSOCIATION`.
        method: ``chi-squared``, or ``monte-carlo`` if expected counts are small.
    """

    chi2: float
    degrees_of_freedom: int
    p_value: float
    cramers_v: float
    power: float
    method: str


def independence_test(matrix: NDArray[Any]) -> Independence:
    """Tests whether predicted grades are independent of grades.

    The distribution of the statistic is χ² if all expected counts are at least 5; otherwise it comes from random tables
    with the same margins, drawn with a fixed seed.

    Sources: K. Pearson, 1900; effect size: W. Bergsma, "A bias-correction for Cramér's V and Tschuprow's T", Journal
    of the Korean Statistical Society 42(3), 2013.

    Args:
        matrix: Counts (5, 5) by grade (row) and predicted grade (column).

    Raises:
        Undefined: All photographs have one grade, or one predicted grade.
    """
    table = matrix[matrix.sum(axis=1) > 0][:, matrix.sum(axis=0) > 0]
    if min(table.shape, default=0) < 2:
        raise Undefined("all photographs have one grade, or one predicted grade")
    statistic, p_value, degrees, expected = chi2_contingency(table, correction=False)
    method = "chi-squared"
    if expected.min() < _SMALLEST_EXPECTED:
        method = "monte-carlo"
        generator = np.random.default_rng(0)
        drawn = random_table(table.sum(axis=1), table.sum(axis=0)).rvs(_RANDOM_TABLES, random_state=generator)
        statistics = ((drawn - expected) ** 2 / expected).sum(axis=(1, 2))
        p_value = (1 + np.sum(statistics >= statistic - 1e-9)) / (1 + _RANDOM_TABLES)
    total = int(table.sum())
    power = _power(table.shape, total)
    return Independence(float(statistic), int(degrees), float(p_value), _cramers_v(statistic, table), power, method)


def photographs_that_tell(matrix: NDArray[Any]) -> int:
    """Returns how many photographs would tell :data:`USEFUL_ASSOCIATION` from chance in 99 of 100 tables.

    Args:
        matrix: Counts (5, 5) of at least two grades and predicted grades, which the other photographs have as well.
    """
    shape = (int((matrix.sum(axis=1) > 0).sum()), int((matrix.sum(axis=0) > 0).sum()))
    counts = range(1, _MOST_PHOTOGRAPHS)
    return bisect_left(counts, 1 - INDEPENDENCE_ALPHA, key=lambda count: _power(shape, count)) + 1


def _power(shape: tuple[int, ...], count: int) -> float:
    """Returns the power of the test of a table (rows, columns) of ``count`` photographs."""
    rows, columns = shape
    degrees = (rows - 1) * (columns - 1)
    noncentrality = USEFUL_ASSOCIATION**2 * count * (min(shape) - 1)
    return float(ncx2.sf(chi2.isf(INDEPENDENCE_ALPHA, degrees), degrees, noncentrality))


def _cramers_v(statistic: float, table: NDArray[Any]) -> float:
    total, (rows, columns) = table.sum(), table.shape
    if total <= 1:
        return 0.0
    phi = max(0.0, statistic / total - (rows - 1) * (columns - 1) / (total - 1))
    smaller = min(rows - (rows - 1) ** 2 / (total - 1), columns - (columns - 1) ** 2 / (total - 1)) - 1
    return float(min(1.0, np.sqrt(phi / smaller))) if smaller > 0 else 0.0  # rounding can exceed 1

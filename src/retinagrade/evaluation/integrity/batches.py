"""Batches: were predictions shuffled within the batches in which a network predicts?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from retinagrade.evaluation.integrity.alignment import CERTAIN, LEAST_AGREEMENT, WRONG_ORDER_FACTOR
from retinagrade.evaluation.integrity.chance_draws import BestOfDraws, standardised
from retinagrade.evaluation.integrity.findings import MISALIGNED_ALPHA
from retinagrade.evaluation.integrity.orders import Order, find_orders
from retinagrade.grades import N_GRADES, PROBABILITY_COLUMNS

SIZES: Final = (8, 10, 12, 16, 20, 24, 25, 32, 40, 48, 50, 64, 96, 100, 128, 192, 200, 256, 500, 512)
"""Sizes of batches that the search tries."""
_MOST_ORDERS: Final = 4
_FEWEST_BATCHES: Final = 10
_FEWEST_PHOTOGRAPHS: Final = 200
_MANY_BATCHES: Final = 100
"""Number of batches from which the sum of their products is nearly normal."""
_NEIGHBOURS: Final = 3
"""Largest distance of photographs of one person that stand side by side."""
_RESEMBLE: Final = 3
_NEIGHBOURS_RESEMBLE: Final = 2
"""Standard errors from which the grades of batches, and of neighbours, count as alike."""


@dataclass(frozen=True)
class ShuffledBatches:
    """Batches of predictions that agree with their photographs as a whole, but not one by one.

    Attributes:
        size: Photographs in a batch.
        order: Name of the order in which the batches were made.
        within: Correlation of expected grade and grade, photograph by photograph.
        right: Correlation that predictions of the right photographs would have, as the batches show.
        p_value: Probability that chance makes the best of all sizes and orders as good.
        tried: Number of tried sizes and orders.
    """

    size: int
    order: str
    within: float
    right: float
    p_value: float
    tried: int


def find_shuffled_batches(table: pd.DataFrame) -> ShuffledBatches | None:
    """Looks for batches whose predictions agree with the grades of other photographs of the same batch.

    In an honest table, a prediction tells nothing about the other photographs of its batch, if neither grades nor
    predictions have an order along the rows. Sizes of batches whose own grades or predictions resemble each other are
    therefore left out, and so are close neighbours whose grades do, such as the two eyes of a person. The permutation
    test keeps each prediction beside its photograph, and draws the order of the rows.

    Args:
        table: As for :func:`~retinagrade.evaluation.integrity.alignment.find_realignment`.

    Returns:
        The size and the order that explain at least twice the agreement and aren't chance, or ``None``.
    """
    table = table.sort_values("image_id", ignore_index=True)
    grades = standardised(table["grade"].to_numpy(dtype=float, na_value=np.nan))
    expected = standardised(table[list(PROBABILITY_COLUMNS)].to_numpy(dtype=float) @ np.arange(N_GRADES))
    within = float(grades @ expected) / len(grades)
    candidates = [
        one
        for order in [each for each in find_orders(table, _MOST_ORDERS) if not each.by_folders]
        for one in _candidates(order, grades, expected)
    ]
    if not candidates or len(grades) < _FEWEST_PHOTOGRAPHS or WRONG_ORDER_FACTOR * within > 1:
        return None
    found = max(candidates, key=lambda one: one.score(grades, expected))
    right = found.agreement(grades, expected)
    if right < max(LEAST_AGREEMENT, WRONG_ORDER_FACTOR * within):
        return None

    def draw_best(generator: np.random.Generator) -> float:
        rows = generator.permutation(len(grades))
        return max(one.score(grades[rows], expected[rows]) for one in candidates)

    score = found.score(grades, expected)
    p_value = len(candidates) * float(norm.sf(score))  # Boole's inequality
    if p_value >= CERTAIN or len(grades) < _MANY_BATCHES * found.size:
        p_value = BestOfDraws(draw_best).p_value(score)
    if p_value >= MISALIGNED_ALPHA:
        return None
    return ShuffledBatches(found.size, found.order.name, within, min(1.0, right), p_value, len(candidates))


@dataclass(frozen=True)
class _Batches:
    """Batches of one size along an order, and the distances of neighbours that don't count."""

    order: Order
    size: int
    left_out: Sequence[int]

    def pairs(self, count: int) -> float:
        """Returns the number of ordered pairs of different photographs of a batch."""
        full = count // self.size * self.size
        return full * (self.size - 1) - sum(2 * full * (self.size - step) / self.size for step in self.left_out)

    def product(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
        """Returns the sum of products over these pairs."""
        full = len(first) // self.size * self.size
        one, other = (values[self.order.numbers[:full]].reshape(-1, self.size) for values in (first, second))
        total = float(one.sum(axis=1) @ other.sum(axis=1)) - float((one * other).sum())
        for step in self.left_out:
            total -= float((one[:, step:] * other[:, :-step]).sum() + (one[:, :-step] * other[:, step:]).sum())
        return total

    def score(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
        """Returns the sum of products in units of its standard deviation, if the order of the rows is random.

        Sums of batches vary more where neighbours resemble each other; the standard deviation allows for it.
        """
        spread = self._spread(first) * self._spread(second)
        return self.product(first, second) / float(np.sqrt(self.pairs(len(first)) * spread))

    def _spread(self, values: NDArray[np.float64]) -> float:
        """Returns the mean square of sums of batches, as a multiple of that of independent photographs; at least 1."""
        full = len(values) // self.size * self.size
        sums = values[self.order.numbers[:full]].reshape(-1, self.size).sum(axis=1)
        return max(1.0, float(sums @ sums) / full)

    def resemblance(self, values: NDArray[np.float64]) -> float:
        """Returns how alike the values of a batch are, in standard errors; a sum counts each pair twice."""
        return self.product(values, values) / float(np.sqrt(2 * self.pairs(len(values))))

    def agreement(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
        """Returns the correlation of predictions with their photographs, if the batches were shuffled."""
        return self.product(first, second) / self.pairs(len(first)) * self.size


def _candidates(order: Order, grades: NDArray[np.float64], expected: NDArray[np.float64]) -> Iterator[_Batches]:
    count = len(grades)
    listed: NDArray[Any] = grades[order.numbers]
    alike = [
        step
        for step in range(1, _NEIGHBOURS + 1)
        if step < count and abs(float(listed[step:] @ listed[:-step])) > _NEIGHBOURS_RESEMBLE * np.sqrt(count)
    ]
    for size in SIZES:
        if size * _FEWEST_BATCHES > count:
            return
        batches = _Batches(order, size, alike)
        if batches.pairs(count) <= 0:
            continue
        if max(batches.resemblance(each) for each in (grades, expected)) < _RESEMBLE:
            yield batches

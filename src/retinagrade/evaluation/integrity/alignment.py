"""Alignment: do predictions stand beside the wrong photographs, and does a simple order correct them?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.fft import irfft, rfft
from scipy.stats import norm

from retinagrade.evaluation.integrity.chance_draws import (
    BestOfDraws,
    neighbour_inflation,
    standardised,
    within_grades,
)
from retinagrade.evaluation.integrity.findings import MISALIGNED_ALPHA
from retinagrade.evaluation.integrity.orders import ROW_ORDER, Order, find_orders, is_split, prediction_scores
from retinagrade.evaluation.metrics import confusion_matrix, quadratic_weighted_kappa
from retinagrade.grades import N_GRADES, PROBABILITY_COLUMNS

WRONG_ORDER_FACTOR: Final = 2
"""Agreement under another pairing, as a multiple of the present one, from which the present pairing counts as wrong."""
LEAST_AGREEMENT: Final = 0.1
"""Smallest QWK and correlation that another pairing must reach: a weaker one tells nothing about the right pairing."""
CERTAIN: Final = 1e-5
"""Bound on a p-value below which no draw is necessary."""
_MOST_TESTS: Final = 8


@dataclass(frozen=True)
class Realignment:
    """Another pairing of predictions and photographs, in which they agree.

    Attributes:
        appearance: Description of the present pairing, such as ``look shifted by one row``.
        remedy: Condition for the other pairing, such as ``if every prediction moves up one row``.
        before: QWK of the present pairing.
        after: QWK of the other pairing.
        p_value: Probability that chance makes the best of all tried pairings as good.
        tried: Number of tried pairings.
    """

    appearance: str
    remedy: str
    before: float
    after: float
    p_value: float
    tried: int


@dataclass(frozen=True)
class _Pairing:
    """Photograph ``made.numbers[k]`` gets the prediction beside ``listed.numbers[k + shift]``, or ``[shift - k]``.

    Positions wrap around at the end. The score is the correlation of expected grade and grade.
    """

    score: float
    made: Order
    listed: Order
    shift: int
    backwards: bool

    def sources(self) -> NDArray[Any]:
        """Returns the number (N,) of the photograph beside which each photograph's prediction stands."""
        steps = np.arange(len(self.made.numbers))
        around = (self.shift - steps if self.backwards else steps + self.shift) % len(steps)
        sources = np.empty_like(steps)
        sources[self.made.numbers] = self.listed.numbers[around]
        return sources


@dataclass(frozen=True)
class _Paired:
    """Grades (N,), NaN where unknown, and probabilities (N, 5) of the same photographs, as they are paired."""

    grades: NDArray[np.float64]
    probabilities: NDArray[np.float64]

    @property
    def expected(self) -> NDArray[np.float64]:
        """Expected grade (N,)."""
        expected: NDArray[np.float64] = self.probabilities @ np.arange(N_GRADES)
        return expected

    def kappa(self) -> float:
        """Returns QWK of the graded photographs."""
        graded = ~np.isnan(self.grades)
        return quadratic_weighted_kappa(
            confusion_matrix(self.grades[graded], self.probabilities[graded].argmax(axis=1))
        )

    def correlation(self) -> float:
        """Returns the correlation of expected grade and grade; photographs without a grade count as average."""
        return float(standardised(self.grades) @ standardised(self.expected)) / len(self.grades)


def find_realignment(table: pd.DataFrame) -> Realignment | None:
    """Looks for a simple order in which predictions agree with the grades far better than in the present pairing.

    The search tries every shift and the reverse of each order of
    :func:`~retinagrade.evaluation.integrity.orders.find_orders`, and predictions that were made in one order (such as
    Keras's ``flow_from_directory`` and torchvision's ``ImageFolder``, by folders of grades) but listed in another.

    A pairing counts if all of this holds:

    * The correlation of expected grade and grade, and QWK, are at least :data:`WRONG_ORDER_FACTOR` times as large as in
      the present pairing, and at least :data:`LEAST_AGREEMENT`.
    * Chance makes the best of all tried pairings as good with a probability below :data:`MISALIGNED_ALPHA`: a
      permutation test that tries the same pairings in every draw, after an allowance for neighbours that resemble each
      other.
    * The list isn't sorted by its own predictions, because such a list fits every order of grades: no score splits it,
      and no significant trend within grades explains half of the agreement. (A nearly faultless network that
      predicted by folders splits its list, too. Such a table then can't be told from chance.)

    Args:
        table: Columns ``image_id`` (unique), ``p0`` … ``p4``, ``grade`` (nullable); where known
            :data:`~retinagrade.evaluation.predictions.LINE_COLUMN`,
            :data:`~retinagrade.evaluation.predictions.GRADES_LINE_COLUMN` and further columns of text. At least two
            photographs have grades.

    Returns:
        The best such pairing, or ``None``.
    """
    table = table.sort_values("image_id", ignore_index=True)
    paired = _Paired(
        table["grade"].to_numpy(dtype=float, na_value=np.nan), table[list(PROBABILITY_COLUMNS)].to_numpy(dtype=float)
    )
    kappa, correlation = paired.kappa(), paired.correlation()
    if max(kappa, correlation) * WRONG_ORDER_FACTOR > 1:
        return None
    search = _Search(find_orders(table), paired)
    enough = max(LEAST_AGREEMENT, WRONG_ORDER_FACTOR * correlation)
    pairings = [one for one in search.pairings() if one.score >= enough]
    sorted_by_itself = False
    for pairing in sorted(pairings, key=lambda one: -one.score)[:_MOST_TESTS]:
        sources = pairing.sources()
        other = _Paired(paired.grades, paired.probabilities[sources])
        better = other.kappa()
        if better < max(LEAST_AGREEMENT, WRONG_ORDER_FACTOR * kappa) or (sorted_by_itself and pairing.made.by_folders):
            continue
        if _self_sorted(other, pairing, sources):
            sorted_by_itself = True  # other orders of the list are like this one, and fit the folders as well
            continue
        p_value = search.p_value(pairing, other)
        if p_value < MISALIGNED_ALPHA:
            return Realignment(*_describe(pairing), kappa, better, p_value, search.tried)
    return None


class _Search:
    """Tries all pairings of the same photographs."""

    def __init__(self, orders: Sequence[Order], paired: _Paired) -> None:
        self.orders = orders
        self.expected = paired.expected
        self._numbers = np.array([order.numbers for order in orders])
        self._grades = standardised(paired.grades)[self._numbers]
        self._transforms = rfft(self._grades)
        self.tried = 2 * len(orders) * (len(orders) - 1 + self._grades.shape[1])
        self._drawn = BestOfDraws(self._draw_best)

    def pairings(self) -> Iterator[_Pairing]:
        """Returns the best shift of each order, forwards and backwards, and each order with each other order."""
        shifts, others = self._scores(self.expected)
        last = self._grades.shape[1] - 1
        for backwards in (False, True):
            for scores, order in zip(shifts[int(backwards)], self.orders, strict=True):
                shift = int(scores.argmax())
                yield _Pairing(float(scores[shift]), order, order, shift, backwards)
            for row, made in enumerate(self.orders):
                for column, listed in enumerate(self.orders):
                    if row != column:
                        score = float(others[int(backwards), row, column])
                        yield _Pairing(score, made, listed, last if backwards else 0, backwards)

    def p_value(self, pairing: _Pairing, other: _Paired) -> float:
        """Returns the probability that chance makes the best of all pairings as good as this one."""
        numbers = pairing.made.numbers
        score = pairing.score / np.sqrt(neighbour_inflation(other.grades[numbers], other.expected[numbers]))
        bound = self.tried * norm.sf(score * np.sqrt(len(numbers)))  # Boole's inequality
        return float(bound) if bound < CERTAIN else self._drawn.p_value(score)

    def _scores(self, expected: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns correlations of all shifts (2, K, N) and of all orders with each other (2, K, K); backwards second.

        By the cross-correlation theorem, one transform computes the correlations of all N shifts.
        """
        listed = standardised(expected)[self._numbers]
        count = listed.shape[1]
        transforms = rfft(listed)
        shifts = irfft(np.stack([self._transforms.conj(), self._transforms]) * transforms, count)
        others = np.stack([self._grades @ listed.T, self._grades @ listed[:, ::-1].T])
        return shifts / count, others / count

    def _draw_best(self, generator: np.random.Generator) -> float:
        shifts, others = self._scores(generator.permutation(self.expected))
        return float(max(shifts.max(), others.max()))


def _self_sorted(other: _Paired, pairing: _Pairing, sources: NDArray[Any]) -> bool:
    """Returns whether the list is sorted by its predictions, which explains that they fit an order of grades."""
    scores = np.empty_like(other_scores := prediction_scores(other.probabilities))
    scores[sources] = other_scores
    return is_split(scores[pairing.listed.numbers]) or _has_trend(other, pairing, sources)


def _has_trend(other: _Paired, pairing: _Pairing, sources: NDArray[Any]) -> bool:
    """Returns whether expected grades rise or fall along the list within grades, by enough to explain the agreement.

    The trend within grades, less two standard errors, must explain half of the correlation of grade and prediction.
    """
    position = standardised(pairing.listed.positions()[sources].astype(float))
    expected, grades = standardised(other.expected), standardised(other.grades)
    count = len(position)
    within = within_grades(other.grades, np.column_stack([position, expected]))
    spread = float(within[:, 0] @ within[:, 0])
    if spread == 0 or count <= 2 * N_GRADES:
        return False
    slope = float(within[:, 0] @ within[:, 1]) / spread
    rest = within[:, 1] - slope * within[:, 0]
    error = float(np.sqrt(rest @ rest / (count - 2 * N_GRADES) / spread))
    explained = max(0.0, abs(slope) - 2 * error) * abs(float(position @ grades)) / count
    return WRONG_ORDER_FACTOR * explained > pairing.score


def _describe(pairing: _Pairing) -> tuple[str, str]:
    """Returns the appearance of the present pairing, and the condition for the other one."""
    made, listed, count = pairing.made, pairing.listed, len(pairing.made.numbers)
    if made is not listed:
        backwards = ", backwards," if pairing.backwards else ""
        return (
            f"seem to be made in {made.name}{backwards} but listed in {listed.name}",
            "if each prediction goes to its own photograph",
        )
    rows = made.name == ROW_ORDER
    where = "" if rows else f" in {made.name}"
    moved = (pairing.shift + 1 if pairing.backwards else pairing.shift) % count
    up, down = moved, count - moved
    steps = min(up, down)
    how_many = f"{'one' if steps == 1 else steps} {'row' if rows else 'place'}{'' if steps == 1 else 's'}"
    if not pairing.backwards:
        return (
            f"look shifted by {how_many}{where}",
            f"if every prediction moves {'up' if up <= down else 'down'} {how_many}",
        )
    if moved == 0:
        return f"look reversed{where}", "if the last prediction goes to the first photograph, and so on"
    return f"look reversed{where} and shifted by {how_many}", "if both are undone"

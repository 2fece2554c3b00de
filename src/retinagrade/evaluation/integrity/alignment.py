"""Alignment: do predictions stand beside the wrong photographs, and does a simple order correct them?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import hypergeom, rankdata

from retinagrade.evaluation.metrics import confusion_matrix, quadratic_weighted_kappa
from retinagrade.evaluation.predictions import GRADES_LINE_COLUMN, LINE_COLUMN, PREDICTION_COLUMNS
from retinagrade.grades import N_GRADES, PROBABILITY_COLUMNS

REALIGNMENT_GAIN: Final = 0.2
"""Increase in QWK that another pairing must reach before the present pairing counts as wrong."""
REALIGNMENT_ALPHA: Final = 0.001
"""Probability that the search finds an order for predictions without information by chance, over all tried pairings."""
SELF_SORTED: Final = 0.5
"""Rank correlation of probabilities with their position, within grades, at which a file counts as sorted by its own
probabilities."""
_MOST_ORDERS: Final = 12
_MOST_TESTS: Final = 8
_FOLDERS: Final = {
    "0 to 4": (0, 1, 2, 3, 4),
    "in alphabetical order (Mild, Moderate, No_DR, Proliferate_DR, Severe)": (2, 0, 1, 4, 3),
}
"""Position of each grade's folder."""


@dataclass(frozen=True)
class Realignment:
    """Another pairing of predictions and photographs, in which they agree.

    Attributes:
        appearance: Description of the present pairing, such as ``look shifted by one row``.
        remedy: Condition for the other pairing, such as ``if every prediction moves up one row``.
        before: QWK of the present pairing.
        after: QWK of the other pairing.
    """

    appearance: str
    remedy: str
    before: float
    after: float


@dataclass(frozen=True)
class _Order:
    """An order of the photographs: its name, and the numbers (N,) of the photographs in this order."""

    name: str
    numbers: NDArray[np.int64]


@dataclass(frozen=True)
class _Pairing:
    """Photograph ``made.numbers[k]`` gets the prediction beside ``listed.numbers[k + shift]``, or ``[shift - k]``.

    Positions wrap around at the end. The score is the covariance of expected grade and grade, times N.
    """

    score: float
    made: _Order
    listed: _Order
    shift: int
    backwards: bool

    def sources(self) -> NDArray[Any]:
        """Returns the number (N,) of the photograph beside which each photograph's prediction stands."""
        steps = np.arange(len(self.made.numbers))
        around = (self.shift - steps if self.backwards else steps + self.shift) % len(steps)
        sources = np.empty_like(steps)
        sources[self.made.numbers] = self.listed.numbers[around]
        return sources


def find_realignment(table: pd.DataFrame) -> Realignment | None:
    """Looks for a simple order in which predictions agree with the grades far better than in the present pairing.

    The search tries the order of the rows, of the table of grades, and of ``image_id`` and every further column of
    unique names: alphabetical, alphabetical without regard to capitals, numeric, and by folders of grades and names in
    them (like Keras's ``flow_from_directory`` and torchvision's ``ImageFolder``). It tries every shift and the reverse
    of each order, and predictions that were made in one order but listed in another.

    A pairing counts only if it increases QWK by :data:`REALIGNMENT_GAIN`, if chance can't explain it (Fisher's exact
    test of "grade c or worse", for the best c, times the number of tried pairings), and if the file isn't sorted by its
    own probabilities, because such a file fits every order of grades.

    Args:
        table: Columns ``image_id`` (unique), ``p0`` … ``p4``, ``grade`` (nullable); where known
            :data:`~retinagrade.evaluation.predictions.LINE_COLUMN`,
            :data:`~retinagrade.evaluation.predictions.GRADES_LINE_COLUMN` and further columns of text. At least two
            photographs have grades.

    Returns:
        The best such pairing, or ``None``.
    """
    table = table.sort_values("image_id", ignore_index=True)
    probabilities = table[list(PROBABILITY_COLUMNS)].to_numpy(dtype=float)
    grades = table["grade"].to_numpy(dtype=float, na_value=np.nan)
    predicted = probabilities.argmax(axis=1)
    before = _matrix(grades, predicted)
    kappa = quadratic_weighted_kappa(before)
    if kappa + REALIGNMENT_GAIN > 1:
        return None
    orders = _orders(table)
    pairings = sorted(_pairings(orders, grades, probabilities @ np.arange(N_GRADES)), key=lambda one: -one.score)
    tried = 2 * len(orders) * len(table) + len(pairings)
    for pairing in pairings[:_MOST_TESTS]:
        sources = pairing.sources()
        after = _matrix(grades, predicted[sources])
        better = quadratic_weighted_kappa(after)
        by_chance = tried * _exact_p_value(after)
        if (
            better < kappa + REALIGNMENT_GAIN
            or by_chance > REALIGNMENT_ALPHA
            or _self_sorted(grades, probabilities, pairing)
        ):
            continue
        return Realignment(*_describe(pairing), kappa, better)
    return None


def _matrix(grades: NDArray[Any], predicted: NDArray[Any]) -> NDArray[Any]:
    graded = ~np.isnan(grades)
    return confusion_matrix(grades[graded], predicted[graded])


def _orders(table: pd.DataFrame) -> list[_Order]:
    """Returns the orders in which the photographs may have been read; the first of several equal ones."""
    orders: dict[bytes, _Order] = {}
    for name, numbers in _named_orders(table):
        if len(orders) < _MOST_ORDERS:
            orders.setdefault(numbers.tobytes(), _Order(name, numbers))
    return list(orders.values())


def _named_orders(table: pd.DataFrame) -> Iterator[tuple[str, NDArray[Any]]]:
    if LINE_COLUMN in table:
        yield "the order of the rows", np.argsort(table[LINE_COLUMN].to_numpy(), kind="stable")
    if GRADES_LINE_COLUMN in table:
        yield "the order of the table of grades", np.argsort(table[GRADES_LINE_COLUMN].to_numpy(), kind="stable")
    names = {column: table[column].astype(str).tolist() for column in _name_columns(table)}
    alphabetical = {column: _sorted(texts) for column, texts in names.items()}
    for column, texts in names.items():
        yield f"the alphabetical order of {column}", alphabetical[column]
        yield f"the numeric order of {column} (2 before 10)", _sorted([_padded(text) for text in texts])
    for column, numbers in alphabetical.items():
        for folders, order in _FOLDERS.items():
            rank = table["grade"].map(dict(enumerate(order))).fillna(N_GRADES).to_numpy(dtype=int)
            by_folder = numbers[np.argsort(rank[numbers], kind="stable")]
            yield f"the order of folders {folders}, by {column} in each", by_folder
    for column, texts in names.items():
        yield f"the alphabetical order of {column} without regard to capitals", _sorted([t.casefold() for t in texts])


def _name_columns(table: pd.DataFrame) -> list[str]:
    further = [
        column for column in table.columns if column not in (*PREDICTION_COLUMNS, LINE_COLUMN, GRADES_LINE_COLUMN)
    ]
    texts = [column for column in further if pd.api.types.is_string_dtype(table[column])]
    return ["image_id", *(column for column in texts if table[column].notna().all() and table[column].is_unique)]


def _sorted(texts: Sequence[str]) -> NDArray[Any]:
    return np.array(sorted(range(len(texts)), key=texts.__getitem__))


def _padded(text: str) -> str:
    return re.sub(r"\d+", lambda digits: digits.group().zfill(20), text)


def _pairings(orders: Sequence[_Order], grades: NDArray[Any], expected: NDArray[Any]) -> Iterator[_Pairing]:
    """Returns the best shift of each order, forwards and backwards, and each order with each other order."""
    graded = ~np.isnan(grades)
    centred = np.where(graded, grades - grades[graded].mean(), 0.0)
    expected = expected - expected.mean()
    count = len(grades)
    for order in orders:
        # By the cross-correlation theorem, one transform computes the scores of all N shifts.
        one, other = np.fft.rfft(centred[order.numbers]), np.fft.rfft(expected[order.numbers])
        for backwards in (False, True):
            scores = np.fft.irfft((one if backwards else one.conj()) * other, count)
            shift = int(scores.argmax())
            yield _Pairing(float(scores[shift]), order, order, shift, backwards)
    for made in orders:
        for listed in orders:
            if made is not listed:
                made_grades, listed_scores = centred[made.numbers], expected[listed.numbers]
                yield _Pairing(float(made_grades @ listed_scores), made, listed, 0, False)
                yield _Pairing(float(made_grades @ listed_scores[::-1]), made, listed, count - 1, True)


def _exact_p_value(matrix: NDArray[Any]) -> float:
    """Fisher's exact test, one-sided, of "grade c or worse" and its prediction: the smallest p over c, times 4."""
    total = int(matrix.sum())
    p_values = [
        hypergeom.sf(matrix[c:, c:].sum() - 1, total, matrix[c:].sum(), matrix[:, c:].sum()) for c in range(1, N_GRADES)
    ]
    return float(min(p_values)) * len(p_values)


def _self_sorted(grades: NDArray[Any], probabilities: NDArray[Any], pairing: _Pairing) -> bool:
    """Returns whether the predictions are listed in the order of their own probabilities.

    They are if a probability, the expected grade or the predicted grade only rises or only falls, or if they correlate
    with their position among the photographs of one grade, where no order of grades can explain a correlation.
    """
    sources = pairing.sources()
    position = np.empty(len(grades))
    position[pairing.listed.numbers] = np.arange(len(grades))
    expected, predicted = probabilities @ np.arange(N_GRADES), probabilities.argmax(axis=1)
    scores = np.column_stack([probabilities, expected])
    steps = np.diff(np.column_stack([scores, predicted])[pairing.listed.numbers], axis=0)
    if (((steps >= 0).all(axis=0) | (steps <= 0).all(axis=0)) & (steps != 0).any(axis=0)).any():
        return True
    position, scores = position[sources], scores[sources]
    total, weight = np.zeros(scores.shape[1]), 0
    for grade in range(N_GRADES):
        chosen = grades == grade
        if chosen.sum() < 3:
            continue
        score_ranks, position_ranks = rankdata(scores[chosen], axis=0), rankdata(position[chosen])
        score_ranks, position_ranks = score_ranks - score_ranks.mean(axis=0), position_ranks - position_ranks.mean()
        scale = np.sqrt((score_ranks**2).sum(axis=0) * (position_ranks**2).sum())
        correlation = np.divide(position_ranks @ score_ranks, scale, out=np.zeros(len(scale)), where=scale > 0)
        total += chosen.sum() * correlation
        weight += int(chosen.sum())
    return bool(weight and np.abs(total / weight).max() > SELF_SORTED)


def _describe(pairing: _Pairing) -> tuple[str, str]:
    """Returns the appearance of the present pairing, and the condition for the other one."""
    made, listed, count = pairing.made, pairing.listed, len(pairing.made.numbers)
    if made is not listed:
        backwards = ", backwards," if pairing.backwards else ""
        return (
            f"seem to be made in {made.name}{backwards} but listed in {listed.name}",
            "if each prediction goes to its own photograph",
        )
    rows = made.name == "the order of the rows"
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

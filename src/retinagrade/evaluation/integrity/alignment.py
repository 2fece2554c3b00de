"""Alignment: whether predictions stand beside the wrong photographs, and which simple order puts them right."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy.stats import hypergeom, rankdata

from retinagrade.evaluation.metrics import confusion_matrix, quadratic_weighted_kappa
from retinagrade.evaluation.predictions import GRADES_LINE_COLUMN, LINE_COLUMN, PREDICTION_COLUMNS
from retinagrade.grades import N_GRADES, PROBABILITY_COLUMNS

REALIGNMENT_GAIN: Final = 0.2
"""QWK that another pairing must win over the one that stands, before this one is called wrong."""
REALIGNMENT_ALPHA: Final = 0.001
"""Probability that predictions which know nothing are given an order by chance, over all pairings that are tried."""
SELF_SORTED: Final = 0.5
"""Rank correlation, within grades, of probabilities with their place from which they count as sorted by themselves."""
_MOST_ORDERS = 12
_LOOKED_AT = 8
_FOLDERS: Final = {
    "0 to 4": (0, 1, 2, 3, 4),
    "in alphabetical order (Mild, Moderate, No_DR, Proliferate_DR, Severe)": (2, 0, 1, 4, 3),
}
"""Where each grade's folder comes."""


@dataclass(frozen=True)
class Realignment:
    """Another pairing of predictions and photographs, under which they agree.

    Attributes:
        looks: What the predictions do, such as ``look shifted by one row``.
        remedy: The condition under which they agree, such as ``if every prediction moves up one row``.
        before: QWK as paired.
        after: QWK of the other pairing.
    """

    looks: str
    remedy: str
    before: float
    after: float


@dataclass(frozen=True)
class _Order:
    """An order of the photographs: its name, and their numbers (N,) in it."""

    name: str
    places: np.ndarray


@dataclass(frozen=True)
class _Pairing:
    """Photograph ``made.places[k]`` takes the prediction beside ``listed.places[k + shift]``, or ``[shift - k]``.

    Places are counted around the end. The score is the covariance of expected grade and grade, times N.
    """

    score: float
    made: _Order
    listed: _Order
    shift: int
    backwards: bool

    def sources(self) -> np.ndarray:
        """The number (N,) of the photograph beside which each photograph's prediction stands."""
        steps = np.arange(len(self.made.places))
        around = (self.shift - steps if self.backwards else steps + self.shift) % len(steps)
        sources = np.empty_like(steps)
        sources[self.made.places] = self.listed.places[around]
        return sources


def find_realignment(table: pd.DataFrame) -> Realignment | None:
    """Looks for a simple order in which predictions agree with the grades far better than as they are paired.

    Tried are: the order of the rows, of the table of grades, and of ``image_id`` and every further column of unique
    names (alphabetical, the same without regard to capitals, numeric, and folders by grade and names in them, as
    Keras's ``flow_from_directory`` and torchvision's ``ImageFolder`` go); within each, every shift and the reverse; and
    predictions made in one of them but listed in another.

    Another pairing is only returned if it wins :data:`REALIGNMENT_GAIN` in QWK, if chance can't explain it (Fisher's exact test of
    "grade c or worse", for the best c, times the number of all pairings that were tried), and if it isn't the
    predictions that were sorted: a file in the order of its probabilities fits every order of grades.

    Args:
        table: Columns ``image_id`` (unique), ``p0`` … ``p4``, ``grade`` (nullable); where known :data:`LINE`,
            :data:`GRADES_LINE` and further columns of text. At least two grades are known.

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
    for pairing in pairings[:_LOOKED_AT]:
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
        return Realignment(*_words(pairing), kappa, better)
    return None


def _matrix(grades: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    known = ~np.isnan(grades)
    return confusion_matrix(grades[known], predicted[known])


def _orders(table: pd.DataFrame) -> list[_Order]:
    """The orders that photographs may have been read in; of equal ones the first."""
    found: dict[bytes, _Order] = {}
    for name, places in _named_orders(table):
        if len(found) < _MOST_ORDERS:
            found.setdefault(places.tobytes(), _Order(name, places))
    return list(found.values())


def _named_orders(table: pd.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    if LINE_COLUMN in table:
        yield "the order of the rows", np.argsort(table[LINE_COLUMN].to_numpy(), kind="stable")
    if GRADES_LINE_COLUMN in table:
        yield "the order of the table of grades", np.argsort(table[GRADES_LINE_COLUMN].to_numpy(), kind="stable")
    names = {column: table[column].astype(str).tolist() for column in _name_columns(table)}
    alphabetical = {column: _sorted(texts) for column, texts in names.items()}
    for column, texts in names.items():
        yield f"the alphabetical order of {column}", alphabetical[column]
        yield f"the numeric order of {column} (2 before 10)", _sorted([_padded(text) for text in texts])
    for column, places in alphabetical.items():
        for folders, order in _FOLDERS.items():
            rank = table["grade"].map(dict(enumerate(order))).fillna(N_GRADES).to_numpy(dtype=int)
            by_folder = places[np.argsort(rank[places], kind="stable")]
            yield f"the order of folders {folders}, by {column} in each", by_folder
    for column, texts in names.items():
        yield f"the alphabetical order of {column} without regard to capitals", _sorted([t.casefold() for t in texts])


def _name_columns(table: pd.DataFrame) -> list[str]:
    further = [
        column for column in table.columns if column not in (*PREDICTION_COLUMNS, LINE_COLUMN, GRADES_LINE_COLUMN)
    ]
    texts = [column for column in further if pd.api.types.is_string_dtype(table[column])]
    return ["image_id", *(column for column in texts if table[column].notna().all() and table[column].is_unique)]


def _sorted(texts: Sequence[str]) -> np.ndarray:
    return np.array(sorted(range(len(texts)), key=texts.__getitem__))


def _padded(text: str) -> str:
    return re.sub(r"\d+", lambda digits: digits.group().zfill(20), text)


def _pairings(orders: Sequence[_Order], grades: np.ndarray, expected: np.ndarray) -> Iterator[_Pairing]:
    """The best shift of each order, there and back, and every order against every other."""
    known = ~np.isnan(grades)
    centred = np.where(known, grades - grades[known].mean(), 0.0)
    expected = expected - expected.mean()
    count = len(grades)
    for order in orders:
        # The cross-correlation theorem: the scores of all N shifts cost one transform.
        one, other = np.fft.rfft(centred[order.places]), np.fft.rfft(expected[order.places])
        for backwards in (False, True):
            scores = np.fft.irfft((one if backwards else one.conj()) * other, count)
            shift = int(scores.argmax())
            yield _Pairing(float(scores[shift]), order, order, shift, backwards)
    for made in orders:
        for listed in orders:
            if made is not listed:
                wanted, given = centred[made.places], expected[listed.places]
                yield _Pairing(float(wanted @ given), made, listed, 0, False)
                yield _Pairing(float(wanted @ given[::-1]), made, listed, count - 1, True)


def _exact_p_value(matrix: np.ndarray) -> float:
    """Fisher's exact test, one-sided, of "grade c or worse" and "given c or worse": the smallest p over c, times 4."""
    total = int(matrix.sum())
    p_values = [
        hypergeom.sf(matrix[c:, c:].sum() - 1, total, matrix[c:].sum(), matrix[:, c:].sum()) for c in range(1, N_GRADES)
    ]
    return float(min(p_values)) * len(p_values)


def _self_sorted(grades: np.ndarray, probabilities: np.ndarray, pairing: _Pairing) -> bool:
    """Whether the order that predictions are listed in is one of their own.

    It is where a probability, the expected or the predicted grade only rises or only falls, and where they follow it
    within the photographs of one grade: what a network says of these depends on no order of grades.
    """
    sources = pairing.sources()
    place = np.empty(len(grades))
    place[pairing.listed.places] = np.arange(len(grades))
    expected, predicted = probabilities @ np.arange(N_GRADES), probabilities.argmax(axis=1)
    given = np.column_stack([probabilities, expected])
    steps = np.diff(np.column_stack([given, predicted])[pairing.listed.places], axis=0)
    if (((steps >= 0).all(axis=0) | (steps <= 0).all(axis=0)) & (steps != 0).any(axis=0)).any():
        return True
    place, given = place[sources], given[sources]
    total, weight = np.zeros(given.shape[1]), 0
    for grade in range(N_GRADES):
        chosen = grades == grade
        if chosen.sum() < 3:
            continue
        ranks, places = rankdata(given[chosen], axis=0), rankdata(place[chosen])
        ranks, places = ranks - ranks.mean(axis=0), places - places.mean()
        scale = np.sqrt((ranks**2).sum(axis=0) * (places**2).sum())
        total += chosen.sum() * np.divide(places @ ranks, scale, out=np.zeros(len(scale)), where=scale > 0)
        weight += int(chosen.sum())
    return bool(weight and np.abs(total / weight).max() > SELF_SORTED)


def _words(pairing: _Pairing) -> tuple[str, str]:
    """What the predictions look like, and the condition under which they agree."""
    made, listed, count = pairing.made, pairing.listed, len(pairing.made.places)
    if made is not listed:
        backwards = ", backwards," if pairing.backwards else ""
        return (
            f"seem to be made in {made.name}{backwards} but listed in {listed.name}",
            "if each goes to the photograph that it was made for",
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

"""Orders in which photographs may have been read or listed: rows, names, folders of grades."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from retinagrade.evaluation.predictions import GRADES_LINE_COLUMN, LINE_COLUMN, PREDICTION_COLUMNS
from retinagrade.grades import N_GRADES, PROBABILITY_COLUMNS
from retinagrade.gradings.table import COLUMNS

ROW_ORDER: Final = "the order of the rows"
_NAMES_OF_RESULTS: Final = {"image_id", "path", "study", "laterality"}
"""Columns of our tables of results that don't come from the network."""
_FROM_PREDICTIONS: Final = 0.5
"""Rank correlation with a score from which a column counts as computed from the predictions."""
_SPLIT_FROM: Final = 5
_SPLIT_SHARE: Final = 0.02
"""Number and share of photographs on each side of a split from which a list counts as sorted by the predictions."""
MOST_ORDERS: Final = 12
_FOLDERS: Final = {
    "0 to 4": (0, 1, 2, 3, 4),
    "in alphabetical order (Mild, Moderate, No_DR, Proliferate_DR, Severe)": (2, 0, 1, 4, 3),
}
"""Position of each grade's folder."""
_NUMBER: Final = re.compile(r"[+-]?\d*[.,]?\d+(e[+-]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Order:
    """An order of the photographs.

    Attributes:
        name: Description, such as ``the order of the rows``.
        numbers: Numbers (N,) of the photographs in this order.
        by_folders: Whether the order depends on the grades.
    """

    name: str
    numbers: NDArray[np.int64]
    by_folders: bool = False

    def positions(self) -> NDArray[np.int64]:
        """Returns the position (N,) of each photograph in this order."""
        positions = np.empty_like(self.numbers)
        positions[self.numbers] = np.arange(len(self.numbers))
        return positions


def find_orders(table: pd.DataFrame, most: int = MOST_ORDERS) -> list[Order]:
    """Returns the orders in which the photographs may have been read; the first of several equal ones.

    They are the order of the rows, of the table of grades, and of ``image_id`` and every further column of unique
    names: alphabetical, numeric, by folders of grades and names in them, and without regard to capitals. A column that
    comes from the predictions is no name: one that ``retinagrade grade`` computes, one of decimal numbers, and one
    along which a score of the predictions rises or falls.

    Args:
        table: Columns ``image_id``, ``p0`` … ``p4``, ``grade`` (nullable) and, where known, lines and further columns
            of text.
        most: Number of orders from which no further ones are tried.
    """
    orders: dict[bytes, Order] = {}
    for order in _named_orders(table):
        orders.setdefault(order.numbers.tobytes(), order)
        if len(orders) == most:
            break
    return list(orders.values())


def prediction_scores(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns scores (N, 12) of predictions by which a file may be sorted.

    They are the five probabilities, those of every grade "or worse", expected grade, confidence and predicted grade.
    """
    or_worse = np.cumsum(probabilities[:, ::-1], axis=1)[:, ::-1]
    others = [probabilities @ np.arange(N_GRADES), probabilities.max(axis=1), probabilities.argmax(axis=1)]
    return np.column_stack([probabilities, or_worse[:, 1:], *others])


def is_split(listed: NDArray[np.float64]) -> bool:
    """Returns whether a score of a list is smaller, or larger, everywhere before some place than after it.

    A list that is sorted by a score, by the predicted grade or by a decision is split.

    Args:
        listed: Scores (N, K) in the order of the list.
    """
    count = len(listed)
    side = max(_SPLIT_FROM, round(_SPLIT_SHARE * count))
    if count < 2 * side:
        steps = np.diff(listed, axis=0)
        return bool(((steps >= 0).all(axis=0) | (steps <= 0).all(axis=0)).any())
    for one in (listed, -listed):
        highest = np.maximum.accumulate(one, axis=0)[side - 1 : count - side]
        lowest = np.minimum.accumulate(one[::-1], axis=0)[::-1][side : count - side + 1]
        if (highest < lowest).any():
            return True
    return False


def _named_orders(table: pd.DataFrame) -> Iterator[Order]:
    if LINE_COLUMN in table:
        yield Order(ROW_ORDER, np.argsort(table[LINE_COLUMN].to_numpy(), kind="stable"))
    if GRADES_LINE_COLUMN in table:
        yield Order("the order of the table of grades", np.argsort(table[GRADES_LINE_COLUMN].to_numpy(), kind="stable"))
    names = {column: table[column].astype(str).tolist() for column in _name_columns(table)}
    alphabetical = {column: _sorted(texts) for column, texts in names.items()}
    for column, texts in names.items():
        yield Order(f"the alphabetical order of {column}", alphabetical[column])
        yield Order(f"the numeric order of {column} (2 before 10)", _sorted([_padded(text) for text in texts]))
    for column, numbers in alphabetical.items():
        for folders, order in _FOLDERS.items():
            rank = table["grade"].map(dict(enumerate(order))).fillna(N_GRADES).to_numpy(dtype=int)
            by_folder = numbers[np.argsort(rank[numbers], kind="stable")]
            yield Order(f"the order of folders {folders}, by {column} in each", by_folder, by_folders=True)
    for column, texts in names.items():
        name = f"the alphabetical order of {column} without regard to capitals"
        yield Order(name, _sorted([text.casefold() for text in texts]))


def _name_columns(table: pd.DataFrame) -> list[str]:
    known = {*PREDICTION_COLUMNS, LINE_COLUMN, GRADES_LINE_COLUMN, *(set(COLUMNS) - _NAMES_OF_RESULTS)}
    further = [column for column in table.columns if column not in known]
    texts = [column for column in further if pd.api.types.is_string_dtype(table[column])]
    unique = [column for column in texts if table[column].notna().all() and table[column].is_unique]
    if not unique:
        return ["image_id"]
    ranks = rankdata(prediction_scores(table[list(PROBABILITY_COLUMNS)].to_numpy(dtype=float)), axis=0)
    return ["image_id", *(column for column in unique if not _from_predictions(table[column].tolist(), ranks))]


def _from_predictions(texts: Sequence[str], ranks: NDArray[np.float64]) -> bool:
    """Returns whether a column holds decimal numbers, or is in the order of a score of the predictions."""
    numeric = all(_NUMBER.fullmatch(text) for text in texts)
    if numeric and not all(text.isdigit() for text in texts):
        return True
    values = np.array(texts, dtype=float) if numeric else np.argsort(_sorted(texts))
    own = rankdata(values)
    if is_split(ranks[np.argsort(own, kind="stable")]):
        return True
    centred, own = ranks - ranks.mean(axis=0), own - own.mean()
    scale = np.sqrt((centred**2).sum(axis=0) * (own**2).sum())
    correlations = np.divide(own @ centred, scale, out=np.zeros(len(scale)), where=scale > 0)
    return bool(np.abs(correlations).max() > max(_FROM_PREDICTIONS, 4 / np.sqrt(len(own))))


def _sorted(texts: Sequence[str]) -> NDArray[Any]:
    return np.array(sorted(range(len(texts)), key=texts.__getitem__))


def _padded(text: str) -> str:
    return re.sub(r"\d+", lambda digits: digits.group().zfill(20), text)

"""Batches: predictions that were shuffled within batches are found, honest tables in any order are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from retinagrade.evaluation.integrity.batches import find_shuffled_batches
from retinagrade.grades import PROBABILITY_COLUMNS
from tests.evaluation.tables import predictions, some_grades

PROBABILITIES = list(PROBABILITY_COLUMNS)


def shuffled(table: pd.DataFrame, size: int) -> pd.DataFrame:
    """Shuffles the predictions within batches of consecutive rows."""
    keys = np.random.default_rng(0).random(len(table))
    sources = np.lexsort((keys, np.arange(len(table)) // size))
    return table.assign(**{column: table[column].to_numpy()[sources] for column in PROBABILITIES})


@pytest.mark.parametrize("size", [8, 32])
def test_shuffled_batches_are_found_with_their_size(size: int) -> None:
    table = predictions(some_grades(4000), skill=1.5)
    assert find_shuffled_batches(table) is None
    found = find_shuffled_batches(shuffled(table, size))
    assert found is not None
    assert found.size == size
    assert found.right > 2 * found.within
    assert found.p_value < 0.001


def test_two_eyes_and_folders_are_no_batches() -> None:
    grades = np.repeat(some_grades(1000), 2)
    eyes = predictions(grades, skill=0.4)
    eyes.loc[1::2, PROBABILITIES] = (eyes.loc[1::2, PROBABILITIES] + eyes.loc[::2, PROBABILITIES].to_numpy()) / 2
    for table in (eyes, predictions(np.sort(grades), skill=0.4)):
        assert find_shuffled_batches(table) is None


def test_few_photographs_have_no_batches() -> None:
    assert find_shuffled_batches(predictions(some_grades(60), skill=1)) is None

"""A simple numbering of the classes that explains a disagreement is named; other disagreements are not."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from retinagrade.evaluation.integrity.checks import check_predictions
from retinagrade.evaluation.integrity.relabelling import check_class_order
from retinagrade.evaluation.metrics import confusion_matrix
from retinagrade.grades import N_GRADES, PROBABILITY_COLUMNS
from tests.evaluation.tables import predictions


def matrix_of(grades: NDArray[np.int64], predicted: NDArray[np.int64]) -> NDArray[np.int64]:
    return confusion_matrix(grades, predicted)


@pytest.mark.parametrize("skill", [3, 8])
@pytest.mark.parametrize("step", [1, -1])
def test_a_shift_by_one_is_named(skill: float, step: int) -> None:
    table = predictions(np.tile(np.arange(4) + (step < 0), 15), skill)
    (finding,) = check_predictions(table.assign(grade=table["grade"] + step))
    assert finding.code == "class-order"
    assert "shifted by one" in finding.message
    assert "higher" in finding.message if step > 0 else "lower" in finding.message


@pytest.mark.parametrize(("one", "other"), [*combinations(range(N_GRADES), 2)])
def test_two_swapped_columns_are_named(one: int, other: int) -> None:
    table = predictions(np.tile(np.arange(N_GRADES), 12), skill=4)
    names = list(PROBABILITY_COLUMNS)
    names[one], names[other] = names[other], names[one]
    table[list(PROBABILITY_COLUMNS)] = table[names].to_numpy()
    finding = check_predictions(table)[0]
    assert finding.code == "class-order"
    assert {f"p{one}", f"p{other}"} <= set(finding.message.replace(":", " ").replace(",", " ").split()) or (
        "seem to number" in finding.message
    )


def test_a_reversed_scale_is_named() -> None:
    table = predictions(np.tile(np.arange(N_GRADES), 12), skill=4)
    (finding,) = check_predictions(table.assign(grade=4 - table["grade"]))
    assert "from worst to best" in finding.message


@pytest.mark.parametrize("skill", [0.5, 1, 2, 4])
@pytest.mark.parametrize("seed", range(8))
def test_an_honest_network_is_not_accused(skill: float, seed: int) -> None:
    grades = np.random.default_rng(seed).choice(N_GRADES, 300, p=[0.5, 0.1, 0.2, 0.1, 0.1])
    predicted = predictions(grades, skill, seed)[list(PROBABILITY_COLUMNS)].to_numpy().argmax(axis=1)
    assert not [one for one in check_class_order(matrix_of(grades, predicted)) if one.code == "class-order"]


def test_a_cautious_network_is_not_accused() -> None:
    grades = np.repeat(np.arange(N_GRADES), 20)
    timid = np.where(np.arange(100) % 3 == 0, np.maximum(grades - 1, 0), grades)
    assert check_class_order(matrix_of(grades, timid)) == []

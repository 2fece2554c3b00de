"""Alignment: a simple misorder is named for what it is, and neither weak nor useless predictions are given one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinagrade.evaluation.integrity.alignment import find_realignment
from retinagrade.grades import PROBABILITY_COLUMNS
from tests.evaluation.tables import predictions, some_grades

PROBABILITIES = list(PROBABILITY_COLUMNS)


def good(count: int, seed: int = 0, skill: float = 2) -> pd.DataFrame:
    """Good predictions of ids 0_left, 0_right, 1_left, … in the order of rows, with other names for the photographs."""
    table = predictions(some_grades(count, seed), skill, seed)
    names = np.random.default_rng(seed).permutation(count)
    return table.assign(
        image_id=[f"{index // 2}_{('left', 'right')[index % 2]}" for index in range(count)],
        filename=pd.array([f"{name:05d}.png" for name in names], dtype="string"),
        line=np.arange(count) + 2,
    )


def give(table: pd.DataFrame, sources: np.ndarray) -> pd.DataFrame:
    """Row k gets the prediction of row ``sources[k]``."""
    return table.assign(**{column: table[column].to_numpy()[sources] for column in PROBABILITIES})


def order(keys: list[str]) -> np.ndarray:
    return np.array(sorted(range(len(keys)), key=keys.__getitem__))


MISORDERS: dict[str, Callable[[pd.DataFrame], np.ndarray]] = {
    "look reversed": lambda table: np.arange(len(table))[::-1],
    "look shifted by one row": lambda table: (np.arange(len(table)) - 1) % len(table),
    "look shifted by 17 rows": lambda table: (np.arange(len(table)) + 17) % len(table),
    "seem to be made in the alphabetical order of image_id but listed in the order of the rows": lambda table: order(
        table["image_id"].tolist()
    ),
    "seem to be made in the alphabetical order of filename but listed in the order of the rows": lambda table: order(
        table["filename"].tolist()
    ),
    "seem to be made in the order of the rows but listed in the alphabetical order of filename": lambda table: (
        np.argsort(order(table["filename"].tolist()))
    ),
    "seem to be made in the order of folders 0 to 4, by image_id in each but listed in the order of the rows": (
        lambda table: order([f"{grade}/{name}" for grade, name in zip(table["grade"], table["image_id"], strict=True)])
    ),
}


@pytest.mark.parametrize("count", [150, 203, 3000])
@pytest.mark.parametrize("looks", MISORDERS)
def test_every_misorder_is_named_for_what_it_is(looks: str, count: int) -> None:
    table = good(count)
    found = find_realignment(give(table, MISORDERS[looks](table)))
    if found is None:  # few, nearly faultless predictions by folders look as if they were sorted by grade afterwards
        assert "folders" in looks
        assert count < 3000
        return
    assert found.appearance == looks
    assert found.before < 0.4
    assert found.after > 0.9
    assert find_realignment(table) is None


@given(st.integers(30, 200), st.integers(1, 29), st.booleans(), st.integers(0, 20))
@settings(max_examples=25)
def test_any_shift_is_found_with_its_direction(count: int, shift: int, up: bool, seed: int) -> None:
    table = good(count, seed, skill=4)
    found = find_realignment(give(table, (np.arange(count) - (shift if up else -shift)) % count))
    if found is None:  # a faultless grade may stand as well before as after it
        assert count < 60
        return
    if shift < count / 2 and found.appearance.startswith("look shifted"):
        number = "one row" if shift == 1 else f"{shift} rows"
        assert found.appearance == f"look shifted by {number}"
        assert found.remedy == f"if every prediction moves {'up' if up else 'down'} {number}"


def test_a_shift_in_an_order_that_the_file_has_lost() -> None:
    """The rows were sorted by file name since."""
    table = good(300)
    moved = give(table, (np.arange(300) - 1) % 300)
    lines = np.argsort(order(table["filename"].tolist())) + 2
    found = find_realignment(moved.assign(line=lines))
    assert found is not None
    assert found.appearance == "look shifted by one place in the numeric order of image_id (2 before 10)"


def test_the_order_of_the_table_of_grades_is_tried() -> None:
    table = good(300).drop(columns="filename")
    shuffled = np.random.default_rng(5).permutation(300)
    found = find_realignment(give(table, shuffled).assign(grades_line=np.argsort(shuffled) + 2))
    assert found is not None
    assert found.appearance == "seem to be made in the order of the table of grades but listed in the order of the rows"


def test_photographs_without_a_grade_keep_their_place() -> None:
    table = good(200)
    moved = give(table, (np.arange(200) - 1) % 200)
    moved.loc[::3, "grade"] = pd.NA
    found = find_realignment(moved)
    assert found is not None
    assert found.appearance == "look shifted by one row"


def test_two_eyes_side_by_side_agree_by_half_and_are_still_found_shifted() -> None:
    grades = np.repeat(some_grades(300), 2)
    grades[::10] = some_grades(60, seed=1)  # of one patient in five, the eyes were graded independently
    table = predictions(grades, skill=2).assign(line=np.arange(600) + 2)
    found = find_realignment(give(table, (np.arange(600) - 1) % 600))
    assert found is not None
    assert found.before > 0.3  # not independent at all
    assert found.appearance == "look shifted by one row"


@given(
    count=st.integers(2, 120),
    skill=st.sampled_from([0, 0, 0.3, 0.7, 1.5, 4]),
    seed=st.integers(0, 10_000),
    balanced=st.booleans(),
    by_class=st.booleans(),
    certain=st.booleans(),
    file_order=st.sampled_from(["id", "p0", "p4", "expected", "confidence", "predicted"]),
)
@settings(max_examples=100)
def test_nothing_is_found_in_what_is_paired_rightly_or_knows_nothing(
    count: int, skill: float, seed: int, balanced: bool, by_class: bool, certain: bool, file_order: str
) -> None:
    """However weak, whatever the file is sorted by (also by its own probabilities), with many names to try."""
    rng = np.random.default_rng(seed)
    grades = rng.integers(0, 5, count) if balanced else rng.choice(5, count, p=[0.73, 0.07, 0.15, 0.03, 0.02])
    grades[:2] = (0, 2)
    table = predictions(np.sort(grades) if by_class else grades, skill, seed)
    if certain:
        table[PROBABILITIES] = np.eye(5)[table[PROBABILITIES].to_numpy().argmax(axis=1)]
    values = table[PROBABILITIES].to_numpy()
    keys = {
        "id": np.arange(count), "p0": values[:, 0], "p4": values[:, 4], "expected": -values @ np.arange(5),
        "confidence": values.max(axis=1), "predicted": values.argmax(axis=1),
    }  # fmt: skip
    table["line"] = np.argsort(np.argsort(keys[file_order], kind="stable")) + 2
    for column in ("filename", "path"):
        table[column] = pd.array([f"{name}.png" for name in rng.permutation(count)], dtype="string")
    assert find_realignment(table) is None


def test_a_shuffled_table_is_put_right_by_nothing() -> None:
    table = good(1000)
    assert find_realignment(give(table, np.random.default_rng(3).permutation(1000))) is None

"""Marks of a camera: found where made-up dust is, and nowhere else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from retinagrade.lesion_maps.marks import erase_marks, find_marks

KINDS = ("haemorrhages", "hard_exudates", "microaneurysms")
SIDE = 256


def draw(seed: int, dust: list[tuple[int, int]], share: float, kind: int = 0) -> NDArray[np.uint8]:
    """Draws maps with lesions anywhere, and at dust in a share of the photographs."""
    rng = np.random.default_rng(seed)
    maps = np.zeros((len(KINDS), SIDE, SIDE), np.uint8)
    for _ in range(15):
        x, y = rng.integers(0, SIDE, 2)
        cv2.circle(maps[rng.integers(len(KINDS))], (int(x), int(y)), 3, int(rng.integers(140, 255)), -1)
    for place in dust:
        if rng.random() < share:
            cv2.circle(maps[kind], place, 3, 200, -1)
    return maps


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.integers(20, SIDE - 20), st.integers(20, SIDE - 20)), min_size=1, max_size=4),
    st.sampled_from([0, 2]),
    st.integers(0, 1000),
)
def test_dust_is_found_where_it_is(dust: list[tuple[int, int]], kind: int, seed: int) -> None:
    finder = find_marks((draw(seed + number, dust, 0.5, kind) for number in range(80)), KINDS)
    marks = finder.mask()
    assert marks is not None
    assert all(marks[y, x] for x, y in dust)
    assert 1 <= len(finder.marks()) <= len(dust)
    for mark in finder.marks():
        assert min(np.hypot(mark.x * SIDE - x, mark.y * SIDE - y) for x, y in dust) < 12
        assert 20 < mark.photographs <= finder.photographs == 80
    away = np.ones((SIDE, SIDE), np.uint8)
    for place in dust:
        cv2.circle(away, place, 10, 0, -1)
    assert not marks[away == 1].any()


@pytest.mark.parametrize(
    ("photographs", "share", "kind"),
    [
        pytest.param(80, 0.0, 0, id="no dust"),
        pytest.param(80, 0.5, 1, id="bright spots"),
        pytest.param(9, 1.0, 0, id="few photographs"),
        pytest.param(0, 1.0, 0, id="no photographs"),
    ],
)
def test_nothing_else_is_a_mark(photographs: int, share: float, kind: int) -> None:
    finder = find_marks((draw(number, [(60, 90)], share, kind) for number in range(photographs)), KINDS)
    assert finder.mask() is None
    assert finder.marks() == []


def test_a_vessel_that_is_outlined_everywhere_is_no_mark() -> None:
    """A wide band that many networks outline is not a spot."""
    maps = np.zeros((len(KINDS), SIDE, SIDE), np.uint8)
    maps[0, 60:200] = 255
    assert find_marks([maps] * 40, KINDS).marks() == []


def test_erased_marks_leave_all_other_lesions() -> None:
    maps = draw(0, [(60, 90)], 1.0)
    marks = np.zeros((SIDE, SIDE), bool)
    marks[80:100, 50:70] = True
    erased = erase_marks(maps, KINDS, marks)
    assert not erased[[0, 2]][:, marks].any()
    np.testing.assert_array_equal(erased[1], maps[1])
    np.testing.assert_array_equal(erased[:, ~marks], maps[:, ~marks])
    assert maps[0, 90, 60] == 200  # the maps that were given are unchanged

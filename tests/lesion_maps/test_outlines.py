"""Outlines: they enclose the pixels of their lesions, and nothing else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinagrade.lesion_maps.outlines import COLOURS, draw_outlines, outline_lesions
from retinagrade.lesion_maps.regions import find_regions
from tests.lesion_maps.made_up_maps import draw_maps

SPOT = st.tuples(st.just("haemorrhages"), st.floats(30, 220), st.floats(30, 220), st.floats(0.5, 15), st.floats(0.2, 1))


@settings(max_examples=50, deadline=None)
@given(st.lists(SPOT, max_size=6))
def test_polygons_enclose_the_pixels_above_one_half(spots: list[tuple[str, float, float, float, float]]) -> None:
    lesion_map = draw_maps(spots)[1]
    outlines = outline_lesions(lesion_map, find_regions(lesion_map))
    assert sum(outline.area for outline in outlines) == (lesion_map > 127).sum()
    painted = np.zeros((lesion_map.shape[0] * 6, lesion_map.shape[1] * 6), np.uint8)
    for outline in outlines:
        cv2.fillPoly(painted, [np.round((outline.polygon + 0.5) * 6 - 0.5).astype(np.int32)], 1)
        left, top = outline.polygon.min(axis=0)
        assert lesion_map[round(top) :, round(left) :].max() > 127
        assert outline.probability >= 0.5
    centres = painted[3::6, 3::6] > 0
    holes_filled = cv2.morphologyEx((lesion_map > 127).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    assert (centres >= (lesion_map > 127)).all()
    assert (centres & (holes_filled == 0)).sum() <= 0.02 * centres.sum() + 1


def test_uncertain_lesions_have_no_outline() -> None:
    lesion_map = draw_maps([("haemorrhages", 60, 60, 5, 0.45), ("haemorrhages", 160, 60, 5, 0.7)])[1]
    assert len(outline_lesions(lesion_map, find_regions(lesion_map))) == 1
    assert outline_lesions(lesion_map, find_regions(lesion_map), 0.8) == []


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("kind", COLOURS)
def test_a_drawn_outline_does_not_cover_its_lesion(kind: str, width: int) -> None:
    lesion_map = draw_maps([("haemorrhages", 100, 120, 1.5, 0.9)])[1]
    grey = np.full((256, 256, 3), 90, np.uint8)
    picture = draw_outlines(grey, {kind: outline_lesions(lesion_map, find_regions(lesion_map))}, width)
    changed = (picture != grey).any(axis=2)
    assert changed.any()
    assert not changed[lesion_map > 127].any()
    rows, columns = np.nonzero(changed)
    assert np.hypot(rows - 120, columns - 100).max() < 7 + width

"""Photographs with their maps, at the side at which they are read."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from retinagrade.lesion_maps.mapped import map_photograph, read_side
from tests.lesion_maps.made_up_maps import KINDS, draw_maps


def photograph(side: int) -> np.ndarray:
    """Draws a lit disc, with light in the corners that is none of the retina."""
    pixels = np.full((side, side, 3), 4, np.uint8)
    cv2.circle(pixels, (side // 2, side // 2), side * 9 // 20, (170, 90, 30), -1)
    return pixels


@pytest.mark.parametrize(
    ("maps_side", "side", "read"),
    [(384, 768, 768), (512, 1024, 1024), (768, 1536, 1024), (1024, 2048, 1024), (2048, 2048, 2048)],
)
def test_photograph_and_maps_have_one_side(maps_side: int, side: int, read: int) -> None:
    square = photograph(side)
    mapped = map_photograph(
        square, draw_maps([("haemorrhages", 0.5 * maps_side, 0.4 * maps_side, 20, 0.9)], maps_side), KINDS
    )
    assert read_side(maps_side, side) == read
    assert mapped.square.shape == mapped.photograph.shape == (read, read, 3)
    assert mapped.inside.shape == (read, read)
    assert mapped.maps.shape == (len(KINDS), read, read)
    assert not mapped.photograph[~mapped.inside].any()
    rows, columns = np.nonzero(mapped.maps[KINDS.index("haemorrhages")] > 127)
    assert rows.mean() / read == pytest.approx(0.4, abs=0.002)
    assert columns.mean() / read == pytest.approx(0.5, abs=0.002)


def test_lesions_that_are_too_large_are_added() -> None:
    maps = draw_maps([("optic_disc", 50, 128, 20, 0.98), ("optic_disc", 150, 128, 18, 0.98)])
    maps[KINDS.index("optic_disc")][128:132, 150:178] = 250  # less round
    mapped = map_photograph(photograph(512), maps, KINDS)
    assert mapped.maps[KINDS.index("hard_exudates"), 256, 300] == 250
    assert not mapped.maps[KINDS.index("hard_exudates"), 256, 100]

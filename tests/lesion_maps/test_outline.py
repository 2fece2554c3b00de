"""Prepared photographs and their maps, on the way to lesions."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from retinagrade.lesion_maps.outline import blacken_outside, enlarge_maps


def test_a_photograph_is_black_outside_its_field_of_view() -> None:
    photograph = np.full((200, 200, 3), 3, np.uint8)
    cv2.circle(photograph, (100, 100), 90, (120, 60, 30), -1)
    blackened, inside = blacken_outside(photograph)
    assert inside[100, 100]
    assert not inside[2, 2]
    assert (blackened[~inside] == 0).all()
    assert (blackened[inside] == photograph[inside]).all()


@given(st.integers(1, 6), st.sampled_from([1, 2, 4, 8]), st.integers(0, 2**32 - 1))
def test_enlarged_maps_keep_what_they_show_in_its_place(kinds: int, factor: int, seed: int) -> None:
    maps = np.random.default_rng(seed).integers(0, 256, (kinds, 16, 16)).astype(np.uint8)
    enlarged = enlarge_maps(maps, 16 * factor)
    assert enlarged.shape == (kinds, 16 * factor, 16 * factor)
    assert enlarged.dtype == np.uint8
    # SciPy interpolates between the middles of pixels as well; `nearest` repeats the pixels of the border.
    places = (np.arange(16 * factor) + 0.5) / factor - 0.5
    grid = np.meshgrid(places, places, indexing="ij")
    for each, map_ in zip(enlarged, maps, strict=True):
        expected = ndimage.map_coordinates(map_.astype(float), grid, order=1, mode="nearest")
        assert np.abs(each - expected).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_maps_of_the_right_side_stay_as_they_are(dtype: type) -> None:
    maps: NDArray[np.uint8] = np.ones((2, 8, 8), dtype)
    assert enlarge_maps(maps, 8) is maps
    assert enlarge_maps(maps, 16).dtype == dtype

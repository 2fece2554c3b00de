"""Agreement of heat with lesions: hand-made masks with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from retinagrade.explain.lesions.agreement import NEAR, agreement, dilate_region, enlarge_map

SIDE = 20


def disc(side: int = SIDE) -> np.ndarray:
    """A round retina that touches the frame."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    retina: np.ndarray = np.hypot(x, y) <= side / 2
    return retina


def square(top: int, left: int, size: int, side: int = SIDE) -> np.ndarray:
    """A square region."""
    region = np.zeros((side, side), bool)
    region[top : top + size, left : left + size] = True
    return region


def test_uniform_heat_on_the_retina_prefers_nothing() -> None:
    retina, lesion = disc(), square(5, 6, 4)
    found = agreement(retina.astype(np.float32), lesion, retina)
    assert found.area == 16 / retina.sum()
    assert found.ratio == pytest.approx(1)
    assert found.hit == pytest.approx(found.area)  # all pixels are the hottest one


def test_heat_in_lesions_only_is_all_there() -> None:
    retina, lesion = disc(), square(5, 6, 4)
    found = agreement(lesion * 3.0, lesion, retina)
    assert (found.heat, found.hit) == (1, 1)
    assert found.ratio == pytest.approx(retina.sum() / 16)


def test_heat_outside_the_retina_is_beside_the_lesions_and_no_area() -> None:
    retina, lesion = disc(), square(5, 6, 4)
    everywhere = agreement(np.ones((SIDE, SIDE)), lesion, retina)
    assert everywhere.heat == pytest.approx(16 / SIDE**2)
    assert everywhere.ratio == pytest.approx(retina.sum() / SIDE**2)  # below 1
    corner = agreement(square(0, 0, 2) * 1.0, square(0, 0, 10), retina)
    assert (corner.heat, corner.hit) == (0, 0)


def test_the_hottest_point_counts_not_the_most_heat() -> None:
    retina, lesion = disc(), square(5, 6, 4)
    heat = np.where(lesion, 1.0, 0.01)
    heat[15, 10] = 1.5
    found = agreement(heat, lesion, retina)
    assert found.hit == 0
    assert found.ratio > 5


def test_heat_on_the_optic_disc_is_not_on_a_lesion() -> None:
    retina, lesion, optic_disc = disc(), square(5, 6, 4), square(10, 14, 4)
    heat = optic_disc * 1.0
    assert agreement(heat, lesion, retina).ratio == 0
    assert agreement(heat, optic_disc, retina).heat == 1


def test_a_map_without_heat_has_no_figures() -> None:
    found = agreement(np.zeros((SIDE, SIDE)), square(5, 6, 4), disc())
    assert np.isnan([found.heat, found.hit, found.ratio]).all()


def test_the_neighbourhood_is_a_share_of_the_retinas_diameter() -> None:
    retina = disc(200)
    around = dilate_region(square(100, 100, 1, 200), retina)
    y, x = np.mgrid[:200, :200] - 100
    np.testing.assert_array_equal(around, np.hypot(x, y) <= NEAR * 200)
    at_the_edge = dilate_region(square(100, 199, 1, 200), retina)
    assert not (at_the_edge & ~retina).any()
    assert not dilate_region(np.zeros((200, 200), bool), retina).any()


@given(
    heat=arrays(np.float64, (8, 8), elements=st.floats(0, 1, allow_subnormal=False)),
    lesion=arrays(bool, (8, 8)),
    factor=st.floats(0.1, 1000),
)
def test_shares_are_shares_and_the_scale_of_heat_is_nothing(
    heat: np.ndarray, lesion: np.ndarray, factor: float
) -> None:
    retina = disc(8)
    found, scaled = agreement(heat, lesion, retina), agreement(heat * factor, lesion, retina)
    if not heat.any():
        assert np.isnan(found.heat)
        return
    assert 0 <= found.area <= 1
    assert 0 <= found.heat <= 1 + 1e-12
    assert 0 <= found.hit <= 1
    assert scaled.heat == pytest.approx(found.heat)
    rest = agreement(heat, ~lesion, retina)
    outside = heat[~retina].sum() / heat.sum()
    assert found.heat + rest.heat + outside == pytest.approx(1)
    around = agreement(heat, dilate_region(lesion & retina, retina), retina)
    assert around.heat >= found.heat - 1e-12


def test_coarse_maps_lie_over_the_whole_frame() -> None:
    heat = np.zeros((2, 2), np.float32)
    heat[0, 1] = 1
    over = enlarge_map(heat, 40)
    assert over[9, 30] > 0.9
    assert over[30, 30] < 0.1
    assert enlarge_map(over, 40) is over

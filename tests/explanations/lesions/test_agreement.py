"""Agreement of saliency maps with regions: simple masks with known results."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from retinagrade.explanations.lesions.agreement import NEIGHBOURHOOD, dilate_region, enlarge_map, region_agreement

SIDE = 20


def disc(side: int = SIDE) -> NDArray[np.bool_]:
    """A round retina that touches the frame."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    retina: NDArray[np.bool_] = np.hypot(x, y) <= side / 2
    return retina


def square(top: int, left: int, size: int, side: int = SIDE) -> NDArray[np.bool_]:
    """A square region."""
    region = np.zeros((side, side), bool)
    region[top : top + size, left : left + size] = True
    return region


def test_uniform_saliency_on_the_retina_has_no_preference() -> None:
    retina, lesion = disc(), square(5, 6, 4)
    agreement = region_agreement(retina.astype(np.float32), lesion, retina)
    assert agreement.area == 16 / retina.sum()
    assert agreement.ratio == pytest.approx(1)
    assert agreement.hit == pytest.approx(agreement.area)  # all pixels are equally salient


def test_saliency_only_in_lesions_has_a_share_of_1() -> None:
    retina, lesion = disc(), square(5, 6, 4)
    agreement = region_agreement(lesion * 3.0, lesion, retina)
    assert (agreement.saliency, agreement.hit) == (1, 1)
    assert agreement.ratio == pytest.approx(retina.sum() / 16)


def test_saliency_outside_the_retina_is_outside_lesions_and_adds_no_area() -> None:
    retina, lesion = disc(), square(5, 6, 4)
    everywhere = region_agreement(np.ones((SIDE, SIDE)), lesion, retina)
    assert everywhere.saliency == pytest.approx(16 / SIDE**2)
    assert everywhere.ratio == pytest.approx(retina.sum() / SIDE**2)  # below 1
    corner = region_agreement(square(0, 0, 2) * 1.0, square(0, 0, 10), retina)
    assert (corner.saliency, corner.hit) == (0, 0)


def test_the_most_salient_point_decides_the_hit() -> None:
    retina, lesion = disc(), square(5, 6, 4)
    saliency = np.where(lesion, 1.0, 0.01)
    saliency[15, 10] = 1.5
    agreement = region_agreement(saliency, lesion, retina)
    assert agreement.hit == 0
    assert agreement.ratio > 5


def test_saliency_on_the_optic_disc_is_not_in_a_lesion() -> None:
    retina, lesion, optic_disc = disc(), square(5, 6, 4), square(10, 14, 4)
    saliency = optic_disc * 1.0
    assert region_agreement(saliency, lesion, retina).ratio == 0
    assert region_agreement(saliency, optic_disc, retina).saliency == 1


def test_a_map_of_zeros_has_no_metrics() -> None:
    agreement = region_agreement(np.zeros((SIDE, SIDE)), square(5, 6, 4), disc())
    assert np.isnan([agreement.saliency, agreement.hit, agreement.ratio]).all()


def test_the_neighbourhood_is_a_share_of_the_diameter_of_the_retina() -> None:
    retina = disc(200)
    around = dilate_region(square(100, 100, 1, 200), retina)
    y, x = np.mgrid[:200, :200] - 100
    np.testing.assert_array_equal(around, np.hypot(x, y) <= NEIGHBOURHOOD * 200)
    at_the_edge = dilate_region(square(100, 199, 1, 200), retina)
    assert not (at_the_edge & ~retina).any()
    assert not dilate_region(np.zeros((200, 200), bool), retina).any()


@given(
    saliency=arrays(np.float64, (8, 8), elements=st.floats(0, 1, allow_subnormal=False)),
    lesion=arrays(bool, (8, 8)),
    factor=st.floats(0.1, 1000),
)
def test_shares_are_between_0_and_1_and_independent_of_scale(
    saliency: NDArray[np.float64], lesion: NDArray[np.bool_], factor: float
) -> None:
    retina = disc(8)
    agreement, scaled = region_agreement(saliency, lesion, retina), region_agreement(saliency * factor, lesion, retina)
    if not saliency.any():
        assert np.isnan(agreement.saliency)
        return
    assert 0 <= agreement.area <= 1
    assert 0 <= agreement.saliency <= 1 + 1e-12
    assert 0 <= agreement.hit <= 1
    assert scaled.saliency == pytest.approx(agreement.saliency)
    rest = region_agreement(saliency, ~lesion, retina)
    outside = saliency[~retina].sum() / saliency.sum()
    assert agreement.saliency + rest.saliency + outside == pytest.approx(1)
    around = region_agreement(saliency, dilate_region(lesion & retina, retina), retina)
    assert around.saliency >= agreement.saliency - 1e-12


def test_coarse_maps_lie_over_the_whole_frame() -> None:
    saliency = np.zeros((2, 2), np.float32)
    saliency[0, 1] = 1
    over = enlarge_map(saliency, 40)
    assert over[9, 30] > 0.9
    assert over[30, 30] < 0.1
    assert enlarge_map(over, 40) is over

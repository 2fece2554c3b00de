"""Plaques that look like a second optic disc, and pools of blood."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from retinagrade.lesion_maps.anatomy import find_anatomy
from retinagrade.lesion_maps.large_lesions import complete_large_lesions
from retinagrade.lesion_maps.regions import OUTLINED_ABOVE
from tests.lesion_maps.made_up_maps import KINDS, Spot, draw_maps, whole_field

SIDE = 512
DISC: Spot = ("optic_disc", 110, 250, 40, 0.98)
BLOOD, EXUDATES, OPTIC = (KINDS.index(kind) for kind in ("haemorrhages", "hard_exudates", "optic_disc"))
RETINA = np.full((SIDE, SIDE, 3), (170, 90, 30), np.uint8)


def complete(spots: list[Spot], photograph: NDArray[np.uint8] = RETINA) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns maps before and after; the maps before must not change."""
    before = draw_maps(spots, SIDE)
    kept = before.copy()
    after = complete_large_lesions(before, KINDS, photograph, whole_field(SIDE))
    np.testing.assert_array_equal(before, kept)
    return before, after


def ellipse(x: int, y: int, axes: tuple[int, int]) -> NDArray[np.bool_]:
    drawn = cv2.ellipse(np.zeros((SIDE, SIDE), np.uint8), (x, y), axes, 0, 0, 360, 1, -1)
    return np.asarray(drawn > 0)


def test_a_second_disc_is_an_exudate_and_the_rounder_one_stays() -> None:
    before = draw_maps([DISC], SIDE)
    plaque = ellipse(300, 260, (60, 40))  # larger than the disc
    before[OPTIC][plaque] = 250
    after = complete_large_lesions(before, KINDS, RETINA, whole_field(SIDE))
    assert (after[EXUDATES][plaque] == 250).all()
    assert not after[EXUDATES][~plaque].any()
    np.testing.assert_array_equal(after[OPTIC] > 0, draw_maps([DISC], SIDE)[OPTIC] > 0)
    for maps in (before, after):
        disc = find_anatomy(RETINA, maps[OPTIC], whole_field(SIDE)).disc
        assert disc is not None
        assert disc.x == pytest.approx(110, abs=1)


def disc_of(maps: NDArray[np.uint8]) -> tuple[float, float]:
    disc = find_anatomy(RETINA, maps[OPTIC], whole_field(SIDE)).disc
    assert disc is not None
    return disc.x, disc.y


def test_a_small_round_place_is_no_better_disc_than_an_oval_one() -> None:
    before = draw_maps([("optic_disc", 350, 260, 19, 0.98)], SIDE)
    before[OPTIC][ellipse(110, 250, (30, 45))] = 240
    after = complete_large_lesions(before, KINDS, RETINA, whole_field(SIDE))
    assert disc_of(before) == disc_of(after) == pytest.approx((110, 250), abs=1)
    assert not after[EXUDATES][ellipse(110, 250, (30, 45))].any()


def test_a_disc_with_holes_stays_the_disc() -> None:
    """Vessels and the cup may be missing from its map."""
    before = draw_maps([DISC, ("optic_disc", 350, 260, 25, 0.99)], SIDE)
    before[OPTIC][ellipse(110, 250, (25, 25))] = 0
    after = complete_large_lesions(before, KINDS, RETINA, whole_field(SIDE))
    assert disc_of(after)[0] == pytest.approx(110, abs=1)


def test_the_edge_of_the_frame_is_a_rim() -> None:
    """A photograph whose field of view is wider than its frame has no dark corners."""
    maps = draw_maps([DISC, ("optic_disc", 500, 260, 25, 0.99)], SIDE)
    everywhere = np.ones((SIDE, SIDE), np.bool_)
    assert complete_large_lesions(maps, KINDS, RETINA, everywhere) is maps
    further = draw_maps([DISC, ("optic_disc", 430, 260, 25, 0.9)], SIDE)
    assert complete_large_lesions(further, KINDS, RETINA, everywhere)[EXUDATES].any()


def test_two_places_that_are_alike_both_stay() -> None:
    before, after = complete([DISC, ("optic_disc", 300, 260, 40, 0.98)])
    assert after is before


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(("optic_disc", 165, 250, 12, 0.95), id="a part of the disc, beside it"),
        pytest.param(("optic_disc", 256, 28, 20, 0.95), id="a reflex at the rim"),
        pytest.param(("optic_disc", 300, 260, 40, 0.6), id="a sheen, improbable"),
        pytest.param(("optic_disc", 300, 260, 5, 0.95), id="a dot"),
        pytest.param(("hard_exudates", 300, 260, 40, 0.95), id="an exudate already"),
    ],
)
def test_other_places_stay(other: Spot) -> None:
    before, after = complete([DISC, other])
    assert after is before


def test_a_thin_bright_band_is_no_plaque() -> None:
    before = draw_maps([DISC], SIDE)
    before[OPTIC][ellipse(310, 260, (90, 14))] = 250
    assert complete_large_lesions(before, KINDS, RETINA, whole_field(SIDE)) is before


def test_without_a_disc_nothing_is_a_second_one() -> None:
    before, after = complete([("optic_disc", 300, 260, 15, 0.95)])
    assert after is before


def test_maps_without_a_disc_or_exudates_stay() -> None:
    maps = draw_maps([("haemorrhages", 300, 260, 15, 0.95)], SIDE)[:2]
    assert complete_large_lesions(maps, KINDS[:2], RETINA, whole_field(SIDE)) is maps


def with_pool(darkness: float, blur: float = 1.0, height: int = 140) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draws blood that fills the lower part of the field of view."""
    pool = np.zeros((SIDE, SIDE), bool)
    pool[SIDE - height :] = True
    light = cv2.GaussianBlur(np.where(pool, darkness, 1.0), (0, 0), blur)
    field = whole_field(SIDE)
    return np.asarray(RETINA * light[..., None] * field[..., None], np.uint8), pool & field


KNOWN: Spot = ("haemorrhages", 256, 400, 20, 0.9)


def test_a_pool_is_filled_where_a_part_is_outlined() -> None:
    photograph, pool = with_pool(0.4)
    _, after = complete([KNOWN], photograph)
    found = after[BLOOD] > OUTLINED_ABOVE
    assert (found & pool).sum() / (found | pool).sum() > 0.9
    assert after[BLOOD].max() == round(255 * 0.9)  # what the network knew stays as certain
    kept = [index for index in range(len(KINDS)) if index != BLOOD]
    assert not after[kept].any()


@pytest.mark.parametrize(
    ("darkness", "blur", "height", "spots"),
    [
        pytest.param(0.4, 1.0, 140, [], id="no haemorrhage outlined"),
        pytest.param(0.4, 1.0, 140, [("haemorrhages", 256, 200, 20, 0.9)], id="a haemorrhage elsewhere"),
        pytest.param(0.4, 1.0, 140, [("haemorrhages", 256, 400, 2, 0.9)], id="a dot only"),
        pytest.param(0.4, 60.0, 140, [KNOWN], id="a shade without an edge"),
        pytest.param(0.8, 1.0, 140, [KNOWN], id="not dark"),
        pytest.param(0.4, 1.0, 30, [("haemorrhages", 256, 498, 14, 0.9)], id="too small"),
    ],
)
def test_other_dark_places_stay(darkness: float, blur: float, height: int, spots: list[Spot]) -> None:
    photograph, _ = with_pool(darkness, blur, height)
    before, after = complete(spots, photograph)
    assert after is before


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(KINDS),
            st.floats(0, SIDE),
            st.floats(0, SIDE),
            st.floats(0, 150),
            st.floats(0, 1),
        ),
        max_size=8,
    ),
    st.floats(0, 1),
)
def test_lesions_are_never_lost(spots: list[Spot], darkness: float) -> None:
    photograph, _ = with_pool(darkness)
    before, after = complete(spots, photograph)
    lesions = [index for index in range(len(KINDS)) if index != OPTIC]
    assert (after[lesions] >= before[lesions]).all()
    assert (np.maximum(after[OPTIC], after[EXUDATES]) >= before[OPTIC]).all()

"""Plain numbers of lesion maps: known lesions give known numbers, and more lesions never give smaller ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from retinagrade.lesion_maps.anatomy import Anatomy, OpticDisc
from retinagrade.lesion_maps.measurements import measure_lesions
from retinagrade.lesion_maps.numbers import RED, lesion_numbers, number_row, read_maps
from retinagrade.lesion_maps.regions import LEAST, find_regions
from tests.lesion_maps.made_up_maps import KINDS, SIDE, Spot, draw_maps, whole_field

SPOT = st.tuples(
    st.sampled_from(KINDS[:4]),
    st.floats(40, SIDE - 40),
    st.floats(40, SIDE - 40),
    st.floats(0.5, 12),
    st.floats(0.02, 1),
)


def numbers_of(spots: list[Spot]) -> dict[str, float]:
    return lesion_numbers(read_maps(draw_maps(spots), KINDS, whole_field()), Anatomy())


def test_known_lesions_give_known_numbers() -> None:
    spots: list[Spot] = [
        ("microaneurysms", 60, 60, 2, 0.9),
        ("microaneurysms", 200, 200, 2, 0.6),
        ("haemorrhages", 60, 200, 6, 0.95),
    ]
    numbers = numbers_of(spots)
    assert numbers["microaneurysms_count_from_0.3"] == pytest.approx(np.log(3))
    assert numbers["microaneurysms_count_from_0.7"] == pytest.approx(np.log1p(1.0), abs=0.01)
    assert numbers["haemorrhages_quadrants"] == 1
    assert numbers[f"{RED}_quadrants"] == pytest.approx(3, abs=0.01)
    assert numbers["soft_exudates_load"] == 0
    area = (draw_maps(spots)[1] > 127).sum() / read_maps(draw_maps(spots), KINDS, whole_field()).inside.sum()
    assert numbers["haemorrhages_area_above_0.5"] == pytest.approx(np.log1p(1e4 * area))


@settings(max_examples=40, deadline=None)
@given(st.lists(SPOT, max_size=6), SPOT)
def test_names_are_always_the_same_and_a_further_area_never_shrinks(spots: list[Spot], further: Spot) -> None:
    before, after = numbers_of(spots), numbers_of([further])
    both = lesion_numbers(
        read_maps(np.maximum(draw_maps(spots), draw_maps([further])), KINDS, whole_field()), Anatomy()
    )
    assert list(before) == list(after) == list(both)
    for name in both:
        if "area" in name or name.endswith(("load", "peak_1")):
            assert both[name] >= max(before[name], after[name]) - 1e-9
    assert np.isfinite(number_row(both, list(both))).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(SPOT, max_size=8))
def test_regions_agree_with_scipy(spots: list[Spot]) -> None:
    lesion_map = draw_maps(spots).max(axis=0)
    regions = find_regions(lesion_map)
    labels, count = ndimage.label(lesion_map > LEAST, np.ones((3, 3)))
    assert len(regions) == count
    index = range(1, count + 1)
    assert sorted(regions.areas) == sorted(ndimage.sum_labels(np.ones_like(labels), labels, index))
    assert sorted(regions.cores) == sorted(ndimage.sum_labels(lesion_map > 127, labels, index))
    np.testing.assert_allclose(np.sort(regions.peaks), np.sort(ndimage.maximum(lesion_map, labels, index)) / 255)
    for label, (y, x) in zip(index, ndimage.center_of_mass(labels > 0, labels, index), strict=True):
        region = regions.region_at(*(int(each) for each in np.argwhere(labels == label)[-1]))
        np.testing.assert_array_equal(regions.mask(np.arange(count) == region), labels == label)
        np.testing.assert_allclose(regions.centres[region], (x, y))


def test_the_rim_counts_nothing() -> None:
    middle = SIDE / 2
    numbers = numbers_of([("hard_exudates", middle, 1.5, 1, 0.99)])
    assert numbers["hard_exudates_load"] == 0
    assert numbers_of([("hard_exudates", middle, 12, 1, 0.99)])["hard_exudates_load"] > 0


def test_exudates_count_by_their_distance_from_the_fovea() -> None:
    maps = draw_maps([("hard_exudates", 150, 128, 3, 0.9)])
    near = Anatomy(OpticDisc(60, 128, 40, 0.9), fovea=(160.0, 128.0))
    far = Anatomy(OpticDisc(200, 128, 40, 0.9), fovea=(60.0, 128.0))
    field = whole_field()
    first, second = (lesion_numbers(read_maps(maps, KINDS, field), each) for each in (near, far))
    assert first["hard_exudates_peak_within_0.33"] > 2 > second["hard_exudates_peak_within_1.5"]
    assert first["hard_exudates_load"] == second["hard_exudates_load"]


def test_measurements_count_by_quadrant() -> None:
    spots: list[Spot] = [
        ("haemorrhages", 60, 60, 5, 0.9),
        ("haemorrhages", 80, 100, 5, 0.9),
        ("haemorrhages", 200, 190, 5, 0.9),
        ("haemorrhages", 190, 60, 5, 0.4),
    ]
    read = read_maps(draw_maps(spots), KINDS, whole_field())
    measured = measure_lesions(read)
    assert measured.counts_by_quadrant("haemorrhages") == (2, 0, 0, 1)
    assert measured.count("haemorrhages") == 3
    assert measured.area("haemorrhages") == pytest.approx((draw_maps(spots[:3])[1] > 127).sum() / read.inside.sum())
    assert measured.count("microaneurysms") == 0
    assert RED not in measured.by_kind

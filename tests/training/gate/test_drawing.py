"""Drawn pictures: repeatable, valid, and labelled as they look."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinagrade.gate.inputs import FRAME, SQUARE
from retinagrade.gate.names import CENTRES, FAULTS, MODALITIES
from retinagrade.images.degradation import DEGRADATION_KINDS, REJECT_FROM
from retinagrade.training.gate import flat_things, round_things
from retinagrade.training.gate.draw import PictureSource, inputs_of
from retinagrade.training.gate.fundus import draw_fundus
from retinagrade.training.gate.landmarks import Landmarks
from retinagrade.training.gate.looks import PARTS, Look, apply_look
from retinagrade.training.gate.modalities import draw_other_modality
from retinagrade.training.gate.picture import make_targets
from retinagrade.training.gate.picture_folder import hold_out_origins, list_pictures
from retinagrade.training.gate.retinas import Retina, RetinaSource, draw_synthetic_retina
from retinagrade.training.gate.train import FAMILIES
from retinagrade.training.gate.views import View, take_shot

SYNTHETIC = draw_synthetic_retina((0,))
RETINA = Retina("eye", SYNTHETIC.pixels, SYNTHETIC.inside, Landmarks(disc=(0.6, 0.0), fovea=(0.0, 0.05)))
WHOLE = View("whole", "none", False, (0.0, 0.0), 1.0, 0.0, 1, (-1.0, -1.0, 1.0, 1.0))
seeds = st.integers(0, 2**31 - 1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> PictureSource:
    folder = tmp_path_factory.mktemp("source")
    cv2.imwrite(str(folder / "eye.png"), RETINA.pixels[..., ::-1])
    for origin in ("one", "two"):
        (folder / "others" / origin).mkdir(parents=True)
        noise = np.random.default_rng(len(origin)).integers(0, 255, (120, 150, 3), np.uint8)
        cv2.imwrite(str(folder / "others" / origin / "a.png"), cv2.GaussianBlur(noise, (0, 0), 3) * 2)
    retinas = RetinaSource({"eye": folder / "eye.png"}, {"eye": RETINA.landmarks})
    return PictureSource("train", retinas, ["eye"], list_pictures(folder / "others"), 0)


def test_a_picture_is_a_function_of_seed_and_index(source: PictureSource) -> None:
    for index in range(12):
        one, other = source.draw(index), source.draw(index)
        np.testing.assert_array_equal(one.pixels, other.pixels)
        assert repr(one.label()) == repr(other.label())
        assert one.families <= set(FAMILIES)
        frame, square = inputs_of(one.pixels)
        assert frame.shape == (FRAME, FRAME, 3)
        assert square.shape == (SQUARE, SQUARE, 3)


@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_a_clean_photograph_has_no_drawn_fault(seed: int) -> None:
    picture = draw_fundus(np.random.default_rng(seed), RETINA, is_clean=True, diameter=160)
    assert picture.modality == "colour"
    assert not set(picture.strengths) - {"dark", "over-exposed"}  # a camera may be dark or bright by itself
    assert picture.pixels.dtype == np.uint8


@given(seed=seeds, kind=st.sampled_from(DEGRADATION_KINDS))
@settings(max_examples=10, deadline=None)
def test_a_drawn_fault_is_in_the_label(seed: int, kind: str) -> None:
    picture = draw_fundus(np.random.default_rng(seed), RETINA, kinds=[kind], diameter=160)  # type: ignore[list-item]
    label = picture.label()
    assert label.strength >= picture.strengths.get(kind, 0) - 1e-9  # type: ignore[call-overload]
    targets = make_targets([label])
    assert ((targets.quality >= 0) & (targets.quality <= 1)).all()
    assert targets.quality[0, 0] >= targets.quality[0, 1]
    assert (targets.quality[0, 1] > 0.5) == (label.strength > REJECT_FROM)


def test_targets_are_unknown_where_nobody_can_tell() -> None:
    picture = draw_other_modality(np.random.default_rng(1), RETINA, "wide-field")
    targets = make_targets([picture.label()])
    assert MODALITIES[targets.modality[0]] == "wide-field"
    assert np.isnan(targets.quality).all()
    assert np.isnan(targets.reasons).all()
    assert targets.reasons.shape == (1, len(FAULTS))
    assert np.isnan(targets.visible).all()
    assert targets.centre[0] == -1


@pytest.mark.parametrize(
    ("centre", "radius", "disc", "middle"),
    [((0.0, 0.0), 1.0, 1.0, "macula"), ((0.6, 0.0), 0.35, 1.0, "optic disc"), ((-0.5, 0.0), 0.35, 0.0, "neither")],
)
def test_a_view_knows_its_landmarks(centre: tuple[float, float], radius: float, disc: float, middle: str) -> None:
    view = View("circle", "none", False, centre, radius, 0.0, 1, WHOLE.frame)
    shot = take_shot(RETINA, view, 200)
    assert shot.disc == disc
    assert CENTRES[shot.centre] == middle


def test_a_mirrored_view_shows_the_optic_disc_on_the_other_side() -> None:
    plain = take_shot(RETINA, WHOLE, 128).pixels
    mirrored = take_shot(RETINA, View("whole", "none", False, (0.0, 0.0), 1.0, 0.0, -1, WHOLE.frame), 128).pixels
    assert np.abs(mirrored[:, ::-1].astype(int) - plain).mean() < 2


@pytest.mark.parametrize("part", PARTS)
def test_every_part_of_a_look_changes_the_surroundings(part: str) -> None:
    shot = take_shot(RETINA, View("whole", "none", False, (0.0, 0.0), 1.0, 0.0, 1, (-1.3, -1.1, 1.3, 1.1)), 160)
    for seed in range(4):  # black words on a black background change nothing
        plain, changed = (apply_look(Look(frozenset(parts), seed), shot.pixels, shot) for parts in ((), (part,)))
        if plain.shape != changed.shape or (plain != changed).mean() > 0.001:
            return
    pytest.fail("nothing has changed")


@given(seed=seeds)
@settings(max_examples=2, deadline=None)
def test_drawn_things_are_pictures(seed: int) -> None:
    drawers = [getattr(room, name) for room in (round_things, flat_things) for name in dir(room) if name[:5] == "draw_"]
    for draw in drawers:
        pixels = draw(np.random.default_rng(seed))
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] == 3
        np.testing.assert_array_equal(pixels, draw(np.random.default_rng(seed)))


def test_whole_sub_folders_are_held_out(source: PictureSource, tmp_path: Path) -> None:
    held = hold_out_origins(source.pictures, 0.5, 0)
    assert len(held) == 1
    assert hold_out_origins(source.pictures, 0.1, 0) == frozenset()
    assert hold_out_origins([], 0.5, 0) == frozenset()

"""Crops of photographs with masks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from retinagrade.errors import ExperimentError, ManifestError
from retinagrade.manifest import Manifest
from retinagrade.training.lesions.crops import CropDataset, LesionPhotographs, WholePhotographs, crop_loader
from retinagrade.training.loading import Draw
from tests.training.lesions.lesion_sets import SIDE, tiny_lesions, write_lesion_set


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return Manifest.read(write_lesion_set(tmp_path_factory.mktemp("crops")) / "manifest.csv")


def test_crops_are_repeatable_and_differ(manifest: Manifest) -> None:
    crops, again = (CropDataset(manifest, tiny_lesions()) for _ in range(2))
    draws = [Draw(0, epoch, position) for epoch in range(2) for position in range(4)]
    seen = set()
    for draw in draws:
        for one, other in zip(crops[draw], again[draw], strict=True):
            np.testing.assert_array_equal(one, other)
        seen.add(crops[draw][0].tobytes())
    assert len(seen) == len(draws)


def test_masks_move_with_their_photographs(manifest: Manifest) -> None:
    """Without a camera, haemorrhages are darker than their surroundings wherever the crop lies."""
    crops = CropDataset(manifest, tiny_lesions("augmentation.camera=[]", "crops.healthy=0"))
    contrasts = []
    for position in range(60):
        pixels, masks, known, inside, _ = crops[Draw(0, 0, position)]
        assert pixels.shape == (64, 64, 3)
        assert masks.shape == (4, 64, 64)
        assert known.tolist() == [1, 1, 1, 1]
        lesion = (masks[1] > 200) & inside
        near = (cv2.dilate(masks[1], np.ones((9, 9), np.uint8)) > 0) & (masks.max(axis=0) == 0) & inside
        if lesion.sum() > 20 and near.sum() > 20:
            contrasts.append(float(pixels[near][:, 1].mean() - pixels[lesion][:, 1].mean()))
    assert len(contrasts) > 3
    assert np.mean(np.array(contrasts) > 0) > 0.9


def test_half_of_the_crops_show_no_more_detail_than_the_coarsest_photographs(manifest: Manifest) -> None:
    settings = ("augmentation.camera=[]", "crops.zoom=0")
    all_detail = CropDataset(manifest, tiny_lesions(*settings))
    coarse = CropDataset(manifest, tiny_lesions(*settings, "crops.detail=32"))
    ratios = []
    for position in range(40):
        detailed, limited = (
            cv2.Laplacian(crops[Draw(0, 0, position)][0], cv2.CV_32F) for crops in (all_detail, coarse)
        )
        ratios.append(float(np.abs(limited).mean() / np.abs(detailed).mean()))
    changed = np.array(ratios) < 0.6
    assert 10 <= changed.sum() <= 30
    np.testing.assert_allclose(np.array(ratios)[~changed], 1)


def test_crops_that_the_network_can_not_halve_are_refused() -> None:
    with pytest.raises(ExperimentError, match="multiple of 8"):
        tiny_lesions("crops.side=60")


def test_most_crops_show_a_lesion_and_healthy_ones_none(manifest: Manifest) -> None:
    lesions = [
        CropDataset(manifest, tiny_lesions("crops.healthy=0", "crops.on_lesions=1"))[Draw(0, 0, position)][1].max() > 0
        for position in range(30)
    ]
    assert np.mean(lesions) > 0.8
    healthy = CropDataset(manifest, tiny_lesions("crops.healthy=1"))
    grades = manifest.table.set_index("image_id")["grade"]
    for position in range(10):
        _, masks, known, _, image_id = healthy[Draw(0, 0, position)]
        assert grades[image_id] == 0
        assert masks.max() == 0
        assert known.all()


def test_what_nobody_looked_for_is_unknown(manifest: Manifest) -> None:
    photographs = LesionPhotographs(manifest, ("haemorrhages", "optic_disc"))
    assert photographs.known[:, 0].all()
    assert not photographs.known[:, 1].any()  # synthetic discs have no outline
    whole = WholePhotographs(manifest, ("haemorrhages",))
    assert len(whole) == manifest.table["outlined"].notna().sum()
    pixels, masks, _, inside, _ = whole[0]
    assert pixels.shape == (SIDE, SIDE, 3)
    assert pixels[~inside].max(initial=0) == 0
    assert masks.shape == (1, SIDE, SIDE)


def test_a_set_without_masks_is_refused(manifest: Manifest) -> None:
    with pytest.raises(ManifestError, match="--masks"):
        LesionPhotographs(Manifest(manifest.table.drop(columns="outlined"), manifest.root), ("haemorrhages",))


def test_workers_change_nothing(manifest: Manifest) -> None:
    batches = [list(crop_loader(manifest, tiny_lesions(), workers)) for workers in (0, 2)]
    assert [len(each) for each in batches] == [4, 4]
    for one, other in zip(*batches, strict=True):
        assert one["image_ids"] == other["image_ids"]
        assert bool((one["photographs"] == other["photographs"]).all())

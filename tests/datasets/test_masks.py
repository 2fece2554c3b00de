"""Lesion masks: IDRiD's official tree, and synthetic sets."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from retinagrade.datasets.masks import read_masked_photographs
from retinagrade.datasets.synthetic.patients import synthesize
from retinagrade.errors import LayoutError
from tests.datasets.layouts import write_photograph

KINDS = {"1. Microaneurysms": "MA", "3. Hard Exudates": "EX", "5. Optic Disc": "OD"}


def write_idrid(root: Path, masks: dict[str, list[str]]) -> Path:
    """Writes IDRiD's segmentation task with photographs 1 to 3 and masks by folder."""
    part = root / "A. Segmentation"
    images = part / "1. Original Images" / "a. Training Set"
    images.mkdir(parents=True)
    for number in (1, 2, 3):
        write_photograph(images / f"IDRiD_{number:02}.jpg", number)
    for folder, names in masks.items():
        place = part / "2. All Segmentation Groundtruths" / "a. Training Set" / folder
        place.mkdir(parents=True)
        for name in names:
            cv2.imwrite(str(place / f"{name}_{KINDS[folder]}.tif"), np.zeros((64, 96), np.uint8))
    return root


def test_idrid_s_tree(tmp_path: Path) -> None:
    masks = {
        "1. Microaneurysms": ["IDRiD_01", "IDRiD_02"],
        "3. Hard Exudates": ["IDRiD_02"],
        "5. Optic Disc": ["IDRiD_03"],
    }
    root = write_idrid(tmp_path, masks)
    found = read_masked_photographs(root)
    assert [one.image_id for one in found] == ["train-IDRiD_01", "train-IDRiD_02"]  # a disc is no lesion
    assert [sorted(one.masks) for one in found] == [["microaneurysms"], ["hard_exudates", "microaneurysms"]]
    assert found[0].photograph.name == "IDRiD_01.jpg"
    assert found == read_masked_photographs(root / "A. Segmentation")


def test_a_mask_without_its_photograph_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"without a photograph \(1: IDRiD_07\)"):
        read_masked_photographs(write_idrid(tmp_path, {"1. Microaneurysms": ["IDRiD_07"]}))


def test_synthetic_sets(tmp_path: Path) -> None:
    synthesize(tmp_path / "synthetic", count=10, size=96, seed=0, workers=1)
    found = read_masked_photographs(tmp_path / "synthetic")
    assert 0 < len(found) < 10  # healthy eyes have none
    assert all(path.is_file() for one in found for path in one.masks.values())
    assert any("haemorrhages" in one.masks for one in found)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="no lesion masks in a known layout"):
        read_masked_photographs(tmp_path)
    with pytest.raises(LayoutError, match="no photograph has the mask"):
        read_masked_photographs(write_idrid(tmp_path, {"5. Optic Disc": ["IDRiD_01"]}))


def test_idrid_s_masks(idrid: Path) -> None:
    found = read_masked_photographs(idrid)
    assert len(found) == 54
    kinds = [kind for one in found for kind in one.masks]
    counts = {"microaneurysms": 54, "haemorrhages": 53, "hard_exudates": 54, "soft_exudates": 26, "optic_disc": 54}
    assert {kind: kinds.count(kind) for kind in counts} == counts

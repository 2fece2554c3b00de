"""Prepared sets with lesion masks."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from retinagrade.datasets.lesion_set import add_outlined, mask_digests, read_masks
from retinagrade.datasets.masks import MaskedPhotograph
from retinagrade.datasets.prepare import prepare
from retinagrade.datasets.prepared_set import PreparedSet
from retinagrade.datasets.split import split
from retinagrade.datasets.synthetic.patients import synthesize
from retinagrade.errors import ImageError, LayoutError, UsageError
from retinagrade.images.read import read_photograph
from retinagrade.manifest import Manifest

SIDE = 128
DRAWN = {"microaneurysms": ("1. Microaneurysms", "MA"), "haemorrhages": ("2. Haemorrhages", "HE")}
IDRID_FOLDERS = ("1. Original Images", "2. All Segmentation Groundtruths")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve synthetic eyes; one of them has a white square, whose mask is its only one."""
    folder = tmp_path_factory.mktemp("lesions") / "source"
    synthesize(folder, 12, size=256, seed=0, workers=1)
    photograph = marked_photograph(folder)
    pixels = cv2.imread(str(photograph))
    assert pixels is not None
    mask = np.zeros(pixels.shape[:2], np.uint8)
    mask[100:140, 150:190] = 255
    pixels[mask > 0] = 255
    cv2.imwrite(str(photograph), pixels, [cv2.IMWRITE_JPEG_QUALITY, 98])
    for file in (folder / "masks").rglob(f"{photograph.stem}.png"):
        file.unlink()
    cv2.imwrite(str(folder / "masks" / "hard_exudates" / f"{photograph.stem}.png"), mask)
    return folder


def marked_photograph(folder: Path) -> Path:
    name = sorted(path.stem for path in (folder / "masks" / "hard_exudates").glob("*.png"))[0]
    return folder / "photographs" / f"{name}.jpg"


@pytest.fixture(scope="module")
def lesions(source: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    return prepare(source, tmp_path_factory.mktemp("lesions") / "prepared", size=SIDE, masks=True, workers=1)


def test_masks_line_up_with_their_photographs(source: Path, lesions: PreparedSet) -> None:
    image_id = marked_photograph(source).stem
    digests = mask_digests(lesions.folder)[image_id]
    (mask,) = read_masks(lesions.folder, image_id, ["hard_exudates"], SIDE, digests)
    green = read_photograph(lesions.folder / "photographs" / f"{image_id}.jpg")[..., 1]
    assert mask.max() == 255
    assert green[mask == 255].min() > 220
    near = cv2.dilate(mask, np.ones((9, 9), np.uint8)) > 0
    ring = near & (cv2.dilate(mask, np.ones((3, 3), np.uint8)) == 0)
    assert green[ring].mean() < 190
    assert read_masks(lesions.folder, image_id, ["microaneurysms"], SIDE, digests).max() == 0


def test_masks_that_changed_or_are_gone_are_no_healthy_retina(source: Path, tmp_path: Path) -> None:
    folder = prepare(source, tmp_path / "set", size=SIDE, masks=True, workers=1).folder
    image_id = marked_photograph(source).stem
    file, digests = folder / "masks" / "hard_exudates" / f"{image_id}.png", mask_digests(folder)[image_id]
    whole = file.read_bytes()
    cv2.imwrite(str(file), np.zeros((SIDE, SIDE), np.uint8))
    with pytest.raises(ImageError, match=file.name):
        read_masks(folder, image_id, ["hard_exudates"], SIDE, digests)
    file.unlink()
    with pytest.raises(ImageError, match=file.name):
        read_masks(folder, image_id, ["hard_exudates"], SIDE, digests)
    prepare(source, folder, size=SIDE, masks=True, workers=1)
    assert file.read_bytes() == whole


def test_masks_that_no_record_names_are_no_healthy_retina(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    prepare(source, folder, size=128, masks=True, workers=1)
    image_id, kinds = next((image_id, kinds) for image_id, kinds in mask_digests(folder).items() if kinds)
    with pytest.raises(ImageError, match="prepare"):
        read_masks(folder, image_id, sorted(kinds), 128, {})


def test_the_manifest_names_the_outlined_kinds_and_keeps_grades(source: Path, lesions: PreparedSet) -> None:
    table = lesions.manifest.table.set_index("image_id")
    with_masks = {path.stem for path in (source / "masks").rglob("*.png")}
    assert set(table.index[table["outlined"].notna()]) == with_masks
    assert table["grade"].notna().all()
    assert "microaneurysms haemorrhages hard_exudates" in str(table.loc[marked_photograph(source).stem, "outlined"])


def test_a_set_without_masks_and_a_manifest_are_refused_or_plain(source: Path, tmp_path: Path) -> None:
    plain = prepare(source, tmp_path / "plain", size=SIDE, workers=1)
    assert "outlined" not in plain.manifest.table
    assert not (plain.folder / "masks").exists()
    with pytest.raises(UsageError, match="masks"):
        prepare(plain.manifest, tmp_path / "again", size=SIDE, masks=True)


def test_a_photograph_with_an_unreadable_mask_is_left_out(source: Path, tmp_path: Path) -> None:
    broken = tmp_path / "source"
    shutil.copytree(source, broken)
    image_id = marked_photograph(source).stem
    (broken / "masks" / "hard_exudates" / f"{image_id}.png").write_bytes(b"no picture")
    prepared = prepare(broken, tmp_path / "prepared", size=SIDE, masks=True, workers=1)
    assert [failed.image_id for failed in prepared.failed] == [image_id]
    assert image_id not in set(prepared.manifest.table["image_id"])
    shutil.copy(source / "masks" / "hard_exudates" / f"{image_id}.png", broken / "masks" / "hard_exudates")
    assert prepare(broken, tmp_path / "prepared", size=SIDE, masks=True, workers=1).failed == []


@pytest.fixture
def part(source: Path, tmp_path: Path) -> Path:
    """IDRiD's segmentation task alone: three photographs with masks of two kinds, and one that nobody outlined."""
    part = tmp_path / "IDRiD" / "A. Segmentation"
    photographs, masks = (part / name / "a. Training Set" for name in IDRID_FOLDERS)
    photographs.mkdir(parents=True)
    drawn = [{file.name for file in (source / "masks" / kind).iterdir()} for kind in DRAWN]
    for number, mask in enumerate(sorted(set.intersection(*drawn))[:3], 1):
        photograph = source / "photographs" / Path(mask).with_suffix(".jpg")
        shutil.copy(photograph, photographs / f"IDRiD_{number:02}.jpg")
        for kind, (folder, suffix) in DRAWN.items():
            (masks / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(source / "masks" / kind / mask, masks / folder / f"IDRiD_{number:02}_{suffix}.png")
    (photographs / "IDRiD_09.jpg").write_bytes(b"nobody outlined this one")
    return part


def test_a_download_of_outlined_photographs_alone_is_prepared(part: Path, tmp_path: Path) -> None:
    other_half = part / IDRID_FOLDERS[0] / "b. Testing Set"
    other_half.mkdir()
    shutil.copy(part / IDRID_FOLDERS[0] / "a. Training Set" / "IDRiD_01.jpg", other_half / "IDRiD_55.jpg")
    for root in (part, part.parent):
        prepared = prepare(root, tmp_path / "prepared" / root.name, size=SIDE, masks=True, workers=1)
        table = prepared.manifest.table.set_index("image_id")
        assert list(table.index) == [f"outlined-train-IDRiD_{number:02}" for number in (1, 2, 3)]
        assert table["grade"].isna().all()
        assert set(table["outlined"]) == {" ".join(DRAWN)}  # nobody knows about kinds without a folder
        assert set(mask_digests(prepared.folder)[table.index[0]]) == set(DRAWN)
        doubtful = {Path(other.file).stem for other in prepared.other_files if other.may_be_photograph}
        assert doubtful == {"IDRiD_09", "IDRiD_55"}
    with pytest.raises(LayoutError, match="--masks"):
        prepare(part.parent, tmp_path / "without", size=SIDE)


@pytest.mark.parametrize("inner", ["B. Disease Grading/1. Original Images", "B. Disease Grading/B. Disease Grading"])
def test_grades_that_cannot_be_read_are_not_left_out(part: Path, tmp_path: Path, inner: str) -> None:
    (part.parent / inner).mkdir(parents=True)
    with pytest.raises(LayoutError):
        prepare(part.parent, tmp_path / "prepared", size=SIDE, masks=True)
    assert not (tmp_path / "prepared").exists()


def test_a_mask_that_the_source_has_no_more_leaves_the_set(part: Path, tmp_path: Path) -> None:
    prepared = prepare(part, tmp_path / "prepared", size=SIDE, masks=True, workers=1)
    (image_id, *_) = prepared.manifest.table["image_id"]
    masks = part / IDRID_FOLDERS[1] / "a. Training Set"
    (masks / DRAWN["microaneurysms"][0] / "IDRiD_01_MA.png").unlink()
    (masks / DRAWN["haemorrhages"][0] / "IDRiD_02_HE.png").write_bytes(b"no picture")
    again = prepare(part, tmp_path / "prepared", size=SIDE, masks=True, workers=1)
    assert (again.prepared, again.reused) == (0, 2)
    assert [failed.image_id for failed in again.failed] == ["outlined-train-IDRiD_02"]
    digests = mask_digests(again.folder)[image_id]
    (left,) = read_masks(again.folder, image_id, ["microaneurysms"], SIDE, digests)
    assert left.max() == 0


def test_copies_stay_in_one_fold(source: Path, tmp_path: Path) -> None:
    copied = tmp_path / "source"
    shutil.copytree(source, copied)
    table = pd.read_csv(copied / "labels.csv", dtype=str)
    original = table.iloc[0]
    pixels = cv2.imread(str(copied / original["path"]))
    assert pixels is not None
    cv2.imwrite(str(copied / "photographs" / "copy.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])
    copy = original.copy()
    copy[["image_id", "path", "patient_id"]] = ["copy", "photographs/copy.jpg", "stranger"]
    pd.concat([table, copy.to_frame().T]).to_csv(copied / "labels.csv", index=False)
    prepared = prepare(copied, tmp_path / "prepared", size=SIDE, masks=True, workers=1)
    eyes = prepared.manifest.table.set_index("image_id")["same_eye"]
    assert eyes["copy"] == eyes[original["image_id"]]
    assert eyes.notna().sum() == 2
    for seed in range(4):
        folds = split(prepared.folder, folds=4, seed=seed).manifest.table.set_index("image_id")["fold"]
        assert folds["copy"] == folds[original["image_id"]]
    assert Manifest.read(prepared.folder / "manifest.csv").table["same_eye"].notna().sum() == 2


def test_outlined_photographs_that_have_no_grade_are_added(tmp_path: Path) -> None:
    graded = Manifest.from_table(pd.DataFrame({"image_id": ["a"], "path": ["a.jpg"], "grade": [0]}), tmp_path, "test")
    masked = [
        MaskedPhotograph("a", tmp_path / "a.jpg", {}, ("haemorrhages",)),
        MaskedPhotograph("a", tmp_path / "other" / "a.jpg", {}, ("haemorrhages", "optic_disc"), "train"),
    ]
    joined = add_outlined(graded, masked, "test").table.set_index("image_id")
    assert joined["outlined"].to_dict() == {"a": "haemorrhages", "outlined-a": "haemorrhages optic_disc"}
    assert joined.loc["a", "grade"] == 0
    assert joined["grade"].isna().to_dict() == {"a": False, "outlined-a": True}
    assert joined.loc["outlined-a", "split"] == "train"
    alone = add_outlined(None, masked[1:], "test")
    assert alone.table["image_id"].tolist() == ["outlined-a"]

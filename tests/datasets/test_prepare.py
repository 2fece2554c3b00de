"""Preparation: the photographs are right, no file is lost, and neither workers nor kills change a byte."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pandas as pd
import pytest

from retinagrade.datasets.layouts import read_dataset
from retinagrade.datasets.prepare import prepare
from retinagrade.datasets.prepared_set import preparation_settings, require_prepared_bytes
from retinagrade.datasets.split import split
from retinagrade.datasets.synthetic.patients import synthesize
from retinagrade.errors import ImageError, LayoutError, UsageError
from retinagrade.images.field_of_view import crop_square, detect_and_crop, find_field_of_view
from retinagrade.images.prepare import PreparationSettings, prepare_photograph
from retinagrade.images.read import read_photograph
from retinagrade.manifest import Manifest
from retinagrade.storage.locking import locked
from tests.datasets.layouts import write_photograph
from tests.folder_contents import file_digests


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    synthesize(folder, count=24, size=160, seed=1, workers=1)
    return folder


def test_the_prepared_set(source: Path, tmp_path: Path) -> None:
    result = prepare(source, tmp_path / "set", size=64, workers=1)
    assert (result.prepared, result.reused, result.failed) == (24, 0, [])
    manifest = Manifest.read(tmp_path / "set" / "manifest.csv")
    labels = read_dataset(source).table
    pd.testing.assert_series_equal(manifest.table["grade"], labels["grade"])
    for row in manifest.table.to_dict("records"):
        photograph = read_photograph(manifest.file(row["path"]))
        assert photograph.shape == (64, 64, 3)
        original = source / "photographs" / f"{row['image_id']}.jpg"
        assert row["sha256"] == hashlib.sha256(original.read_bytes()).hexdigest()
        expected, _, _ = prepare_photograph(original, PreparationSettings(64))
        assert np.abs(photograph.astype(int) - expected.astype(int)).mean() < 3  # JPEG's loss
    record = json.loads((tmp_path / "set" / "prepare.json").read_text())
    assert record["settings"]["size"] == 64
    assert record["counts"] == {"prepared": 24, "failed": 0, "doubtful": 0}
    assert {entry["image_id"] for entry in record["photographs"]} == set(labels["image_id"])
    assert all(entry["field_of_view"]["confidence"] > 0.92 for entry in record["photographs"])
    sheet = read_photograph(tmp_path / "set" / "contact_sheet.jpg")
    assert sheet.shape[0] > 6 * 180
    assert record["versions"]["simplejpeg"]


def test_two_workers_make_the_same_bytes_as_one(source: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        prepare(source, tmp_path / str(workers), size=64, contrast="clahe", workers=workers)
    assert file_digests(tmp_path / "1") == file_digests(tmp_path / "2")


def test_a_killed_command_that_runs_again_makes_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    synthesize(source, count=60, size=500, seed=2)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    prepare(source, whole, size=256, workers=2)
    command = [sys.executable, "-m", "retinagrade", "prepare", str(source), "--out", str(killed), "--size", "256"]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(killed.glob("photographs/0*.jpg"))) < 6 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed / "manifest.csv").exists(), "the kill came too late to test anything"
    assert (killed / "prepare.json").is_file()
    result = prepare(source, killed, size=256, workers=2)
    assert result.reused > 0
    assert result.prepared + result.reused == 60
    assert file_digests(killed) == file_digests(whole)


def test_bad_files_are_named_and_do_not_affect_good_ones(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    good = (source / "photographs" / "00000_left.jpg").read_bytes()
    contents = {
        "good": good,
        "cut": good[: len(good) // 2],
        "zeros": good[: len(good) // 2] + bytes(len(good) // 2),
        "empty": b"",
        "text": b"not a photograph",
    }
    for name, content in contents.items():
        (folder / "0").mkdir(parents=True, exist_ok=True)
        (folder / "0" / f"{name}.jpg").write_bytes(content)
    write_photograph(folder / "1" / "other.png")
    cv2.imwrite(str(folder / "1" / "black.png"), np.zeros((100, 150, 3), np.uint8))
    result = prepare(folder, tmp_path / "set", size=64, workers=2)
    assert {outcome.image_id for outcome in result.failed} == {"cut", "zeros", "empty", "text", "black"}
    assert all(outcome.image_id in (outcome.reason or "") for outcome in result.failed)
    assert set(Manifest.read(tmp_path / "set" / "manifest.csv").table["image_id"]) == {"good", "other"}
    record = json.loads((tmp_path / "set" / "prepare.json").read_text())
    assert record["counts"] == {"prepared": 2, "failed": 5, "doubtful": 0}
    # The same call again adds the repaired file.
    (folder / "0" / "cut.jpg").write_bytes(good)
    again = prepare(folder, tmp_path / "set", size=64, workers=2)
    assert (again.prepared, again.reused, len(again.failed)) == (1, 2, 4)


def test_a_changed_or_lost_file_is_prepared_again(source: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "folder", tmp_path / "set"
    for name in "abc":
        write_photograph(folder / "0" / f"{name}.png", ord(name))
    write_photograph(folder / "1" / "d.png")
    prepare(folder, out, size=64, workers=1)
    write_photograph(folder / "0" / "a.png", 5, size=140)
    (out / "photographs" / "b.jpg").unlink()
    data = (folder / "0" / "c.png").read_bytes()
    (folder / "0" / "c.png").write_bytes(bytes(byte ^ 255 for byte in data))  # different bytes of the same size
    (folder / "1" / "d.png").touch()  # newer than its prepared photograph, with the same bytes
    result = prepare(folder, out, size=64, workers=1)
    assert (result.prepared, result.reused, len(result.failed)) == (2, 1, 1)


def test_a_photograph_that_left_the_source_leaves_the_set(tmp_path: Path) -> None:
    folder, out = tmp_path / "folder", tmp_path / "set"
    for name in "abc":
        write_photograph(folder / str(ord(name) % 2) / f"{name}.png", ord(name))
    prepare(folder, out, size=64, workers=1)
    (folder / "0" / "b.png").unlink()
    write_photograph(folder / "0" / "e.png")
    prepare(folder, out, size=64, workers=1)
    assert set(Manifest.read(out / "manifest.csv").table["image_id"]) == {"a", "c", "e"}
    assert sorted(path.stem for path in (out / "photographs").iterdir()) == ["a", "c", "e"]


def test_a_split_survives_while_the_photographs_are_the_same(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    prepare(source, out, size=64, workers=1)
    split(out, val=0.3)
    before = file_digests(out)
    prepare(source, out, size=64, workers=1)
    assert file_digests(out) == before
    table = read_dataset(source).table
    table["grade"] = (table["grade"] + 1) % 5
    prepare(Manifest(table, source), out, size=64, workers=1)
    assert Manifest.read(out / "manifest.csv").table["split"].isna().all()
    assert not (out / "split.json").exists()


@pytest.mark.parametrize(("height", "width"), [(28, 28), (20, 28)])
def test_photographs_that_were_cropped_before_keep_their_frame(tmp_path: Path, height: int, width: int) -> None:
    y, x = np.mgrid[:height, :width]
    lit = np.hypot(y - 9, x - 14) < 9  # well inside the frame, where a field of view would be found
    photograph = np.where(lit[..., None], np.stack([120 + 4 * x, 60 + 3 * y, 30 + x], axis=-1), 4).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), photograph[..., ::-1])
    manifest = Manifest.from_table(pd.DataFrame({"image_id": ["a"], "path": ["a.png"]}), tmp_path, "table")
    result = prepare(manifest, tmp_path / "set", size=56, square="frame", workers=1)
    assert not result.doubtful
    prepared = read_photograph(tmp_path / "set" / "photographs" / "a.jpg").astype(int)
    top = (56 - 2 * height) // 2
    assert np.abs(prepared[:top]).max(initial=0) <= 6
    enlarged = cv2.resize(photograph, (56, 2 * height), interpolation=cv2.INTER_CUBIC)
    assert np.abs(prepared[top : top + 2 * height] - enlarged).mean() < 2  # JPEG's loss
    record = json.loads((tmp_path / "set" / "prepare.json").read_text())
    assert record["photographs"][0]["field_of_view"] == {
        "x": 0, "y": 0, "width": width, "height": height, "decoded_width": width, "decoded_height": height,
        "method": "full-frame", "confidence": 1.0,
    }  # fmt: skip


def test_different_settings_and_occupied_folders_are_refused(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "set", size=64, workers=1)
    with pytest.raises(UsageError, match="was prepared with size 64:"):
        prepare(source, tmp_path / "set", size=96)
    for inside in (source, source / "set", source.parent):
        with pytest.raises(UsageError, match=r"input of this command"):
            prepare(source, inside, size=64)
    with pytest.raises(UsageError, match="at least 32"):
        prepare(source, tmp_path / "tiny", size=8)


def test_one_source_never_replaces_another(source: Path, tmp_path: Path) -> None:
    other, out = tmp_path / "other", tmp_path / "set"
    synthesize(other, count=2, size=80, workers=1)
    prepare(source, out, size=64, workers=1)
    (out / "notes.txt").write_text("keep")
    before = file_digests(out)
    with pytest.raises(UsageError, match="earlier result"):
        prepare(other, out, size=64, workers=1)
    assert file_digests(out) == before
    replaced = prepare(other, out, size=96, workers=1, overwrite=True)
    assert set(replaced.manifest.table["image_id"]) == {"00000_left", "00000_right"}
    assert len(list((out / "photographs").iterdir())) == 2
    assert (out / "notes.txt").exists()


def test_hidden_files_of_others_stay(source: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / ".gitignore").write_text("*.jpg")
    prepare(source, tmp_path / "set", size=64, workers=1)
    assert (tmp_path / "set" / ".gitignore").exists()


def test_a_source_without_usable_photographs_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no")
    table = pd.DataFrame({"image_id": ["a"], "path": ["a.jpg"]})
    with pytest.raises(ImageError, match=r"no photograph .*could be used; the first: .*not a photograph"):
        prepare(Manifest.from_table(table, tmp_path, "table"), tmp_path / "set", workers=1)
    with pytest.raises(LayoutError, match="not a prepared set"):
        preparation_settings(tmp_path)


def test_a_missing_file_is_named(source: Path, tmp_path: Path) -> None:
    table = read_dataset(source).table
    table.loc[3, "path"] = "photographs/gone.jpg"
    result = prepare(Manifest(table, source), tmp_path / "set", size=64, workers=2)
    assert result.prepared == 23
    assert [(outcome.image_id, "can't be read" in str(outcome.reason)) for outcome in result.failed] == [
        (table["image_id"][3], True)
    ]


@pytest.mark.parametrize("contrast", ["clahe", "graham"])
def test_contrast_enhancement_keeps_the_outside_black(
    source: Path, tmp_path: Path, contrast: Literal["clahe", "graham"]
) -> None:
    for path in sorted((source / "photographs").iterdir())[:4]:
        plain, fov, _ = prepare_photograph(path, PreparationSettings(128))
        raised, _, _ = prepare_photograph(path, PreparationSettings(128, contrast))
        assert not raised[:2, :2].any()
        middle = slice(40, 88), slice(40, 88), 1
        assert raised[middle].std() > 1.3 * plain[middle].std()
        if contrast == "graham":
            assert abs(float(raised[middle].mean()) - 128) < 12
        assert fov.confidence > 0.9


def test_cropping_to_a_square_cuts_the_longer_side(source: Path) -> None:
    for path in sorted((source / "photographs").iterdir())[:8]:
        padded, fov, _ = prepare_photograph(path, PreparationSettings(96))
        cropped, _, _ = prepare_photograph(path, PreparationSettings(96, square="crop"))
        assert cropped.shape == padded.shape
        flat = fov.width != fov.height
        assert (not padded[:3, 40:56].any()) >= flat
        assert cropped[2, 40:56].max() > 20


@pytest.mark.parametrize("size", [64, 100, 256, 500])
def test_reduced_decoding_costs_no_detail(tmp_path: Path, size: int) -> None:
    synthesize(tmp_path, count=1, size=900, seed=3, workers=1)
    path = next((tmp_path / "photographs").iterdir())
    square, fov, (height, _) = prepare_photograph(path, PreparationSettings(size))
    assert fov.side >= size
    full = cv2.resize(detect_and_crop(read_photograph(path)), (size, size), interpolation=cv2.INTER_AREA)
    assert np.abs(square.astype(int) - full.astype(int)).mean() < 4
    if size <= 256:
        assert height < 900


def test_reduced_decoding_equals_full_decoding_on_real_photographs(idrid: Path) -> None:
    full = sorted((idrid.parent / "idrid-fullsize").glob("*.jpg"))
    if not full:
        pytest.skip("no photographs at full size beside idrid")
    for path in full:
        square, fov, (_, width) = prepare_photograph(path, PreparationSettings(512))
        whole = read_photograph(path)
        found = find_field_of_view(whole)
        assert width < whole.shape[1]
        for edge in ("x", "y", "width", "height"):
            assert abs(getattr(fov, edge) / width - getattr(found, edge) / whole.shape[1]) < 0.005
        expected = cv2.resize(crop_square(whole, found), (512, 512), interpolation=cv2.INTER_AREA)
        assert np.abs(square.astype(int) - expected.astype(int)).mean() < 2


def test_all_real_photographs_are_prepared(idrid: Path, tmp_path: Path) -> None:
    result = prepare(idrid, tmp_path / "set", size=128)
    assert (result.prepared, result.failed) == (413, [])
    manifest = Manifest.read(tmp_path / "set" / "manifest.csv")
    copies = manifest.table.groupby("sha256")["image_id"].apply(sorted)
    assert sorted("/".join(name[-3:] for name in names) for names in copies if len(names) > 1) == [
        "021/391", "028/327", "045/333", "073/375", "079/279",
    ]  # fmt: skip
    split(tmp_path / "set", val=0.2)
    table = Manifest.read(tmp_path / "set" / "manifest.csv").table
    assert (table.groupby("sha256")["split"].nunique() == 1).all()
    for path in manifest.table["path"][::40]:
        photograph = read_photograph(manifest.file(path))
        middle = photograph[:, 60:68].max(axis=2).max(axis=1)
        assert photograph[60:68].max(axis=2).max(axis=0)[[4, -5]].min() > 20, "the disc reaches left and right edges"
        assert middle[64] > 20


def test_photographs_are_known_by_their_bytes(tmp_path: Path) -> None:
    folder, out = tmp_path / "folder", tmp_path / "set"
    for name in "abcd":
        write_photograph(folder / "0" / f"{name}.bmp", ord(name))
    write_photograph(folder / "1" / "e.bmp")
    prepare(folder, out, size=64, workers=1)
    before = file_digests(out / "photographs")
    a, b = folder / "0" / "a.bmp", folder / "0" / "b.bmp"
    assert a.stat().st_size == b.stat().st_size
    a.rename(folder / "0" / "c.tmp")
    b.rename(a)
    (folder / "0" / "c.tmp").rename(b)
    result = prepare(folder, out, size=64, workers=1)
    assert (result.prepared, result.reused) == (2, 3)
    after = file_digests(out / "photographs")
    assert (after["a.jpg"], after["b.jpg"]) == (before["b.jpg"], before["a.jpg"])
    manifest = Manifest.read(out / "manifest.csv").table.set_index("image_id")
    assert manifest["sha256"]["a"] == hashlib.sha256(a.read_bytes()).hexdigest()
    # Exchanged in the set itself, too.
    c, d = out / "photographs" / "c.jpg", out / "photographs" / "d.jpg"
    c.rename(tmp_path / "x.jpg")
    d.rename(c)
    (tmp_path / "x.jpg").rename(d)
    with pytest.raises(LayoutError, match="2: c, d"):
        require_prepared_bytes(out, "abcde")
    assert prepare(folder, out, size=64, workers=1).prepared == 2
    assert file_digests(out / "photographs") == after
    require_prepared_bytes(out, "abcde")


def test_a_crash_in_the_middle_is_known_by_bytes_as_well(tmp_path: Path) -> None:
    folder, out = tmp_path / "folder", tmp_path / "set"
    for name in "ab":
        write_photograph(folder / str(ord(name) % 2) / f"{name}.bmp", ord(name))
    prepare(folder, out, size=64, workers=1)
    (out / "photographs" / "a.jpg").write_bytes(b"half a photograph")
    assert prepare(folder, out, size=64, workers=1).prepared == 1


def test_photographs_that_disappear_from_the_set_are_named_and_prepared_again(tmp_path: Path) -> None:
    synthesize(tmp_path / "source", count=3, size=64, seed=1, workers=1)

    def delete(stage: str, done: int, total: int | None) -> None:
        if done == total:
            shutil.rmtree(tmp_path / "out" / "photographs", ignore_errors=True)

    with pytest.raises(LayoutError, match="3: "):
        prepare(tmp_path / "source", tmp_path / "out", size=48, workers=1, progress=delete)
    assert prepare(tmp_path / "source", tmp_path / "out", size=48, workers=1).prepared == 3


def test_one_call_writes_a_prepared_set_at_a_time(tmp_path: Path) -> None:
    synthesize(tmp_path / "source", count=2, size=64, seed=1, workers=1)
    with locked(tmp_path / "out" / "prepare.json"), pytest.raises(UsageError):
        prepare(tmp_path / "source", tmp_path / "out", size=48, workers=1)
    prepare(tmp_path / "source", tmp_path / "out", size=48, workers=1)
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]

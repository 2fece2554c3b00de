import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from retinagrade.datasets.readers.retinamnist import is_retinamnist, read_retinamnist
from retinagrade.errors import LayoutError, ManifestError
from retinagrade.images.read import read_photograph
from tests.conftest import REAL_DATA
from tests.datasets.public_trees import retinamnist_arrays, write_retinamnist

SPLITS = {"train": [0, 4, 2], "val": [1], "test": [3, 0]}


@pytest.mark.parametrize("size", [28, 64])
def test_photographs_keep_their_pixels(tmp_path: Path, size: int) -> None:
    arrays = retinamnist_arrays(SPLITS, size)
    manifest = read_retinamnist(write_retinamnist(tmp_path / "retinamnist.npz", arrays), tmp_path / "out")
    table = manifest.table
    assert table["image_id"].tolist() == [
        "train-0000",
        "train-0001",
        "train-0002",
        "val-0000",
        "test-0000",
        "test-0001",
    ]
    assert table["grade"].tolist() == [0, 4, 2, 1, 3, 0]
    assert table["split"].tolist() == ["train"] * 3 + ["val"] + ["test"] * 2
    for image_id, path in zip(table["image_id"], table["path"], strict=True):
        split, _, index = image_id.partition("-")
        np.testing.assert_array_equal(read_photograph(manifest.file(path)), arrays[f"{split}_images"][int(index)])


def test_a_split_may_be_absent(tmp_path: Path) -> None:
    path = write_retinamnist(tmp_path / "a.npz", retinamnist_arrays({"train": [0], "val": [1]}))
    assert is_retinamnist(path)
    assert set(read_retinamnist(path, tmp_path / "out").table["split"]) == {"train", "val"}


def test_reading_again_repairs_damaged_files_only(tmp_path: Path) -> None:
    path, out = write_retinamnist(tmp_path / "a.npz", retinamnist_arrays(SPLITS)), tmp_path / "out"
    read_retinamnist(path, out)
    whole = (out / "train-0001.png").read_bytes()
    (out / "train-0001.png").write_bytes(whole[:50])
    before = {file.name: file.stat().st_ino for file in out.iterdir()}
    read_retinamnist(path, out)
    after = {file.name: file.stat().st_ino for file in out.iterdir()}
    assert (out / "train-0001.png").read_bytes() == whole
    assert {name for name in before if before[name] != after[name]} == {"train-0001.png"}


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("val_labels", None, "no array 'val_labels'; found train_images"),
        ("train_images", np.zeros((3, 28, 28), np.uint8), r"train_images is uint8 \(3, 28, 28\), not colour"),
        ("train_images", np.zeros((3, 28, 28, 3)), "train_images is float64"),
        (
            "train_labels",
            np.zeros((2, 1), np.uint8),
            r"train_labels is uint8 \(2, 1\), not one whole number for each of 3",
        ),
        ("train_labels", np.zeros((3, 1)), "train_labels is float64"),
        ("val_labels", np.array([[5]], np.uint8), r"val_labels\[0\] is 5, not a grade 0 to 4"),
    ],
)
def test_errors_name_wrong_arrays(tmp_path: Path, name: str, array: np.ndarray | None, message: str) -> None:
    arrays = retinamnist_arrays(SPLITS)
    if array is None:
        del arrays[name]
    else:
        arrays[name] = array
    with pytest.raises(ManifestError, match=message):
        read_retinamnist(write_retinamnist(tmp_path / "a.npz", arrays), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = write_retinamnist(tmp_path / "a.npz", {"x": np.zeros(3)})
    assert not is_retinamnist(path)
    with pytest.raises(LayoutError, match=r"not RetinaMNIST: looked for arrays .*train_images"):
        read_retinamnist(path, tmp_path / "out")
    write_retinamnist(path, retinamnist_arrays(SPLITS))
    path.write_bytes(path.read_bytes()[:-200])
    assert not is_retinamnist(path)
    with pytest.raises(LayoutError, match="not a readable NumPy archive"):
        read_retinamnist(path, tmp_path / "out")
    np.savez(path, train_images=np.array([{}], dtype=object), train_labels=np.zeros((1, 1), np.uint8))
    with pytest.raises(LayoutError, match="not a readable NumPy archive"):  # pickles are never loaded
        read_retinamnist(path, tmp_path / "out")


def test_the_official_archive(tmp_path: Path) -> None:
    path = REAL_DATA / "retinamnist-trainval.npz"
    if not path.is_file():
        pytest.skip(f"no {path}; set RETINAGRADE_TEST_DATA to a folder that has it")
    table = read_retinamnist(path, tmp_path).table
    counts = table.groupby("split")["grade"].value_counts().unstack().loc[["train", "val"]]
    assert counts.to_numpy().tolist() == [[486, 128, 206, 194, 66], [54, 12, 28, 20, 6]]


def test_an_array_that_claims_terabytes_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    for shape, stored in (((1 << 20, 1000, 1000, 3), b""), ((700, 1024, 1024, 3), bytes(64))):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("train_images.npy", header.getvalue() + stored)
            archive.writestr("train_labels.npy", b"")
        with pytest.raises(LayoutError, match="too large"):
            read_retinamnist(path, tmp_path / "out")

from pathlib import Path

import pytest

from retinagrade.datasets.readers.ddr import DDR_FOLDER, is_ddr, read_ddr
from retinagrade.errors import LayoutError, ManifestError
from tests.datasets.public_trees import write_ddr, write_lines

SPLITS = {
    "train": {"007-0004-000.jpg": 0, "20170323093305605.jpg": 5, "007-0033-000.jpg": 4},
    "valid": {"007-2489-100.jpg": 2},
    "test": {"20170323093305605.jpg": 1},
}


def test_one_name_may_be_in_two_splits(tmp_path: Path) -> None:
    manifest = read_ddr(write_ddr(tmp_path, SPLITS))
    table = manifest.table
    assert table["image_id"].tolist() == [
        "train-007-0004-000", "train-20170323093305605", "train-007-0033-000", "val-007-2489-100",
        "test-20170323093305605",
    ]  # fmt: skip
    assert table["split"].tolist() == ["train"] * 3 + ["val", "test"]
    assert all(manifest.file(path).is_file() for path in table["path"])


def test_a_5_means_ungradable(tmp_path: Path) -> None:
    table = read_ddr(write_ddr(tmp_path, SPLITS)).table
    assert table["grade"].isna().tolist() == [False, True, False, False, False]
    assert table["grade"].dropna().tolist() == [0, 4, 2, 1]
    assert table["gradable"].tolist() == ["1", "0", "1", "1", "1"]


def test_the_inner_folder_and_one_split_are_enough(tmp_path: Path) -> None:
    write_ddr(tmp_path, {"valid": SPLITS["valid"]})
    assert is_ddr(tmp_path)
    assert is_ddr(tmp_path / DDR_FOLDER)
    assert read_ddr(tmp_path / DDR_FOLDER).table["path"].tolist() == ["valid/007-2489-100.jpg"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("007-0033-000.jpg 6", r"train\.txt is not(.|\n)*line 2, column 'grade': '6'"),
        ("007-0004-000.jpg 1", r"line 2, column 'image_id': 'train-007-0004-000' is already"),
        ("007-0033-000.jpg", r"train\.txt, line 2: '007-0033-000\.jpg' is not a photograph's name and its grade"),
    ],
)
def test_errors_name_bad_lines(tmp_path: Path, line: str, message: str) -> None:
    write_ddr(tmp_path, SPLITS)
    write_lines(tmp_path / DDR_FOLDER / "train.txt", ["007-0004-000.jpg 0", line])
    with pytest.raises(ManifestError, match=message):
        read_ddr(tmp_path)


def test_lists_and_photographs_must_match(tmp_path: Path) -> None:
    write_ddr(tmp_path, SPLITS)
    (tmp_path / DDR_FOLDER / "valid" / "007-2489-100.jpg").rename(tmp_path / DDR_FOLDER / "valid" / "other.jpg")
    with pytest.raises(LayoutError, match=r"\(1: 007-2489-100\); .*valid\.txt \(1: other\)"):
        read_ddr(tmp_path)
    with pytest.raises(LayoutError, match=r"not DDR's .* looked in .* for one of train\.txt"):
        read_ddr(tmp_path / DDR_FOLDER / "train")


def test_a_different_train_txt_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    write_lines(tmp_path / "train.txt", ["./images/train/0001.jpg"])
    assert not is_ddr(tmp_path)

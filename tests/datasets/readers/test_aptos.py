from pathlib import Path

import pytest

from retinagrade.datasets.readers.aptos import is_aptos, read_aptos
from retinagrade.errors import LayoutError, ManifestError
from tests.datasets.public_trees import write_aptos, write_lines

TRAIN = {"000c1434d8d7": 2, "001639a390f0": 4, "0024cdab0c1e": 1}


def test_graded_training_photographs(tmp_path: Path) -> None:
    manifest = read_aptos(write_aptos(tmp_path, TRAIN))
    assert dict(zip(manifest.table["image_id"], manifest.table["grade"], strict=True)) == TRAIN
    assert set(manifest.table["split"]) == {"train"}
    assert set(manifest.table["dataset"]) == {"aptos"}
    assert manifest.table["path"][0] == "train_images/000c1434d8d7.png"
    assert is_aptos(tmp_path)


def test_the_test_half_is_ungraded(tmp_path: Path) -> None:
    write_aptos(tmp_path, TRAIN, test=["0005cfc8afb6", "003f0afdcd15"])
    table = read_aptos(tmp_path).table.set_index("image_id")
    assert table["split"].tolist() == ["train"] * 3 + ["test"] * 2
    assert table["grade"].isna().tolist() == [False] * 3 + [True] * 2
    (tmp_path / "test.csv").unlink()
    assert len(read_aptos(tmp_path)) == 3


def test_tables_and_photographs_must_match(tmp_path: Path) -> None:
    write_aptos(tmp_path, TRAIN, test=["0005cfc8afb6"])
    (tmp_path / "test_images" / "0005cfc8afb6.png").rename(tmp_path / "test_images" / "other.png")
    with pytest.raises(LayoutError, match=r"test_images \(1: 0005cfc8afb6\); .*test\.csv \(1: other\)"):
        read_aptos(tmp_path)
    (tmp_path / "train_images").rename(tmp_path / "elsewhere")
    with pytest.raises(LayoutError, match=r"looked for the folder .*train_images"):
        read_aptos(tmp_path)


def test_errors_name_bad_tables(tmp_path: Path) -> None:
    write_aptos(tmp_path, TRAIN | {"0024cdab0c1e": 7})
    with pytest.raises(ManifestError, match=r"train\.csv is not(.|\n)*line 4, column 'grade': '7'"):
        read_aptos(tmp_path)
    write_lines(tmp_path / "train.csv", ["id,diagnosis", "000c1434d8d7,2"])
    assert not is_aptos(tmp_path)
    with pytest.raises(ManifestError, match="line 1: no column 'id_code'; found 'id', 'diagnosis'"):
        read_aptos(tmp_path)
    with pytest.raises(LayoutError, match=r"not APTOS 2019: looked for train\.csv"):
        read_aptos(tmp_path / "train_images")

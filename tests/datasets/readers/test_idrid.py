from pathlib import Path

import pandas as pd
import pytest

from retinagrade.datasets.readers.idrid import IDRID_FOLDER, is_idrid, read_idrid
from retinagrade.errors import LayoutError, ManifestError
from tests.datasets.layouts import write_idrid, write_photograph

LABELS = f"{IDRID_FOLDER}/2. Groundtruths/a. IDRiD_Disease Grading_Training Labels.csv"
IMAGES = f"{IDRID_FOLDER}/1. Original Images/a. Training Set"


def test_both_halves_are_read_although_their_names_collide(tmp_path: Path) -> None:
    table = read_idrid(write_idrid(tmp_path, train=[2, 0, 4], test=[1, 3])).table
    assert table["image_id"].tolist() == [
        "train-IDRiD_001", "train-IDRiD_002", "train-IDRiD_003", "test-IDRiD_001", "test-IDRiD_002",
    ]  # fmt: skip
    assert table["grade"].tolist() == [2, 0, 4, 1, 3]
    assert table["split"].tolist() == ["train"] * 3 + ["test"] * 2
    assert set(table["dataset"]) == {"idrid"}


def test_the_inner_folder_and_one_half_are_enough(tmp_path: Path) -> None:
    write_idrid(tmp_path, train=[2, 0])
    assert is_idrid(tmp_path)
    assert is_idrid(tmp_path / IDRID_FOLDER)
    manifest = read_idrid(tmp_path / IDRID_FOLDER)
    assert all(manifest.file(path).is_file() for path in manifest.table["path"])


def test_errors_name_the_line_of_an_invalid_grade(tmp_path: Path) -> None:
    write_idrid(tmp_path, train=[2, 7, 1])
    with pytest.raises(ManifestError, match=r"Training Labels\.csv is not(.|\n)*line 3, column 'grade': '7'"):
        read_idrid(tmp_path)


def test_labels_and_photographs_must_match(tmp_path: Path) -> None:
    write_idrid(tmp_path, train=[2, 0])
    write_photograph(tmp_path / IMAGES / "IDRiD_999.jpg")
    (tmp_path / IMAGES / "IDRiD_001.jpg").unlink()
    with pytest.raises(LayoutError) as error:
        read_idrid(tmp_path)
    assert "labels without a photograph" in str(error.value)
    assert "(1: IDRiD_001)" in str(error.value)
    assert "(1: IDRiD_999)" in str(error.value)


def test_errors_name_missing_parts(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="not IDRiD's disease-grading tree"):
        read_idrid(tmp_path)
    write_idrid(tmp_path, train=[2])
    (tmp_path / LABELS).write_text("Image,Grade\nIDRiD_001,2\n")
    with pytest.raises(ManifestError, match="line 1: no column 'Image name'; found 'Image', 'Grade'"):
        read_idrid(tmp_path)


def test_the_official_tree(idrid: Path) -> None:
    manifest = read_idrid(idrid)
    assert manifest.table["grade"].value_counts().sort_index().tolist() == [134, 20, 136, 74, 49]
    known = manifest.table.set_index("image_id")["grade"]
    assert known[["train-IDRiD_021", "train-IDRiD_391", "train-IDRiD_028", "train-IDRiD_327"]].tolist() == [1, 2, 4, 3]
    assert not pd.isna(known).any()

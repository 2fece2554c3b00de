"""The registry of readers: one decorator makes a layout known, and fills in patient and eye."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from retinagrade.datasets.layouts import read_dataset
from retinagrade.datasets.reader import REGISTRY, reader
from retinagrade.errors import UsageError
from retinagrade.manifest import Manifest


@pytest.fixture
def mydata() -> Iterator[None]:
    """A reader of folders with the file ``mydata.txt``: each line is a photograph, with a patient where it has one."""

    @reader("mydata", "mydata.txt", lambda source: (source / "mydata.txt").is_file())
    def read_mydata(source: Path) -> Manifest:
        """Reads the list."""
        lines = (source / "mydata.txt").read_text().split()
        rows = [(*line.split(","), "")[:2] for line in lines]
        paths, patients = zip(*rows, strict=True)
        table = pd.DataFrame({"image_id": [path.replace("/", "-") for path in paths], "path": paths})
        return Manifest.from_table(table.assign(patient_id=patients), source, str(source))

    yield
    del REGISTRY["mydata"]


def read(folder: Path, lines: str) -> list[list[str]]:
    """Reads a list; returns patient and eye of each photograph."""
    (folder / "mydata.txt").write_text(lines)
    return read_dataset(folder).table[["patient_id", "laterality"]].fillna("").to_numpy().tolist()


@pytest.mark.usefixtures("mydata")
def test_patient_and_eye_come_from_names_that_all_tell_them(tmp_path: Path) -> None:
    assert read(tmp_path, "a/10_left.png b/P2-OD.tif") == [["10", "L"], ["P2", "R"]]
    assert read(tmp_path, "10_left.png other.png") == [["", ""], ["", ""]]
    assert read(tmp_path, "10_left.png,A 11_left.png") == [["A", ""], ["", ""]]


@pytest.mark.usefixtures("mydata")
def test_a_reader_takes_no_arguments_of_other_layouts(tmp_path: Path) -> None:
    read(tmp_path, "10_left.png")
    with pytest.raises(UsageError, match="mydata"):
        read_dataset(tmp_path, "mydata", {"healthy": 0})
    assert len(read_dataset(tmp_path, unpack=tmp_path, complete=False)) == 1


@pytest.mark.usefixtures("mydata")
def test_a_layout_has_one_reader() -> None:
    with pytest.raises(ValueError, match="mydata"):
        reader("mydata", "", Path.is_dir)(Manifest.read)


def test_a_table_without_patients_gets_them_from_names(tmp_path: Path) -> None:
    for name in ("10_left", "10_right"):
        (tmp_path / f"{name}.png").touch()
    table = tmp_path / "labels.csv"
    table.write_text("image_id,path\na,10_left.png\nb,10_right.png\n")
    assert read_dataset(table).table["patient_id"].tolist() == ["10", "10"]
    table.write_text("image_id,path,laterality\na,10_left.png,R\nb,10_right.png,\n")
    assert read_dataset(table).table["laterality"].fillna("").tolist() == ["R", ""]

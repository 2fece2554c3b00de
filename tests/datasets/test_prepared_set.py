"""A prepared set reads itself from its folder, stands for that folder, and describes itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from retinagrade.datasets.prepare import prepare
from retinagrade.datasets.prepared_set import PreparedSet, preparation_settings
from retinagrade.datasets.split import split
from retinagrade.errors import LayoutError
from tests.datasets.layouts import write_folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A prepared set of four photographs of two grades, and a broken file."""
    write_folders(tmp_path / "source", ["No_DR", "Mild"])
    (tmp_path / "source" / "Mild" / "broken.jpg").write_bytes(b"no photograph")
    prepare(tmp_path / "source", tmp_path / "set", size=64, contrast="clahe", square="crop", workers=1)
    return tmp_path / "set"


def test_it_reads_itself_from_its_folder(folder: Path) -> None:
    prepared = PreparedSet(str(folder))
    assert (prepared.size, prepared.contrast, prepared.square) == (64, "clahe", "crop")
    assert len(prepared) == len(prepared.manifest) == 4
    assert (prepared.prepared, prepared.reused) == (0, 4)
    assert prepared.left_out()["image_id"].tolist() == ["broken"]
    assert "not a photograph" in prepared.left_out()["reason"][0]
    assert prepared.contact_sheet.is_file()
    assert prepared.to_json()["failed"][0]["image_id"] == "broken"


def test_counts_are_by_split_and_grade(folder: Path) -> None:
    assert PreparedSet(folder).counts().loc["no split"].to_dict() == {
        "0": 2, "1": 2, "2": 0, "3": 0, "4": 0, "ungraded": 0,
    }  # fmt: skip
    counts = split(folder, val=0.5).counts()
    assert counts[["0", "1"]].to_numpy().tolist() == [[1, 1], [1, 1]]
    assert counts.index.tolist() == ["train", "val"]


def test_it_stands_for_its_folder(folder: Path) -> None:
    prepared = PreparedSet(folder)
    assert Path(prepared) == folder
    assert split(prepared, val=0.5).folder == folder
    assert PreparedSet(prepared).manifest.table["split"].notna().all()


def test_it_describes_itself(folder: Path) -> None:
    prepared = PreparedSet(folder)
    assert "\n" not in repr(prepared)
    for text in (repr(prepared), prepared._repr_html_()):
        assert "4 photographs of 64 × 64 pixels" in text
        assert "1 left out" in text
    assert "<table" in prepared._repr_html_()


def test_a_folder_that_is_no_finished_set_is_refused(folder: Path, tmp_path: Path) -> None:
    for read in (PreparedSet, preparation_settings):
        with pytest.raises(LayoutError, match="not a prepared set"):
            read(tmp_path / "source")
    (folder / "manifest.csv").unlink()
    for read in (PreparedSet, preparation_settings):
        with pytest.raises(LayoutError, match="not prepared to the end"):
            read(folder)
    (folder / "prepare.json").write_text('{"settings": {}}')
    with pytest.raises(LayoutError, match="not a prepared set"):
        PreparedSet(folder)

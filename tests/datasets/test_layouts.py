from pathlib import Path

import pytest

from retinagrade.datasets.layouts import read_source
from retinagrade.errors import LayoutError, ManifestError, UsageError
from tests.datasets.layouts import write_folders, write_idrid, write_photograph


def write_table(folder: Path) -> Path:
    write_photograph(folder / "eyes" / "a.jpg")
    (folder / "labels.csv").write_text("image_id,path,grade\na,eyes/a.jpg,3\n")
    return folder


def test_each_layout_is_detected(tmp_path: Path) -> None:
    assert len(read_source(write_idrid(tmp_path / "i", train=[0, 1]))) == 2
    assert len(read_source(write_folders(tmp_path / "f", ["0", "Mild"]))) == 4
    assert len(read_source(write_table(tmp_path / "t"))) == 1
    assert len(read_source(tmp_path / "t" / "labels.csv")) == 1


def test_a_layout_can_be_named(tmp_path: Path) -> None:
    write_folders(write_table(tmp_path), ["0", "1"])
    with pytest.raises(LayoutError, match="several layouts: choose one with --layout folders or --layout table"):
        read_source(tmp_path)
    assert len(read_source(tmp_path, "table")) == 1
    with pytest.raises(LayoutError, match="eyes holds 1 photographs"):
        read_source(tmp_path, "folders")
    with pytest.raises(UsageError, match="no layout 'aptos': one of idrid, folders, table"):
        read_source(tmp_path, "aptos")
    with pytest.raises(UsageError, match="map of folder names"):
        read_source(tmp_path, "table", {"a": 1})


def test_what_was_looked_for_is_said(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="Looked for: IDRiD"):
        read_source(tmp_path)
    with pytest.raises(LayoutError, match="no such file or folder"):
        read_source(tmp_path / "absent")


def test_a_table_whose_photographs_are_not_there(tmp_path: Path) -> None:
    write_table(tmp_path)
    (tmp_path / "labels.csv").write_text("image_id,path,grade\na,eyes/a.jpg,3\nb,eyes/b.jpg,1\n")
    with pytest.raises(LayoutError, match=r"not there, looked for from .* \(1: b\)"):
        read_source(tmp_path)
    (tmp_path / "labels.csv").write_text("image_id,path,grade\na,eyes/a.jpg,8\n")
    with pytest.raises(ManifestError, match="line 2, column 'grade'"):
        read_source(tmp_path)

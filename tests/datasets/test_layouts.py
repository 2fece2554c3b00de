from pathlib import Path

import pandas as pd
import pytest

from retinagrade.datasets.layouts import LAYOUTS, read_dataset
from retinagrade.errors import LayoutError, ManifestError, UsageError
from tests.datasets.layouts import write_folders, write_idrid, write_photograph
from tests.datasets.public_trees import (
    MESSIDOR1_HEADER,
    retinamnist_arrays,
    write_aptos,
    write_ddr,
    write_deepdrid,
    write_eyepacs,
    write_lines,
    write_messidor1,
    write_messidor2,
    write_retinamnist,
)
from tests.images.dicom_files import write_dicom


def write_table(folder: Path) -> Path:
    write_photograph(folder / "eyes" / "a.jpg")
    (folder / "labels.csv").write_text("image_id,path,grade\na,eyes/a.jpg,3\n")
    return folder


def test_each_layout_is_detected(tmp_path: Path) -> None:
    assert len(read_dataset(write_idrid(tmp_path / "i", train=[0, 1]))) == 2
    assert len(read_dataset(write_folders(tmp_path / "f", ["0", "Mild"]))) == 4
    assert len(read_dataset(write_table(tmp_path / "t"))) == 1
    assert len(read_dataset(tmp_path / "t" / "labels.csv")) == 1


def write_public(root: Path) -> dict[str, Path]:
    """Writes a source in every layout but ``table`` and ``dicom``; returns the sources by layout."""
    return {
        "idrid": write_idrid(root / "i", train=[0, 1], test=[2]),
        "eyepacs": write_eyepacs(root / "e", {"10_left": 0, "10_right": 1}, {"1_left": (2, "Public")}),
        "aptos": write_aptos(root / "a", {"000c1434d8d7": 2, "001639a390f0": 4}, test=["0005cfc8afb6"]),
        "messidor2": write_messidor2(root / "m", {"a.png": "1", "IM0.jpg": "", "IM1.jpg": "0"}),
        "ddr": write_ddr(root / "d", {"train": {"a.jpg": 0, "b.jpg": 5}, "test": {"c.jpg": 1}}),
        "deepdrid": write_deepdrid(root / "r", {"training": {"1_l1": "0,0,", "1_r1": "0,,1"}}, {"347_l1": 2}),
        "retinamnist": write_retinamnist(root / "n.npz", retinamnist_arrays({"train": [0, 4], "val": [1]})),
        "folders": write_folders(root / "f", ["0", "Mild", "4"], each=1),
    }


def test_every_official_tree_fits_its_own_layout_only(tmp_path: Path) -> None:
    sources = write_public(tmp_path)
    assert [*sources, "table", "dicom"] == list(LAYOUTS)
    for layout, source in sources.items():
        detected = read_dataset(source, unpack=tmp_path / "unpacked")
        named = read_dataset(source, layout, unpack=tmp_path / "unpacked")
        pd.testing.assert_frame_equal(detected.table, named.table)
        assert len(detected) == 3
        assert all(detected.file(path).is_file() for path in detected.table["path"])


def test_an_archive_needs_a_folder_to_unpack_to(tmp_path: Path) -> None:
    source = write_public(tmp_path)["retinamnist"]
    with pytest.raises(UsageError, match="name a folder to unpack"):
        read_dataset(source)


def test_messidor_1_is_refused_even_in_folders_named_by_grade(tmp_path: Path) -> None:
    table = write_lines(tmp_path / "t" / "messidor.csv", [MESSIDOR1_HEADER, "a.tif,Lariboisière,3,1"])
    sorted_by_grade = write_messidor1(write_folders(tmp_path / "f", list("0123")))
    for source in (write_messidor1(tmp_path / "Base11"), table, table.parent, sorted_by_grade):
        with pytest.raises(LayoutError, match=r"scale goes from 0 to 3 .*Use Messidor-2"):
            read_dataset(source)


def test_a_layout_can_be_named(tmp_path: Path) -> None:
    write_folders(write_table(tmp_path), ["0", "1"])
    with pytest.raises(LayoutError, match="several layouts: choose one with --layout folders or --layout table"):
        read_dataset(tmp_path)
    assert len(read_dataset(tmp_path, "table")) == 1
    with pytest.raises(LayoutError, match="eyes holds 1 photograph,"):
        read_dataset(tmp_path, "folders")
    with pytest.raises(UsageError, match=r"no layout 'stare': choose one of idrid, eyepacs, .*, folders, table"):
        read_dataset(tmp_path, "stare")
    with pytest.raises(UsageError, match="grades of folder names"):
        read_dataset(tmp_path, "table", {"a": 1})


def test_an_unknown_layout_lists_the_expected_files(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="Looked for:\n") as error:
        read_dataset(tmp_path)
    lines = str(error.value).splitlines()
    assert [line.partition(":")[0].strip() for line in lines[1:-1]] == list(LAYOUTS)
    with pytest.raises(LayoutError, match="no such file or folder"):
        read_dataset(tmp_path / "absent")


def test_a_table_with_missing_photographs(tmp_path: Path) -> None:
    write_table(tmp_path)
    (tmp_path / "labels.csv").write_text("image_id,path,grade\na,eyes/a.jpg,3\nb,eyes/b.jpg,1\n")
    with pytest.raises(LayoutError, match=r"missing, looked for from .* \(1: b\)"):
        read_dataset(tmp_path)
    (tmp_path / "labels.csv").write_text("image_id,path,grade\na,eyes/a.jpg,8\n")
    with pytest.raises(ManifestError, match="line 2, column 'grade'"):
        read_dataset(tmp_path)


def test_dicom_files_without_labels_are_a_layout(tmp_path: Path) -> None:
    write_dicom(tmp_path / "export" / "a.dcm", bytes(60 * 90 * 3), (60, 90))
    assert read_dataset(tmp_path).table["image_id"].tolist() == ["export/a"]
    (tmp_path / "labels.csv").write_text("image_id,path,grade\na,export/a.dcm,3\n")
    assert read_dataset(tmp_path).table["grade"].tolist() == [3]
    assert read_dataset(tmp_path, "dicom").table["grade"].isna().all()

from pathlib import Path

import pandas as pd
import pytest
from openpyxl import Workbook

from retinagrade.datasets.labels import read_labels
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
    assert {*sources, "table", "dicom"} == set(LAYOUTS)
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
    with pytest.raises(UsageError, match=r"no layout 'stare': choose one of aptos, ddr, .*, folders, .*, table"):
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
    with pytest.raises(LayoutError, match=r"photographs are missing \(1: .*b\.jpg\)"):
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


def test_a_doubled_folder_is_pointed_out(tmp_path: Path) -> None:
    """Kaggle's archives hold a folder of their own name."""
    write_aptos(tmp_path / "x" / "x", {"000c1434d8d7": 2, "001639a390f0": 4})
    with pytest.raises(LayoutError, match=f"but {tmp_path / 'x' / 'x'} below it is"):
        read_dataset(tmp_path / "x")
    write_folders(tmp_path / "y" / "inner" / "photographs", ["0", "Mild"])
    with pytest.raises(LayoutError, match=str(tmp_path / "y" / "inner" / "photographs")):
        read_dataset(tmp_path / "y")


@pytest.mark.parametrize(("before", "delimiter"), [("", ";"), ("", "\t"), ("sep=;\n", ";")])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_labels_that_a_spreadsheet_saved_are_in_their_layout(
    tmp_path: Path, before: str, delimiter: str, encoding: str
) -> None:
    source = write_eyepacs(tmp_path, {"10_left": 0, "10_right": 1})
    labels = source / "trainLabels.csv"
    text = labels.read_text().replace("level", "level,Größe").replace("0\n", "0,Größe\n")
    text = before + text.replace(",", delimiter)
    labels.write_bytes(text.encode(encoding))
    assert read_dataset(source).table["grade"].tolist() == [0, 1]


def test_labels_in_another_encoding_are_refused_with_advice(tmp_path: Path) -> None:
    write_table(tmp_path)
    (tmp_path / "labels.csv").write_bytes("image_id,path,grade,имя\na,eyes/a.jpg,3,Анна\n".encode("cp1251"))
    with pytest.raises(ManifestError, match=r"line 1.*save it as 'CSV UTF-8'"):
        read_dataset(tmp_path / "labels.csv")


def test_a_workbook_with_numbers_in_its_header_is_an_error_or_is_read(tmp_path: Path) -> None:
    workbook = Workbook()
    sheet = workbook.active
    assert sheet is not None
    sheet.append(["image_id", 2024, None])
    sheet.append(["1_l1", 3, 4])
    workbook.save(tmp_path / "labels.xlsx")
    assert read_labels(tmp_path / "labels.xlsx", ["image_id", "2024"])["2024"].tolist() == ["3"]
    with pytest.raises(ManifestError, match="no column 'grade'"):
        read_labels(tmp_path / "labels.xlsx", ["grade"])
    (tmp_path / "labels.xlsx").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ManifestError, match=r"labels\.xlsx"):
        read_labels(tmp_path / "labels.xlsx", ["grade"])


def test_a_parquet_table_of_other_values_is_refused(tmp_path: Path) -> None:
    table = pd.DataFrame({"image": [{"bytes": b"x", "path": None}], "image_id": [b"\xff\xfe"], "path": [None]})
    table.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ManifestError, match=r"t\.parquet"):
        read_dataset(tmp_path / "t.parquet")
    pd.DataFrame({"image": [{"bytes": b"x", "path": "p"}], "label": [3]}).to_parquet(tmp_path / "hub.parquet")
    with pytest.raises(ManifestError, match=r"hub\.parquet.*no column 'image_id' and 'path'"):
        read_dataset(tmp_path / "hub.parquet")
    for content in (b"PAR1", b"\x00\x01nothing"):
        (tmp_path / "t.parquet").write_bytes(content)
        with pytest.raises(ManifestError, match=r"t\.parquet"):
            read_dataset(tmp_path / "t.parquet")
        (tmp_path / "t.csv").write_bytes(content)
        with pytest.raises(ManifestError, match=r"t\.csv"):
            read_dataset(tmp_path / "t.csv")

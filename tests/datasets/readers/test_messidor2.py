from pathlib import Path

import pytest

from retinagrade.datasets.readers.messidor2 import is_messidor1, is_messidor2, read_messidor2
from retinagrade.errors import LayoutError, ManifestError
from tests.datasets.layouts import write_photograph
from tests.datasets.public_trees import MESSIDOR1_HEADER, write_lines, write_messidor1, write_messidor2

GRADES = {"20051020_43808_0100_PP.png": "0", "20051020_43832_0100_PP.png": "3", "IM004832.jpg": "", "IM004831.jpg": "2"}


@pytest.mark.parametrize("folder", ["IMAGES", "images", "."])
def test_photographs_whose_suffix_has_another_case(tmp_path: Path, folder: str) -> None:
    manifest = read_messidor2(write_messidor2(tmp_path, GRADES, folder))
    table = manifest.table.set_index("image_id")
    assert table.index.tolist() == [name.rpartition(".")[0] for name in GRADES]
    assert table["path"]["IM004831"].endswith("IM004831.JPG")
    assert all(manifest.file(path).is_file() for path in table["path"])
    assert table["split"].isna().all()
    assert is_messidor2(tmp_path)


def test_ungradable_photographs_stay_without_a_grade(tmp_path: Path) -> None:
    table = read_messidor2(write_messidor2(tmp_path, GRADES)).table.set_index("image_id")
    assert table["grade"].isna().tolist() == [False, False, True, False]
    assert table["gradable"].tolist() == ["1", "1", "0", "1"]
    assert table["grade"]["20051020_43832_0100_PP"] == 3


def test_the_two_eyes_of_an_examination_are_one_patient(tmp_path: Path) -> None:
    write_messidor2(tmp_path, GRADES, pairs=[("IM004832.JPG", "IM004831.JPG")])
    table = read_messidor2(tmp_path).table.set_index("image_id")
    assert table["patient_id"].isna().tolist() == [True, True, False, False]
    assert table["patient_id"]["IM004831"] == table["patient_id"]["IM004832"]
    assert table["laterality"][["IM004832", "IM004831"]].tolist() == ["L", "R"]


def test_names_that_differ_in_case_only_are_ambiguous(tmp_path: Path) -> None:
    write_messidor2(tmp_path, GRADES)
    write_photograph(tmp_path / "IMAGES" / "im004831.png")
    with pytest.raises(LayoutError, match=r"IM004831\.JPG and .*im004831\.png have one name"):
        read_messidor2(tmp_path)
    (tmp_path / "IMAGES" / "im004831.png").unlink()
    with (tmp_path / "messidor_data.csv").open("a") as stream:
        stream.write("im004831.jpg,1,0,1\n")
    with pytest.raises(ManifestError, match=r"line 6, column 'path'.*is already in row"):
        read_messidor2(tmp_path)


def test_errors_name_bad_tables(tmp_path: Path) -> None:
    write_messidor2(tmp_path, GRADES | {"IM004831.jpg": "9"})
    with pytest.raises(ManifestError, match=r"messidor_data\.csv is not(.|\n)*line 5, column 'grade': '9'"):
        read_messidor2(tmp_path)
    write_messidor2(tmp_path, GRADES)
    (tmp_path / "IMAGES" / "IM004832.JPG").unlink()
    with pytest.raises(LayoutError, match=r"labels without a photograph .*\(1: im004832\)"):
        read_messidor2(tmp_path)
    write_lines(tmp_path / "messidor_data.csv", ["id_code,diagnosis,adjudicated_dme,adjudicated_gradable", "a,0,0,1"])
    with pytest.raises(ManifestError, match="line 1: no column 'image_id'; found 'id_code'"):
        read_messidor2(tmp_path)
    with pytest.raises(LayoutError, match=r"looked for messidor_data\.csv"):
        read_messidor2(tmp_path / "IMAGES")


def test_messidor_1_is_recognised_and_refused_with_the_reason(tmp_path: Path) -> None:
    write_messidor1(tmp_path / "all" / "Base11")
    table = write_lines(
        tmp_path / "own" / "grades.csv", [MESSIDOR1_HEADER, "20051019_38557_0100_PP.tif,Lariboisière,3,1"]
    )
    for source in (tmp_path / "all", tmp_path / "all" / "Base11", table.parent, table):
        assert is_messidor1(source)
        assert not is_messidor2(source)
    with pytest.raises(LayoutError, match=r"scale goes from 0 to 3 .*Use Messidor-2"):
        read_messidor2(tmp_path / "all")
    assert not is_messidor1(write_messidor2(tmp_path / "second", GRADES))

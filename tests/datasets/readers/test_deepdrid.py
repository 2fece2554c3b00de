from pathlib import Path

import pytest

from retinagrade.datasets.labels import read_labels
from retinagrade.datasets.readers.deepdrid import DEEPDRID_FOLDER, DEEPDRID_QUALITY, is_deepdrid, read_deepdrid
from retinagrade.errors import LayoutError, ManifestError
from tests.datasets.public_trees import EVALUATION, write_deepdrid, write_lines, write_sheet

HALVES = {
    "training": {"4_l1": "0,3,", "4_l2": "1,3,", "4_r1": "0,,4", "4_r2": "0,,4"},
    "validation": {"265_l1": "1,0,", "265_r1": "1,,1"},
}
TEST = {"347_l1": 2, "347_r1": 0}
LABELS = f"{DEEPDRID_FOLDER}/regular-fundus-training/regular-fundus-training.csv"


def test_a_photograph_has_the_grade_of_its_own_eye(tmp_path: Path) -> None:
    manifest = read_deepdrid(write_deepdrid(tmp_path, HALVES, TEST))
    table = manifest.table.set_index("image_id")
    assert table["grade"].tolist() == [3, 3, 4, 4, 0, 1, 2, 0]
    assert table["laterality"].tolist() == ["L", "L", "R", "R", "L", "R", "L", "R"]
    assert table["patient_id"].tolist() == ["4"] * 4 + ["265"] * 2 + ["347"] * 2
    assert table["split"].tolist() == ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    assert table[DEEPDRID_QUALITY].fillna("").tolist() == ["0", "1", "0", "0", "1", "1", "", ""]
    assert all(manifest.file(path).is_file() for path in table["path"])


@pytest.mark.parametrize(("cells", "grade", "side"), [("1,2,4", 4, "R"), ("0,1,", 1, None), ("0,,", None, "R")])
def test_grades_in_both_columns_the_other_eye_s_column_or_no_column(
    tmp_path: Path, cells: str, grade: int | None, side: str | None
) -> None:
    """Patient 56's official rows: 56_r3 has a left eye's grade, so the eye is unknown and the grade is not."""
    table = read_deepdrid(write_deepdrid(tmp_path, {"training": {"56_r3": cells}})).table
    assert table["grade"].astype(object).where(table["grade"].notna(), None).tolist() == [grade]
    assert table["laterality"].astype(object).where(table["laterality"].notna(), None).tolist() == [side]


def test_the_inner_folder_and_one_part_are_enough(tmp_path: Path) -> None:
    write_deepdrid(tmp_path, {}, TEST)
    assert is_deepdrid(tmp_path)
    assert is_deepdrid(tmp_path / DEEPDRID_FOLDER)
    assert read_deepdrid(tmp_path / DEEPDRID_FOLDER).table["path"][0] == f"{EVALUATION}/Images/347/347_l1.jpg"


def test_labels_of_the_evaluation_as_csv_or_unpublished(tmp_path: Path) -> None:
    folder = write_deepdrid(tmp_path, {}, TEST) / DEEPDRID_FOLDER / EVALUATION
    (folder / "Challenge1_labels.xlsx").unlink()
    assert read_deepdrid(tmp_path).table["grade"].isna().all()
    write_lines(folder / "Challenge1_labels.csv", ["image_id,DR_Levels", "347_l1,1", "347_r1,4"])
    assert read_deepdrid(tmp_path).table["grade"].tolist() == [1, 4]


@pytest.mark.parametrize(
    ("image_id", "cells", "message"),
    [
        ("5_l1", "0,5,", r"regular-fundus-training\.csv is not(.|\n)*line 3, column 'grade': '5'"),
        ("5_1", "0,1,", r"line 3, column 'image_id': '5_1' is not an id such as PATIENT_l1"),
    ],
)
def test_errors_name_bad_lines(tmp_path: Path, image_id: str, cells: str, message: str) -> None:
    write_deepdrid(tmp_path, {"training": {"4_l1": "0,3,", image_id: cells}})
    with pytest.raises(ManifestError, match=message):
        read_deepdrid(tmp_path)


def test_errors_name_duplicates_and_mismatches(tmp_path: Path) -> None:
    write_deepdrid(tmp_path, HALVES)
    whole = (tmp_path / LABELS).read_text()
    (tmp_path / LABELS).write_text(whole + whole.splitlines()[1] + "\n")
    with pytest.raises(ManifestError, match="line 6, column 'image_id': '4_l1' is already"):
        read_deepdrid(tmp_path)
    (tmp_path / LABELS).write_text(whole)
    images = tmp_path / DEEPDRID_FOLDER / "regular-fundus-training" / "Images"
    (images / "4" / "4_l1.jpg").rename(images / "4" / "9_l1.jpg")
    with pytest.raises(LayoutError, match=r"\(1: 4_l1\); .*\(1: 9_l1\)"):
        read_deepdrid(tmp_path)
    images.rename(images.with_name("elsewhere"))
    with pytest.raises(LayoutError, match=r"looked for the folder .*Images"):
        read_deepdrid(tmp_path)
    with pytest.raises(LayoutError, match=r"not DeepDRiD's .* for one of regular-fundus-training/"):
        read_deepdrid(images.parent / "elsewhere")


def test_workbooks_are_read_like_csv(tmp_path: Path) -> None:
    path = write_sheet(tmp_path / "a.xlsx", [(" image_id", "DR_Levels "), ("007 ", 3), ("b", "")])
    table = read_labels(path, ["image_id"])
    assert table.to_dict("list") == {"image_id": ["007", "b"], "DR_Levels": ["3", ""]}
    with pytest.raises(ManifestError, match=r"a\.xlsx, line 1: no column 'grade'"):
        read_labels(path, ["grade"])
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ManifestError, match=r"a\.xlsx: not a readable Excel workbook .*save its first sheet as CSV"):
        read_labels(path, ["image_id"])

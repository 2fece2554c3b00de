from pathlib import Path

import pytest

from retinagrade.datasets.readers import eyepacs
from retinagrade.datasets.readers.eyepacs import is_eyepacs, read_eyepacs
from retinagrade.errors import LayoutError, ManifestError
from tests.datasets.layouts import write_photograph
from tests.datasets.public_trees import write_eyepacs, write_lines

TRAIN = {"10_left": 0, "10_right": 2, "13_left": 4}
TEST = {"1_left": (0, "Private"), "1_right": (1, "Public"), "2_left": (3, "Private")}


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("solution", ["retinopathy_solution.csv", "testLabels.csv"])
def test_both_halves_have_patients_and_eyes(tmp_path: Path, flat: bool, solution: str) -> None:
    manifest = read_eyepacs(write_eyepacs(tmp_path, TRAIN, TEST, flat, solution))
    table = manifest.table.set_index("image_id")
    assert dict(table["grade"]) == TRAIN | {name: grade for name, (grade, _) in TEST.items()}
    assert table["split"].tolist() == ["train"] * 3 + ["test-private", "test-public", "test-private"]
    assert table["patient_id"].tolist() == ["10", "10", "13", "1", "1", "2"]
    assert table["laterality"].tolist() == ["L", "R", "L", "L", "R", "L"]
    assert set(table["dataset"]) == {"eyepacs"}
    assert all(manifest.file(path).is_file() for path in table["path"])


def test_one_half_is_enough(tmp_path: Path) -> None:
    write_eyepacs(tmp_path / "train", TRAIN)
    write_photograph(tmp_path / "train" / "test" / "1_left.jpeg")  # downloaded, but its labels are not
    assert set(read_eyepacs(tmp_path / "train").table["split"]) == {"train"}
    assert is_eyepacs(write_eyepacs(tmp_path / "test", {}, TEST))
    assert len(read_eyepacs(tmp_path / "test")) == 3


def test_test_labels_without_usage_are_one_split(tmp_path: Path) -> None:
    write_eyepacs(tmp_path, {}, TEST)
    write_lines(tmp_path / "retinopathy_solution.csv", ["image,level", "1_left,0", "1_right,1", "2_left,3"])
    assert set(read_eyepacs(tmp_path).table["split"]) == {"test"}


def test_labels_of_the_whole_half_need_all_its_photographs(tmp_path: Path) -> None:
    write_eyepacs(tmp_path, TRAIN)
    names = [f"{number}_{side}" for number in range(10, 17_573) for side in ("left", "right")]
    assert len(names) == 35_126
    write_lines(tmp_path / "trainLabels.csv", ["image,level", *(f"{name},0" for name in names)])
    with pytest.raises(
        LayoutError, match=r"whole official half of 35,126 photographs, but 35,123 of them are not in .*train \("
    ):
        read_eyepacs(tmp_path)


def test_the_whole_test_half_has_its_official_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eyepacs, "OFFICIAL_HALVES", {"train": 3, "test": 3})
    write_eyepacs(tmp_path, TRAIN, TEST)
    monkeypatch.setattr(eyepacs, "OFFICIAL_TEST_PARTS", {"test-public": 1, "test-private": 2})
    assert len(read_eyepacs(tmp_path)) == 6
    monkeypatch.setattr(eyepacs, "OFFICIAL_TEST_PARTS", {"test-public": 2, "test-private": 1})
    with pytest.raises(ManifestError, match="as many rows as the official file, but different parts"):
        read_eyepacs(tmp_path)


def test_the_official_numbers() -> None:
    assert eyepacs.OFFICIAL_HALVES == {"train": 35126, "test": 53576}
    assert eyepacs.OFFICIAL_TEST_PARTS == {"test-public": 10906, "test-private": 42670}


def test_labels_and_photographs_of_a_part_must_match(tmp_path: Path) -> None:
    write_eyepacs(tmp_path, TRAIN, TEST, flat=True)
    (tmp_path / "10_left.jpeg").rename(tmp_path / "99_left.jpeg")
    with pytest.raises(LayoutError) as error:
        read_eyepacs(tmp_path)
    assert "labels without a photograph" in str(error.value)
    assert "(1: 10_left)" in str(error.value)
    assert "(1: 99_left)" in str(error.value)
    (tmp_path / "99_left.jpeg").rename(tmp_path / "10_left.jpeg")
    write_photograph(tmp_path / "10_left.png")
    with pytest.raises(LayoutError, match="have one name"):
        read_eyepacs(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("13_left,5", r"trainLabels\.csv is not(.|\n)*line 4, column 'grade': '5'"),
        ("10_left,4", r"trainLabels\.csv is not(.|\n)*line 4, column 'image_id': '10_left' is already"),
        ("13,4", r"trainLabels\.csv, line 4, column 'image': '13' is not PATIENT_left"),
    ],
)
def test_errors_name_bad_lines(tmp_path: Path, line: str, message: str) -> None:
    write_eyepacs(tmp_path, TRAIN)
    write_lines(tmp_path / "trainLabels.csv", ["image,level", "10_left,0", "10_right,2", line])
    with pytest.raises(ManifestError, match=message):
        read_eyepacs(tmp_path)


def test_errors_name_an_unknown_usage(tmp_path: Path) -> None:
    write_eyepacs(tmp_path, {}, {"1_left": (0, "Ignored")})
    with pytest.raises(ManifestError, match=r"line 2, column 'Usage': 'Ignored' is not Public or Private"):
        read_eyepacs(tmp_path)


def test_labels_of_a_different_data_set_do_not_fit(tmp_path: Path) -> None:
    write_lines(tmp_path / "trainLabels.csv", ["id,label", "1,frog"])
    assert not is_eyepacs(tmp_path)
    with pytest.raises(ManifestError, match="line 1: no column 'image'; found 'id', 'label'"):
        read_eyepacs(tmp_path)
    with pytest.raises(LayoutError, match=r"not EyePACS: looked for one of trainLabels\.csv"):
        read_eyepacs(tmp_path / "train")

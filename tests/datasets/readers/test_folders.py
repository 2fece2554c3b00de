from pathlib import Path

import pytest

from retinagrade.datasets.readers.folders import is_folders, read_folders
from retinagrade.errors import LayoutError
from tests.datasets.layouts import write_folders, write_photograph

KAGGLE = ["No_DR", "Mild", "Moderate", "Severe", "Proliferate_DR"]


@pytest.mark.parametrize("names", [KAGGLE, list("01234"), [name.upper() for name in KAGGLE]])
def test_grades_come_from_names_and_never_from_their_order(tmp_path: Path, names: list[str]) -> None:
    table = read_folders(write_folders(tmp_path, names)).table
    for index in range(5):
        assert table[table["image_id"].str.startswith(str(index))]["grade"].tolist() == [index] * 2
    assert table["split"].isna().all()


def test_an_unknown_folder_name_needs_a_given_grade(tmp_path: Path) -> None:
    write_folders(tmp_path, ["healthy_eyes", "Mild"])
    with pytest.raises(LayoutError, match=r"healthy_eyes holds 2 photographs, but .*--grade-names"):
        read_folders(tmp_path)
    table = read_folders(tmp_path, {"Healthy_Eyes": 0, "mild": 3}).table
    assert sorted(table["grade"]) == [0, 0, 3, 3]
    with pytest.raises(LayoutError, match="'mild'"):
        read_folders(tmp_path, {"mild": 1})


def test_two_folders_of_one_grade_need_given_grades(tmp_path: Path) -> None:
    write_folders(tmp_path, ["Mild", "1"])
    with pytest.raises(LayoutError, match="both mean grade 1"):
        read_folders(tmp_path)
    assert set(read_folders(tmp_path, {"mild": 1, "1": 1}).table["grade"]) == {1}


def test_split_folders_become_splits(tmp_path: Path) -> None:
    for split in ("train", "Validation", "test"):
        for grade in ("0", "1"):
            write_photograph(tmp_path / split / grade / "a.jpg", len(split))
    manifest = read_folders(tmp_path)
    assert sorted(set(manifest.table["split"])) == ["test", "train", "val"]
    assert "train/0/a" in set(manifest.table["image_id"])
    assert is_folders(tmp_path)


def test_names_as_in_eyepacs_tell_patients_and_eyes(tmp_path: Path) -> None:
    for name, grade in (("10_left", 0), ("10_right", 1), ("7_left", 0)):
        write_photograph(tmp_path / str(grade) / f"{name}.jpeg")
    table = read_folders(tmp_path).table.set_index("image_id")
    assert (table["patient_id"]["10_right"], table["laterality"]["10_right"]) == ("10", "R")
    write_photograph(tmp_path / "0" / "someone.jpeg")
    assert read_folders(tmp_path).table["patient_id"].isna().all()


def test_names_that_differ_in_suffix_only_are_refused(tmp_path: Path) -> None:
    write_photograph(tmp_path / "0" / "a.jpg")
    write_photograph(tmp_path / "0" / "a.png")
    with pytest.raises(LayoutError, match="differ in suffix or case only"):
        read_folders(tmp_path)


def test_names_that_look_alike_are_explained(tmp_path: Path) -> None:
    for name in ("\u00e9.jpg", "e\u0301.png"):
        write_photograph(tmp_path / "0" / name)
    with pytest.raises(LayoutError, match="another Unicode form"):
        read_folders(tmp_path)


def test_names_that_differ_in_case_only_get_ids_with_their_folders_or_are_refused(tmp_path: Path) -> None:
    write_photograph(tmp_path / "0" / "a.jpg")
    write_photograph(tmp_path / "1" / "A.JPG", 1)
    assert sorted(read_folders(tmp_path).table["image_id"]) == ["0/a", "1/A"]
    write_photograph(tmp_path / "0" / "A.JPG", 2)
    with pytest.raises(LayoutError, match="differ in suffix or case only"):
        read_folders(tmp_path)


@pytest.mark.parametrize("name", ["loop", "2", "train/loop"])
def test_a_folder_that_is_a_link_to_one_above_is_a_loop(tmp_path: Path, name: str) -> None:
    write_folders(tmp_path, ["0", "1"])
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to(tmp_path)
    with pytest.raises(LayoutError, match=rf"{name} is a link to a folder above it.*loop"):
        read_folders(tmp_path)


def test_fewer_than_two_folders_do_not_fit(tmp_path: Path) -> None:
    assert not is_folders(tmp_path)
    write_folders(tmp_path, ["0"])
    assert not is_folders(tmp_path)
    with pytest.raises(LayoutError, match="no photographs in folders named by grade"):
        read_folders(tmp_path / "0")


def test_folders_of_the_system_are_no_grades(tmp_path: Path) -> None:
    write_folders(tmp_path, ["0", "1"])
    for name in ("__MACOSX/0/._00.png", "@eaDir/00.png", ".cache/a.png", "train/.cache/a.png"):
        write_photograph(tmp_path / name)
    assert len(read_folders(tmp_path)) == 4


def test_one_folder_linked_from_two_grades_is_refused(tmp_path: Path) -> None:
    write_folders(tmp_path / "source", ["0", "1"])
    write_photograph(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "source" / "0" / "clinic").symlink_to(tmp_path / "elsewhere")
    assert len(read_folders(tmp_path / "source")) == 5
    (tmp_path / "source" / "1" / "clinic").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LayoutError, match="are one file"):
        read_folders(tmp_path / "source")

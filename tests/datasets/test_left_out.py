"""What `prepare`, `data check`, `grade` and `explain` read and leave out is all that a folder holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from retinagrade.datasets.check import check
from retinagrade.datasets.layouts import read_dataset
from retinagrade.datasets.prepare import prepare
from retinagrade.datasets.synthetic.patients import synthesize
from retinagrade.errors import ImageError, LayoutError, UsageError
from retinagrade.explanations.inputs import list_photographs
from retinagrade.grader.inputs import find_photographs
from tests.datasets.layouts import write_photograph
from tests.images.folder_trees import CONTENTS, TREES, files_found, write_tree
from tests.images.hostile_files import plain


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "linked.jpg").write_bytes(CONTENTS["JPEG"])
    return tmp_path_factory.mktemp("trees") / "root", outside


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES)
def test_a_check_examines_or_names_every_file(places: tuple[Path, Path], tree: list[tuple[str, str, str]]) -> None:
    root, outside = places
    write_tree(root, outside, tree)
    found = len(files_found(root))
    try:
        result = check(root, workers=1)
    except LayoutError:
        return  # refused as a whole, with a reason
    assert len(result.examined) + len(result.left_out) == found
    assert bool(result.of_kind("unread")) == any(each.may_be_photograph for each in result.left_out)
    assert all(each.reason for each in result.left_out)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES)
def test_a_prepared_set_holds_or_names_every_file(
    places: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory, tree: list[tuple[str, str, str]]
) -> None:
    root, outside = places
    write_tree(root, outside, tree)
    for grade in ("0", "1"):
        write_photograph(root / grade / f"good-{grade}.png", int(grade))
    found = len(files_found(root))
    try:
        result = prepare(root, tmp_path_factory.mktemp("set") / "set", size=32, workers=1)
    except LayoutError:
        return  # such as two grades for one folder
    assert len(result) + len(result.failed) + len(result.other_files) == found
    assert result.left_out()["reason"].notna().all()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES)
def test_files_to_grade_and_to_explain_are_all_files(
    places: tuple[Path, Path], tree: list[tuple[str, str, str]]
) -> None:
    root, outside = places
    write_tree(root, outside, tree)
    found = len(files_found(root))
    try:
        to_grade = find_photographs([str(root)])
        to_explain, left_out = list_photographs(root)
    except UsageError as error:
        assert sum(f"\n  left out: {count} file" in str(error) for count in range(1, 15)) > 0 or not found  # noqa: PT017
        return
    assert len(to_grade.photographs) + len(to_grade.left_out) == found
    assert len(to_explain) + len(left_out) == found


def test_nested_photographs_have_the_grade_of_the_folder_above_and_loose_ones_are_named(tmp_path: Path) -> None:
    for number, name in enumerate(("0/a", "0/clinicA/b", "1/c", "2/clinicB/deep/d", "loose", "train/0/e", "train/f")):
        write_photograph(tmp_path / "source" / f"{name}.jpg", number)
    table = read_dataset(tmp_path / "source").table.set_index("image_id")
    assert table["grade"].to_dict() == {"a": 0, "b": 0, "c": 1, "d": 2, "e": 0}
    result = prepare(tmp_path / "source", tmp_path / "set", size=32, workers=1)
    assert {each.file: each.may_be_photograph for each in result.other_files} == {
        "loose.jpg": True,
        "train/f.jpg": True,
    }
    assert result.needs_attention
    assert len(result) == 5


@pytest.mark.parametrize("name", ["0/1/a.jpg", "clinic/0/a.jpg", "0/Mild/a.jpg"])
def test_a_place_with_two_grades_or_none_is_refused(tmp_path: Path, name: str) -> None:
    for each in ("0/good.jpg", "1/better.jpg", name):
        write_photograph(tmp_path / each)
    with pytest.raises(LayoutError, match=name.rsplit("/", 1)[0].split("/")[0]):
        read_dataset(tmp_path)


def test_masks_beside_labels_need_no_attention_and_unlabelled_photographs_do(tmp_path: Path) -> None:
    synthesize(tmp_path / "source", count=6, size=96, workers=1)
    result = prepare(tmp_path / "source", tmp_path / "set", size=32, workers=1)
    assert not result.needs_attention
    assert {each.file.split("/")[0] for each in result.other_files} == {"masks", "labels.csv", "synthesize.json"}
    write_photograph(tmp_path / "source" / "photographs" / "new.jpg")
    again = prepare(tmp_path / "source", tmp_path / "set", size=32, workers=1)
    assert [each.file for each in again.other_files if each.may_be_photograph] == ["photographs/new.jpg"]
    assert again.reused == 6


def test_names_that_no_id_can_have_cost_no_other_photograph(tmp_path: Path) -> None:
    for name in ("0/a.jpg", "1/b.jpg", "0/what?.jpg", "0/new\nline.jpg", "1/\udcff.jpg"):
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENTS["JPEG"] if name[2:] not in ("a.jpg", "b.jpg") else b"")
    write_photograph(tmp_path / "source" / "0" / "a.jpg")
    write_photograph(tmp_path / "source" / "1" / "b.jpg")
    result = prepare(tmp_path / "source", tmp_path / "set", size=32, workers=1)
    assert len(result) == 2
    assert len([each for each in result.other_files if each.may_be_photograph]) == 3
    checked = check(tmp_path / "source", workers=1)
    assert len(checked.examined) + len(checked.left_out) == 5
    checked.write(tmp_path / "page")


def test_one_long_picture_is_one_reason(tmp_path: Path) -> None:
    write_photograph(tmp_path / "source" / "0" / "a.jpg")
    write_photograph(tmp_path / "source" / "1" / "b.jpg", 1)
    (tmp_path / "source" / "1" / "long.png").write_bytes(plain("PNG", 16, 9000))
    result = prepare(tmp_path / "source", tmp_path / "set", size=32, workers=1)
    assert ([each.image_id for each in result.failed], len(result)) == (["long"], 2)
    checked = check(tmp_path / "source", workers=1)
    assert [each.file for each in checked.examined if each.reason is not None] == ["1/long.png"]


def test_an_unexpected_error_about_a_photograph_is_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("nobody thought of this")

    write_photograph(tmp_path / "source" / "0" / "a.jpg")
    write_photograph(tmp_path / "source" / "1" / "b.jpg", 1)
    monkeypatch.setattr("retinagrade.images.prepare.find_field_of_view", fail)
    monkeypatch.setattr("retinagrade.datasets.examine.find_field_of_view", fail)
    with pytest.raises(ImageError, match="nobody thought of this"):
        prepare(tmp_path / "source", tmp_path / "set", size=32, workers=1)
    assert all("nobody thought" in str(each.reason) for each in check(tmp_path / "source", workers=1).examined)

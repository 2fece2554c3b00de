"""Files, folders, patterns and lists become photographs with ids, each once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from retinagrade.errors import RetinagradeError, UsageError
from retinagrade.grader.eyes import EyeIdentity, identify_eye
from retinagrade.grader.inputs import PhotographFile, find_photographs, read_list
from retinagrade.grader.outputs import GradeOutputs
from retinagrade.images.own_pictures import mark_jpeg
from tests.grader.ophthalmic import write_ophthalmic
from tests.images.encoded_files import gradient


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "a.jpg",
        "sub/b.PNG",
        "sub/a.jpg",
        "notes.txt",
        ".hidden.jpg",
        "._a.jpg",
        "DICOMDIR",
        "results/old.jpg",  # a saliency overlay
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(mark_jpeg(b"\xff\xd8") if name.startswith("results") else b"x")
    write_ophthalmic(tmp_path / "1.2.840.1", gradient(20, 20), "L")
    write_ophthalmic(tmp_path / "1.2.840.2", gradient(20, 20), "R")
    return tmp_path


def named(photographs: Sequence[PhotographFile], root: Path) -> dict[str, str]:
    return {each.image_id: Path(each.path).relative_to(root).as_posix() for each in photographs}


def test_a_folder_stands_for_its_photographs(folder: Path) -> None:
    files = named(find_photographs([str(folder)]).photographs, folder)
    assert files == {
        "1.2.840.1": "1.2.840.1",  # DICOM without a suffix: the id keeps every part of the UID
        "1.2.840.2": "1.2.840.2",
        "a": "a.jpg",
        "sub/a": "sub/a.jpg",
        "sub/b": "sub/b.PNG",
    }


def test_patterns_and_files_are_found_once(folder: Path) -> None:
    files = find_photographs(
        [str(folder / "**" / "*.jpg"), str(folder / "a.jpg"), str(folder / "notes.txt")]
    ).photographs
    paths = [Path(each.path).relative_to(folder).as_posix() for each in files]
    assert sorted(paths) == ["a.jpg", "notes.txt", "sub/a.jpg"]  # a named file is kept, but no overlay
    assert len({each.image_id for each in files}) == 3
    assert next(each.image_id for each in files if each.path.endswith("sub/a.jpg")) == str(folder / "sub" / "a.jpg")


def test_a_name_that_is_no_text_is_a_problem_of_that_file_only(folder: Path) -> None:
    (folder / os.fsdecode(b"na\xefve.jpg")).write_bytes(b"x")
    files = find_photographs([str(folder)]).photographs
    assert [each.image_id for each in files if each.problem is not None] == ["na\\udcefve"]
    assert all(each.path.encode("utf-8") for each in files)


def test_a_list_names_files_from_its_folder(folder: Path) -> None:
    (folder / "list.txt").write_text("a.jpg\n\n  sub/b.PNG \nabsent.jpg\n", encoding="utf-8")
    files = find_photographs([], folder / "list.txt").photographs
    assert named(files, folder) == {"a": "a.jpg", "b": "sub/b.PNG", "absent": "absent.jpg"}
    assert {each.eye for each in files} == {EyeIdentity()}


def test_a_manifest_provides_ids_patients_and_eyes(folder: Path) -> None:
    manifest = folder / "manifest.csv"
    manifest.write_text(
        "\ufeffimage_id,path,grade,patient_id,laterality\nx,a.jpg,3,007,left\ny,sub/a.jpg,,007,R\n,sub/b.PNG,,,\n",
        encoding="utf-8",
    )
    assert read_list(manifest) == [
        PhotographFile("x", str(folder / "a.jpg"), EyeIdentity("007", "L"), name_has_patient=False),
        PhotographFile("y", str(folder / "sub/a.jpg"), EyeIdentity("007", "R"), name_has_patient=False),
        PhotographFile("b", str(folder / "sub/b.PNG"), EyeIdentity(), name_has_patient=False),
    ]


@pytest.mark.parametrize(("column", "study"), [("patient_id", None), ("image_id", "1")])
def test_no_name_tells_a_patient_where_the_list_names_patients(
    folder: Path, monkeypatch: pytest.MonkeyPatch, column: str, study: str | None
) -> None:
    monkeypatch.chdir(folder)
    for name in ("0_left.jpg", "1_right.jpg", "1_left.jpg"):
        (folder / name).write_bytes(b"x")
    Path("list.csv").write_text(f"path,{column},laterality\n0_left.jpg,1,L\n1_right.jpg,,\n")
    listed, empty, beside = find_photographs(["1_left.jpg"], Path("list.csv")).photographs
    assert empty.complete_eye(identify_eye(Path(empty.path))) == EyeIdentity(study, "R")
    assert beside.complete_eye(identify_eye(Path(beside.path))) == EyeIdentity(study, "L")
    seen = listed.complete_eye(identify_eye(Path(listed.path)))
    assert seen == EyeIdentity("0" if study else "1", "L")


def test_the_header_tells_the_study_where_the_list_names_no_patient(folder: Path) -> None:
    (folder / "list.csv").write_text("path,patient_id\n1.2.840.1,\n")
    (file,) = read_list(folder / "list.csv")
    assert file.complete_eye(identify_eye(folder / "1.2.840.1")) == identify_eye(folder / "1.2.840.1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id\nx\n", "line 1: no column 'path'"),
        ("path,laterality\na.jpg,L\nb.jpg,up\n", "line 3, column 'laterality': 'up' is not a laterality"),
        ("path,image_id\n,x\n", "line 2: no path"),
    ],
)
def test_an_error_in_a_list_names_the_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_list(tmp_path / "list.csv")


def test_nothing_to_grade_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to grade"):
        find_photographs([])
    with pytest.raises(UsageError, match="no photographs"):
        find_photographs([str(tmp_path)])
    with pytest.raises(UsageError, match="no such file"):
        find_photographs([str(tmp_path / "absent.jpg")])
    with pytest.raises(UsageError, match="not a readable list"):
        find_photographs([], tmp_path / "absent.txt")
    (tmp_path / "latin.txt").write_bytes(b"M\xfcller.jpg\n")
    with pytest.raises(UsageError, match="not a readable list"):
        find_photographs([], tmp_path / "latin.txt")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("l.csv", b"path\nfoo://bucket/a.jpg\n", "line 2"),
        ("l.txt", b"a.jpg\nfoo://bucket/a.jpg\n", "line 2"),
        ("l.csv", b'path,note\na.jpg,"open\nb.jpg,\n', "line 2"),
        ("l.csv", b"path,note\na.jpg," + b"x" * 140_000, "line 2"),
        ("l.csv", b"path\na\0.jpg\n", "NUL"),
        ("l.txt", b"a\0.jpg\n", "NUL"),
        ("l.txt", b"PAR1\x15\x04", "Parquet"),
        ("l.csv", b"PK\x03\x04", "Excel"),
    ],
)
def test_what_is_no_list_is_one_clear_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RetinagradeError, match=said) as error:
        find_photographs([], tmp_path / name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_list_from_a_spreadsheet_is_read(folder: Path) -> None:
    text = "sep=;\r\npath;image_id;patient_id;laterality\r\na.jpg;'=1+1;007;OD\r\n;;;\r\nsub/b.PNG;;007;left\r\n"
    for encoding in ("utf-8-sig", "utf-16"):
        (folder / "list.csv").write_bytes(text.encode(encoding))
        assert read_list(folder / "list.csv") == [
            PhotographFile("=1+1", str(folder / "a.jpg"), EyeIdentity("007", "R"), name_has_patient=False),
            PhotographFile("b", str(folder / "sub/b.PNG"), EyeIdentity("007", "L"), name_has_patient=False),
        ]


@pytest.mark.parametrize(("one", "other"), [("a", "A"), ("x", "../x"), ("a:b", "a_b"), ("é", "e\u0301")])
def test_photographs_that_would_share_a_picture_are_refused(one: str, other: str, tmp_path: Path) -> None:
    photographs = [PhotographFile(image_id, f"{number}.jpg") for number, image_id in enumerate((one, other))]
    with pytest.raises(UsageError, match="one picture") as error:
        GradeOutputs(saliency=tmp_path / "maps").guard_photographs(photographs)
    assert ("another Unicode form" in str(error.value)) == (one == "é")
    GradeOutputs(table=tmp_path / "results.csv").guard_photographs(photographs)

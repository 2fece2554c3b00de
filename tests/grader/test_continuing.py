"""A table is continued by the bytes of photographs, by one call at a time, and to the same rows after any edit."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retinagrade.errors import ManifestError, RetinagradeError, UsageError
from retinagrade.grader import make_grading
from retinagrade.grader.grade import grade
from retinagrade.grader.runtime import Grader
from retinagrade.gradings.grading import Grading
from retinagrade.gradings.table import SUFFIXES, read_gradings
from retinagrade.storage.locking import locked
from tests.grader.graders import write_grader

WHOLE, HALF = 4, 2
"""Photographs of a call, and of one that is interrupted."""


@pytest.fixture
def folders(eyes: Path, tmp_path: Path) -> Path:
    """Two folders with photographs of different people under the same name."""
    for folder, name in (("monday", "00000_left"), ("tuesday", "00001_left")):
        (tmp_path / folder).mkdir()
        shutil.copy(eyes / f"{name}.jpg", tmp_path / folder / "1_left.jpg")
    return tmp_path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_another_photograph_with_the_same_id_is_an_error(folders: Path, grader_file: Path, suffix: str) -> None:
    out = folders / f"r{suffix}"
    grade(folders / "monday", model=grader_file, out=out)
    before = out.read_bytes()
    with pytest.raises(UsageError, match=r"monday/1_left\.jpg.*tuesday/1_left\.jpg"):
        grade(folders / "tuesday", model=grader_file, out=out)
    shutil.copy(folders / "tuesday" / "1_left.jpg", folders / "monday" / "1_left.jpg")
    with pytest.raises(UsageError, match="other bytes"):
        grade(folders / "monday", model=grader_file, out=out)
    assert out.read_bytes() == before
    assert sorted(each.name for each in folders.iterdir()) == sorted(["monday", "tuesday", out.name])


def test_a_moved_photograph_is_taken_over_with_its_new_place(folders: Path, grader_file: Path) -> None:
    out = folders / "r.csv"
    (first,) = grade(folders / "monday", model=grader_file, out=out)
    (folders / "monday").rename(folders / "archive")
    (moved,) = grade(folders / "archive", model=grader_file, out=out).taken_over
    assert moved.path == str(folders / "archive" / "1_left.jpg")
    assert moved.study == str(folders / "archive" / "1")
    assert moved.probabilities == first.probabilities
    assert len(pd.read_csv(out)) == 1


def test_a_photograph_that_needs_a_longer_id_is_not_graded_twice(folders: Path, grader_file: Path) -> None:
    out = folders / "r.csv"
    grade(folders / "monday", model=grader_file, out=out)
    both = grade([folders / "monday", folders / "tuesday"], model=grader_file, out=out)
    assert (len(both.taken_over), len(both.new)) == (1, 1)
    assert pd.read_csv(out)["image_id"].tolist() == [each.image_id for each in both]


def test_a_patient_that_left_the_list_leaves_the_table(folders: Path, grader_file: Path) -> None:
    listed = folders / "list.csv"
    call = {"listed": listed, "model": grader_file, "out": folders / "r.csv"}
    for patient in ("7", ""):
        listed.write_text(f"path,patient_id\nmonday/1_left.jpg,{patient}\n")
        (grading,) = grade(**call)  # type: ignore[arg-type]
        assert (grading.study, grading.laterality) == (patient or None, "L")


def test_every_row_has_its_rules_and_keeps_its_time(
    folders: Path, grader_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folders / "monday" / "2.jpg").write_bytes(b"text")
    for hour in range(2):
        monkeypatch.setattr(make_grading, "utc_time", lambda hour=hour: f"2026-01-31T0{hour}:00:00+00:00")
        grade(folders / "monday", model=grader_file, out=folders / "r.csv", studies=folders / "s.csv")
    taken_over, failed = read_gradings(folders / "r.csv")
    assert (taken_over.graded_at, failed.graded_at) == ("2026-01-31T00:00:00+00:00", "2026-01-31T01:00:00+00:00")
    metadata = Grader.load(grader_file).metadata
    assert metadata.referable is not None
    for row in (taken_over, failed):
        assert row.referral == metadata.referral
        assert row.referable_threshold == pytest.approx(metadata.referable.threshold, abs=1e-9)
        assert row.oedema_threshold is None
    (study,) = pd.read_csv(folders / "s.csv").to_dict("records")
    assert study["graded_at"] == taken_over.graded_at
    assert study["grader_digest"] == metadata.digest


def test_a_photograph_that_is_gone_keeps_its_row(folders: Path, grader_file: Path) -> None:
    (folders / "list.txt").write_text("monday/1_left.jpg\n")
    call = {"listed": folders / "list.txt", "model": grader_file, "out": folders / "r.csv"}
    first = list(grade(**call))  # type: ignore[arg-type]
    (folders / "monday" / "1_left.jpg").unlink()
    assert list(grade(**call)) == first  # type: ignore[arg-type]


def test_failed_photographs_are_graded_again_and_count_until_then(folders: Path, grader_file: Path) -> None:
    out, broken = folders / "r.csv", folders / "monday" / "2_left.jpg"
    broken.write_bytes(b"text")
    assert grade(folders / "monday", model=grader_file, out=out).needs_attention
    (folders / "wednesday").mkdir()
    shutil.copy(folders / "tuesday" / "1_left.jpg", folders / "wednesday" / "3_left.jpg")
    other = grade(folders / "wednesday", model=grader_file, out=out)  # the table still holds the failed one
    assert other.needs_attention
    assert [each.image_id for each in other.others if each.predicted_grade is None] == ["2_left"]
    assert "1 without a grade" in other.summary
    shutil.copy(folders / "tuesday" / "1_left.jpg", broken)
    again = grade(folders / "monday", model=grader_file, out=out)
    assert [each.image_id for each in again.new] == ["2_left"]
    assert pd.read_csv(out)["image_id"].tolist() == ["1_left", "2_left", "3_left"]


def test_the_same_call_has_the_same_verdict(tmp_path: Path, eyes: Path, grader_file: Path) -> None:
    (tmp_path / "p").mkdir()
    shutil.copy(eyes / "00000_left.jpg", tmp_path / "p" / "a.jpg")
    (tmp_path / "p" / "b.jpg").write_bytes(b"text")
    call = {"photographs": tmp_path / "p", "model": grader_file, "out": tmp_path / "r.jsonl"}
    assert [grade(**call).needs_attention for _ in range(3)] == [True] * 3  # type: ignore[arg-type]


def test_a_table_of_another_file_with_the_same_name_is_refused(eyes: Path, grader_file: Path, tmp_path: Path) -> None:
    grade(eyes, model=grader_file, out=tmp_path / "r.csv")
    other = write_grader(tmp_path / "other.onnx", lambda graph: graph.replace("{0,1,2,1,0}", "{0,1,2,1,0.5}"))
    before = (tmp_path / "r.csv").read_bytes()
    with pytest.raises(UsageError, match="another grader file"):
        grade(eyes, model=other, out=tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_bytes() == before


def test_photographs_in_no_study_are_counted(eyes: Path, grader_file: Path, tmp_path: Path) -> None:
    names = ["P1_OD", "P1_OS", "P2-L", "P3 os", "nobody"]
    (tmp_path / "p").mkdir()
    for name, source in zip(names, sorted(eyes.iterdir()), strict=False):
        shutil.copy(source, tmp_path / "p" / f"{name}.jpg")
    results = grade(tmp_path / "p", model=grader_file, studies=tmp_path / "s.csv")
    assert len(results.studies) == 3
    assert [each.image_id for each in results.without_study] == ["nobody"]
    assert "1 photograph is in no study: nobody" in results.summary
    assert results.needs_attention


def test_one_call_writes_a_table_at_a_time(eyes: Path, grader_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    holder = "import sys; from pathlib import Path; from retinagrade.storage.locking import locked\n"
    holder += "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", holder, str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(UsageError, match="another command is writing it"):
            grade(eyes, model=grader_file, out=out)
        assert not out.exists()
        process.kill()  # the lock dies with its process
    assert len(grade(eyes, model=grader_file, out=out)) == 12
    assert [each.name for each in tmp_path.iterdir()] == ["r.csv"]
    with locked(out), pytest.raises(UsageError, match="another command"):
        grade(eyes, model=grader_file, out=out)


@pytest.mark.parametrize("output", ["studies", "saliency", "dicom"])
def test_one_call_writes_a_folder_at_a_time(output: str, eyes: Path, grader_file: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {output: tmp_path / "shared.csv"}
    with locked(tmp_path / "shared.csv"), pytest.raises(UsageError, match="another command"):
        grade(eyes, model=grader_file, out=tmp_path / "r.csv", **options)
    assert list(tmp_path.iterdir()) == []


def saved_by_a_spreadsheet(text: str) -> str:
    """Returns a CSV table as a spreadsheet of a country with decimal commas saves it."""
    rows = [re.sub(r"\b(true|false)\b", lambda match: match[0].upper(), row) for row in text.splitlines()]
    rows = [re.sub(r"(?<=,)(\d)\.(\d+)(?=,)", r"\1#\2", row).replace(",", ";").replace("#", ",") for row in rows]
    return "\r\n".join([*rows, ""])


def test_a_table_that_a_spreadsheet_saved_gives_the_same_answers(eyes: Path, grader_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    first, text = grade(eyes, model=grader_file, out=out), out.read_text()
    spreadsheet = saved_by_a_spreadsheet(text)
    assert "TRUE;" in spreadsheet
    assert ";0," in spreadsheet
    for saved in (spreadsheet, f"sep=;\r\n{spreadsheet}", text.replace("true", "1").replace("false", "0")):
        for encoding in ("utf-8", "utf-8-sig", "utf-16"):
            out.write_bytes(saved.encode(encoding))
            again = grade(eyes, model=grader_file, out=out)
            assert list(again.taken_over) == list(first)
            assert out.read_text() == text


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        (",true,", ",maybe,", "line 2, column 'referable'"),
        (",true,", ",WAHR,", "column 'referable'"),
        (",true,", ",false,", "line 2"),
        (",0.", ",1.", "line 2"),
        ("00000_left,", "01.02.2024,", "line 2"),
    ],
)
def test_a_changed_cell_is_refused_and_the_table_untouched(
    table: str, eyes: Path, grader_file: Path, tmp_path: Path, old: str, new: str, place: str
) -> None:
    text = table.replace(old, new, 1)
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(ManifestError, match=place):
        grade(eyes, model=grader_file, out=tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_text() == text


@pytest.fixture(scope="module")
def photographs(eyes: Path) -> list[Path]:
    return sorted(eyes.iterdir())[:WHOLE]


@pytest.fixture(scope="module")
def tables(photographs: list[Path], grader_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tables of an uninterrupted call, ``whole``, and of its first half, ``half``."""
    folder = tmp_path_factory.mktemp("tables")
    for suffix in SUFFIXES:
        grade(photographs, model=grader_file, out=folder / f"whole{suffix}")
        grade(photographs[:HALF], model=grader_file, out=folder / f"half{suffix}")
    return folder


@pytest.fixture(scope="module")
def table(eyes: Path, grader_file: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("table") / "r.csv"
    grade(eyes, model=grader_file, out=out)
    return out.read_text()


def rows(path: Path) -> list[Grading]:
    """Returns the rows of a table by their ids; rows that differ in their time alone are equal."""
    return sorted(read_gradings(path), key=lambda row: row.image_id)


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, int, bytes]:
    kind = draw(st.sampled_from(["cut", "insert", "delete", "replace", "line", "twice", "swap"]))
    text = st.text(st.sampled_from('0123456789,;."\n\r\ttruefalse=-x{}\ufeff'), min_size=1, max_size=6)
    return kind, draw(st.integers(0, 1 << 20)), draw(text).encode()


def edited(content: bytes, edit: tuple[str, int, bytes]) -> bytes:
    kind, place, text = edit
    place %= len(content)
    lines = content.splitlines(keepends=True)
    line = place % len(lines)
    match kind:
        case "cut":
            return content[:place]
        case "insert":
            return content[:place] + text + content[place:]
        case "delete":
            return content[:place] + content[place + len(text) :]
        case "replace":
            return content[:place] + text + content[place + len(text) :]
        case "line":
            return b"".join(lines[:line] + lines[line + 1 :])
        case "twice":
            return b"".join([*lines, lines[line]])
    return b"".join([*lines[:1], *reversed(lines[1:])])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(suffix=st.sampled_from(SUFFIXES), name=st.sampled_from(["whole", "half"]), edit=edits())
def test_any_edit_ends_in_the_same_rows_or_in_an_untouched_table(
    tables: Path,
    photographs: list[Path],
    grader_file: Path,
    tmp_path: Path,
    suffix: str,
    name: str,
    edit: tuple[str, int, bytes],
) -> None:
    for file in tmp_path.iterdir():
        file.unlink()
    out = tmp_path / f"r{suffix}"
    content = edited((tables / f"{name}{suffix}").read_bytes(), edit)
    out.write_bytes(content)
    refusal = None
    try:
        grade(photographs, model=grader_file, out=out)
    except RetinagradeError as error:
        refusal = str(error)
    if refusal is None:
        assert rows(out) == rows(tables / f"whole{suffix}")
    else:
        assert str(out) in refusal
        assert out.read_bytes() == content
    assert [each.name for each in tmp_path.iterdir()] == [out.name]


class StoppedError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("steps", range(WHOLE))
def test_an_interrupted_call_ends_in_the_same_rows(
    tables: Path, photographs: list[Path], grader_file: Path, tmp_path: Path, suffix: str, steps: int
) -> None:
    def progress(stage: str, done: int, total: int | None) -> None:
        if stage == "grading photographs" and done > steps:
            raise StoppedError

    out = tmp_path / f"r{suffix}"
    for _ in range(2):
        with suppress(StoppedError):
            grade(photographs, model=grader_file, out=out, progress=progress)
    assert len(grade(photographs, model=grader_file, out=out)) == WHOLE
    assert read_gradings(out) == read_gradings(tables / f"whole{suffix}")  # in the same order, too


@pytest.fixture(autouse=True)
def _no_leftovers(tmp_path: Path) -> Iterator[None]:
    yield
    assert not [each for each in tmp_path.rglob("*") if each.name.endswith((".lock", ".jsonl.jsonl", ".parquet.jsonl"))]

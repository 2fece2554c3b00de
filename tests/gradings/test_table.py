"""Tables of results: every format reads back the rows that it wrote, and no row is lost or doubled."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from retinagrade.errors import ManifestError, UsageError
from retinagrade.evaluation.predictions import read_predictions
from retinagrade.grader.results_table import ResultsTable
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.gradings.grading import DIGITS, Grading
from retinagrade.gradings.studies import StudyGrading, grade_studies
from retinagrade.gradings.table import SUFFIXES, read_gradings, write_results

MODEL = "m 1"
GOOD = Grading(
    "clinic/1,2",
    'photographs/1 "2".jpg',
    "s",
    "L",
    2,
    "moderate",
    (0.1, 0.2, 0.4, 0.2, 0.1),
    2.0,
    True,
    False,
    ("retinopathy",),
    0.4,
    (1, 2, 3),
    False,
    True,
    "colour",
    "macula",
    0.9,
    "good",
    model=MODEL,
)
POOR = Grading(
    "dark",
    "d.jpg",
    probabilities=GOOD.probabilities,
    gradable=False,
    modality="colour",
    quality=0.1,
    quality_level="reject",
    quality_reasons=("dark: use more flash", "blurred: focus again"),
    model=MODEL,
)
BROKEN = Grading("broken", "b.jpg", error="b.jpg: corrupt\n  JPEG", model=MODEL)


def interrupted(path: Path, *rows: Grading) -> Path:
    """Writes rows as a call that is killed after them."""
    table = ResultsTable(path, MODEL)
    table.begin(table.earlier)
    for row in rows:
        table.add(row)
    table.close()
    return path


def filled(path: Path, *rows: Grading) -> Path:
    table = ResultsTable(path, MODEL)
    table.begin([])
    table.finish(rows)
    return path


def earlier(path: Path) -> list[Grading]:
    return ResultsTable(path, MODEL).earlier


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_is_continued_with_every_row(tmp_path: Path, suffix: str) -> None:
    path = interrupted(tmp_path / f"r{suffix}", GOOD, BROKEN, POOR)
    assert [row.image_id for row in earlier(path)] == [GOOD.image_id, "broken", "dark"]
    again = replace(GOOD, image_id="broken")
    interrupted(path, again)
    assert earlier(path) == [GOOD, again, POOR]  # the last of two rows counts
    assert earlier(filled(path, GOOD, POOR)) == [GOOD, POOR]
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_of_another_grader_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = filled(tmp_path / f"r{suffix}", GOOD)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="holds results of m 1, not of m 2"):
        ResultsTable(path, "m 2")
    with pytest.raises(UsageError, match="another grader file"):
        ResultsTable(path, MODEL, "0" * 64)  # the same name and version, but other bytes
    assert path.read_bytes() == before


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), min_size=1)
SHARE = st.floats(0, 1, allow_nan=False).map(lambda share: round(share, DIGITS))
GRADED = st.builds(
    replace,
    st.just(GOOD),
    image_id=TEXT,
    path=TEXT,
    study=st.none() | TEXT,
    laterality=st.sampled_from(["L", "R", None]),
    probabilities=st.tuples(*[SHARE] * 5),
    referable=st.none() | st.booleans(),
    quality=SHARE,
    prediction_set=st.none() | st.sampled_from([(0,), (2, 3), (0, 1, 2, 3, 4)]),
    referable_threshold=st.none() | SHARE,
    graded_at=st.none() | st.datetimes(timezones=st.just(UTC)).map(lambda time: time.isoformat(timespec="seconds")),
    quality_reasons=st.sampled_from([(), ("dark",), ("field of view cut", "over-exposed")]),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(GRADED, max_size=4, unique_by=lambda row: row.image_id),
    suffix=st.sampled_from(SUFFIXES),
    cut=st.integers(1, 5),
)
def test_rows_are_read_back_as_they_were_written(tmp_path: Path, rows: list[Grading], suffix: str, cut: int) -> None:
    path = tmp_path / f"r{suffix}"
    for file in tmp_path.iterdir():
        file.unlink()
    assert [row.to_json() for row in earlier(filled(path, *rows))] == [row.to_json() for row in rows]
    if suffix == ".jsonl" and rows:  # a killed call leaves half a line
        path.write_bytes(path.read_bytes()[: -1 - cut])
        assert earlier(path) == rows[:-1]


def test_half_a_row_of_a_killed_call_is_graded_again(tmp_path: Path) -> None:
    rows = [GOOD, replace(GOOD, image_id="two\nlines"), POOR]
    whole = filled(tmp_path / "r.csv", *rows).read_bytes()
    for size in range(whole.index(b"\n") + 1, len(whole), 3):
        (tmp_path / "cut.csv").write_bytes(whole[:size])
        found = earlier(tmp_path / "cut.csv")
        assert found == rows[: len(found)]
    (tmp_path / "cut.csv").write_bytes(whole[:-2])
    assert earlier(tmp_path / "cut.csv") == rows[:2]


def test_a_workbook_has_numbers_and_no_formulas(tmp_path: Path) -> None:
    odd = replace(GOOD, image_id="=1+1", study="#N/A", path="\x01_x0041_\r.jpg")
    path = filled(tmp_path / "r.xlsx", odd, POOR)
    sheet = load_workbook(path).active
    assert sheet is not None
    cells = {cell.value: list(column) for cell, *column in sheet.iter_cols()}
    assert [cell.data_type for cell in cells["image_id"]] == ["s", "s"]
    assert cells["study"][0].data_type == "s"
    assert [cell.value for cell in cells["p2"]] == [0.4, 0.4]
    assert cells["predicted_grade"][0].value == 2
    assert cells["referable"][0].value is True
    assert read_gradings(path) == [odd, POOR]
    book = load_workbook(path)
    book["results"]["A2"] = "other"
    book.save(path)
    with pytest.raises(ManifestError, match="row 2"):
        read_gradings(path)


def test_a_parquet_file_appears_at_the_end(tmp_path: Path) -> None:
    path = interrupted(tmp_path / "r.parquet", GOOD)
    assert not path.exists()  # the rows of a call that is killed here are in the journal
    assert earlier(path) == [GOOD]
    filled(path, GOOD, BROKEN)
    assert [each.name for each in tmp_path.iterdir()] == ["r.parquet"]
    table_rows = pd.read_parquet(path)
    assert table_rows["image_id"].tolist() == [GOOD.image_id, "broken"]
    assert table_rows["probabilities"][0].tolist() == list(GOOD.probabilities or ())
    assert table_rows["error"].fillna("").tolist() == ["", BROKEN.error]
    empty = filled(tmp_path / "none.parquet")
    assert parquet.read_schema(empty).equals(parquet.read_schema(path))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_results_are_a_table_of_predictions(tmp_path: Path, suffix: str) -> None:
    table_rows = read_predictions(filled(tmp_path / f"r{suffix}", GOOD))
    assert table_rows[list(PROBABILITY_COLUMNS)].to_numpy().tolist() == [list(GOOD.probabilities or ())]
    assert table_rows["grade"].isna().all()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_studies_have_a_table_too(tmp_path: Path, suffix: str) -> None:
    studies = grade_studies([GOOD, replace(GOOD, image_id="r", laterality="R")])
    path = tmp_path / f"s{suffix}"
    write_results(path, StudyGrading, studies)
    if suffix in (".csv", ".xlsx"):
        table = pd.read_csv(path) if suffix == ".csv" else pd.read_excel(path)
    else:
        table = pd.read_parquet(path) if suffix == ".parquet" else pd.read_json(path, lines=True)
    assert list(table.columns) == list(studies[0].to_json())
    assert table[["study", "predicted_grade", "referable"]].to_numpy().tolist() == [["s", 2, True]]
    write_results(path, StudyGrading, [])


def test_files_that_are_no_tables_of_gradings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.csv, \.jsonl, \.parquet or \.xlsx"):
        ResultsTable(tmp_path / "r.ods", MODEL)
    for name, text in {
        "a.csv": "image_id,p0\nx,1\n",
        "a.jsonl": "{}\n",
        "b.jsonl": "nothing\n",
        "a.parquet": "x",
        "a.xlsx": "x",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageError, match=r"no (table of gradings|readable Excel)"):
            ResultsTable(tmp_path / name, MODEL)
        assert (tmp_path / name).read_text() == text


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_all_changed_rows_are_counted_and_the_first_ones_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"r{suffix}"
    write_results(path, Grading, [replace(GOOD, image_id=f"photograph {number}") for number in range(8)])
    if suffix == ".parquet":
        rows = parquet.read_table(path).to_pylist()
        changed = [row | {"predicted_grade": 3} if number else row for number, row in enumerate(rows)]
        parquet.write_table(pa.Table.from_pylist(changed), path)
    elif suffix == ".xlsx":
        book = load_workbook(path)
        for row in range(3, 10):
            book["results"].cell(row, 8).value = "mild"
        book.save(path)
    else:
        first, rest = path.read_text().split("photograph 1", 1)
        path.write_text(f"{first}photograph 1{rest.replace('moderate', 'mild')}")
    with pytest.raises(ManifestError, match=r"photograph 1.*7 rows were changed \(.* \d, .*, …\)") as error:
        read_gradings(path)
    assert "\n" not in str(error.value)


def test_a_time_that_a_data_frame_took_for_a_date_is_read_as_it_was_written(tmp_path: Path) -> None:
    path, timed = tmp_path / "r.jsonl", replace(GOOD, graded_at="2026-01-31T12:00:00+00:00")
    write_results(path, Grading, [timed])
    text = path.read_text()
    for written in ("1769860800000", '"2026-01-31T12:00:00.000Z"'):
        path.write_text(text.replace('"2026-01-31T12:00:00+00:00"', written))
        assert read_gradings(path)[0].graded_at == timed.graded_at

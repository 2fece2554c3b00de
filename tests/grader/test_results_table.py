"""Tables of results: every format reads back the rows that it wrote, and no row is lost or doubled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retinagrade.errors import UsageError
from retinagrade.evaluation.predictions import read_predictions
from retinagrade.grader.results import Grading
from retinagrade.grader.results_table import SUFFIXES, ResultsTable, write_results
from retinagrade.grader.studies import StudyGrading, grade_studies
from retinagrade.grades import PROBABILITY_COLUMNS

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
    0.4,
    (1, 2, 3),
    False,
    True,
    0.9,
    model=MODEL,
)
POOR = Grading(
    "dark",
    "d.jpg",
    probabilities=GOOD.probabilities,
    gradable=False,
    quality=0.1,
    quality_reasons=("dark", "blurred"),
    model=MODEL,
)
BROKEN = Grading("broken", "b.jpg", error="b.jpg: corrupt\n  JPEG", model=MODEL)


def filled(path: Path, *rows: Grading) -> Path:
    table = ResultsTable(path, MODEL)
    for row in rows:
        table.add(row)
    table.close()
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_is_continued_and_failed_photographs_are_graded_again(tmp_path: Path, suffix: str) -> None:
    path = filled(tmp_path / f"r{suffix}", GOOD, BROKEN, POOR)
    table = ResultsTable(path, MODEL)
    assert table.earlier == [GOOD, POOR]
    table.add(replace(GOOD, image_id="broken"))
    table.close()
    assert [row.image_id for row in ResultsTable(path, MODEL).earlier] == ["clinic/1,2", "dark", "broken"]
    with pytest.raises(UsageError, match="holds results of m 1, not of m 2"):
        ResultsTable(path, "m 2")


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), min_size=1)
SHARE = st.floats(0, 1, allow_nan=False)
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
    quality_reasons=st.sampled_from([(), ("dark",), ("field of view cut", "over-exposed")]),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(GRADED, max_size=4), suffix=st.sampled_from(SUFFIXES), cut=st.integers(1, 5))
def test_rows_are_read_back_as_they_were_written(tmp_path: Path, rows: list[Grading], suffix: str, cut: int) -> None:
    path = tmp_path / f"r{suffix}"
    for earlier in tmp_path.iterdir():
        earlier.unlink()
    assert ResultsTable(filled(path, *rows), MODEL).earlier == rows
    if suffix == ".jsonl" and rows:  # a killed call leaves half a line
        path.write_bytes(path.read_bytes()[:-cut])
        assert ResultsTable(path, MODEL).earlier == rows[:-1]


def test_half_a_row_of_a_killed_call_is_graded_again(tmp_path: Path) -> None:
    whole = filled(tmp_path / "r.csv", GOOD, replace(GOOD, image_id="two\nlines"), POOR).read_bytes()
    for size in range(whole.index(b"\n") + 1, len(whole), 5):
        (tmp_path / "cut.csv").write_bytes(whole[:size])
        earlier = ResultsTable(tmp_path / "cut.csv", MODEL).earlier
        assert earlier == [GOOD, replace(GOOD, image_id="two\nlines"), POOR][: len(earlier)]


def test_a_parquet_file_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    table = ResultsTable(path, MODEL)
    table.add(GOOD)
    assert not path.exists()  # the rows of a call that is killed here are in the journal
    again = ResultsTable(path, MODEL)
    assert again.earlier == [GOOD]
    again.add(BROKEN)
    again.close()
    assert [each.name for each in tmp_path.iterdir()] == ["r.parquet"]
    table_rows = pd.read_parquet(path)
    assert table_rows["image_id"].tolist() == [GOOD.image_id, "broken"]
    assert table_rows["probabilities"][0].tolist() == list(GOOD.probabilities or ())
    assert table_rows["error"].fillna("").tolist() == ["", BROKEN.error]
    empty = filled(tmp_path / "none.parquet")
    assert parquet.read_schema(empty).equals(parquet.read_schema(path))


def test_a_csv_is_a_table_of_predictions(tmp_path: Path) -> None:
    table_rows = read_predictions(filled(tmp_path / "r.csv", GOOD, POOR))
    assert table_rows[list(PROBABILITY_COLUMNS)].to_numpy().tolist() == [list(GOOD.probabilities or ())] * 2
    assert table_rows["grade"].isna().all()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_studies_have_a_table_too(tmp_path: Path, suffix: str) -> None:
    studies = grade_studies([GOOD, replace(GOOD, image_id="r", laterality="R")])
    path = tmp_path / f"s{suffix}"
    write_results(path, StudyGrading, studies)
    if suffix == ".csv":
        table = pd.read_csv(path)
    else:
        table = pd.read_parquet(path) if suffix == ".parquet" else pd.read_json(path, lines=True)
    assert list(table.columns) == list(studies[0].to_json())
    assert table[["study", "grade", "referable"]].to_numpy().tolist() == [["s", 2, True]]
    write_results(path, StudyGrading, [])


def test_files_that_are_no_tables_of_gradings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.csv, \.jsonl or \.parquet"):
        ResultsTable(tmp_path / "r.xlsx", MODEL)
    for name, text in {
        "a.csv": "image_id,p0\nx,1\n",
        "a.jsonl": "{}\n",
        "b.jsonl": "nothing\n",
        "a.parquet": "x",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageError, match="no table of gradings"):
            ResultsTable(tmp_path / name, MODEL)
        assert (tmp_path / name).read_text() == text

"""The results of many photographs: their counts, tables and displays."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from retinagrade.errors import UsageError
from retinagrade.grader.grade import grade
from retinagrade.grader.grading_results import GradingResults, describe_grading
from retinagrade.grader.runtime import Grader
from retinagrade.gradings.grading import Grading
from retinagrade.gradings.studies import grade_studies
from retinagrade.gradings.table import COLUMNS, read_gradings

GRADED = Grading(
    "<left>", "left.jpg", "7", "L", 2, "moderate", (0.1, 0.2, 0.4, 0.2, 0.1), 2.0, True, False,
    ("retinopathy",), 0.4, (1, 2, 3), needs_review=False, gradable=True, quality=0.9, model="m 1",
)  # fmt: skip
HEALTHY = Grading("right", "right.jpg", "7", "R", 0, "none", confidence=0.9, referable=False, gradable=True)
DARK = Grading("dark", "dark.jpg", gradable=False, quality=0.1, quality_reasons=("dark",))
BROKEN = Grading("broken", "broken.jpg", error="broken.jpg: corrupt\n JPEG")
GRADINGS = [GRADED, HEALTHY, DARK, BROKEN]


@pytest.fixture
def results() -> GradingResults:
    return GradingResults(GRADINGS, grade_studies(GRADINGS), taken_over={"dark"})


def test_results_are_a_sequence_of_gradings(results: GradingResults) -> None:
    assert list(results) == GRADINGS
    assert results[1] is HEALTHY
    assert list(results[2:]) == [DARK, BROKEN]
    assert len(results) == 4


def test_results_are_grouped_by_outcome(results: GradingResults) -> None:
    assert results.graded == [GRADED, HEALTHY]
    assert results.ungradable == results.taken_over == [DARK]
    assert results.errors == [BROKEN]
    assert results.new == [GRADED, HEALTHY, BROKEN]
    assert results.needs_attention
    assert not GradingResults([GRADED]).needs_attention
    assert GradingResults([GRADED], failures=["no report"]).needs_attention


def test_the_summary_counts_photographs_and_studies(results: GradingResults) -> None:
    photographs, _, studies = results.summary.partition(" 1 study: ")
    for count in ("4 photographs", "1 taken over", "1 without retinopathy", "1 moderate", "1 ungradable", "1 error"):
        assert count in photographs
    for count in ("1 referable", "0 not referable", "0 undecided", "2 photographs are in no study: broken, dark."):
        assert count in studies
    assert "0 photographs: no grades" in GradingResults([]).summary


def test_rows_have_the_columns_of_the_csv_table(results: GradingResults) -> None:
    frame = results.to_dataframe()
    assert frame["predicted_grade"].fillna(-1).tolist() == [2, 0, -1, -1]
    assert frame["prediction_set"][0] == (1, 2, 3)
    assert frame["error"][3] == "broken.jpg: corrupt JPEG"
    assert list(frame.columns) == list(COLUMNS)
    assert [list(row) for row in results.to_rows()] == [list(COLUMNS)] * 4


def test_displays_are_short_and_escape_ids(results: GradingResults) -> None:
    assert results.summary in repr(results)
    assert "moderate non-proliferative" in repr(results)
    html = results._repr_html_()
    assert "&lt;left&gt;" in html
    assert "<left>" not in html
    many = GradingResults([GRADED] * 1000)
    assert len(repr(many).splitlines()) < 20
    assert "990 more" in many._repr_html_()


def test_a_line_states_grade_decision_and_review() -> None:
    assert "referable" in describe_grading(GRADED)
    assert "review" not in describe_grading(GRADED)
    assert "not referable" in describe_grading(HEALTHY)
    assert "dark" in describe_grading(DARK)
    assert "review" in describe_grading(DARK)
    assert "corrupt" in describe_grading(BROKEN)


def test_the_function_grades_reports_progress_and_continues(eyes: Path, grader_file: Path, tmp_path: Path) -> None:
    reports: list[tuple[str, int, int | None]] = []

    def progress(stage: str, done: int, total: int | None) -> None:
        reports.append((stage, done, total))

    table, left = tmp_path / "r.csv", f"{eyes}/*_left.jpg"
    first = grade(left, model=grader_file, out=table, saliency=tmp_path / "saliency", progress=progress)
    paths, ids = [each.path or "" for each in first], [each.image_id for each in first]
    assert list(first) == Grader.load(grader_file).grade(paths, ids)
    assert reports[0][1:] == (0, 6)
    assert reports[-1][1:] == (6, 6)
    assert len(list((tmp_path / "saliency").iterdir())) == len(first.graded)
    both = grade(eyes, model=grader_file, out=table, studies=tmp_path / "s.csv", progress=progress)
    assert (len(both), len(both.taken_over), len(both.new)) == (12, 6, 6)
    assert list(grade(left, model=grader_file, out=table)) == list(first)
    assert all(len(study.photographs) == 2 for study in both.studies)
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert [row["image_id"] for row in rows] == [each.image_id for each in [*first, *both.new]]


def test_the_number_of_workers_does_not_change_the_table(eyes: Path, grader_file: Path, tmp_path: Path) -> None:
    tables = []
    for workers in (1, 2, 5):
        grade(eyes, model=grader_file, out=tmp_path / f"{workers}.csv", workers=workers)
        tables.append(read_gradings(tmp_path / f"{workers}.csv"))
    assert tables == [tables[0]] * 3  # but for their times


def test_an_address_needs_ray(eyes: Path, grader_file: Path) -> None:
    with pytest.raises(UsageError, match="ray"):
        grade(eyes, model=grader_file, address="auto")

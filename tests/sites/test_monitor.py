"""Months of results: quiet ones are quiet, a change is found in its month, and what isn't comparable is said."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from retinagrade import Monitoring, monitor
from retinagrade.cli import app
from retinagrade.errors import ManifestError, UsageError
from retinagrade.gradings.grading import Grading
from retinagrade.gradings.studies import StudyGrading
from retinagrade.gradings.table import write_results
from retinagrade.sites.monitor import MonitoringRecord
from tests.schemas import require_schema

NAMES = [f"month {number}" for number in range(1, 8)]


def month(number: int, photographs: int = 120, hazy: float = 0.05, grade: float = 0.0) -> list[Grading]:
    """Draws the results of a month; both eyes of a patient have one grade."""
    rng, rows = np.random.default_rng(number), []
    levels = np.repeat(rng.random(photographs), 2)
    for row in range(photographs):
        is_hazy, severity = bool(rng.random() < hazy), min(4.0, float(4 * levels[row] ** 3) + grade)
        row_id = f"{number}-{row}"
        common = Grading(
            row_id, f"{row_id}.jpg", f"{number}-{row // 2}", "LR"[row % 2], gradable=not is_hazy, digest=row_id,
            quality=0.2 if is_hazy else 0.9 + 0.1 * rng.random(), model="m 1", grader_digest="a",
            referral="retinopathy", referable_threshold=0.4, graded_at=f"2026-{number:02d}-15T12:00:00+00:00",
        )  # fmt: skip
        if is_hazy:
            rows.append(replace(common, quality_reasons=("haze: widen the pupil",)))
            continue
        rows.append(
            replace(
                common,
                predicted_grade=round(severity),
                expected_grade=severity,
                referable=severity >= 1.5,
                confidence=0.5 + rng.random() / 2,
                needs_review=False,
                hard_exudates=int(rng.poisson(severity)),
                hard_exudates_area=float(severity * rng.random() / 1e3),
            )
        )
    return rows


def written(folder: Path, months: Sequence[list[Grading]], suffix: str = ".csv") -> Path:
    """Writes a table for each month; month 10 comes after month 9."""
    folder.mkdir()
    for number, rows in enumerate(months, start=1):
        write_results(folder / f"month {number}{suffix}", Grading, rows)
    return folder


@pytest.fixture(scope="module")
def quiet() -> list[list[Grading]]:
    return [month(number) for number in range(1, 8)]


@pytest.fixture(scope="module")
def changed() -> list[Grading]:
    return month(8, hazy=0.4, grade=1.0)


@pytest.fixture(scope="module")
def year(quiet: list[list[Grading]], changed: list[Grading], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven quiet months, and one with a new camera."""
    return written(tmp_path_factory.mktemp("site") / "year", [*quiet, changed])


@pytest.fixture(scope="module")
def made(year: Path) -> Monitoring:
    return monitor(year, out=year.parent / "page.html")


def test_a_change_is_found_in_its_month_only(made: Monitoring) -> None:
    assert made.reference == tuple(NAMES[:3])
    assert [period.name for period in made.periods] == [*NAMES[3:], "month 8"]
    assert {alarm.period for alarm in made.alarms} == {"month 8"}
    assert {"refusal", "refused_haze", "expected_grade", "quality"} <= {a.number for a in made.alarms}
    assert made.needs_attention
    sentence = next(alarm.sentence for alarm in made.alarms if (alarm.number, alarm.test) == ("refusal", "share"))
    share = np.mean([not each.gradable for each in month(8, hazy=0.4, grade=1.0)])
    assert f"{100 * share:.1f} %" in sentence
    assert "120 photographs" in sentence
    assert made.periods[0].patients == 60
    document = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert document["needs_attention"] is True
    require_schema(MonitoringRecord, document)


def test_the_page_needs_no_other_file_and_shows_alarms_first(made: Monitoring, year: Path) -> None:
    page = (year.parent / "page.html").read_text()
    assert 'src="data:image/png' in page
    assert not re.search(r"(src|href)=.(?!data:)", page)
    assert page.index("month 8: something has moved") < page.index("<img")
    assert all(alarm.sentence.split(",")[0] in page for alarm in made.alarms)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_quiet_months_are_quiet_in_every_format_and_order(
    quiet: list[list[Grading]], tmp_path: Path, suffix: str
) -> None:
    folder = written(tmp_path / "year", quiet, suffix)
    write_results(folder / f"studies{suffix}", StudyGrading, [])
    files = sorted(folder.glob("month*"), reverse=True)
    for results in (folder, files):
        made = monitor(results)
        assert not made.alarms
        assert not made.needs_attention
        assert len(made.judged) == 4


def test_one_table_is_divided_by_months_and_weeks(quiet: list[list[Grading]], tmp_path: Path) -> None:
    write_results(tmp_path / "all.csv", Grading, [row for rows in quiet for row in rows])
    made = monitor(tmp_path / "all.csv", reference=4)
    assert made.reference == ("2026-01", "2026-02", "2026-03", "2026-04")
    assert [period.name for period in made.judged] == ["2026-05", "2026-06", "2026-07"]
    weeks = monitor(tmp_path / "all.csv", by="week", reference=["2026-W11", "2026-W07"])
    assert weeks.reference == ("2026-W07", "2026-W11")
    assert weeks.periods[0].name == "2026-W16"


def test_a_photograph_counts_once_and_changes_of_the_grader_are_no_drift(
    quiet: list[list[Grading]], changed: list[Grading], tmp_path: Path
) -> None:
    again = [*quiet[4], *quiet[3][:50]]
    other = [replace(row, grader_digest="b", referable_threshold=0.3) for row in changed]
    folder = written(tmp_path / "year", [*quiet[:4], again, quiet[5][:20], other])
    made = monitor(folder)
    repeated, few, known = made.periods[1:]
    assert repeated.photographs == 120
    assert any("50 photographs" in note and "month 4" in note for note in made.notes)
    assert few.not_judged is not None
    assert not few.is_known_change
    assert known.is_known_change
    assert "referable_threshold 0.3 instead of 0.4" in (known.not_judged or "")
    assert not made.alarms
    assert made.needs_attention
    with pytest.raises(UsageError, match="several graders"):
        monitor(folder, reference=["month 4", "month 7"])


def test_what_cannot_be_compared_is_an_error(quiet: list[list[Grading]], tmp_path: Path) -> None:
    folder = written(tmp_path / "year", [quiet[0][:40], quiet[1], quiet[2]])
    with pytest.raises(UsageError, match="no period comes after it"):
        monitor(folder)
    with pytest.raises(UsageError, match="40 photographs"):
        monitor(folder, reference=1)
    with pytest.raises(UsageError, match="no such period"):
        monitor(folder, reference="month 9")
    with pytest.raises(UsageError, match=r"page\.html"):
        monitor(folder, out=folder / "page.html")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no results"):
        monitor(tmp_path / "empty")
    (folder / "month 2.csv").write_text((folder / "month 2.csv").read_text().replace(",true,", ",false,", 1))
    with pytest.raises(ManifestError, match="month 2"):
        monitor(folder, reference=1)


def test_the_command_prints_and_exits_like_the_function(
    year: Path, made: Monitoring, quiet: list[list[Grading]]
) -> None:
    loud = CliRunner().invoke(app, ["monitor", str(year), "--json"])
    assert loud.exit_code == 1
    assert json.loads(loud.stdout) == json.loads(json.dumps(made.to_json()))
    files = [str(year / f"{name}.csv") for name in NAMES]
    calm = CliRunner().invoke(app, ["monitor", *files, "--reference", "2"])
    assert calm.exit_code == 0, calm.output
    assert "month 7" in calm.stdout
    assert CliRunner().invoke(app, ["monitor", *files, "--reference", "month 9"]).exit_code != 0


def test_a_newest_period_that_cannot_be_judged_needs_a_look(tmp_path: Path, quiet: list[list[Grading]]) -> None:
    small = month(9, photographs=20)
    made = monitor(written(tmp_path / "year", [*quiet, small]))
    assert made.newest_is_open
    assert made.needs_attention
    assert not monitor(written(tmp_path / "quiet", [*quiet[:4], small, quiet[4]])).needs_attention


def test_names_without_numbers_stand_in_the_order_of_their_times(tmp_path: Path, quiet: list[list[Grading]]) -> None:
    for name, rows in zip(("Jan", "Feb", "Mar", "Apr", "May"), quiet, strict=False):
        write_results(tmp_path / f"{name}.csv", Grading, rows)
    made = monitor(tmp_path)
    assert made.reference == ("Jan", "Feb", "Mar")
    assert [period.name for period in made.periods] == ["Apr", "May"]
    assert made.notes

"""The tables of ``grade`` are evaluated whole, in each format, on the page and in ``metrics.json``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from jsonschema import validate
from typer.testing import CliRunner

from retinagrade.cli import app
from retinagrade.errors import JoinError
from retinagrade.gradings.grading import Grading
from retinagrade.gradings.table import SUFFIXES, write_results
from retinagrade.runs.compare import compare
from retinagrade.runs.evaluate import evaluate
from retinagrade.runs.predictions import Predictions
from tests.evaluation.tables import predictions, some_grades

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "metrics.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of 80 photographs of 40 patients, five of them refused and one an error, and their labels."""
    folder = tmp_path_factory.mktemp("results")
    grades = some_grades(80)
    table = predictions(grades, skill=2)
    gradings = []
    for number, row in enumerate(table[["p0", "p1", "p2", "p3", "p4"]].round(9).to_numpy()):
        grading = Grading(
            f"i{number:05d}",
            f"i{number:05d}.jpg",
            study=f"s{number // 2}",
            predicted_grade=int(row.argmax()),
            probabilities=tuple(row.tolist()),
            referable=bool(row[2:].sum() > 0.4),
            vision_threatening=bool(row[3:].sum() > 0.4),
            needs_review=number % 9 == 0,
            gradable=True,
            quality_level="good",
            oedema_probability=0.25,
            oedema_risk=number % 3,
        )
        if number % 16 == 2:
            grading = replace(grading, predicted_grade=None, referable=None, vision_threatening=None, gradable=False)
            grading = replace(grading, needs_review=True, quality_level="reject", quality_reasons=("haze",))
        gradings.append(Grading("i00007", "i00007.jpg", error="is broken") if number == 7 else grading)
    for suffix in SUFFIXES:
        write_results(folder / f"r{suffix}", Grading, gradings)
    labels = {"image_id": [each.image_id for each in gradings], "grade": grades, "camera": ["a", "b"] * 40}
    pd.DataFrame(labels).to_csv(folder / "labels.csv", index=False)
    return folder


def test_results_are_evaluated_whole_in_every_format(tables: Path) -> None:
    labels = pd.read_csv(tables / "labels.csv")
    found = []
    for suffix in SUFFIXES:
        evaluation = evaluate(tables / f"r{suffix}", grades=labels, by=["camera"], resamples=20)
        assert evaluation.photographs == 74
        assert "oedema_auc" not in evaluation.metrics  # the predicted risk is no label
        decisions = evaluation.decisions
        assert decisions is not None
        counts = (decisions.photographs, decisions.refused, decisions.errors, decisions.unlabelled)
        assert counts == (80, 6, 1, 0)
        assert decisions.patients == 41  # an error has no study
        found.append(decisions.to_json())
    assert found[0] == found[1] == found[2]
    answer = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    validate(answer, SCHEMA)
    unlabelled = evaluate(tables / "r.csv", grades=labels.drop(index=2), resamples=0).decisions
    assert unlabelled is not None
    assert (unlabelled.photographs, unlabelled.unlabelled, unlabelled.refused) == (79, 1, 5)
    patients = labels.assign(patient_id=[f"p{number // 4}" for number in range(80)])
    by_labels = evaluate(tables / "r.csv", grades=patients, resamples=0).decisions
    assert by_labels is not None
    assert by_labels.patients == 20


def test_grades_of_readers_who_saw_the_result_are_a_finding(tables: Path, tmp_path: Path) -> None:
    labels = pd.read_csv(tables / "labels.csv", dtype=str)
    codes = {}
    for saw in ("true", "false"):
        labels.assign(reader_saw_result=saw).to_csv(tmp_path / f"{saw}.csv", index=False)
        findings = Predictions.read(tables / "r.csv", grades=tmp_path / f"{saw}.csv").findings
        codes[saw] = {finding.code for finding in findings}
    assert codes["true"] - codes["false"] == {"reader-saw-result"}


def test_the_page_and_the_terminal_show_the_decisions(tables: Path, tmp_path: Path) -> None:
    labels, out = str(tables / "labels.csv"), tmp_path / "e"
    words = ["evaluate", str(tables / "r.csv"), "--grades", labels, "--prevalence", "0.1", "--out", str(out)]
    done = CliRunner().invoke(app, [*words, "--resamples", "200", "--by", "camera"])
    assert done.exit_code == 1, done.output  # photographs without a grade are a finding
    assert "refused 6 of them: 5 ungradable, 1 with an error" in " ".join(done.output.split())
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    validate(metrics, SCHEMA)
    counted = [one for one in metrics["decisions"]["outcomes"] if sum(map(sum, one["table"]))]
    stated = {one["decision"] for one in counted} - {one["decision"] for one in counted if one["prevalence"] != 0.1}
    assert stated == {"referable", "referable_or_review"}, "a prevalence is that of referable disease"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Decisions by patient" in page
    assert "camera: a" in page
    assert (out / "decision_curve_by_patient.png").is_file()


def test_graders_are_compared_on_photographs_that_both_have_graded(tables: Path) -> None:
    labels = pd.read_csv(tables / "labels.csv")
    table = predictions(labels["grade"].to_numpy(), skill=1).drop(columns="grade")
    comparison = compare({"grader": tables / "r.csv", "network": table}, grades=labels, resamples=5)
    assert [each.photographs for each in comparison.evaluations.values()] == [74, 74]
    assert [name for name, finding in comparison.findings if finding.code == "without-grade"] == ["grader"]


def test_results_without_decisions_say_so_and_refused_ones_alone_are_no_evaluation(tmp_path: Path) -> None:
    chances = (0.1, 0.6, 0.1, 0.1, 0.1)
    graded = [
        Grading(f"i{number}", None, predicted_grade=1, probabilities=chances, needs_review=None) for number in range(9)
    ]
    refused = [Grading(f"r{number}", None, probabilities=chances, quality_reasons=("haze",)) for number in range(2)]
    labels = pd.DataFrame({"image_id": [each.image_id for each in graded + refused], "grade": [0, 1, 2] * 3 + [2, 1]})
    write_results(tmp_path / "r.csv", Grading, graded + refused)
    evaluation = evaluate(tmp_path / "r.csv", grades=labels, resamples=5)
    decisions = evaluation.decisions
    assert decisions is not None
    assert set(decisions.missing) == {"referable", "referable_or_review", "vision_threatening"}
    assert decisions.outcomes == []
    assert "No metrics of “referable”" in evaluation.write(tmp_path / "page").read_text(encoding="utf-8")
    write_results(tmp_path / "refused.csv", Grading, refused)
    with pytest.raises(JoinError, match="refused all 2 labelled photographs"):
        evaluate(tmp_path / "refused.csv", grades=labels[-2:])


def test_other_tables_have_no_decisions(tmp_path: Path) -> None:
    table = predictions(some_grades(40), skill=2)
    assert Predictions.read(table).decided is None
    assert evaluate(table, resamples=0).to_json()["decisions"] is None

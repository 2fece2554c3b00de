from __future__ import annotations

import html
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import validate
from sklearn.metrics import classification_report

from retinagrade.errors import JoinError, ManifestError, UsageError
from retinagrade.evaluation.confusion_matrix_file import read_confusion_matrix
from retinagrade.evaluation.evaluate import evaluate_confusion_matrix, evaluate_predictions
from retinagrade.evaluation.fitting.calibration import fit_calibration
from retinagrade.evaluation.intervals import REFERENCE_METRICS
from retinagrade.evaluation.predictions import graded_predictions
from tests.evaluation.tables import predictions, some_grades

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "metrics.schema.json").read_text(encoding="utf-8"))


def test_agrees_with_scikit_learns_report() -> None:
    table = predictions(some_grades(400), skill=1)
    evaluation = evaluate_predictions(table)
    predicted = table[["p0", "p1", "p2", "p3", "p4"]].to_numpy().argmax(axis=1)
    expected = classification_report(table["grade"].astype(int), predicted, output_dict=True)
    assert evaluation.metrics["accuracy"] == pytest.approx(expected["accuracy"])
    for ours, theirs in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
        for grade in range(5):
            assert evaluation.metrics[f"grade_{grade}_{ours}"] == pytest.approx(expected[str(grade)][theirs])
        for kind in ("macro", "weighted"):
            assert evaluation.metrics[f"{kind}_{ours}"] == pytest.approx(expected[f"{kind} avg"][theirs])
    assert evaluation.support == [expected[str(grade)]["support"] for grade in range(5)]
    assert evaluation.metrics["macro_recall"] == pytest.approx(evaluation.metrics["balanced_accuracy"])
    assert evaluation.undefined == {}


@settings(max_examples=20)  # each evaluates three tables
@given(st.integers(0, 100))
def test_the_order_of_rows_changes_nothing(seed: int) -> None:
    table = predictions(some_grades(60), skill=1)
    shuffled = table.sample(frac=1, random_state=seed)
    expected = evaluate_predictions(table, resamples=20).to_json()
    assert evaluate_predictions(shuffled, resamples=20).to_json() == expected
    grades = table[["image_id", "grade"]].sample(frac=1, random_state=seed + 1)
    assert evaluate_predictions(shuffled.drop(columns="grade"), grades, resamples=20).to_json() == expected


@given(st.lists(st.none() | st.integers(0, 4), min_size=1, max_size=12), st.integers(0, 9))
def test_any_set_of_grades_gives_strict_json_and_a_reason_for_every_null(grades: list[int | None], seed: int) -> None:
    table = predictions(np.array([grade or 0 for grade in grades]), skill=1, seed=seed)
    table["grade"] = pd.array(grades, dtype="Int64")
    if all(grade is None for grade in grades):
        with pytest.raises(JoinError, match="--grades"):
            evaluate_predictions(table)
        return
    answer = json.loads(
        json.dumps(evaluate_predictions(table, resamples=50, prevalence=0.1).to_json(), allow_nan=False)
    )
    assert answer["ungraded"] == grades.count(None)
    nulls = {name for name, figure in answer["metrics"].items() if figure["value"] is None}
    nulls |= {
        f"{name}, interval"
        for name, figure in answer["metrics"].items()
        if figure["interval"] is None and figure["value"] is not None and name not in REFERENCE_METRICS
    }
    nulls |= {"independence"} if answer["independence"] is None else set()
    assert nulls == set(answer["undefined"])
    assert all(answer["undefined"].values())
    validate(answer, SCHEMA)


def test_intervals_are_of_patients_and_can_be_left_out() -> None:
    table = predictions(some_grades(120), skill=1)
    of_photographs = evaluate_predictions(table, resamples=200)
    assert of_photographs.patients == of_photographs.photographs == 120
    twice = pd.concat([table, table.assign(image_id="again-" + table["image_id"])])
    of_patients = evaluate_predictions(twice.assign(patient_id=[*table["image_id"]] * 2), resamples=200)
    assert of_patients.patients == 120
    for name in ("accuracy", "quadratic_weighted_kappa", "referable_auc", "log_loss"):
        one, other = of_photographs.intervals[name], of_patients.intervals[name]
        assert one is not None
        assert other is not None
        assert (one.low, one.high) == pytest.approx((other.low, other.high))  # the second eyes add nothing
    without = evaluate_predictions(table, resamples=0)
    assert without.metrics == of_photographs.metrics
    assert set(without.intervals.values()) == {None}
    assert without.undefined == {}


def test_what_was_fitted_on_others_is_applied(tmp_path: Path) -> None:
    source = tmp_path / "val.csv"
    source.write_text("x")
    validation = predictions(some_grades(400, seed=1), skill=1, seed=1).assign(dataset="a")
    fitted = fit_calibration(graded_predictions(validation.assign(image_id="v-" + validation["image_id"])), source)
    table = predictions(some_grades(300), skill=1)
    table["camera"] = ["old", "new", None] * 100
    evaluation = evaluate_predictions(table, calibration=fitted, by=["camera"], prevalence=0.05, resamples=100)
    applied = evaluation.applied_calibration
    assert applied is not None
    (referable, _) = applied.operating_points
    assert fitted.referable is not None
    score = fitted.calibrate(table[["p0", "p1", "p2", "p3", "p4"]].to_numpy())[:, 2:].sum(axis=1)
    truths, called = table["grade"].to_numpy(dtype=int) >= 2, score >= fitted.referable.threshold
    assert referable.metrics["sensitivity"] == pytest.approx(called[truths].mean())
    assert referable.metrics["specificity"] == pytest.approx(1 - called[~truths].mean())
    sensitivity, alarms = called[truths].mean(), called[~truths].mean()
    by_bayes = sensitivity * 0.05 / (sensitivity * 0.05 + alarms * 0.95)
    assert referable.metrics["ppv_at_prevalence"] == pytest.approx(by_bayes)
    assert applied.prediction_sets[0].coverage > 0.8
    assert sum(applied.prediction_sets[0].sizes) == pytest.approx(1)
    assert [(group.value, group.photographs) for group in evaluation.subgroups] == [
        ("new", 100),
        ("old", 100),
        ("(missing)", 100),
    ]
    answer = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    validate(answer, SCHEMA)
    assert answer["calibration"]["source"]["photographs"] == 400


def test_a_bare_matrix_follows_the_schema_too() -> None:
    validate(json.loads(json.dumps(evaluate_confusion_matrix(np.eye(5, dtype=int)).to_json())), SCHEMA)


def test_a_grade_that_is_never_given_has_no_precision_and_no_hidden_zero() -> None:
    matrix = np.diag([20, 0, 20, 10, 10])
    matrix[1, 0] = 5
    evaluation = evaluate_confusion_matrix(matrix)
    of_grade_1 = {name: evaluation.metrics[f"grade_1_{name}"] for name in ("precision", "recall", "f1")}
    assert of_grade_1 == {"precision": None, "recall": 0.0, "f1": 0.0}
    assert evaluation.metrics["macro_precision"] is None
    assert "never predicted" in evaluation.undefined["macro_precision"]
    assert evaluation.metrics["macro_recall"] == pytest.approx(0.8)
    assert "probabilities" in evaluation.undefined["referable_auc"]


def test_an_evaluation_shows_its_main_metrics_and_draws_its_pictures() -> None:
    evaluation = evaluate_predictions(predictions(some_grades(90), skill=3), resamples=50)
    shown = repr(evaluation)
    assert "90 graded photographs" in shown
    assert f"quadratic weighted kappa: {evaluation.quadratic_weighted_kappa:.3f} (" in shown
    assert len(shown.splitlines()) < 10
    assert "quadratic weighted kappa" in evaluation._repr_html_()
    assert evaluation.plots == (
        "confusion_matrix", "grades", "roc", "precision_recall", "reliability", "risk_coverage"
    )  # fmt: skip
    assert all(evaluation.plot(name).axes for name in evaluation.plots)
    with pytest.raises(UsageError, match="it has confusion_matrix"):
        evaluation.plot("lift")


def test_findings_are_in_the_text_and_the_table_of_a_notebook() -> None:
    evaluation = evaluate_confusion_matrix(np.diag([9, 0, 0, 0, 0]))
    (finding,) = evaluation.findings
    assert finding.message in repr(evaluation)
    assert finding.message in html.unescape(evaluation._repr_html_())
    assert evaluation.plots == ("confusion_matrix", "grades")


def test_a_file_and_an_array_of_a_confusion_matrix_give_the_same_metrics(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("\n".join(ROWS))
    from_file = evaluate_confusion_matrix(str(tmp_path / "m.csv"))
    assert from_file.metrics == evaluate_confusion_matrix(MATRIX.tolist()).metrics
    assert from_file.context.name == "m"
    assert list(from_file.context.sources) == [str(tmp_path / "m.csv")]


@pytest.mark.parametrize("matrix", [np.zeros((5, 5)), np.ones((4, 4)), -np.eye(5), np.eye(5) / 2, [["a"] * 5] * 5])
def test_an_array_that_is_no_confusion_matrix_is_refused(matrix: object) -> None:
    with pytest.raises(UsageError, match="5 × 5 counts"):
        evaluate_confusion_matrix(matrix)  # type: ignore[arg-type]


MATRIX = np.arange(25).reshape(5, 5)
ROWS = [",".join(map(str, row)) for row in MATRIX]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(ROWS),
        "\r\n".join(ROWS) + "\r\n\r\n",
        "\ufeff" + "\n".join(ROWS).replace(",", ";"),
        "\n".join(ROWS).replace(",", "\t"),
        "0,1,2,3,4\n" + "\n".join(ROWS),
        "grade,none,mild,moderate,severe,proliferative\n" + "\n".join(f"{i},{row}" for i, row in enumerate(ROWS)),
        "\n".join(f"grade {i}, {row}" for i, row in enumerate(ROWS)),
    ],
)
def test_confusion_matrices_are_read_with_and_without_names(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.csv").write_bytes(text.encode())
    assert np.array_equal(read_confusion_matrix(tmp_path / "m.csv"), MATRIX)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n".join(ROWS[:4]), "found 4 lines of 5 cells"),
        ("\n".join(ROWS).replace("13", "-13"), "line 3, column 4: '-13' is not a count"),
        ("\n".join(ROWS).replace("13", "1.5"), "'1.5' is not a count"),
        ("\n".join(["0,0,0,0,0"] * 5), "counts no photographs"),
        ("a,b\nc,d", "found 2 lines of 2 cells"),
    ],
)
def test_what_is_no_confusion_matrix(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(ManifestError) as error:
        read_confusion_matrix(tmp_path / "m.csv")
    assert said in str(error.value)
    with pytest.raises(ManifestError, match="not a readable CSV"):
        read_confusion_matrix(tmp_path / "absent.csv")

"""The integrity check: flags what carries no information, and accuses no good network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, chi2_contingency

from retinagrade.evaluation.confusion_matrix_file import read_confusion_matrix
from retinagrade.evaluation.evaluate import (
    Evaluation,
    evaluate_confusion_matrix,
    evaluate_predictions,
)
from retinagrade.evaluation.integrity.checks import check_confusion_matrix, check_predictions, check_rows
from retinagrade.evaluation.integrity.independence import independence_test
from retinagrade.evaluation.metrics import Undefined, confusion_matrix
from retinagrade.evaluation.predictions import read_prediction_rows, tidy_predictions
from retinagrade.manifest import Manifest
from tests.evaluation.tables import predictions, some_grades

REPORT = Path(__file__).parents[3] / "docs" / "report"
REPORT_METRICS = pd.read_csv(REPORT / "metrics.csv").set_index("model")


def codes(evaluation: Evaluation) -> list[str]:
    return [finding.code for finding in evaluation.findings]


def test_there_are_twelve_matrices_of_the_reports_test_set() -> None:
    matrices = [read_confusion_matrix(path) for path in sorted((REPORT / "matrices").glob("*.csv"))]
    assert len(matrices) == len(REPORT_METRICS) == 12
    for matrix in matrices:
        assert matrix.sum(axis=1).tolist() == [39533, 3762, 7861, 1214, 1206]


@pytest.mark.parametrize("model", REPORT_METRICS.index)
def test_every_matrix_of_the_report_is_flagged(model: str) -> None:
    evaluation = evaluate_confusion_matrix(read_confusion_matrix(REPORT / "matrices" / f"{model}.csv"))
    assert codes(evaluation)[0] == "no-information"
    expected = REPORT_METRICS.loc[model]
    for name in ("accuracy", "chance_accuracy"):
        assert evaluation.metrics[name] == pytest.approx(expected[name], abs=6e-5)
    assert evaluation.quadratic_weighted_kappa == pytest.approx(expected["quadratic_weighted_kappa"], abs=6e-4)
    test = evaluation.independence
    assert test is not None
    frequent = evaluation.confusion_matrix[
        :, evaluation.confusion_matrix.sum(axis=0) >= 20
    ]  # as docs/report/README.md says of metrics.csv
    assert chi2_contingency(frequent, correction=False).pvalue == pytest.approx(expected["p_value"], abs=0.006)
    if test.method == "chi-squared":
        assert test.p_value == pytest.approx(expected["p_value"], abs=0.006)
    assert evaluation.metrics["accuracy"] < evaluation.metrics["majority_baseline"]  # type: ignore[operator]


def test_a_matrix_like_chance_names_the_usual_accident() -> None:
    (finding,) = check_confusion_matrix(read_confusion_matrix(REPORT / "matrices" / "vgg16-5.csv"))
    assert (finding.code, finding.verdict) == ("no-information", "chance")
    assert "image_id" in finding.message


@pytest.mark.parametrize("count", [40, 80, 300, 3000])
@pytest.mark.parametrize("skill", [1.5, 4])
@pytest.mark.parametrize("seed", range(2))
def test_a_genuinely_good_network_is_never_accused(count: int, skill: float, seed: int) -> None:
    found = codes(evaluate_predictions(predictions(some_grades(count, seed), skill, seed), resamples=0))
    assert found in ([], ["few-cases"])
    assert found == [] or count == 40  # where few photographs are referable, whatever the network


def test_a_good_matrix_of_idrids_size_is_not_flagged() -> None:
    # QWK 0.72 on 103 photographs, the size of IDRiD's test set.
    matrix = np.array([[30, 1, 3, 0, 0], [3, 1, 1, 0, 0], [4, 1, 22, 4, 1], [1, 0, 7, 9, 2], [1, 0, 4, 3, 5]])
    assert codes(evaluate_confusion_matrix(matrix)) == []


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_predictions_of_a_good_network_are_found(seed: int) -> None:
    table = predictions(some_grades(1500, seed), skill=2, seed=seed)
    assert codes(evaluate_predictions(table, resamples=0)) == []
    order = np.random.default_rng(seed).permutation(len(table))
    shuffled = table.assign(grade=table["grade"].to_numpy()[order])
    evaluation = evaluate_predictions(shuffled, resamples=0)
    assert codes(evaluation) == ["no-information"]
    assert "the most frequent grade alone 0.7" in evaluation.findings[0].message
    assert "The probabilities don't say otherwise" in evaluation.findings[0].message


def test_few_photographs_are_called_few_and_not_useless() -> None:
    evaluation = evaluate_predictions(predictions(some_grades(15), skill=0))
    assert codes(evaluation) == ["few-photographs"]


def test_a_meaningless_association_of_many_photographs_is_found_although_significant() -> None:
    rng = np.random.default_rng(0)
    grades = rng.integers(0, 5, 200_000)
    predicted = np.where(rng.random(len(grades)) < 0.02, grades, rng.integers(0, 5, len(grades)))
    evaluation = evaluate_confusion_matrix(confusion_matrix(grades, predicted))
    assert evaluation.independence is not None
    assert evaluation.independence.p_value < 0.001
    assert codes(evaluation) == ["no-information"]
    assert "hardly any" in evaluation.findings[0].message


def test_one_grade_or_one_prediction() -> None:
    assert codes(evaluate_confusion_matrix(np.diag([9, 0, 0, 0, 0]))) == ["one-grade"]
    constant = np.zeros((5, 5), int)
    constant[:, 2] = [50, 10, 20, 5, 5]
    assert codes(evaluate_confusion_matrix(constant)) == ["one-prediction"]
    with pytest.raises(Undefined, match="one grade"):
        independence_test(constant)


@pytest.mark.parametrize("order", [[1, 2, 0, 4, 3], [2, 0, 1, 4, 3], [4, 3, 2, 1, 0]])
def test_classes_in_another_order_are_found(order: list[int]) -> None:
    good = evaluate_predictions(predictions(some_grades(400), skill=3)).confusion_matrix
    findings = check_confusion_matrix(good[:, order])
    assert [finding.code for finding in findings] == ["class-order"]


def test_worse_than_chance() -> None:
    matrix = np.zeros((5, 5), int)
    matrix[1, [1, 2]], matrix[2, [1, 2]] = (450, 550), (550, 450)
    assert [finding.code for finding in check_confusion_matrix(matrix)] == ["worse-than-chance"]


def test_the_tests_size_is_right_where_counts_are_small() -> None:
    """Independent predictions are rejected at 1 % about once in a hundred times, also with rare grades."""
    rng = np.random.default_rng(1)
    p_values = [
        independence_test(
            confusion_matrix(some_grades(60, seed), rng.choice(5, 60, p=[0.6, 0.1, 0.2, 0.05, 0.05]))
        ).p_value
        for seed in range(200)
    ]
    assert np.mean(np.array(p_values) < 0.01) <= 0.035
    assert 0.35 < np.mean(p_values) < 0.65


@pytest.mark.parametrize(("referable", "other"), [(9, 200), (200, 9), (0, 50), (1, 3)])
def test_too_few_cases_of_a_kind_say_how_wide_the_interval_is(referable: int, other: int) -> None:
    (finding,) = check_confusion_matrix(np.diag([other - 1, 1, referable, 0, 0]))
    assert finding.code in ("few-cases", "few-photographs")
    if (referable, other) == (9, 200):
        assert "only 9 referable photographs" in finding.message
        low = proportion_lower(9, 9)
        assert f"from {100 * low:.0f} to 100 %" in finding.message
    if (referable, other) == (200, 9):
        assert "interval of the specificity" in finding.message


def proportion_lower(right: int, count: int) -> float:
    """The lower end of Wilson's 95 % interval, by SciPy."""
    return float(binomtest(right, count).proportion_ci(method="wilson").low)


def test_enough_cases_are_enough_and_idrids_eighty_are() -> None:
    assert check_confusion_matrix(np.diag([9, 1, 10, 0, 0])) == []
    assert check_confusion_matrix(np.diag([26, 4, 27, 14, 9])) == []


def rows_of(tmp_path: Path, *lines: str) -> pd.DataFrame:
    (tmp_path / "p.csv").write_text("\n".join(["image_id,p0,p1,p2,p3,p4,grade", *lines]) + "\n", encoding="utf-8")
    return read_prediction_rows(tmp_path / "p.csv")


def test_sums_and_repeated_rows_are_named_with_the_worst(tmp_path: Path) -> None:
    rows = rows_of(
        tmp_path, "a,1,0,0,0,0,0", "b,.5,.3,0,0,0,1", "c,0,0,0,1,1,3", "a,1,0,0,0,0,0", "c,0,0,1,0,0,3", "d,0,0,0,0,1,"
    )
    sums, repeated = check_rows(rows)
    assert (sums.code, repeated.code) == ("sums", "repeated")
    assert "2 of 6 rows" in sums.message
    assert "line 4 is furthest off with 2.000" in sums.message
    assert "several rows for 2 photographs (a, c)" in repeated.message
    assert "contradict each other for 1 photograph (c); the metrics use the first row" in repeated.message
    assert check_rows(tidy_predictions(rows)) == []
    assert check_rows(rows_of(tmp_path, "a,.334,.333,.333,0,0,0", "b,.2,.2,.2,.2,.195,1")) == []


def test_results_of_several_graders_or_without_a_gate_are_named(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, "a,1,0,0,0,0,0", "b,1,0,0,0,0,0", "c,0,1,0,0,0,1")
    rows["grader_digest"], rows["quality_level"] = ["a", "a", None], ["good", "reject", None]
    assert check_rows(rows) == []
    rows["grader_digest"], rows["quality_level"] = ["a", "b", None], ["good", "unchecked", None]
    assert [finding.code for finding in check_rows(rows)] == ["several-graders", "gate-off"]


def test_everything_that_is_known_is_checked(tmp_path: Path) -> None:
    table = predictions(some_grades(200), skill=3)
    assert check_predictions(table) == []
    ids = table["image_id"]
    split = ["train"] * 2 + ["val"] * 198
    manifest = Manifest.from_table(pd.DataFrame({"image_id": ids, "path": ids, "split": split}), tmp_path, "m")
    rows = pd.concat([table, table.head(1)], ignore_index=True)
    found = check_predictions(
        table, rows=rows, trained_on=manifest, fitted_on={"The thresholds": manifest.split("val").table}
    )
    assert [finding.code for finding in found] == ["leaked-photographs", "fitted-on-evaluated", "repeated"]
    assert "The thresholds were fitted on 198 of the 200 photographs" in found[1].message
    assert check_predictions(table.assign(grade=pd.array([pd.NA] * 200, dtype="Int64"))) == []

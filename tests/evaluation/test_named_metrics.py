"""Every metric has a name, agrees with scikit-learn, and is null with a reason where it is undefined."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given
from hypothesis import strategies as st

from retinagrade.evaluation.metrics import confusion_matrix
from retinagrade.evaluation.named_metrics import MATRIX_METRICS, METRIC_NAMES, compute_matrix_metrics, compute_metrics
from retinagrade.evaluation.predictions import GradedPredictions
from tests.evaluation.photographs import some_photographs


def expected(photographs: GradedPredictions) -> dict[str, float]:
    """The metrics by scikit-learn, NaN where it has none or makes one up."""
    grades, given_, probabilities = photographs.grades, photographs.predicted, photographs.probabilities
    present = np.unique(grades)
    labels = list(range(5))
    found = {
        "accuracy": reference.accuracy_score(grades, given_),
        "majority_baseline": np.bincount(grades).max() / len(grades),
        "quadratic_weighted_kappa": reference.cohen_kappa_score(grades, given_, labels=labels, weights="quadratic"),
        "linear_weighted_kappa": reference.cohen_kappa_score(grades, given_, labels=labels, weights="linear"),
        "unweighted_kappa": reference.cohen_kappa_score(grades, given_, labels=labels),
        "balanced_accuracy": reference.balanced_accuracy_score(grades, given_),
        "mean_absolute_grade_error": reference.mean_absolute_error(grades, given_),
        "off_by_two_or_more": float(np.mean(np.abs(grades - given_) >= 2)),
        "brier": reference.brier_score_loss(grades, probabilities, labels=labels, scale_by_half=False),
        "log_loss": reference.log_loss(grades, probabilities, labels=labels),
    }
    for average in ("macro", "weighted"):
        shares = reference.precision_recall_fscore_support(
            grades, given_, labels=present, average=average, zero_division=0
        )
        found.update(
            {f"{average}_{name}": share for name, share in zip(("precision", "recall", "f1"), shares[:3], strict=True)}
        )
        if not set(present) <= set(given_):
            found[f"{average}_precision"] = np.nan
    for finding, worse in (("referable", 2), ("vision_threatening", 3)):
        truths, decided, scores = grades >= worse, given_ >= worse, probabilities[:, worse:].sum(axis=1)
        both = truths.any() and not truths.all()
        found[f"{finding}_auc"] = reference.roc_auc_score(truths, scores) if both else np.nan
        found[f"{finding}_average_precision"] = reference.average_precision_score(truths, scores) if both else np.nan
        found[f"{finding}_sensitivity"] = reference.recall_score(truths, decided, zero_division=np.nan)
        found[f"{finding}_specificity"] = reference.recall_score(~truths, ~decided, zero_division=np.nan)
        found[f"{finding}_ppv"] = reference.precision_score(truths, decided, zero_division=np.nan)
        found[f"{finding}_npv"] = reference.precision_score(~truths, ~decided, zero_division=np.nan)
    areas = [reference.roc_auc_score(grades == grade, probabilities[:, grade]) for grade in present if len(present) > 1]
    found["macro_auc"] = float(np.mean(areas)) if areas else np.nan
    for grade in range(5):
        its, said = grades == grade, given_ == grade
        found[f"grade_{grade}_precision"] = reference.precision_score(its, said, zero_division=np.nan)
        found[f"grade_{grade}_recall"] = reference.recall_score(its, said, zero_division=np.nan)
        found[f"grade_{grade}_f1"] = reference.f1_score(its, said, zero_division=np.nan)
        found[f"grade_{grade}_specificity"] = reference.recall_score(~its, ~said, zero_division=np.nan)
    return {name: float(value) for name, value in found.items()}


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sets(st.integers(0, 4), min_size=1))
def test_metrics_are_scikit_learns(seed: int, size: int, present: set[int]) -> None:
    photographs = some_photographs(size, seed, grades=sorted(present))
    found = compute_metrics(photographs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of every absent grade
        others = expected(photographs)
    assert tuple(found.values) == METRIC_NAMES
    assert set(METRIC_NAMES) - set(others) == {"chance_accuracy", "expected_calibration_error"}  # of test_metrics.py
    for name, value in others.items():
        ours = found.values[name]
        assert (np.nan if ours is None else ours) == pytest.approx(value, abs=1e-12, nan_ok=True), name
    assert set(found.undefined) == {name for name, value in found.values.items() if value is None}
    assert all(found.undefined.values())


def test_a_matrix_gives_the_same_metrics_without_those_of_probabilities() -> None:
    photographs = some_photographs(200, 0)
    of_matrix = compute_matrix_metrics(confusion_matrix(photographs.grades, photographs.predicted))
    found = compute_metrics(photographs)
    assert of_matrix.values == {name: found.values[name] for name in MATRIX_METRICS}


def test_a_stack_of_matrices_gives_what_each_gives() -> None:
    rng = np.random.default_rng(0)
    matrices = rng.integers(0, 3, (40, 5, 5)) * rng.integers(0, 2, (40, 5, 1)) * rng.integers(0, 2, (40, 1, 5))
    assert not matrices.any(axis=(1, 2)).all()  # an empty one is among them
    for name, figure in MATRIX_METRICS.items():
        each = [compute_matrix_metrics(matrix).values[name] for matrix in matrices]
        expected_ = [np.nan if value is None else value for value in each]
        assert np.allclose(figure.stacked(matrices), expected_, rtol=0, atol=1e-15, equal_nan=True), name


def test_no_photographs_have_no_metrics() -> None:
    nothing = some_photographs(3, 0).rows(np.zeros(3, dtype=bool))
    found = compute_metrics(nothing)
    assert set(found.values.values()) == {None}
    assert set(found.undefined) == set(METRIC_NAMES)
    assert found.undefined["grade_1_recall"] == "there are no graded photographs"


def test_reasons_name_what_is_missing() -> None:
    photographs = some_photographs(30, 0, grades=[0, 1])
    undefined = compute_metrics(photographs).undefined
    assert undefined["referable_sensitivity"] == "no photograph has the disease"
    assert undefined["referable_auc"] == "no photograph is referable"
    assert undefined["vision_threatening_average_precision"] == "no photograph is vision-threatening"
    assert undefined["grade_3_recall"] == "no photograph has grade 3"

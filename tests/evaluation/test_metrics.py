"""Metrics agree with scikit-learn and torchmetrics, and what is undefined says why."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as reference
import torch
import torchmetrics.functional.classification as torch_reference
from hypothesis import given
from hypothesis import strategies as st

from retinagrade.errors import UsageError
from retinagrade.evaluation import metrics
from retinagrade.evaluation.metrics import Undefined

LABELS = list(range(5))


@st.composite
def graded(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    size = draw(st.integers(1, 60))
    column = st.lists(st.integers(0, 4), min_size=size, max_size=size)
    return np.array(draw(column)), np.array(draw(column))


@given(graded())
def test_confusion_matrix_and_accuracy(pair: tuple[np.ndarray, np.ndarray]) -> None:
    grades, predicted = pair
    matrix = metrics.confusion_matrix(grades, predicted)
    assert np.array_equal(matrix, reference.confusion_matrix(grades, predicted, labels=LABELS))
    assert metrics.accuracy(matrix) == pytest.approx(reference.accuracy_score(grades, predicted))
    assert metrics.majority_baseline(matrix) == pytest.approx(np.bincount(grades).max() / len(grades))
    present = np.unique(grades)
    recalls = reference.recall_score(grades, predicted, labels=present, average=None, zero_division=0)
    assert metrics.balanced_accuracy(matrix) == pytest.approx(recalls.mean())


@given(graded())
def test_quadratic_weighted_kappa(pair: tuple[np.ndarray, np.ndarray]) -> None:
    grades, predicted = pair
    matrix = metrics.confusion_matrix(grades, predicted)
    if len(set(grades) | set(predicted)) == 1:
        with pytest.raises(Undefined, match="no disagreement by chance"):
            metrics.quadratic_weighted_kappa(matrix)
        return
    kappa = metrics.quadratic_weighted_kappa(matrix)
    expected = reference.cohen_kappa_score(grades, predicted, labels=LABELS, weights="quadratic")
    assert kappa == pytest.approx(expected, abs=1e-12)
    other = torch_reference.multiclass_cohen_kappa(
        torch.tensor(predicted), torch.tensor(grades), num_classes=5, weights="quadratic"
    )
    assert kappa == pytest.approx(float(other), abs=1e-5)


def test_kappas_labels_are_fixed_so_absent_grades_keep_their_distance() -> None:
    # Grades 0 and 4 only: numbering the classes that occur (0, 1) would not change this one, but adding a 1 does.
    grades, predicted = np.array([0, 0, 4, 4, 1]), np.array([0, 4, 4, 0, 0])
    by_grade = metrics.quadratic_weighted_kappa(metrics.confusion_matrix(grades, predicted))
    by_rank = reference.cohen_kappa_score([0, 0, 2, 2, 1], [0, 2, 2, 0, 0], weights="quadratic")
    assert abs(by_grade - by_rank) > 0.01


@given(graded(), st.integers(0, 4))
def test_precision_recall_f1(pair: tuple[np.ndarray, np.ndarray], grade: int) -> None:
    grades, predicted = pair
    matrix = metrics.confusion_matrix(grades, predicted)
    expected = reference.precision_recall_fscore_support(
        grades, predicted, labels=LABELS, zero_division=np.nan, average=None
    )
    for metric, value in zip((metrics.precision, metrics.recall, metrics.f1), expected, strict=False):
        defined = {
            metrics.precision: grade in predicted,
            metrics.recall: grade in grades,
            metrics.f1: grade in predicted or grade in grades,
        }[metric]
        if defined:
            assert metric(matrix, grade) == pytest.approx(0 if np.isnan(value[grade]) else value[grade])
        else:
            with pytest.raises(Undefined, match=f"grade {grade}"):
                metric(matrix, grade)


@given(st.integers(0, 2**32 - 1), st.integers(5, 80))
def test_areas_under_curves(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    grades = rng.integers(0, 5, size)
    grades[:5] = LABELS
    probabilities = rng.dirichlet(np.ones(5), size).round(2)  # rounded, so that there are ties
    rows = torch.tensor(probabilities)
    each = [
        float(torch_reference.binary_auroc(rows[:, grade], torch.tensor(grades == grade).int())) for grade in LABELS
    ]
    assert metrics.macro_auc(grades, probabilities) == pytest.approx(np.mean(each), abs=1e-5)
    referable = float(torch_reference.binary_auroc(rows[:, 2:].sum(1), torch.tensor(grades >= 2).int()))
    assert metrics.referable_auc(grades, probabilities) == pytest.approx(referable, abs=1e-5)


def test_macro_auc_is_medmnists() -> None:
    """MedMNIST's AUC: for each of the classes, score against all others; then the mean over all five."""
    rng = np.random.default_rng(0)
    grades = np.repeat(LABELS, (174, 46, 92, 68, 20))  # RetinaMNIST's test photographs
    probabilities = rng.dirichlet(np.ones(5), len(grades)).round(3)
    areas = []
    for grade in LABELS:
        its, others = probabilities[grades == grade, grade], probabilities[grades != grade, grade]
        difference = its[:, None] - others
        areas.append(np.mean((difference > 0) + 0.5 * (difference == 0)))  # Mann and Whitney's U as a share
    assert metrics.macro_auc(grades, probabilities) == pytest.approx(np.mean(areas), abs=1e-12)


def test_what_is_undefined_says_why() -> None:
    ones = np.ones((3, 5)) / 5
    with pytest.raises(Undefined, match="fewer than two grades"):
        metrics.macro_auc(np.array([1, 1, 1]), ones)
    with pytest.raises(Undefined, match="no photograph is referable"):
        metrics.referable_auc(np.array([0, 1, 1]), ones)
    with pytest.raises(Undefined, match="all photographs are referable"):
        metrics.referable_auc(np.array([2, 3, 4]), ones)
    for metric in (metrics.accuracy, metrics.quadratic_weighted_kappa, metrics.balanced_accuracy):
        with pytest.raises(Undefined, match="no graded photographs"):
            metric(np.zeros((5, 5), int))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_metrics_of_decisions(pairs: list[tuple[bool, bool]]) -> None:
    truths, decisions = np.array(pairs).T
    table = metrics.two_by_two_table(truths, decisions)
    assert np.array_equal(table, reference.confusion_matrix(truths, decisions, labels=[False, True]))
    for metric, other in {
        metrics.sensitivity: reference.recall_score(truths, decisions, zero_division=np.nan),
        metrics.specificity: reference.recall_score(~truths, ~decisions, zero_division=np.nan),
        metrics.ppv: reference.precision_score(truths, decisions, zero_division=np.nan),
        metrics.npv: reference.precision_score(~truths, ~decisions, zero_division=np.nan),
    }.items():
        if np.isnan(other):
            with pytest.raises(Undefined, match="photograph"):
                metric(table)
        else:
            assert metric(table) == pytest.approx(other)


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 50), st.integers(1, 50))
def test_predictive_values_at_the_sets_own_prevalence_are_the_sets(tp: int, fn: int, fp: int, tn: int) -> None:
    table = np.array([[tn, fp], [fn, tp]])
    prevalence = (tp + fn) / table.sum()
    assert metrics.ppv_at_prevalence(table, prevalence) == pytest.approx(metrics.ppv(table))
    assert metrics.npv_at_prevalence(table, prevalence) == pytest.approx(metrics.npv(table))


def test_predictive_values_at_another_prevalence() -> None:
    # Sensitivity 87.2 %, specificity 90.7 %: of 1000 people with 100 referable, 87.2 and 83.7 would be called.
    table = np.array([[907, 93], [128, 872]])
    assert metrics.ppv_at_prevalence(table, 0.1) == pytest.approx(87.2 / (87.2 + 83.7))
    assert metrics.npv_at_prevalence(table, 0.1) == pytest.approx(816.3 / (816.3 + 12.8))
    with pytest.raises(UsageError, match="share from 0 to 1, not 10"):
        metrics.ppv_at_prevalence(table, 10)
    with pytest.raises(Undefined, match="none would be said"):
        metrics.ppv_at_prevalence(np.array([[5, 0], [5, 0]]), 0.1)


def test_matrices_of_findings() -> None:
    grades, predicted = np.array([0, 1, 2, 2, 3, 4]), np.array([0, 2, 1, 2, 2, 4])
    table = metrics.two_by_two_tables_from(metrics.confusion_matrix(grades, predicted), 2)
    assert np.array_equal(table, metrics.two_by_two_table(grades >= 2, predicted >= 2))


@given(st.integers(0, 2**32 - 1), st.integers(1, 80))
def test_calibration_error_is_torchmetrics(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    grades, probabilities = rng.integers(0, 5, size), rng.dirichlet(np.ones(5), size)
    other = torch_reference.multiclass_calibration_error(
        torch.tensor(probabilities), torch.tensor(grades), num_classes=5, n_bins=metrics.CALIBRATION_BINS, norm="l1"
    )
    assert metrics.expected_calibration_error(grades, probabilities) == pytest.approx(float(other), abs=1e-5)


def test_calibration_error_by_hand() -> None:
    # Two photographs in the bin of .9 (one right), one sure and right: 2/3 of |.9 - .5|, and an edge is its bin's last.
    probabilities = np.array([[0.9, 0.1, 0, 0, 0], [0.9, 0.1, 0, 0, 0], [0, 0, 0, 0, 1]])
    assert metrics.expected_calibration_error(np.array([0, 1, 4]), probabilities) == pytest.approx(2 / 3 * 0.4)
    edge = np.array([[0.2] * 5])
    assert metrics.calibration_terms(np.array([0]), edge)[1][0] == 2  # fifteenths: (2/15, 3/15]


def test_a_certain_mistake_costs_a_finite_loss() -> None:
    assert metrics.log_loss(np.array([1]), np.eye(5)[[0]]) == pytest.approx(36.04, abs=0.01)
    assert metrics.brier(np.array([1]), np.eye(5)[[0]]) == 2


@given(graded())
def test_chance_accuracy_is_that_of_shuffled_predictions(pair: tuple[np.ndarray, np.ndarray]) -> None:
    grades, predicted = pair
    expected = np.mean(grades[:, None] == predicted)  # every grade with every prediction
    assert metrics.chance_accuracy(metrics.confusion_matrix(grades, predicted)) == pytest.approx(expected)

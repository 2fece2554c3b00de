"""Accuracies and kappas agree with scikit-learn and TorchMetrics; an undefined metric gives a reason."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as reference
import torch
import torchmetrics.functional.classification as torch_reference
from hypothesis import given

from retinagrade.evaluation import metrics
from retinagrade.evaluation.metrics import Undefined
from tests.evaluation.grade_pairs import LABELS, GradePairs, grade_pairs


@given(grade_pairs())
def test_accuracies_are_scikit_learns(pair: GradePairs) -> None:
    grades, predicted = pair
    matrix = metrics.confusion_matrix(grades, predicted)
    assert metrics.accuracy(matrix) == pytest.approx(reference.accuracy_score(grades, predicted))
    assert metrics.majority_baseline(matrix) == pytest.approx(np.bincount(grades).max() / len(grades))
    present = np.unique(grades)
    recalls = reference.recall_score(grades, predicted, labels=present, average=None, zero_division=0)
    assert metrics.balanced_accuracy(matrix) == pytest.approx(recalls.mean())


@given(grade_pairs())
def test_quadratic_weighted_kappa(pair: GradePairs) -> None:
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


@given(grade_pairs())
def test_chance_accuracy_is_that_of_shuffled_predictions(pair: GradePairs) -> None:
    grades, predicted = pair
    expected = np.mean(grades[:, None] == predicted)  # every grade with every prediction
    assert metrics.chance_accuracy(metrics.confusion_matrix(grades, predicted)) == pytest.approx(expected)


@pytest.mark.parametrize("metric", [metrics.accuracy, metrics.quadratic_weighted_kappa, metrics.balanced_accuracy])
def test_no_photographs_have_no_metrics(metric: metrics.MatrixMetric[[]]) -> None:
    with pytest.raises(Undefined, match="no graded photographs"):
        metric(np.zeros((5, 5), int))

"""Tables of counts agree with scikit-learn."""

from __future__ import annotations

import numpy as np
import sklearn.metrics as reference
from hypothesis import given

from retinagrade.evaluation import metrics
from tests.evaluation.grade_pairs import LABELS, GradePairs, grade_pairs


@given(grade_pairs())
def test_the_confusion_matrix_is_scikit_learns(pair: GradePairs) -> None:
    grades, predicted = pair
    matrix = metrics.confusion_matrix(grades, predicted)
    assert np.array_equal(matrix, reference.confusion_matrix(grades, predicted, labels=LABELS))


def test_confusion_matrices_reduce_to_two_by_two_tables() -> None:
    grades, predicted = np.array([0, 1, 2, 2, 3, 4]), np.array([0, 2, 1, 2, 2, 4])
    table = metrics.two_by_two_tables_from(metrics.confusion_matrix(grades, predicted), 2)
    assert np.array_equal(table, metrics.two_by_two_table(grades >= 2, predicted >= 2))

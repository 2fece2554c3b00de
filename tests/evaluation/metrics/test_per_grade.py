"""Metrics of single grades agree with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given
from hypothesis import strategies as st

from retinagrade.evaluation import metrics
from retinagrade.evaluation.metrics import Undefined
from tests.evaluation.grade_pairs import LABELS, GradePairs, grade_pairs


@given(grade_pairs(), st.integers(0, 4))
def test_precision_recall_f1(pair: GradePairs, grade: int) -> None:
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

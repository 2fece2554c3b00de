"""Areas under curves agree with TorchMetrics and MedMNIST."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as torch_reference
from hypothesis import given
from hypothesis import strategies as st

from retinagrade.evaluation import metrics
from retinagrade.evaluation.metrics import Undefined
from tests.evaluation.grade_pairs import LABELS


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


def test_undefined_areas_give_a_reason() -> None:
    equal = np.ones((3, 5)) / 5
    with pytest.raises(Undefined, match="fewer than two grades"):
        metrics.macro_auc(np.array([1, 1, 1]), equal)
    with pytest.raises(Undefined, match="no photograph is referable"):
        metrics.referable_auc(np.array([0, 1, 1]), equal)
    with pytest.raises(Undefined, match="all photographs are referable"):
        metrics.referable_auc(np.array([2, 3, 4]), equal)

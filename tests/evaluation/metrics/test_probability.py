"""Calibration error, log loss and Brier score agree with TorchMetrics and with calculations by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as torch_reference
from hypothesis import given
from hypothesis import strategies as st

from retinagrade.evaluation import metrics


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

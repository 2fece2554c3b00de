"""Curves are those whose areas the metrics give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinagrade.evaluation.curves import Curve, precision_recall, reliability, roc
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.named_metrics import compute_metrics
from tests.evaluation.photographs import any_photographs, photographs, some_photographs


@given(st.integers(0, 10**6))
def test_areas_under_them(seed: int) -> None:
    some = some_photographs(80, seed)
    values = compute_metrics(some).values
    for task in ("referable", "vision_threatening"):
        curve = roc(some, task)
        assert np.trapezoid(curve.y, curve.x) == pytest.approx(values[f"{task}_auc"])
        curve = precision_recall(some, task)
        assert (np.diff(curve.x) >= 0).all()
        steps = (np.diff(curve.x) * curve.y[1:]).sum()
        assert steps == pytest.approx(values[f"{task}_average_precision"])


@given(any_photographs())
def test_the_gaps_of_the_reliability_diagram_are_the_calibration_error(some: object) -> None:
    bins = reliability(some)  # type: ignore[arg-type]
    counts = bins.photographs
    gaps = np.abs(bins.confidence - bins.accuracy)[counts > 0]
    error = compute_metrics(some).values["expected_calibration_error"]  # type: ignore[arg-type]
    assert (gaps * counts[counts > 0]).sum() / counts.sum() == pytest.approx(error)
    assert np.isnan(bins.accuracy[counts == 0]).all()


def test_a_drawn_curve_is_not_longer_than_a_picture_is_wide() -> None:
    x = np.linspace(0, 1, 54321)
    drawn = Curve(x, x**2).thinned()
    assert len(drawn.x) <= 2000
    assert (drawn.x[0], drawn.x[-1]) == (0, 1)
    assert np.array_equal(drawn.y, drawn.x**2)


def test_without_disease_there_is_no_curve() -> None:
    with pytest.raises(Undefined, match="no photograph is referable"):
        roc(photographs(np.zeros(3, int), np.full((3, 5), 0.2)), "referable")

"""Calibration: the optimum where there is one, and valid probabilities where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from pydantic import ValidationError
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from retinagrade.evaluation.fitting.probability_calibration import (
    TEMPERATURE_RANGE,
    Isotonic,
    MonotoneCurve,
    Temperature,
    calibrate_probabilities,
    calibration_metrics,
    cross_validate_calibration,
    fit_isotonic,
    fit_probability_calibration,
    fit_temperature,
)
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.predictions import GradedPredictions
from tests.evaluation.photographs import any_photographs, photographs, simulated


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    fitted = fit_temperature(simulated(20_000, temperature=temperature))
    assert fitted.temperature == pytest.approx(temperature, rel=0.03)


def test_the_temperature_is_torchs_optimum() -> None:
    graded = simulated(300, seed=3, temperature=1.7)
    logits, grades = torch.tensor(np.log(graded.probabilities)), torch.tensor(graded.grades)
    inverse = torch.ones((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([inverse], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-14)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits * inverse, grades)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    assert fit_temperature(graded).temperature == pytest.approx(1 / inverse.item(), rel=1e-4)


@given(any_photographs())
def test_a_temperature_never_fits_worse_and_never_changes_the_order_of_grades(graded: GradedPredictions) -> None:
    fitted = fit_temperature(graded)
    calibrated = calibrate_probabilities(fitted, graded.probabilities)
    np.testing.assert_allclose(calibrated.sum(axis=1), 1, atol=1e-12)
    before, after = calibration_metrics(graded), calibration_metrics(replace(graded, probabilities=calibrated))
    assert after.log_loss <= before.log_loss + 1e-9
    known = np.argsort(graded.probabilities, axis=1, kind="stable")
    assert (np.diff(np.take_along_axis(calibrated, known, axis=1), axis=1) >= 0).all()


def test_the_ends_of_the_range() -> None:
    grades = np.arange(5).repeat(4)
    right, shuffled = np.eye(5)[grades] * 0.6 + 0.08, np.eye(5)[(grades + 2) % 5] * 0.6 + 0.08
    assert fit_temperature(photographs(grades, right)).temperature == TEMPERATURE_RANGE[0]
    assert fit_temperature(photographs(grades, shuffled)).temperature == TEMPERATURE_RANGE[1]
    assert fit_temperature(photographs(grades, np.full((20, 5), 0.2))).temperature == 1
    assert (
        1 < fit_temperature(photographs(np.array([0, 1, 2]), np.eye(5)[[0, 1, 1]])).temperature < TEMPERATURE_RANGE[1]
    )


@given(any_photographs(), any_photographs())
def test_isotonic_probabilities_are_valid_and_its_curves_scikit_learns(
    graded: GradedPredictions, others: GradedPredictions
) -> None:
    fitted = Isotonic.model_validate_json(fit_isotonic(graded).model_dump_json())
    calibrated = calibrate_probabilities(fitted, others.probabilities)
    np.testing.assert_allclose(calibrated.sum(axis=1), 1, atol=1e-12)
    assert (calibrated > 0).all()
    assert (calibrated < 1).all()
    for grade, curve in enumerate(fitted.curves):
        reference = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        reference.fit(graded.probabilities[:, grade], graded.grades == grade)
        raw = others.probabilities[:, grade]
        np.testing.assert_allclose(np.interp(raw, curve.raw, curve.calibrated), reference.predict(raw), atol=1e-12)


def test_isotonic_calibration_repairs_what_a_temperature_cannot() -> None:
    graded = simulated(6000)
    bent = graded.probabilities.copy()
    bent[:, 0] **= 3
    graded = replace(graded, probabilities=bent / bent.sum(axis=1, keepdims=True))
    raw, temperature, isotonic = (
        cross_validate_calibration(graded, method) for method in ("none", "temperature", "isotonic")
    )
    assert isotonic.log_loss < temperature.log_loss < raw.log_loss
    assert isotonic.calibration_error < 0.03


@pytest.mark.parametrize("absent", [(0,), (3,), (4,), (1, 2), (3, 4)])
def test_absent_grades_stay_possible_and_no_more(absent: tuple[int, ...]) -> None:
    graded = simulated(400)
    kept = ~np.isin(graded.grades, absent)
    part = photographs(graded.grades[kept], graded.probabilities[kept])
    calibrated = calibrate_probabilities(fit_isotonic(part), part.probabilities)
    assert (calibrated[:, absent] > 0).all()
    assert calibrated[:, absent].mean() < 0.002


def test_cross_validation_keeps_patients_together_and_sees_nothing_twice() -> None:
    # Every patient has photographs of one probability and one grade: whoever has seen one knows the others.
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), 4)
    probabilities = rng.dirichlet(np.ones(5), 60)[patients]
    graded = photographs(rng.integers(0, 5, 60)[patients], probabilities, patients)
    inside = calibration_metrics(
        replace(graded, probabilities=calibrate_probabilities(fit_isotonic(graded), probabilities))
    )
    uninformed = log_loss(graded.grades, np.full((240, 5), 0.2), labels=range(5))
    assert inside.log_loss < uninformed < cross_validate_calibration(graded, "isotonic").log_loss
    assert cross_validate_calibration(graded, "none") == calibration_metrics(graded)
    with pytest.raises(Undefined, match="one patient"):
        cross_validate_calibration(photographs(np.array([0, 1]), np.eye(5)[:2], np.zeros(2, int)), "temperature")


def test_the_metrics_are_scikit_learns_and_torchmetrics() -> None:
    graded = simulated(500, seed=8)
    figures = calibration_metrics(graded)
    assert figures.log_loss == pytest.approx(log_loss(graded.grades, graded.probabilities, labels=range(5)))
    error = multiclass_calibration_error(
        torch.tensor(graded.probabilities), torch.tensor(graded.grades), num_classes=5, n_bins=15, norm="l1"
    )
    assert figures.calibration_error == pytest.approx(float(error), abs=1e-6)
    perfect = calibration_metrics(photographs(np.arange(5), np.eye(5)))
    assert (perfect.log_loss, perfect.calibration_error) == pytest.approx((0, 0), abs=1e-12)


def test_no_calibration_divides_by_the_sum() -> None:
    assert fit_probability_calibration(simulated(10), "none") is None
    np.testing.assert_allclose(
        calibrate_probabilities(None, np.array([[0.505, 0, 0, 0, 0.505]])), [[0.5, 0, 0, 0, 0.5]]
    )


@pytest.mark.parametrize(
    ("raw", "calibrated"),
    [((0.1, 0.2), (0.5,)), ((0.2, 0.1), (0.1, 0.5)), ((0.1, 0.2), (0.5, 0.4)), ((0.1,), (1.5,)), ((), ())],
)
def test_curves_that_are_none_are_refused(raw: tuple[float, ...], calibrated: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError):
        MonotoneCurve(raw=raw, calibrated=calibrated)
    with pytest.raises(ValidationError):
        Temperature(temperature=0)

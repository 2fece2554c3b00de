"""Calibration of probabilities: of the photographs with a probability of 0.8, eight in ten should have the grade.

It is fitted on validation photographs. A single number (the temperature) hardly adapts to their noise. Isotonic curves
do, and need some thousand photographs.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt, model_validator
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.isotonic import IsotonicRegression

from retinagrade.evaluation.fitting.out_of_fold import out_of_fold
from retinagrade.evaluation.metrics import expected_calibration_error, log_loss
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.grades import N_GRADES
from retinagrade.lesion_maps.grade_model import temper

CalibrationMethodName = Literal["temperature", "isotonic", "none"]

PROBABILITY_FLOOR: Final = 1e-12
"""Lower limit of probabilities: tables are rounded, and the logarithm of 0 would outweigh all other photographs."""
TEMPERATURE_RANGE: Final = (0.05, 20.0)
"""Search range of the temperature. Without a range, it would become 0 for predictions that are all right, and infinite
for predictions that are independent of the grades."""

_Settings = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Temperature(BaseModel):
    """Temperature scaling: ``p_k`` becomes proportional to ``p_k ** (1 / temperature)``.

    Source: C. Guo et al., "On calibration of modern neural networks", ICML 2017.

    Attributes:
        temperature: Temperature. Above 1, it makes predictions less certain, below 1 more certain.
    """

    model_config = _Settings

    temperature: float = Field(ge=TEMPERATURE_RANGE[0], le=TEMPERATURE_RANGE[1])


class MonotoneCurve(BaseModel):
    """A curve through knots, straight between them and constant beyond them.

    Attributes:
        raw: Probabilities as predicted, increasing.
        calibrated: The calibrated probabilities, never decreasing.
    """

    model_config = _Settings

    raw: tuple[float, ...] = Field(min_length=1)
    calibrated: tuple[float, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _a_monotone_curve(self) -> Self:
        if len(self.raw) != len(self.calibrated):
            raise ValueError(f"{len(self.raw)} raw and {len(self.calibrated)} calibrated probabilities")
        if any(left >= right for left, right in pairwise(self.raw)):
            raise ValueError("raw must increase")
        if any(left > right for left, right in pairwise((0.0, *self.calibrated, 1.0))):
            raise ValueError("calibrated must not decrease, and be from 0 to 1")
        return self


class Isotonic(BaseModel):
    """One monotone curve for the probability of each grade; then the five are divided by their sum.

    Attributes:
        curves: The curves of grades 0 to 4.
        photographs: Number of photographs in the fit.
    """

    model_config = _Settings

    curves: tuple[MonotoneCurve, MonotoneCurve, MonotoneCurve, MonotoneCurve, MonotoneCurve]
    photographs: PositiveInt


class CalibrationMetrics(BaseModel):
    """Metrics of calibrated probabilities; lower is better.

    Attributes:
        log_loss: :func:`~retinagrade.evaluation.metrics.log_loss`.
        calibration_error: :func:`~retinagrade.evaluation.metrics.expected_calibration_error`.
    """

    model_config = _Settings

    log_loss: NonNegativeFloat
    calibration_error: NonNegativeFloat


def fit_temperature(predictions: GradedPredictions) -> Temperature:
    """Fits a temperature by maximum likelihood.

    Args:
        predictions: At least one validation photograph.

    Returns:
        The temperature, within :data:`TEMPERATURE_RANGE`; 1 if no other temperature is better.
    """
    logits, rows = _logits(predictions.probabilities), np.arange(len(predictions))

    def loss(temperature: float) -> float:
        return -float(log_softmax(logits / temperature, axis=1)[rows, predictions.grades].mean())

    # The loss is convex in 1 / temperature, so it has one minimum. Among equal losses, min() takes the first one.
    minimum = minimize_scalar(
        lambda inverse: loss(1 / inverse),
        bounds=(1 / TEMPERATURE_RANGE[1], 1 / TEMPERATURE_RANGE[0]),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return Temperature(temperature=min((1.0, *TEMPERATURE_RANGE, float(1 / minimum.x)), key=loss))


def fit_isotonic(predictions: GradedPredictions) -> Isotonic:
    """Fits a monotone curve to the probability of each grade, one grade against the rest.

    Curves of "this grade or worse", with differences as probabilities of the grades, had a higher cross-validated log
    loss, also for referable retinopathy alone, because the difference of two step functions is noisy.

    Source: B. Zadrozny and C. Elkan, "Transforming classifier scores into accurate multiclass probability estimates",
    KDD 2002.

    Args:
        predictions: At least one validation photograph. Grades may be absent.
    """
    curves = []
    for grade in range(N_GRADES):
        fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(
            predictions.probabilities[:, grade], predictions.grades == grade
        )
        curves.append({"raw": fitted.X_thresholds_.tolist(), "calibrated": fitted.y_thresholds_.tolist()})
    return Isotonic.model_validate({"curves": curves, "photographs": len(predictions)})


def calibrate_probabilities(
    calibration: Temperature | Isotonic | None, probabilities: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Calibrates probabilities.

    Isotonic curves count as if the fit had one more photograph with equal shares of all grades. Otherwise they would
    give probabilities of 0 and 1 after ten photographs, and an undefined result if all five curves give 0.

    Args:
        calibration: The calibration; ``None`` only divides by the sum.
        probabilities: Probabilities (N, 5) as predicted.

    Returns:
        Probabilities (N, 5) with the sum 1.

    Example:
        >>> calibrated = calibrate_probabilities(Temperature(temperature=2), np.array([[0.64, 0.36, 0, 0, 0]]))
        >>> calibrated.round(3)[0, :2].tolist()
        [0.571, 0.429]
    """
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    if calibration is None:
        return probabilities
    if isinstance(calibration, Temperature):
        return temper(probabilities, calibration.temperature)
    by_grade = zip(probabilities.T, calibration.curves, strict=True)
    counts = np.stack([np.interp(p, curve.raw, curve.calibrated) for p, curve in by_grade], axis=1)
    counts = counts * calibration.photographs + 1 / N_GRADES
    mixed: NDArray[np.float64] = counts / counts.sum(axis=1, keepdims=True)
    return mixed


def fit_probability_calibration(
    predictions: GradedPredictions, method: CalibrationMethodName
) -> Temperature | Isotonic | None:
    """Fits the calibration with this name; ``None`` for ``none``."""
    if method == "temperature":
        return fit_temperature(predictions)
    return fit_isotonic(predictions) if method == "isotonic" else None


def cross_validate_calibration(predictions: GradedPredictions, method: CalibrationMethodName) -> CalibrationMetrics:
    """Measures a calibration method on photographs that are not in the fit.

    On the photographs of the fit, isotonic calibration is always the best, which proves nothing.

    Args:
        predictions: Validation photographs.
        method: The method to fit.

    Raises:
        Undefined: All photographs are of one patient.
    """

    def apply(part: GradedPredictions, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        return calibrate_probabilities(fit_probability_calibration(part, method), probabilities)

    return calibration_metrics(replace(predictions, probabilities=out_of_fold(predictions, apply)))


def calibration_metrics(predictions: GradedPredictions) -> CalibrationMetrics:
    """Computes log loss and expected calibration error.

    Args:
        predictions: At least one photograph.
    """
    return CalibrationMetrics(
        log_loss=max(0.0, log_loss(predictions.grades, predictions.probabilities)),
        calibration_error=expected_calibration_error(predictions.grades, predictions.probabilities),
    )


def _logits(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    logits: NDArray[np.float64] = np.log(np.maximum(probabilities, PROBABILITY_FLOOR))
    return logits

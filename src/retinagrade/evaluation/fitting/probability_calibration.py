"""Calibration: makes a probability of 0.8 mean that eight in ten such photographs have the grade.

Fitted on validation photographs. One number (temperature) can hardly be fitted to their noise; isotonic curves can, and
need some thousand photographs.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Final, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt, model_validator
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.isotonic import IsotonicRegression

from retinagrade.evaluation.fitting.out_of_fold import out_of_fold
from retinagrade.evaluation.metrics import expected_calibration_error, log_loss
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.grades import N_GRADES

CalibrationMethodName = Literal["temperature", "isotonic", "none"]

PROBABILITY_FLOOR: Final = 1e-12
"""What a probability of 0 counts as: tables are rounded, and a logarithm of 0 would outweigh all other photographs."""
TEMPERATURE_RANGE: Final = (0.05, 20.0)
"""Where the temperature is sought. Predictions that are all right would drive it to 0, and those that have nothing to
do with the grades to infinity."""

_Settings = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Temperature(BaseModel):
    """``p_k`` becomes proportional to ``p_k ** (1 / temperature)``: above 1 less sure, below 1 more.

    Source: C. Guo et al., "On calibration of modern neural networks", ICML 2017.
    """

    model_config = _Settings

    temperature: float = Field(ge=TEMPERATURE_RANGE[0], le=TEMPERATURE_RANGE[1])


class MonotoneCurve(BaseModel):
    """A curve through knots, straight between them and level beyond them.

    Attributes:
        raw: Probabilities as predicted, increasing.
        calibrated: What becomes of them, never decreasing.
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
        photographs: How many they were fitted on.
    """

    model_config = _Settings

    curves: tuple[MonotoneCurve, MonotoneCurve, MonotoneCurve, MonotoneCurve, MonotoneCurve]
    photographs: PositiveInt


class CalibrationMetrics(BaseModel):
    """How well probabilities fit the grades; lower is better.

    Attributes:
        log_loss: :func:`~retinagrade.evaluation.metrics.log_loss`.
        calibration_error: :func:`~retinagrade.evaluation.metrics.expected_calibration_error`.
    """

    model_config = _Settings

    log_loss: NonNegativeFloat
    calibration_error: NonNegativeFloat


def fit_temperature(graded: GradedPredictions) -> Temperature:
    """Fits a temperature by maximum likelihood.

    Args:
        graded: Validation photographs, at least one.

    Returns:
        The temperature, within :data:`TEMPERATURE_RANGE`; 1 where no other is better.
    """
    logits, rows = _logits(graded.probabilities), np.arange(len(graded))

    def loss(temperature: float) -> float:
        return -float(log_softmax(logits / temperature, axis=1)[rows, graded.grades].mean())

    # The loss is convex in 1 / temperature, so it has one minimum. Where it is level, the first of these is taken.
    found = minimize_scalar(
        lambda inverse: loss(1 / inverse),
        bounds=(1 / TEMPERATURE_RANGE[1], 1 / TEMPERATURE_RANGE[0]),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return Temperature(temperature=min((1.0, *TEMPERATURE_RANGE, float(1 / found.x)), key=loss))


def fit_isotonic(graded: GradedPredictions) -> Isotonic:
    """Fits a monotone curve to the probability of each grade, against all others.

    Curves of "this grade or worse", whose differences are the grades' probabilities, were tried: cross-validated, they
    had a higher log loss, also of referable retinopathy alone, because a difference of two step functions is noisy.

    Source: B. Zadrozny and C. Elkan, "Transforming classifier scores into accurate multiclass probability estimates",
    KDD 2002.

    Args:
        graded: Validation photographs, at least one. Grades may be absent.
    """
    curves = []
    for grade in range(N_GRADES):
        fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(
            graded.probabilities[:, grade], graded.grades == grade
        )
        curves.append({"raw": fitted.X_thresholds_.tolist(), "calibrated": fitted.y_thresholds_.tolist()})
    return Isotonic.model_validate({"curves": curves, "photographs": len(graded)})


def calibrate_probabilities(calibration: Temperature | Isotonic | None, probabilities: np.ndarray) -> np.ndarray:
    """Applies a calibration.

    Isotonic curves are mixed as if one photograph more had been seen, of each grade in equal parts: else they would say
    "never" and "always" after ten photographs, and nothing at all where all five say "never".

    Args:
        calibration: The calibration; ``None`` only divides by the sum.
        probabilities: Probabilities (N, 5) as predicted.

    Returns:
        Probabilities (N, 5), float64, of sum 1.

    Example:
        >>> calibrate(Temperature(temperature=2), np.array([[0.64, 0.36, 0, 0, 0]])).round(3)[0, :2].tolist()
        [0.571, 0.429]
    """
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    if calibration is None:
        return probabilities
    if isinstance(calibration, Temperature):
        scaled: np.ndarray = softmax(_logits(probabilities) / calibration.temperature, axis=1)
        return scaled
    by_grade = zip(probabilities.T, calibration.curves, strict=True)
    counts = np.stack([np.interp(p, curve.raw, curve.calibrated) for p, curve in by_grade], axis=1)
    counts = counts * calibration.photographs + 1 / N_GRADES
    mixed: np.ndarray = counts / counts.sum(axis=1, keepdims=True)
    return mixed


def fit_probability_calibration(
    graded: GradedPredictions, method: CalibrationMethodName
) -> Temperature | Isotonic | None:
    """Fits the calibration of that name on photographs; that of ``none`` is ``None``."""
    if method == "temperature":
        return fit_temperature(graded)
    return fit_isotonic(graded) if method == "isotonic" else None


def cross_validate_calibration(graded: GradedPredictions, method: CalibrationMethodName) -> CalibrationMetrics:
    """How good a method is on photographs that it has not seen.

    On the photographs that it was fitted on, isotonic calibration is always the best, which proves nothing.

    Args:
        graded: Validation photographs.
        method: What to fit.

    Raises:
        Undefined: All photographs are of one patient.
    """

    def apply(part: GradedPredictions, probabilities: np.ndarray) -> np.ndarray:
        return calibrate_probabilities(fit_probability_calibration(part, method), probabilities)

    return calibration_metrics(replace(graded, probabilities=out_of_fold(graded, apply)))


def calibration_metrics(graded: GradedPredictions) -> CalibrationMetrics:
    """Log loss and expected calibration error.

    Args:
        graded: Photographs, at least one.
    """
    return CalibrationMetrics(
        log_loss=max(0.0, log_loss(graded.grades, graded.probabilities)),
        calibration_error=expected_calibration_error(graded.grades, graded.probabilities),
    )


def _logits(probabilities: np.ndarray) -> np.ndarray:
    logits: np.ndarray = np.log(np.maximum(probabilities, PROBABILITY_FLOOR))
    return logits

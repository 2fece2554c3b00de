"""A calibration: fitted on the predictions of validation photographs, kept in one file, applied unchanged to others.

The probabilities are calibrated first, and everything else is fitted on the calibrated probabilities. All parts are
fitted on the same photographs, which also chose the epoch. This is customary, but the metrics on these photographs are
too good: they document the fit. Only other photographs can show how well the calibration works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from retinagrade.errors import CalibrationError, JoinError
from retinagrade.evaluation.fitting.conformal import DEFAULT_COVERAGE, Conformal, fit_conformal
from retinagrade.evaluation.fitting.grade_cuts import GradeCuts, fit_grade_cuts
from retinagrade.evaluation.fitting.operating_points import (
    FittedThreshold,
    OperatingPoint,
    OperatingPointRule,
    fit_operating_point,
    fit_threshold,
)
from retinagrade.evaluation.fitting.probability_calibration import (
    TEMPERATURE_RANGE,
    CalibrationMethodName,
    CalibrationMetrics,
    Isotonic,
    Temperature,
    calibrate_probabilities,
    cross_validate_calibration,
    fit_isotonic,
    fit_probability_calibration,
    fit_temperature,
)
from retinagrade.evaluation.fitting.selective_prediction import ReviewThreshold, fit_review_threshold
from retinagrade.evaluation.metrics import Undefined, probability_from_grade
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.grades import REFERABLE
from retinagrade.storage.files import read_json_model, sha256, write_json

CALIBRATION_SCHEMA_VERSION: Final = 5
APPLICATION_ORDER: Final = (
    "divide the five probabilities by their sum, and calibrate them by `method`",
    "apply all other parts to the calibrated probabilities: referable, vision_threatening, grade_cuts, review_share, "
    "review_error, prediction_sets, prediction_sets_by_grade",
)
REVIEW_SHARE: Final = 0.2
"""Share of the photographs that a person has time to review, for ``review_share``."""
REVIEW_ERROR: Final = 0.1
"""Tolerated share of wrong grades among the photographs without review, for ``review_error``."""
CALIBRATION_METHODS: Final[tuple[CalibrationMethodName, ...]] = ("none", "temperature", "isotonic")
Referral = Literal["retinopathy", "retinopathy-or-oedema"]
"""Findings for which a photograph is referable."""
_Part = TypeVar("_Part")


class CalibrationSource(BaseModel):
    """The predictions that a calibration was fitted on.

    Attributes:
        file: Path of the predictions, as the user gave it.
        sha256: SHA-256 digest of the file.
        photographs: Number of graded photographs.
        grader_digest: Digest of the grader file whose results the predictions are; ``None`` for other predictions.
        image_ids: Their ids. An evaluation of one of these photographs is too good, because the calibration was fitted
            on it. The manifest has their patients.
        digests: SHA-256 digests of their files, where the predictions are results of a grader file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    photographs: PositiveInt
    grader_digest: str | None = None
    image_ids: tuple[str, ...] = Field(min_length=1)
    digests: tuple[str, ...] = ()


class Calibration(BaseModel):
    """Calibrated probabilities, and decisions that were fitted on them.

    Attributes:
        schema_version: Version of the file format.
        order: How to apply the parts, for people.
        method: The calibration of the probabilities that the other parts were fitted on.
        temperature: Temperature scaling.
        isotonic: Isotonic calibration.
        metrics: Log loss and calibration error of each method on photographs that it was not fitted on
            (cross-validated); ``None`` where undefined.
        referable: Threshold for referable retinopathy.
        vision_threatening: Threshold for vision-threatening retinopathy.
        oedema: Threshold of the probability of macular oedema, which no part calibrates; ``None`` where the predictions
            or the labels don't know oedema.
        referral: A photograph is referable for referable retinopathy alone, or for that or macular oedema.
        grade_cuts: Cuts of the expected grade with the highest quadratic weighted kappa.
        review_share: Threshold for review so that a person reviews at most :data:`REVIEW_SHARE` of the photographs.
        review_error: Threshold for review so that at most :data:`REVIEW_ERROR` of the other photographs have a wrong
            grade.
        prediction_sets: Sets of grades that hold the right grade for the stated share of all photographs.
        prediction_sets_by_grade: Sets of grades that hold the right grade for the stated share of the photographs of
            each grade.
        undefined: Reasons why parts are ``None``, by name.
        source: The predictions that all parts were fitted on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: Literal[5] = CALIBRATION_SCHEMA_VERSION
    order: tuple[str, ...] = APPLICATION_ORDER
    method: CalibrationMethodName
    temperature: Temperature
    isotonic: Isotonic
    metrics: dict[CalibrationMethodName, CalibrationMetrics | None]
    referable: OperatingPoint | None
    vision_threatening: OperatingPoint | None
    oedema: FittedThreshold | None
    referral: Referral
    grade_cuts: GradeCuts | None
    review_share: ReviewThreshold | None
    review_error: ReviewThreshold | None
    prediction_sets: Conformal
    prediction_sets_by_grade: Conformal
    undefined: dict[str, str]
    source: CalibrationSource

    def __repr__(self) -> str:
        """Returns the method, the thresholds and the warnings."""
        method = f"temperature {self.temperature.temperature:.3f}" if self.method == "temperature" else self.method
        lines = [f"Calibration on {self.source.photographs} photographs of {self.source.file}: {method}"]
        for name, point in self.thresholds.items():
            if point is not None:
                lines.append(
                    f"  {name.replace('_', '-')}: probability {point.threshold:.3f} or more "
                    f"(sensitivity {point.sensitivity:.3f}, specificity {point.specificity:.3f})"
                )
        return "\n".join([*lines, *(f"  warning: {message}" for message in self.warnings)])

    __str__ = __repr__

    def calibrate(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrates probabilities (N, 5), as predicted, by :attr:`method`."""
        by_method = {"temperature": self.temperature, "isotonic": self.isotonic, "none": None}
        return calibrate_probabilities(by_method[self.method], probabilities)

    @property
    def thresholds(self) -> dict[str, FittedThreshold | None]:
        """Thresholds of all decisions, by name."""
        return {
            "referable": self.referable,
            "vision_threatening": self.vision_threatening,
            "oedema": self.oedema,
        }

    @property
    def warnings(self) -> list[str]:
        """Reasons for caution before anything is decided by this calibration."""
        messages = [
            f"{name.replace('_', '-')}: {self.undefined[name]}"
            for name in ("referable", "vision_threatening", "oedema", "grade_cuts")
            if name in self.undefined
        ]
        for name, point in self.thresholds.items():
            if point is not None and point.sensitivity + point.specificity <= 1:
                messages.append(
                    f"{name.replace('_', '-')}: a sensitivity of {point.sensitivity:.3f} with a specificity of "
                    f"{point.specificity:.3f} is no better than chance"
                )
        if self.prediction_sets.limits[0] is None:
            messages.append(f"conformal sets hold all grades: {self.undefined['prediction_sets']}")
        if (best := self.temperature.temperature) in TEMPERATURE_RANGE:
            messages.append(
                f"no temperature fits; the best one is at the end of the search range ({best:g}): "
                "the predictions are all alike, all right, or independent of the grades"
            )
        return messages


def fit_calibration(
    predictions: GradedPredictions,
    source: Path,
    *,
    rule: OperatingPointRule = "sensitivity",
    target: float | None = None,
    coverage: float = DEFAULT_COVERAGE,
    method: CalibrationMethodName = "temperature",
    oedema: GradedPredictions | None = None,
    referral: Referral = "retinopathy",
    grader_digest: str | None = None,
    digests: Mapping[str, str] | None = None,
) -> Calibration:
    """Fits a calibration on validation photographs.

    Args:
        predictions: The photographs, with probabilities as predicted.
        source: The file that they are from.
        rule: Rule that chooses the operating points.
        target: Sensitivity or specificity of the rule; 0.9 by default.
        coverage: Share of the photographs whose right grade the conformal sets should hold.
        method: Calibration of the probabilities that the other parts are fitted on.
        oedema: Photographs with a known risk of macular oedema in the place of a referable grade; see
            :func:`~retinagrade.evaluation.oedema.oedema_photographs`.
        referral: Findings for which a photograph is referable.
        grader_digest: Digest of the grader file whose results the predictions are; ``None`` for other predictions.
        digests: SHA-256 digests of the photographs' files by id, as far as they are known.

    Returns:
        The calibration; parts that can't be fitted are ``None``, with a reason.

    Raises:
        JoinError: No photograph has a grade.
    """
    if not len(predictions):
        raise JoinError(f"{source}: no photograph has a grade, so nothing can be fitted")
    undefined: dict[str, str] = {}
    normalised = replace(predictions, probabilities=calibrate_probabilities(None, predictions.probabilities))
    # Calibrate the probabilities as predicted, as every later use will: probabilities that are divided by their sum
    # twice differ in the last digit, and ties at a limit depend on it.
    calibrated = replace(
        predictions,
        probabilities=calibrate_probabilities(
            fit_probability_calibration(normalised, method), predictions.probabilities
        ),
    )
    sets, by_grade = _fit_sets(calibrated, coverage, undefined)
    return Calibration(
        source=_describe_source(predictions, source, grader_digest, digests or {}),
        method=method,
        temperature=fit_temperature(normalised),
        isotonic=fit_isotonic(normalised),
        metrics={
            name: _or_none(undefined, f"metrics, {name}", partial(cross_validate_calibration, normalised, name))
            for name in CALIBRATION_METHODS
        },
        referable=_or_none(undefined, "referable", partial(fit_operating_point, calibrated, 2, rule, target)),
        vision_threatening=_or_none(
            undefined, "vision_threatening", partial(fit_operating_point, calibrated, 3, rule, target)
        ),
        oedema=None if oedema is None else _or_none(undefined, "oedema", partial(_fit_oedema, oedema, rule, target)),
        referral=referral,
        grade_cuts=_or_none(undefined, "grade_cuts", partial(fit_grade_cuts, calibrated)),
        review_share=_or_none(
            undefined, "review_share", partial(fit_review_threshold, calibrated, "share", REVIEW_SHARE)
        ),
        review_error=_or_none(
            undefined, "review_error", partial(fit_review_threshold, calibrated, "error", REVIEW_ERROR)
        ),
        prediction_sets=sets,
        prediction_sets_by_grade=by_grade,
        undefined=undefined,
    )


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Writes a calibration, atomically, as JSON with all digits."""
    write_json(path, calibration_to_json(calibration))


def calibration_to_json(calibration: Calibration) -> dict[str, Any]:
    """Returns the content of the file."""
    return calibration.model_dump(mode="json")


def load_calibration(path: Path) -> Calibration:
    """Reads a file that :func:`save_calibration` wrote.

    Raises:
        CalibrationError: The file is unreadable, or a key is missing, unknown or invalid; the message names the file
            and the key.
    """
    remedy = "Fit it again with `retinagrade calibrate`"
    return read_json_model(path, Calibration, "a calibration", CalibrationError, remedy)


def _describe_source(
    predictions: GradedPredictions, source: Path, grader_digest: str | None, digests: Mapping[str, str]
) -> CalibrationSource:
    image_ids = sorted(map(str, predictions.image_ids))
    return CalibrationSource(
        file=str(source),
        sha256=sha256(source),
        photographs=len(predictions),
        grader_digest=grader_digest,
        image_ids=tuple(image_ids),
        digests=tuple(sorted(digests[name] for name in image_ids if name in digests)),
    )


def _fit_oedema(oedema: GradedPredictions, rule: OperatingPointRule, target: float | None) -> FittedThreshold:
    scores = probability_from_grade(oedema.probabilities, REFERABLE)
    return fit_threshold(scores, oedema.grades >= REFERABLE, "a risk of macular oedema", rule, target)


def _fit_sets(calibrated: GradedPredictions, coverage: float, undefined: dict[str, str]) -> tuple[Conformal, Conformal]:
    """Fits the limits for all photographs and by grade, and adds the reasons for missing limits to ``undefined``."""
    sets = fit_conformal(calibrated, coverage)
    by_grade = fit_conformal(calibrated, coverage, by_grade=True)
    if sets.limits[0] is None:
        undefined["prediction_sets"] = _too_few(len(calibrated), coverage)
    for grade, (limit, count) in enumerate(zip(by_grade.limits, by_grade.photographs, strict=True)):
        if limit is None:
            undefined[f"prediction_sets_by_grade, grade {grade}"] = _too_few(count, coverage)
    return sets, by_grade


def _too_few(count: int, coverage: float) -> str:
    needed = 1 / (1 - coverage)
    return f"{count} photographs are too few for sets of coverage {coverage:g}; about {needed:.0f} are needed"


def _or_none(undefined: dict[str, str], name: str, fit_part: Callable[[], _Part]) -> _Part | None:
    try:
        return fit_part()
    except Undefined as reason:
        undefined[name] = str(reason)
        return None

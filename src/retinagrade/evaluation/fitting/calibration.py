"""What was fitted on the predictions of the validation photographs, in one file, to be applied unchanged to others.

A calibration is fitted first, and everything else on the calibrated probabilities. That all of it is fitted on the same
photographs, on which the epoch was chosen too, is customary; its figures on these photographs flatter it. They say what
was chosen. What it is worth only other photographs can say.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from retinagrade.errors import CalibrationError, JoinError, describe_validation_error
from retinagrade.evaluation.fitting.conformal import COVERAGE, Conformal, fit_conformal
from retinagrade.evaluation.fitting.grade_cuts import GradeCuts, fit_grade_cuts
from retinagrade.evaluation.fitting.operating_points import OperatingPoint, RuleName, fit_operating_point
from retinagrade.evaluation.fitting.probability_calibration import (
    TEMPERATURE_RANGE,
    CalibrationMetrics,
    Isotonic,
    Method,
    Temperature,
    calibrate_probabilities,
    cross_validate_calibration,
    fit_isotonic,
    fit_probability_calibration,
    fit_temperature,
)
from retinagrade.evaluation.fitting.selective import Referral, fit_referral
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.files import sha256, write_json

SCHEMA_VERSION: Final = 1
ORDER: Final = (
    "divide the five probabilities by their sum, and calibrate them by `method`",
    "all else works on these: referable, vision_threatening, grade_cuts, refer_share, refer_error, conformal",
)
REFERRED: Final = 0.2
"""Share of the photographs that a person has time for, in ``refer_share``."""
ERROR: Final = 0.1
"""Share of wrong grades that is borne among those kept, in ``refer_error``."""
METHODS: Final[tuple[Method, ...]] = ("none", "temperature", "isotonic")
Part = TypeVar("Part")


class CalibrationSource(BaseModel):
    """The predictions that everything was fitted on.

    Attributes:
        file: Their path, as it was given.
        sha256: The digest of its bytes.
        photographs: How many of them have a grade.
        image_ids: Which: what is judged on one of these is judged on what it was fitted on. Their patients are those
            of the manifest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    photographs: PositiveInt
    image_ids: tuple[str, ...] = Field(min_length=1)


class Calibration(BaseModel):
    """A calibration, and the decisions fitted on its probabilities.

    Attributes:
        schema_version: Of this file.
        order: How to apply it, for people.
        method: The calibration that everything else was fitted on.
        temperature: Temperature scaling.
        isotonic: Isotonic calibration, to compare.
        figures: How well the probabilities of each method fit the grades, on photographs that the method has not seen
            (cross-validated); ``None`` where undefined.
        referable: When to call a photograph referable.
        vision_threatening: When to call it vision-threatening.
        grade_cuts: Its grade by the expected grade, for the highest quadratic weighted kappa.
        refer_share: When a person must look, so that they see at most :data:`REFERRED` of the photographs.
        refer_error: When a person must look, so that at most :data:`ERROR` of the others have a wrong grade.
        conformal: Sets of grades that hold the right one in the stated share of all photographs.
        conformal_by_grade: The same for the photographs of every grade.
        undefined: Why a part is ``None``, by its name.
        source: What all of it was fitted on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: Literal[1] = SCHEMA_VERSION
    order: tuple[str, ...] = ORDER
    method: Method
    temperature: Temperature
    isotonic: Isotonic
    figures: dict[Method, CalibrationMetrics | None]
    referable: OperatingPoint | None
    vision_threatening: OperatingPoint | None
    grade_cuts: GradeCuts | None
    refer_share: Referral | None
    refer_error: Referral | None
    conformal: Conformal
    conformal_by_grade: Conformal
    undefined: dict[str, str]
    source: CalibrationSource

    def calibrated(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities (N, 5) as predicted, calibrated by :attr:`method`."""
        by_method = {"temperature": self.temperature, "isotonic": self.isotonic, "none": None}
        return calibrate_probabilities(by_method[self.method], probabilities)

    @property
    def attention(self) -> list[str]:
        """What a person must know before anything is decided by it."""
        found = [
            f"{name.replace('_', '-')}: {self.undefined[name]}"
            for name in ("referable", "vision_threatening", "grade_cuts")
            if name in self.undefined
        ]
        for name, point in (("referable", self.referable), ("vision-threatening", self.vision_threatening)):
            if point is not None and point.sensitivity + point.specificity <= 1:
                found.append(
                    f"{name}: a sensitivity of {point.sensitivity:.3f} with a specificity of {point.specificity:.3f} "
                    "is no better than drawing lots"
                )
        if self.conformal.limits[0] is None:
            found.append(f"conformal sets hold all grades: {self.undefined['conformal']}")
        if (best := self.temperature.temperature) in TEMPERATURE_RANGE:
            found.append(
                f"no temperature fits, the best being the end of where it is sought ({best:g}): "
                "the predictions are all alike, all right, or have nothing to do with the grades"
            )
        return found


def fit_calibration(
    graded: GradedPredictions,
    source: Path,
    *,
    rule: RuleName = "sensitivity",
    target: float | None = None,
    coverage: float = COVERAGE,
    method: Method = "temperature",
) -> Calibration:
    """Fits everything on validation photographs.

    Args:
        graded: The photographs with their probabilities as predicted.
        source: The file that they are from.
        rule: How to choose the operating points.
        target: The sensitivity or specificity of the rule; 0.9 by default.
        coverage: The share of photographs whose right grade the conformal sets are to hold.
        method: The calibration that all else is fitted on.

    Returns:
        What was fitted; parts that could not be are ``None``, with a reason.

    Raises:
        JoinError: No photograph has a grade.
    """
    if not len(graded):
        raise JoinError(f"{source}: no photograph has a grade, and nothing can be fitted without")
    undefined: dict[str, str] = {}
    predicted, graded = graded, replace(graded, probabilities=calibrate_probabilities(None, graded.probabilities))
    # From what was predicted, as whoever applies it will: probabilities divided by their sum twice differ in the last
    # digit, on which ties at a limit depend.
    calibrated = replace(
        graded,
        probabilities=calibrate_probabilities(fit_probability_calibration(graded, method), predicted.probabilities),
    )
    conformal = fit_conformal(calibrated, coverage)
    by_grade = fit_conformal(calibrated, coverage, by_grade=True)
    if conformal.limits[0] is None:
        undefined["conformal"] = _too_few(len(graded), coverage)
    for grade, (limit, count) in enumerate(zip(by_grade.limits, by_grade.photographs, strict=True)):
        if limit is None:
            undefined[f"conformal_by_grade, grade {grade}"] = _too_few(count, coverage)
    return Calibration(
        source=CalibrationSource(
            file=str(source),
            sha256=sha256(source),
            photographs=len(graded),
            image_ids=tuple(sorted(map(str, graded.image_ids))),
        ),
        method=method,
        temperature=fit_temperature(graded),
        isotonic=fit_isotonic(graded),
        figures={
            name: _or_none(undefined, f"figures, {name}", partial(cross_validate_calibration, graded, name))
            for name in METHODS
        },
        referable=_or_none(undefined, "referable", partial(fit_operating_point, calibrated, 2, rule, target)),
        vision_threatening=_or_none(
            undefined, "vision_threatening", partial(fit_operating_point, calibrated, 3, rule, target)
        ),
        grade_cuts=_or_none(undefined, "grade_cuts", partial(fit_grade_cuts, calibrated)),
        refer_share=_or_none(undefined, "refer_share", partial(fit_referral, calibrated, "share", REFERRED)),
        refer_error=_or_none(undefined, "refer_error", partial(fit_referral, calibrated, "error", ERROR)),
        conformal=conformal,
        conformal_by_grade=by_grade,
        undefined=undefined,
    )


def save_calibration(fitted: Calibration, path: Path) -> None:
    """Writes the file, atomically, as JSON with all digits."""
    write_json(path, calibration_to_json(fitted))


def calibration_to_json(fitted: Calibration) -> dict[str, Any]:
    """What the file holds, for programs."""
    return fitted.model_dump(mode="json")


def load_calibration(path: Path) -> Calibration:
    """Reads a file that :func:`save_calibration` wrote.

    Raises:
        CalibrationError: Unreadable, or a key is missing, unknown or wrong; the message names file and key.
    """
    try:
        return Calibration.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CalibrationError(f"{path}: not a readable calibration: {error}") from error
    except ValidationError as error:
        raise CalibrationError(
            f"{path} is not a calibration that this version reads:\n  {describe_validation_error(error)}\n"
            "Make it again with `retinagrade calibrate`"
        ) from None


def _too_few(count: int, coverage: float) -> str:
    needed = 1 / (1 - coverage)
    return f"{count} photographs are too few for sets of coverage {coverage:g}; about {needed:.0f} are needed"


def _or_none(undefined: dict[str, str], name: str, fit_part: Callable[[], Part]) -> Part | None:
    try:
        return fit_part()
    except Undefined as reason:
        undefined[name] = str(reason)
        return None

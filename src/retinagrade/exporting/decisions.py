"""The decisions of a grader file, from a calibration."""

from __future__ import annotations

from typing import Any

from retinagrade.evaluation.fitting.calibration import Calibration
from retinagrade.evaluation.fitting.operating_points import FittedThreshold
from retinagrade.grader.metadata import PredictionSetsMetadata, ReviewRule, Threshold


def describe_decisions(calibration: Calibration | None) -> dict[str, Any]:
    """Returns thresholds, prediction sets and the rule of review as metadata, or the reasons why they are undefined."""
    names = ("referable", "vision_threatening", "oedema", "prediction_sets", "review")
    if calibration is None:
        undefined = dict.fromkeys(names, "the run was not calibrated before the export")
        return {**dict.fromkeys(names), "undefined": undefined}
    undefined = dict(calibration.undefined)
    review = calibration.review_share
    if review is None:
        undefined["review"] = undefined.get("review_share", "no rule was fitted")
    return {
        "referable": _threshold(calibration.referable),
        "vision_threatening": _threshold(calibration.vision_threatening),
        "oedema": _threshold(calibration.oedema),
        "referral": calibration.referral,
        "prediction_sets": PredictionSetsMetadata(
            coverage=calibration.prediction_sets.coverage, limits=calibration.prediction_sets.limits
        ),
        "review": review and ReviewRule(confidence=review.confidence, target=review.target, reviewed=review.reviewed),
        "undefined": {name: reason for name, reason in undefined.items() if name in names},
    }


def _threshold(point: FittedThreshold | None) -> Threshold | None:
    if point is None:
        return None
    return Threshold.model_validate(point.model_dump(include=set(Threshold.model_fields)))

"""Applies a calibration that was fitted on validation photographs to other photographs, and measures it there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from retinagrade.evaluation import metrics
from retinagrade.evaluation.fitting.calibration import Calibration
from retinagrade.evaluation.fitting.conformal import Conformal, prediction_sets
from retinagrade.evaluation.fitting.grade_cuts import apply_grade_cuts
from retinagrade.evaluation.fitting.operating_points import FittedThreshold
from retinagrade.evaluation.fitting.selective_prediction import ReviewThreshold, needs_review
from retinagrade.evaluation.intervals import Interval, decision_intervals, metric_intervals
from retinagrade.evaluation.metrics import Undefined, probability_from_grade
from retinagrade.evaluation.named_metrics import DECISION_METRICS, compute_metrics
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.evaluation.resampling import RESAMPLES
from retinagrade.grades import N_GRADES, REFERABLE, VISION_THREATENING

CALIBRATION_METRICS: Final = ("log_loss", "brier", "expected_calibration_error")
"""Metrics that a calibration of the probabilities should improve."""


@dataclass(frozen=True)
class AppliedOperatingPoint:
    """An operating point, and its metrics on these photographs.

    Attributes:
        task: ``referable``, ``vision_threatening`` or ``oedema``.
        point: The fitted threshold.
        metrics: Sensitivity, specificity and predictive values; ``None`` where undefined.
        intervals: Their 95 % intervals.
    """

    task: str
    point: FittedThreshold
    metrics: dict[str, float | None]
    intervals: dict[str, Interval | None]


@dataclass(frozen=True)
class AppliedPredictionSets:
    """Conformal prediction sets, and their coverage of these photographs.

    Attributes:
        by_grade: True if the sets were fitted to cover the photographs of every grade alike.
        target: The coverage that the sets were fitted for.
        coverage: Share of the photographs whose grade is in their set.
        interval: 95 % interval of the coverage.
        coverage_by_grade: Coverage of the photographs of each grade; ``None`` where there are none.
        sizes: Shares of the sets that hold one, two, … five grades.
    """

    by_grade: bool
    target: float
    coverage: float
    interval: Interval | None
    coverage_by_grade: tuple[float | None, ...]
    sizes: tuple[float, ...]


@dataclass(frozen=True)
class AppliedReviewThreshold:
    """A review threshold, and its effect on these photographs.

    Attributes:
        threshold: The fitted threshold.
        reviewed: Share of the photographs that a person must review.
        error: Share of wrong grades among the other photographs; ``None`` if there are none.
        far_off: Share of grades that are off by two or more among the other photographs; ``None`` likewise.
    """

    threshold: ReviewThreshold
    reviewed: float
    error: float | None
    far_off: float | None


@dataclass(frozen=True)
class AppliedCalibration:
    """A calibration, and the results of all its parts on these photographs.

    Attributes:
        calibration: The fitted calibration.
        predictions: The photographs with calibrated probabilities.
        metrics: The :data:`CALIBRATION_METRICS` of the calibrated probabilities.
        intervals: Their 95 % intervals.
        operating_points: Operating points.
        grade_cuts_kappa: Quadratic weighted kappa of the grades by the grade cuts; ``None`` without cuts, or where it
            is undefined.
        prediction_sets: Conformal prediction sets.
        review_thresholds: Review thresholds.
    """

    calibration: Calibration
    predictions: GradedPredictions
    metrics: dict[str, float | None]
    intervals: dict[str, Interval | None]
    operating_points: list[AppliedOperatingPoint]
    grade_cuts_kappa: float | None
    prediction_sets: list[AppliedPredictionSets]
    review_thresholds: list[AppliedReviewThreshold]

    def to_json(self) -> dict[str, Any]:
        """Returns the results for ``metrics.json``."""
        return {
            "source": self.calibration.source.model_dump(mode="json", exclude={"image_ids", "digests"}),
            "method": self.calibration.method,
            "metrics": {name: metric_to_json(self.metrics, self.intervals, name) for name in CALIBRATION_METRICS},
            "operating_points": {
                applied.task: {
                    **applied.point.model_dump(mode="json", include={"rule", "target", "threshold"}),
                    **{name: metric_to_json(applied.metrics, applied.intervals, name) for name in applied.metrics},
                }
                for applied in self.operating_points
            },
            "grade_cuts": {"quadratic_weighted_kappa": self.grade_cuts_kappa},
            "prediction_sets": [
                {
                    "by_grade": sets.by_grade,
                    "target": sets.target,
                    "coverage": metric_to_json({"coverage": sets.coverage}, {"coverage": sets.interval}, "coverage"),
                    "coverage_by_grade": list(sets.coverage_by_grade),
                    "sizes": list(sets.sizes),
                }
                for sets in self.prediction_sets
            ],
            "review_thresholds": [
                {
                    **applied.threshold.model_dump(mode="json", include={"rule", "target", "confidence"}),
                    "reviewed": applied.reviewed,
                    "error": applied.error,
                    "far_off": applied.far_off,
                }
                for applied in self.review_thresholds
            ],
        }


def metric_to_json(
    values: Mapping[str, float | None], intervals: Mapping[str, Interval | None], name: str
) -> dict[str, float | list[float] | None]:
    """Returns a metric with the ends of its interval, for JSON."""
    interval = intervals.get(name)
    return {"value": values[name], "interval": None if interval is None else [interval.low, interval.high]}


def apply_calibration(
    calibration: Calibration,
    predictions: GradedPredictions,
    *,
    oedema: GradedPredictions | None = None,
    prevalence: float | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> AppliedCalibration:
    """Applies a calibration, and measures its parts.

    Args:
        calibration: A calibration that was fitted on other photographs.
        predictions: At least one graded photograph, with probabilities as predicted.
        oedema: Photographs with a known risk of macular oedema in the place of a referable grade; see
            :func:`~retinagrade.evaluation.oedema.oedema_photographs`.
        prevalence: Share of photographs with referable disease, at which predictive values of referable decisions are
            computed as well.
        resamples: Number of resamples for the intervals.
        seed: Seed of the resamples.
    """
    calibrated = replace(predictions, probabilities=calibration.calibrate(predictions.probabilities))
    intervals = metric_intervals(calibrated, CALIBRATION_METRICS, resamples=resamples, seed=seed).values
    values = compute_metrics(calibrated).values
    measured: list[tuple[str, FittedThreshold | None, GradedPredictions, int]] = [
        ("referable", calibration.referable, calibrated, REFERABLE),
        ("vision_threatening", calibration.vision_threatening, calibrated, VISION_THREATENING),
    ]
    if oedema:
        measured.append(("oedema", calibration.oedema, oedema, REFERABLE))
    thresholds = (calibration.review_share, calibration.review_error)
    return AppliedCalibration(
        calibration,
        calibrated,
        {name: values[name] for name in CALIBRATION_METRICS},
        intervals,
        [
            _measure_threshold(
                task, point, photographs, grade, prevalence if task == "referable" else None, resamples, seed
            )
            for task, point, photographs, grade in measured
            if point is not None
        ],
        _grade_cuts_kappa(calibration, calibrated),
        [
            _measure_prediction_sets(conformal, by_grade, calibrated, resamples, seed)
            for by_grade, conformal in (
                (False, calibration.prediction_sets),
                (True, calibration.prediction_sets_by_grade),
            )
        ],
        [_measure_review_threshold(threshold, calibrated) for threshold in thresholds if threshold is not None],
    )


def _measure_threshold(
    task: str,
    point: FittedThreshold,
    predictions: GradedPredictions,
    from_grade: int,
    prevalence: float | None,
    resamples: int,
    seed: int,
) -> AppliedOperatingPoint:
    truths = predictions.grades >= from_grade
    decisions = probability_from_grade(predictions.probabilities, from_grade) >= point.threshold
    table = metrics.two_by_two_table(truths, decisions)
    intervals = decision_intervals(
        truths, decisions, predictions.patients, prevalence=prevalence, resamples=resamples, seed=seed
    ).values
    values: dict[str, float | None] = {}
    for name in intervals:
        try:
            if name in DECISION_METRICS:
                values[name] = DECISION_METRICS[name](table)
            else:
                assert prevalence is not None
                values[name] = getattr(metrics, name)(table, prevalence=prevalence)
        except Undefined:
            values[name] = None
    return AppliedOperatingPoint(task, point, values, intervals)


def _grade_cuts_kappa(calibration: Calibration, predictions: GradedPredictions) -> float | None:
    if calibration.grade_cuts is None:
        return None
    predicted = apply_grade_cuts(calibration.grade_cuts, predictions.probabilities)
    try:
        return metrics.quadratic_weighted_kappa(metrics.confusion_matrix(predictions.grades, predicted))
    except Undefined:
        return None


def _measure_prediction_sets(
    conformal: Conformal, by_grade: bool, predictions: GradedPredictions, resamples: int, seed: int
) -> AppliedPredictionSets:
    sets = prediction_sets(conformal, predictions.probabilities)
    covered = sets[np.arange(len(predictions)), predictions.grades]
    # A coverage is the sensitivity of "the grade is in the set", if every photograph counts as positive.
    every = np.ones(len(predictions), dtype=bool)
    intervals = decision_intervals(every, covered, predictions.patients, resamples=resamples, seed=seed).values
    sizes = np.bincount(sets.sum(axis=1), minlength=N_GRADES + 1)[1:] / len(predictions)
    by_grades = [covered[predictions.grades == grade] for grade in range(N_GRADES)]
    return AppliedPredictionSets(
        by_grade,
        conformal.coverage,
        float(covered.mean()),
        intervals["sensitivity"],
        tuple(float(part.mean()) if len(part) else None for part in by_grades),
        tuple(sizes.tolist()),
    )


def _measure_review_threshold(threshold: ReviewThreshold, predictions: GradedPredictions) -> AppliedReviewThreshold:
    kept = ~needs_review(threshold, predictions.probabilities)
    off = np.abs(predictions.predicted - predictions.grades)[kept]
    return AppliedReviewThreshold(
        threshold,
        float(1 - kept.mean()),
        float((off > 0).mean()) if len(off) else None,
        float((off > 1).mean()) if len(off) else None,
    )

"""What was fitted on validation photographs, applied unchanged to others, and what it is worth there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from retinagrade.evaluation import metrics
from retinagrade.evaluation.fitting.calibration import Calibration
from retinagrade.evaluation.fitting.conformal import Conformal, prediction_sets
from retinagrade.evaluation.fitting.grade_cuts import cut_grades
from retinagrade.evaluation.fitting.operating_points import OperatingPoint, decide
from retinagrade.evaluation.fitting.selective import Referral, needs_review
from retinagrade.evaluation.intervals import RESAMPLES, Interval, decision_intervals, metric_intervals
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.named_metrics import DECISION_METRICS, grading_metrics
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.grades import N_GRADES

OF_PROBABILITIES: Final = ("log_loss", "brier", "expected_calibration_error")
"""What calibration is to improve."""


@dataclass(frozen=True)
class AppliedThreshold:
    """An operating point, applied.

    Attributes:
        task: ``referable`` or ``vision_threatening``.
        point: As it was fitted.
        figures: Sensitivity, specificity and predictive values here; ``None`` where undefined.
        intervals: Their 95 % intervals.
    """

    task: str
    point: OperatingPoint
    figures: dict[str, float | None]
    intervals: dict[str, Interval | None]


@dataclass(frozen=True)
class AppliedSets:
    """Conformal sets, applied.

    Attributes:
        by_grade: Whether they were fitted to cover every grade's photographs alike.
        asked: The coverage that was asked for.
        coverage: The share of photographs here whose grade is in their set.
        interval: Of the coverage.
        of_grade: The same among the photographs of each grade; ``None`` where there are none.
        sizes: Share of the sets that hold one, two, … five grades.
    """

    by_grade: bool
    asked: float
    coverage: float
    interval: Interval | None
    of_grade: tuple[float | None, ...]
    sizes: tuple[float, ...]


@dataclass(frozen=True)
class AppliedReferral:
    """A referral rule, applied.

    Attributes:
        rule: As it was fitted.
        referred: Share of the photographs here that a person must look at.
        error: Share of wrong grades among the others; ``None`` where there are no others.
        far_off: Share of grades that are off by two or more among the others.
    """

    rule: Referral
    referred: float
    error: float | None
    far_off: float | None


@dataclass(frozen=True)
class AppliedCalibration:
    """Everything that was fitted, applied.

    Attributes:
        fitted: What was fitted, and on what.
        calibrated: The photographs with calibrated probabilities.
        probabilities: :data:`OF_PROBABILITIES` of these.
        intervals: Their 95 % intervals.
        decisions: Operating points.
        cuts_kappa: QWK of the grades that the cuts give; ``None`` where there are none, or it is undefined.
        sets: Conformal sets.
        referred: Referral rules.
    """

    fitted: Calibration
    calibrated: GradedPredictions
    probabilities: dict[str, float | None]
    intervals: dict[str, Interval | None]
    decisions: list[AppliedThreshold]
    cuts_kappa: float | None
    sets: list[AppliedSets]
    referred: list[AppliedReferral]

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "source": self.fitted.source.model_dump(mode="json", exclude={"image_ids"}),
            "method": self.fitted.method,
            "probabilities": {
                name: metric_to_json(self.probabilities, self.intervals, name) for name in OF_PROBABILITIES
            },
            "operating_points": {
                decision.task: {
                    **decision.point.model_dump(mode="json", include={"rule", "target", "threshold"}),
                    **{name: metric_to_json(decision.figures, decision.intervals, name) for name in decision.figures},
                }
                for decision in self.decisions
            },
            "grade_cuts": {"quadratic_weighted_kappa": self.cuts_kappa},
            "sets": [
                {
                    "by_grade": sets.by_grade,
                    "asked": sets.asked,
                    "coverage": metric_to_json({"coverage": sets.coverage}, {"coverage": sets.interval}, "coverage"),
                    "coverage_of_grade": list(sets.of_grade),
                    "sizes": list(sets.sizes),
                }
                for sets in self.sets
            ],
            "referral": [
                {
                    **referred.rule.model_dump(mode="json", include={"rule", "target", "confidence"}),
                    "referred": referred.referred,
                    "error": referred.error,
                    "far_off": referred.far_off,
                }
                for referred in self.referred
            ],
        }


def metric_to_json(
    values: Mapping[str, float | None], intervals: Mapping[str, Interval | None], name: str
) -> dict[str, float | list[float] | None]:
    """A figure with its interval, for programs."""
    interval = intervals.get(name)
    return {"value": values[name], "interval": None if interval is None else [interval.low, interval.high]}


def apply_calibration(
    fitted: Calibration,
    photographs: GradedPredictions,
    *,
    prevalence: float | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> AppliedCalibration:
    """Applies what was fitted, and measures it.

    Args:
        fitted: What was fitted on other photographs.
        photographs: Graded photographs, at least one, with probabilities as predicted.
        prevalence: Also give the predictive values where this share of the photographs has the disease.
        resamples: Resamples for intervals.
        seed: Of the resamples.
    """
    calibrated = replace(photographs, probabilities=fitted.calibrated(photographs.probabilities))
    found = metric_intervals(calibrated, OF_PROBABILITIES, resamples=resamples, seed=seed)
    values = grading_metrics(calibrated).values
    points = {"referable": fitted.referable, "vision_threatening": fitted.vision_threatening}
    referrals = (fitted.refer_share, fitted.refer_error)
    return AppliedCalibration(
        fitted,
        calibrated,
        {name: values[name] for name in OF_PROBABILITIES},
        found.values,
        [
            _decision(task, point, calibrated, prevalence, resamples, seed)
            for task, point in points.items()
            if point is not None
        ],
        _kappa_of_cuts(fitted, calibrated),
        [
            _sets(conformal, by_grade, calibrated, resamples, seed)
            for by_grade, conformal in ((False, fitted.conformal), (True, fitted.conformal_by_grade))
        ],
        [_referred(rule, calibrated) for rule in referrals if rule is not None],
    )


def _decision(
    task: str,
    point: OperatingPoint,
    photographs: GradedPredictions,
    prevalence: float | None,
    resamples: int,
    seed: int,
) -> AppliedThreshold:
    truths, decisions = photographs.grades >= point.from_grade, decide(point, photographs.probabilities)
    table = metrics.two_by_two(truths, decisions)
    found = decision_intervals(
        truths, decisions, photographs.patients, prevalence=prevalence, resamples=resamples, seed=seed
    )
    values: dict[str, float | None] = {}
    for name in found.values:
        try:
            if name in DECISION_METRICS:
                values[name] = DECISION_METRICS[name](table)
            else:
                assert prevalence is not None
                values[name] = getattr(metrics, name)(table, prevalence=prevalence)
        except Undefined:
            values[name] = None
    return AppliedThreshold(task, point, values, found.values)


def _kappa_of_cuts(fitted: Calibration, photographs: GradedPredictions) -> float | None:
    if fitted.grade_cuts is None:
        return None
    given = cut_grades(fitted.grade_cuts, photographs.probabilities)
    try:
        return metrics.quadratic_weighted_kappa(metrics.confusion_matrix(photographs.grades, given))
    except Undefined:
        return None


def _sets(
    conformal: Conformal, by_grade: bool, photographs: GradedPredictions, resamples: int, seed: int
) -> AppliedSets:
    sets = prediction_sets(conformal, photographs.probabilities)
    inside = sets[np.arange(len(photographs)), photographs.grades]
    every = np.ones(len(photographs), dtype=bool)
    found = decision_intervals(every, inside, photographs.patients, resamples=resamples, seed=seed)
    sizes = np.bincount(sets.sum(axis=1), minlength=N_GRADES + 1)[1:] / len(photographs)
    of_grade = [inside[photographs.grades == grade] for grade in range(N_GRADES)]
    return AppliedSets(
        by_grade,
        conformal.coverage,
        float(inside.mean()),
        found.values["sensitivity"],
        tuple(float(part.mean()) if len(part) else None for part in of_grade),
        tuple(sizes.tolist()),
    )


def _referred(rule: Referral, photographs: GradedPredictions) -> AppliedReferral:
    kept = ~needs_review(rule, photographs.probabilities)
    off = np.abs(photographs.predicted - photographs.grades)[kept]
    return AppliedReferral(
        rule,
        float(1 - kept.mean()),
        float((off > 0).mean()) if len(off) else None,
        float((off > 1).mean()) if len(off) else None,
    )

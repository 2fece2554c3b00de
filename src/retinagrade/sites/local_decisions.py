"""Temperature and thresholds that fit a site, with the doubt that its few photographs leave.

A threshold that is chosen and judged on the same photographs flatters. So each resample of patients chooses its own
temperature and thresholds. The photographs of the patients that it didn't draw judge them (*out of the bag*): that is
the sensitivity to expect. How far it may be off is judged on the next resample, which is to the first one as another
sample of the same size from this site would be.

Source: B. Efron, R. Tibshirani, "Improvements on cross-validation: the .632+ bootstrap method", Journal of the American
Statistical Association 92(438), 1997 (the leave-one-out bootstrap).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from retinagrade.evaluation.fitting.calibration import Calibration
from retinagrade.evaluation.fitting.operating_points import FittedThreshold, fit_threshold
from retinagrade.evaluation.fitting.probability_calibration import calibrate_probabilities, fit_temperature
from retinagrade.evaluation.intervals import Interval, percentile_interval
from retinagrade.evaluation.metrics import Undefined, probability_from_grade
from retinagrade.evaluation.named_metrics import TASKS
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.evaluation.resampling import number_patients, patient_weights
from retinagrade.grades import REFERABLE
from retinagrade.sites.card_comparison import ends

REFITS: Final = 500
"""Number of resamples in which everything is fitted again."""
DecisionName = Literal["referable", "vision_threatening", "oedema"]


@dataclass(frozen=True)
class LocalThreshold:
    """A threshold that reaches the wanted sensitivity at a site.

    Attributes:
        decision: Name of the decision.
        shipped: Threshold in the grader file; ``None`` where it has none.
        threshold: The threshold that the site's photographs give.
        interval: Its 95 % interval over resamples of patients; ``None`` where there are too few photographs.
        sensitivity: Sensitivity to expect, on photographs that it wasn't fitted on; ``None`` where undefined.
        sensitivity_interval: Its 95 % interval: that of another sample of the same size.
        specificity: Specificity to expect, likewise.
        specificity_interval: Its 95 % interval, likewise.
        positives: Number of photographs with the disease.
        negatives: Number of the others.
    """

    decision: DecisionName
    shipped: float | None
    threshold: float
    interval: Interval | None
    sensitivity: float | None
    sensitivity_interval: Interval | None
    specificity: float | None
    specificity_interval: Interval | None
    positives: int
    negatives: int

    def to_json(self) -> dict[str, Any]:
        """Returns the threshold for ``validation.json``."""
        return {
            "decision": self.decision,
            "shipped": self.shipped,
            "threshold": self.threshold,
            "interval": ends(self.interval),
            "sensitivity": self.sensitivity,
            "sensitivity_interval": ends(self.sensitivity_interval),
            "specificity": self.specificity,
            "specificity_interval": ends(self.specificity_interval),
            "positives": self.positives,
            "negatives": self.negatives,
        }


@dataclass(frozen=True)
class LocalDecisions:
    """Temperature and thresholds that fit a site.

    Attributes:
        target: The wanted sensitivity.
        temperature: Temperature by which the probabilities of the file become honest here; 1 changes nothing.
        temperature_interval: Its 95 % interval over resamples; ``None`` where there are too few photographs.
        thresholds: Thresholds by the name of the decision; those that can't be fitted are missing.
        undefined: Reasons why thresholds are missing, by the name of the decision.
        resamples: Number of resamples.
    """

    target: float
    temperature: float
    temperature_interval: Interval | None
    thresholds: dict[str, LocalThreshold]
    undefined: dict[str, str]
    resamples: int

    def to_json(self) -> dict[str, Any]:
        """Returns everything for ``validation.json``."""
        return {
            "target": self.target,
            "temperature": self.temperature,
            "temperature_interval": ends(self.temperature_interval),
            "thresholds": {name: one.to_json() for name, one in self.thresholds.items()},
            "undefined": self.undefined,
            "resamples": self.resamples,
        }


@dataclass(frozen=True)
class _Refits:
    """What resamples of patients fitted, and how it did.

    Attributes:
        temperatures: (R,).
        thresholds: (R,) by decision; NaN where undefined, like the following.
        outside: Sensitivity and specificity by decision on the photographs out of the bag, all resamples together.
        again: Sensitivity and specificity (R, 2) by decision on the next resample.
    """

    temperatures: NDArray[np.float64]
    thresholds: dict[str, NDArray[np.float64]]
    outside: dict[str, NDArray[np.float64]]
    again: dict[str, NDArray[np.float64]]


def judge_local_decisions(
    calibration: Calibration,
    graded: GradedPredictions,
    oedema: GradedPredictions | None,
    shipped: dict[DecisionName, float | None],
    *,
    target: float,
    resamples: int = REFITS,
    seed: int = 0,
    step: Callable[[], None] = lambda: None,
) -> LocalDecisions:
    """Measures how far one may trust a calibration that was fitted on a site's photographs.

    Args:
        calibration: The calibration, fitted on these photographs by a temperature for this sensitivity.
        graded: The photographs, with probabilities as the grader gave them.
        oedema: Photographs with a known risk of macular oedema in the place of a referable grade, or ``None``.
        shipped: Thresholds in the grader file.
        target: The wanted sensitivity.
        resamples: Number of resamples of patients.
        seed: Seed of the resamples.
        step: Called after every resample; twice as often with ``oedema``.
    """
    fits = _refit(graded, dict(TASKS), target, resamples, seed, step)
    fitted: dict[DecisionName, FittedThreshold | None] = {
        "referable": calibration.referable,
        "vision_threatening": calibration.vision_threatening,
    }
    of_decision = dict.fromkeys(fitted, fits)
    if oedema is not None and calibration.oedema is not None:
        fitted["oedema"] = calibration.oedema
        of_decision["oedema"] = _refit(
            oedema, {"oedema": REFERABLE}, target, resamples, seed, step, with_temperature=False
        )
    return LocalDecisions(
        target,
        calibration.temperature.temperature,
        _interval_or_none(fits.temperatures),
        {
            name: _threshold(name, point, of_decision[name], shipped.get(name))
            for name, point in fitted.items()
            if point is not None
        },
        {name: reason for name, reason in calibration.undefined.items() if name in (*TASKS, "oedema")},
        resamples,
    )


def _threshold(name: DecisionName, point: FittedThreshold, fits: _Refits, shipped: float | None) -> LocalThreshold:
    sensitivity, specificity = (None if np.isnan(value) else float(value) for value in fits.outside[name])
    sensitivities, specificities = map(_interval_or_none, fits.again[name].T)
    return LocalThreshold(
        name,
        shipped,
        point.threshold,
        _interval_or_none(fits.thresholds[name]),
        sensitivity,
        sensitivities,
        specificity,
        specificities,
        point.positives,
        point.negatives,
    )


def _refit(
    graded: GradedPredictions,
    from_grades: dict[str, Any],
    target: float,
    resamples: int,
    seed: int,
    step: Callable[[], None],
    *,
    with_temperature: bool = True,
) -> _Refits:
    """Fits temperature and thresholds again on each resample, and judges them on other photographs."""
    patients, count = number_patients(graded.patients)
    every, number = np.arange(len(graded)), len(from_grades)
    temperatures = np.ones(resamples)
    thresholds = np.full((number, resamples), np.nan)
    right_outside, all_outside = np.zeros((number, 2)), np.zeros((number, 2))
    again = np.full((number, resamples, 2), np.nan)
    weights = patient_weights(count, 0, seed).astype(np.int64)[patients]
    for resample in range(resamples):
        following = patient_weights(count, resample + 1, seed).astype(np.int64)[patients]
        rows = np.repeat(every, weights)
        temperature = fit_temperature(graded.rows(rows)) if with_temperature else None
        temperatures[resample] = 1.0 if temperature is None else temperature.temperature
        probabilities = calibrate_probabilities(temperature, graded.probabilities)
        for place, from_grade in enumerate(from_grades.values()):
            scores, truths = probability_from_grade(probabilities, from_grade), graded.grades >= from_grade
            try:
                threshold = fit_threshold(scores[rows], truths[rows], "", "sensitivity", target).threshold
            except Undefined:
                continue
            thresholds[place, resample] = threshold
            right = (scores >= threshold) == truths
            for kind, members in enumerate((truths, ~truths)):
                outside = members & (weights == 0)
                right_outside[place, kind] += (right & outside).sum()
                all_outside[place, kind] += outside.sum()
                if total := following[members].sum():
                    again[place, resample, kind] = following[members & right].sum() / total
        weights = following
        step()
    with np.errstate(invalid="ignore"):
        outside_shares = right_outside / all_outside
    return _Refits(
        temperatures,
        dict(zip(from_grades, thresholds, strict=True)),
        dict(zip(from_grades, outside_shares, strict=True)),
        dict(zip(from_grades, again, strict=True)),
    )


def _interval_or_none(values: NDArray[np.float64]) -> Interval | None:
    try:
        return percentile_interval(values)
    except Undefined:
        return None

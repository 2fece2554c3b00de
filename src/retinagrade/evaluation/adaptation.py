"""What a site would gain by adapting the grade model of a grader file to its own photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from retinagrade.errors import UsageError
from retinagrade.evaluation.fitting.adaptation import AdaptationMethod, AdaptedModel, adapt_model, sharpen
from retinagrade.evaluation.fitting.out_of_fold import patient_folds
from retinagrade.evaluation.intervals import Interval, percentile_interval
from retinagrade.evaluation.metrics import Undefined, probability_from_grade
from retinagrade.evaluation.named_metrics import compute_metrics
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.evaluation.resampling import RESAMPLES, resampled_auc_within, resampled_metrics
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.grades import REFERABLE
from retinagrade.lesion_maps.grade_model import OrdinalModel
from retinagrade.messages import counted

LEAST_PHOTOGRAPHS: Final = 20
"""Graded photographs below which nothing is fitted."""
SHARES: Final = (0.25, 0.5, 1.0)
"""Shares of the patients that the learning curve is measured with."""
_COMPARED: Final = (0.5, 1.0)
"""Those of them whose difference has an interval."""
REPEATS: Final = 3
"""Divisions of the patients into folds, whose metrics are averaged."""
GAIN_METRICS: Final = ("quadratic_weighted_kappa", "referable_auc")
LEAST_IN_CURVE: Final = 10
"""Photographs below which the learning curve has no point."""
_DIGITS: Final = 12
"""Decimals of differences; the others are noise of the computation."""
_RANKED_WORSE: Final = 0.01
"""Area under the curve that an adaptation may lose."""
_WORTH: Final = 0.01
"""Quadratic weighted kappa that a doubling must promise, to be worth the work."""


@dataclass(frozen=True)
class Gain:
    """A metric before and after an adaptation, on the same photographs.

    Attributes:
        before: The metric of the old model; ``None`` where undefined.
        after: The metric of adapted models, each on patients that it was not fitted on.
        difference: After minus before.
        interval: 95 % interval of the difference, over resamples of patients; ``None`` where undefined.
    """

    before: float | None
    after: float | None
    difference: float | None
    interval: Interval | None

    def to_json(self) -> dict[str, Any]:
        """Returns the gain as values of JSON."""
        return {
            "before": self.before,
            "after": self.after,
            "difference": self.difference,
            "interval": None if self.interval is None else [self.interval.low, self.interval.high],
        }


@dataclass(frozen=True)
class CurvePoint:
    """The gain with a number of photographs.

    Attributes:
        photographs: Mean number of photographs that the model was fitted on.
        gain: Difference of the quadratic weighted kappa, on photographs of other patients; ``None`` where undefined.
    """

    photographs: int
    gain: float | None


@dataclass(frozen=True)
class Adaptation:
    """What an adaptation gives, by cross-validation over patients.

    Attributes:
        photographs: Number of photographs.
        patients: Number of patients.
        method: The change that was chosen on all photographs.
        model: The model that was fitted on all photographs, see
            :func:`~retinagrade.evaluation.fitting.adaptation.sharpen`; for ``unchanged`` the old one.
        probabilities: Probabilities (N, 5) of the photographs before the temperature, each by a model that was fitted
            on other patients.
        kappa: Gain of the quadratic weighted kappa.
        referable_auc: Gain of the area under the ROC curve of referable retinopathy. Only pairs of photographs of one
            fold count, because each fold has a model of its own.
        curve: The gain with fewer and with all photographs of four fifths of the patients.
        more: Gain of the quadratic weighted kappa from half of the photographs to all; ``difference`` is ``None`` where
            undefined.
        needed: Number of photographs with which the same gain would be more than chance; ``None`` where it is already,
            or where there is no gain.
    """

    photographs: int
    patients: int
    method: AdaptationMethod
    model: OrdinalModel
    probabilities: NDArray[np.float64]
    kappa: Gain
    referable_auc: Gain
    curve: tuple[CurvePoint, ...]
    more: Gain
    needed: int | None

    @property
    def gains(self) -> dict[str, Gain]:
        """The gains by the names of the metrics."""
        return dict(zip(GAIN_METRICS, (self.kappa, self.referable_auc), strict=True))

    @property
    def better(self) -> bool:
        """True if the grades agree better by more than chance, and referable photographs are ranked as well."""
        gain = self.kappa.interval
        return self.method != "unchanged" and gain is not None and gain.low > 0 and not self.ranks_worse

    @property
    def ranks_worse(self) -> bool:
        """True if referable photographs are ranked worse by more than chance, and by more than a little."""
        auc = self.referable_auc
        if auc.difference is None or auc.interval is None:
            return False
        return auc.interval.high < 0 and auc.difference < -_RANKED_WORSE

    @property
    def sentences(self) -> tuple[str, ...]:
        """The outcome in sentences for people."""
        return (_describe_gain(self), _describe_more(self))


def adaptation_gain(
    model: OrdinalModel,
    numbers: NDArray[np.float64],
    grades: NDArray[np.int64],
    patients: Sequence[str],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    progress: Progress | None = None,
) -> Adaptation:
    """Measures what an adaptation of a grade model would give, and fits it.

    The whole procedure, with its choice of a method, is cross-validated over patients, so the gain is that on new
    patients of the same site.

    Args:
        model: The grade model of the file.
        numbers: Lesion numbers (N, F), in the order of the model's names.
        grades: The right grades (N,), 0 to 4.
        patients: Patients (N,); an empty text is a patient of its own.
        seed: Seed of the folds and resamples.
        resamples: Number of resamples for the intervals.
        progress: Receives the number of fits.

    Returns:
        The gain, and the fitted model.

    Raises:
        UsageError: There are fewer than :data:`LEAST_PHOTOGRAPHS` photographs, or only one grade or patient.
    """
    groups = _number_groups(patients)
    _require_enough(grades, groups)
    before = GradedPredictions(np.arange(len(grades)).astype(str), grades, model.probabilities(numbers), groups)
    step = begin_stage(progress, "cross-validating the adaptation", REPEATS * len(patient_folds(groups, seed)) + 1)
    curves: dict[float, list[GradedPredictions]] = {share: [] for share in SHARES}
    sizes: dict[float, list[int]] = {share: [] for share in SHARES}
    folds = []
    for repeat in range(REPEATS):
        fold_of = np.zeros(len(grades), np.int64)
        of_share = {share: np.zeros_like(before.probabilities) for share in SHARES}
        for fold, (others, own) in enumerate(patient_folds(groups, _seed(seed, repeat))):
            fold_of[own] = fold
            for share in SHARES:
                rows = _share_of_patients(others, groups, share, np.random.default_rng([seed, repeat, fold]))
                adapted = adapt_model(model, numbers[rows], grades[rows], groups[rows], _seed(seed, repeat))
                of_share[share][own] = _final(adapted).probabilities(numbers[own])
                sizes[share].append(len(rows))
            step()
        folds.append(fold_of)
        for share, probabilities in of_share.items():
            curves[share].append(replace(before, probabilities=probabilities))
    chosen = adapt_model(model, numbers, grades, groups, seed)
    step()
    measured = {
        share: _measure_kappa(each, resamples if share in _COMPARED else 1, seed) for share, each in curves.items()
    }
    old = _measure_kappa([before], resamples, seed)
    ranked = [_measure_auc(each, folds, resamples, seed) for each in ([before] * REPEATS, curves[1.0])]
    points = tuple(
        CurvePoint(round(float(np.mean(sizes[share]))), _gain(old, measured[share]).difference)
        for share in SHARES
        if np.mean(sizes[share]) >= LEAST_IN_CURVE
    )
    return Adaptation(
        photographs=len(grades),
        patients=len(np.unique(groups)),
        method=chosen.method,
        model=_final(chosen),
        probabilities=curves[1.0][0].probabilities,
        kappa=(kappa := _gain(old, measured[1.0])),
        referable_auc=_gain(*ranked),
        curve=points,
        more=_gain(measured[0.5], measured[1.0]),
        needed=_needed(kappa, len(grades)),
    )


def _final(adapted: AdaptedModel) -> OrdinalModel:
    """Returns the model whose most probable grade is the grade."""
    return adapted.model if adapted.method == "unchanged" else sharpen(adapted.model)


@dataclass(frozen=True)
class _Measured:
    """A metric, and its values in all resamples; both are means over repeats."""

    value: float | None
    resampled: NDArray[np.float64]


def _measure_kappa(repeats: Sequence[GradedPredictions], resamples: int, seed: int) -> _Measured:
    name = GAIN_METRICS[0]
    values = [compute_metrics(each).values[name] for each in repeats]
    defined = [each for each in values if each is not None]
    resampled = [resampled_metrics(each, [name], resamples=resamples, seed=seed)[name] for each in repeats]
    return _Measured(float(np.mean(defined)) if len(defined) == len(values) else None, np.mean(resampled, axis=0))


def _measure_auc(
    repeats: Sequence[GradedPredictions], folds: Sequence[NDArray[np.int64]], resamples: int, seed: int
) -> _Measured:
    """Measures the share of pairs, of a referable and another photograph of one fold, in the right order."""
    areas, resampled = [], []
    for predictions, fold in zip(repeats, folds, strict=True):
        scores = probability_from_grade(predictions.probabilities, REFERABLE)
        truths = predictions.grades >= REFERABLE
        area, values = resampled_auc_within(truths, scores, predictions.patients, fold, resamples=resamples, seed=seed)
        areas.append(area)
        resampled.append(values)
    mean = float(np.mean(areas))
    return _Measured(None if np.isnan(mean) else mean, np.mean(resampled, axis=0))


def _gain(first: _Measured, second: _Measured) -> Gain:
    before, after = first.value, second.value
    if before is None or after is None:
        return Gain(before, after, None, None)
    differences = np.round(second.resampled - first.resampled, _DIGITS)
    try:
        interval = percentile_interval(differences)
    except Undefined:  # too few photographs of a kind, or nothing changes in any resample
        interval = None
    return Gain(before, after, round(after - before, _DIGITS), interval)


def _needed(kappa: Gain, photographs: int) -> int | None:
    """Returns the number of photographs at which the lower end of the interval would reach 0, if the gain stays."""
    gain, interval = kappa.difference, kappa.interval
    if gain is None or interval is None or gain <= 0 or interval.low > 0:
        return None
    return int(np.ceil(photographs * ((gain - interval.low) / gain) ** 2 / 10) * 10)


def _require_enough(grades: NDArray[np.int64], patients: NDArray[np.int64]) -> None:
    if len(grades) < LEAST_PHOTOGRAPHS:
        raise UsageError(
            f"{counted(len(grades), 'graded photograph')}: an adaptation needs at least {LEAST_PHOTOGRAPHS}; fifty or "
            "more are better"
        )
    for name, values in (("grade", grades), ("patient", patients)):
        if len(np.unique(values)) < 2:
            raise UsageError(f"all {len(grades)} photographs have one {name}: an adaptation needs at least two")


def _number_groups(patients: Sequence[str]) -> NDArray[np.int64]:
    own = count()
    names = [f"patient {each}" if each else f"photograph {next(own)}" for each in patients]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _share_of_patients(
    rows: NDArray[np.int64], groups: NDArray[np.int64], share: float, generator: np.random.Generator
) -> NDArray[Any]:
    """Returns the rows of a share of the patients; those of a smaller share are among those of a larger one."""
    patients = generator.permutation(np.unique(groups[rows]))
    kept = patients[: max(2, round(share * len(patients)))]
    return rows[np.isin(groups[rows], kept)]


def _seed(seed: int, repeat: int) -> int:
    return int(np.random.SeedSequence([seed, repeat]).generate_state(1)[0])


def _describe_gain(adaptation: Adaptation) -> str:
    kappa = adaptation.kappa
    methods = {
        "unchanged": "No change of the grade model is better than none",
        "grade-scale": "New limits of the grades",
        "new-fit": "A new fit of the grade model",
    }
    start = methods[adaptation.method]
    if kappa.difference is None:
        return f"{start}; the quadratic weighted kappa is undefined on these photographs."
    change = f"the quadratic weighted kappa changes by {kappa.difference:+.3f}"
    interval = "" if kappa.interval is None else f" ({kappa.interval.low:+.3f} to {kappa.interval.high:+.3f})"
    verdict = "more than chance" if adaptation.better else "which may be chance"
    if adaptation.method == "unchanged" and not kappa.difference:
        return f"{start}."
    if adaptation.method == "unchanged":
        return f"{start}: cross-validated, {change}{interval}."
    if kappa.difference <= 0:
        verdict = "so nothing is gained"
    elif adaptation.ranks_worse:
        verdict = "but referable photographs are ranked worse"
    return f"{start}: {change}{interval} on patients that it was not fitted on, {verdict}."


def _describe_more(adaptation: Adaptation) -> str:
    """Says whether more photographs would help: a doubling gives about half of what the last doubling gave."""
    more, twice = adaptation.more, 2 * adaptation.photographs
    if adaptation.needed is not None:
        return f"If the gain stays, about {adaptation.needed} photographs would show that it is more than chance."
    if more.difference is None:
        return "Whether more photographs would help can't be told from these."
    if more.interval is None:
        return "More photographs would hardly help: half of these gave the same."
    if more.interval.low > 0:
        return f"More photographs would help: {twice} would add about {more.difference / 2:+.3f}."
    if more.interval.high / 2 < _WORTH:
        return f"More photographs would hardly help: {twice} would add less than {_WORTH:g}."
    return (
        f"Whether more photographs would help can't be told from these: the second half of them changed the gain by "
        f"{more.difference:+.3f} ({more.interval.low:+.3f} to {more.interval.high:+.3f})."
    )

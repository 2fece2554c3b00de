"""A grader's figures at a site beside those on its card, and whether they differ by more than chance.

The two were measured on different photographs, so the difference of each figure has an interval from the two intervals
(Zou and Donner's method): its lower end is as far below as the lower side of the one and the upper side of the other
together. From it follows a p-value, and Holm's method allows for the number of compared figures: of graders that work
as on their card, at most 5 % get any warning.

Sources: G. Y. Zou and A. Donner, Statistics in Medicine 27(10), 2008 (intervals of differences); S. Holm, Scandinavian
Journal of Statistics 6(2), 1979.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

import numpy as np
from scipy.stats import beta, norm

from retinagrade.evaluation.intervals import LEVEL, Interval, decision_intervals, metric_intervals
from retinagrade.evaluation.metrics import (
    MatrixMetric,
    Undefined,
    probability_from_grade,
    sensitivity,
    specificity,
    two_by_two_table,
)
from retinagrade.evaluation.named_metrics import compute_metrics
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.evaluation.resampling import RESAMPLES
from retinagrade.grader.metadata import MeasuredMetrics, Metadata, Threshold
from retinagrade.grades import REFERABLE

FALSE_ALARMS: Final = 0.05
"""Largest share of graders that work as on their card and still get a warning, over all compared figures."""
RANKED: Final = ("quadratic_weighted_kappa", "referable_auc", "vision_threatening_auc")
"""Compared metrics of grades and rankings, by their names in an evaluation and on a card."""
SENSITIVITY: Final = "referable_sensitivity"
SPECIFICITY: Final = "referable_specificity"
_MOST_COUNTED: Final = 100_000
_NO_INTERVAL: Final = "its card states no interval"


@dataclass(frozen=True)
class ComparedFigure:
    """One figure here and on the card.

    Attributes:
        name: One of :data:`RANKED`, :data:`SENSITIVITY` or :data:`SPECIFICITY`.
        here: The figure on the site's photographs; ``None`` where undefined.
        here_interval: Its 95 % interval.
        card: The figure on the card; ``None`` where the card doesn't state it.
        card_interval: Its 95 % interval.
        difference: Here minus card; ``None`` where one is missing.
        difference_interval: Its 95 % interval; ``None`` where it isn't known.
        p_value: Probability of a difference as large or larger, by chance; ``None`` where nothing could be tested.
        differs: True where the figure differs by more than chance, with all compared figures counted.
        reason: Reason why nothing could be tested; ``None`` otherwise.
    """

    name: str
    here: float | None
    here_interval: Interval | None
    card: float | None
    card_interval: Interval | None
    difference: float | None = None
    difference_interval: Interval | None = None
    p_value: float | None = None
    differs: bool = False
    reason: str | None = None

    @property
    def worse(self) -> bool:
        """True where the figure is lower here than on the card, by more than chance."""
        return self.differs and self.difference is not None and self.difference < 0

    @property
    def better(self) -> bool:
        """True where the figure is higher here than on the card, by more than chance."""
        return self.differs and not self.worse

    def to_json(self) -> dict[str, Any]:
        """Returns the figure for ``validation.json``."""
        return {
            "name": self.name,
            "here": self.here,
            "here_interval": ends(self.here_interval),
            "card": self.card,
            "card_interval": ends(self.card_interval),
            "difference": self.difference,
            "difference_interval": ends(self.difference_interval),
            "p_value": self.p_value,
            "differs": self.differs,
            "reason": self.reason,
        }


def ends(interval: Interval | None) -> list[float] | None:
    """Returns the ends of an interval for JSON."""
    return None if interval is None else [interval.low, interval.high]


def card_metrics(metadata: Metadata) -> tuple[str, MeasuredMetrics] | None:
    """Returns the most honest metrics on a card and the name of their photographs; ``None`` where there are none."""
    measured = {
        "test": metadata.test,
        "cross-validation": metadata.cross_validation,
        "validation": metadata.validation,
    }
    return next(((name, metrics) for name, metrics in measured.items() if metrics is not None), None)


def compare_with_card(
    graded: GradedPredictions, metadata: Metadata, *, resamples: int = RESAMPLES, seed: int = 0
) -> list[ComparedFigure]:
    """Compares a grader's figures with those on its card.

    The sensitivity and the specificity are those of the threshold of referable retinopathy on photographs that have a
    grade, as on the card: refused photographs and macular oedema don't count.

    Args:
        graded: The site's photographs with the probabilities that the grader gave.
        metadata: The metadata of the grader file.
        resamples: Number of resamples of patients for the intervals.
        seed: Seed of the resamples.

    Returns:
        The figures that the card states, tested by Holm's method with :data:`FALSE_ALARMS`.
    """
    figures = [*_ranked(graded, metadata, resamples, seed), *_decided(graded, metadata.referable, resamples, seed)]
    return mark_differences([_with_difference(figure) for figure in figures if figure.card is not None])


def mark_differences(figures: Sequence[ComparedFigure]) -> list[ComparedFigure]:
    """Marks the figures that differ by more than chance, by Holm's method over all that were tested.

    Example:
        >>> tested = {"quadratic_weighted_kappa": 0.01, "referable_auc": 0.2}
        >>> figures = [ComparedFigure(name, 0.5, None, 0.8, None, p_value=p) for name, p in tested.items()]
        >>> [figure.differs for figure in mark_differences(figures)]
        [True, False]
    """
    tested = sorted((figure.p_value, row) for row, figure in enumerate(figures) if figure.p_value is not None)
    marked = list(figures)
    for rank, (p_value, row) in enumerate(tested):
        if p_value > FALSE_ALARMS / (len(tested) - rank):
            break
        marked[row] = replace(marked[row], differs=True)
    return marked


def counted_on_card(threshold: Threshold) -> tuple[int, int]:
    """Returns how many photographs with and without the disease a threshold was chosen on.

    A file that doesn't state the numbers has at least as many as its shares need: 0.9 needs ten photographs.
    """
    return (
        threshold.positives or _fewest(threshold.sensitivity),
        threshold.negatives or _fewest(threshold.specificity),
    )


def exact_interval(share: float, count: int) -> Interval:
    """Returns Clopper and Pearson's interval of a share of so many photographs."""
    right, wrong = share * count, (1 - share) * count
    tail = (1 - LEVEL) / 2
    low = float(beta.ppf(tail, right, wrong + 1)) if right > 0 else 0.0
    high = float(beta.ppf(1 - tail, right + 1, wrong)) if wrong > 0 else 1.0
    return Interval(low, high, method="exact")


def _ranked(graded: GradedPredictions, metadata: Metadata, resamples: int, seed: int) -> list[ComparedFigure]:
    measured = card_metrics(metadata)
    if measured is None:
        return []
    on_card = {name: measured[1].metrics[name] for name in RANKED if name in measured[1].metrics}
    values, intervals = compute_metrics(graded), metric_intervals(graded, RANKED, resamples=resamples, seed=seed)
    return [
        ComparedFigure(
            name,
            values.values[name],
            intervals.values[name],
            card.value,
            None if card.interval is None else Interval(*card.interval),
            reason=values.undefined.get(name) or intervals.undefined.get(name),
        )
        for name, card in on_card.items()
    ]


def _decided(graded: GradedPredictions, threshold: Threshold | None, resamples: int, seed: int) -> list[ComparedFigure]:
    if threshold is None:
        return []
    truths = graded.grades >= REFERABLE
    decisions = probability_from_grade(graded.probabilities, REFERABLE) >= threshold.threshold
    found = decision_intervals(truths, decisions, graded.patients, resamples=resamples, seed=seed)
    metrics: tuple[tuple[str, MatrixMetric[Any]], ...] = ((SENSITIVITY, sensitivity), (SPECIFICITY, specificity))
    on_card = (threshold.sensitivity, threshold.specificity)
    figures = []
    for (name, metric), card, count in zip(metrics, on_card, counted_on_card(threshold), strict=True):
        here, reason = None, found.undefined.get(metric.__name__)
        try:
            here = metric(two_by_two_table(truths, decisions))
        except Undefined as undefined:
            reason = str(undefined)
        interval = found.values[metric.__name__]
        figures.append(ComparedFigure(name, here, interval, card, exact_interval(card, count), reason=reason))
    return figures


def _with_difference(figure: ComparedFigure) -> ComparedFigure:
    """Adds the difference, its interval and its p-value."""
    here, card = figure.here, figure.card
    if here is None or card is None:
        return figure
    difference = here - card
    ours, theirs = figure.here_interval, figure.card_interval
    if ours is None or theirs is None:
        return replace(figure, difference=difference, reason=figure.reason or _NO_INTERVAL)
    below = float(np.hypot(here - ours.low, theirs.high - card))
    above = float(np.hypot(ours.high - here, card - theirs.low))
    towards_zero = above if difference < 0 else below
    p_value = 1.0
    if difference and towards_zero:
        p_value = float(2 * norm.sf(norm.ppf((1 + LEVEL) / 2) * abs(difference) / towards_zero))
    elif difference:
        p_value = 0.0
    interval = Interval(difference - below, difference + above)
    return replace(figure, difference=difference, difference_interval=interval, p_value=p_value, reason=None)


def _fewest(share: float) -> int:
    return Fraction(share).limit_denominator(_MOST_COUNTED).denominator

"""The verdict on a grader at a site, in one sentence: does it work here as on its card?

*Worse* means by more than chance. *As on its card* needs evidence, too: sensitivity and specificity must be shown to be
at most :data:`MARGIN` below the card, by an exact one-sided interval. Where neither is shown, the photographs are too
few, and the sample plan says how many could tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from scipy.stats import beta

from retinagrade.errors import UsageError
from retinagrade.evaluation.integrity.findings import Finding
from retinagrade.evaluation.metrics import probability_from_grade
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.evaluation.sample_plan import Measure, plan
from retinagrade.grader.metadata import Threshold
from retinagrade.grades import REFERABLE
from retinagrade.sites.card_comparison import RANKED, SENSITIVITY, SPECIFICITY, ComparedFigure

Outcome = Literal["as on its card", "worse", "too few photographs", "no card", "not to be trusted"]
MARGIN: Final = 0.1
"""How far sensitivity and specificity may lie below those on the card."""
CONFIDENCE: Final = 0.95
"""One-sided confidence with which they are shown not to lie farther below."""
FIGURE_NAMES: Final = {
    "quadratic_weighted_kappa": "agreement on grades (QWK)",
    "referable_auc": "ranking of referable retinopathy (AUC)",
    "vision_threatening_auc": "ranking of vision-threatening retinopathy (AUC)",
    SENSITIVITY: "sensitivity for referable retinopathy",
    SPECIFICITY: "specificity for referable retinopathy",
}
"""Names of the compared figures for people."""


@dataclass(frozen=True)
class Evidence:
    """Whether a sensitivity or a specificity is shown to be close enough to that on the card.

    Attributes:
        measure: ``sensitivity`` or ``specificity``.
        bar: The least value that must be shown: that on the card less :data:`MARGIN`.
        photographs: Number of photographs of the kind: with the disease for a sensitivity, without for a specificity.
        patients: Number of their patients, with which the evidence is counted.
        lower: The one-sided lower limit.
        needed: Number of patients of the kind that would show it with a power of 80 %, if the true value is that on the
            card, or that measured here where it lies between; ``None`` where no number does.
    """

    measure: Measure
    bar: float
    photographs: int
    patients: int
    lower: float
    needed: int | None

    @property
    def shown(self) -> bool:
        """True where the lower limit reaches the bar."""
        return self.lower >= self.bar

    def to_json(self) -> dict[str, Any]:
        """Returns the evidence for ``validation.json``."""
        return {
            "measure": self.measure,
            "bar": self.bar,
            "photographs": self.photographs,
            "patients": self.patients,
            "lower": self.lower,
            "needed": self.needed,
            "shown": self.shown,
        }


@dataclass(frozen=True)
class Verdict:
    """Whether a grader works at a site.

    Attributes:
        outcome: The verdict in few words.
        sentence: The verdict in one sentence, for a medical director.
        detail: A further sentence that helps to act; empty where there is none.
    """

    outcome: Outcome
    sentence: str
    detail: str = ""


def weigh_evidence(graded: GradedPredictions, threshold: Threshold | None) -> list[Evidence]:
    """Weighs whether the threshold of referable retinopathy reaches, here, nearly what its card states.

    The eyes of a patient count as one, as if they always had the same result: the limit is too low rather than too
    high.

    Args:
        graded: The site's photographs with the probabilities that the grader gave.
        threshold: The threshold in the grader file; without one there is no evidence.
    """
    if threshold is None:
        return []
    truths = graded.grades >= REFERABLE
    right = (probability_from_grade(graded.probabilities, REFERABLE) >= threshold.threshold) == truths
    kinds: tuple[tuple[Measure, Any, float], ...] = (
        ("sensitivity", truths, threshold.sensitivity),
        ("specificity", ~truths, threshold.specificity),
    )
    return [
        _evidence(measure, right[members], graded.patients[members], on_card) for measure, members, on_card in kinds
    ]


def judge(
    figures: Sequence[ComparedFigure], evidence: Sequence[Evidence], findings: Sequence[Finding], photographs: int
) -> Verdict:
    """Returns the verdict.

    Args:
        figures: The figures here and on the card, tested.
        evidence: The evidence that sensitivity and specificity are close to those on the card.
        findings: Findings of the integrity checks.
        photographs: Number of photographs with a grade and a label.
    """
    grave = [finding for finding in findings if finding.verdict in ("impossible", "misaligned")]
    if grave:
        return Verdict(
            "not to be trusted",
            "Don't decide by this page yet: the labels and the grader's results don't seem to belong together, or "
            "something in them can't be right.",
            "Look at the findings below, mend the table of labels, and give the same command again.",
        )
    tested = [figure for figure in figures if figure.p_value is not None]
    worse = [figure for figure in figures if figure.worse]
    if worse:
        return Verdict("worse", f"The grader works worse here than on its card: {_listed(worse)}.", _remedy(figures))
    if not figures:
        return Verdict(
            "no card",
            "The grader's card states no figures to compare with, so this page shows only how it works here.",
        )
    if evidence and tested and all(one.shown for one in evidence):
        better = [figure for figure in figures if figure.better]
        sentence = f"The grader works here as on its card, as far as {photographs} photographs can tell."
        if better:
            sentence = f"The grader works here at least as well as on its card: {_listed(better)}."
        return Verdict("as on its card", sentence)
    return Verdict("too few photographs", *_too_few(evidence, photographs))


def _evidence(measure: Measure, right: Any, patients: Any, on_card: float) -> Evidence:
    """Weighs right decisions (M,) of photographs of patients (M,)."""
    bar, count = on_card - MARGIN, len(np.unique(patients))
    share = float(right.mean()) if len(right) else 0.0
    hits = share * count
    lower = float(beta.ppf(1 - CONFIDENCE, hits, count - hits + 1)) if hits > 0 else 0.0
    true = share if bar < share < on_card else on_card
    return Evidence(measure, bar, len(right), count, lower, _needed(measure, bar, true))


def _needed(measure: Measure, bar: float, true: float) -> int | None:
    if bar <= 0:
        return 1
    try:
        return plan(bar, min(true, 1 - 1e-9), measure=measure, confidence=CONFIDENCE).photographs
    except UsageError:  # more than a million
        return None


def _listed(figures: Sequence[ComparedFigure]) -> str:
    return "; ".join(f"{FIGURE_NAMES[one.name]} {one.here:.2f}, against {one.card:.2f}" for one in figures)


def _remedy(figures: Sequence[ComparedFigure]) -> str:
    """Says what a worse grader still offers."""
    worse = {figure.name for figure in figures if figure.worse}
    ranking = [figure for figure in figures if figure.name in RANKED[1:] and figure.p_value is not None]
    if worse & set(RANKED[1:]) or not ranking:
        return ""
    if worse <= {SENSITIVITY, SPECIFICITY}:
        return (
            "It still ranks photographs here as well as on its card: a threshold of your own, as proposed below, "
            "should mend the decision."
        )
    return (
        "It still ranks photographs here as well as on its card, but reads its scale differently than your graders: "
        "thresholds of your own mend the decisions, and adapting the grader mends the grades."
    )


def _too_few(evidence: Sequence[Evidence], photographs: int) -> tuple[str, str]:
    """Says how many photographs could tell."""
    sentence = f"{photographs} photographs are too few to tell whether the grader works here as on its card."
    return sentence, " ".join(_wanted(one) for one in evidence if not one.shown)


def _wanted(evidence: Evidence) -> str:
    """Says how many photographs would show one measure."""
    units = "patients" if evidence.patients < evidence.photographs else "photographs"
    kind = {"sensitivity": "with", "specificity": "without"}[evidence.measure]
    number = "more than a million"
    if evidence.needed is not None:
        number = f"about {max(evidence.needed, evidence.patients + 1):,}"
    return (
        f"To show a {evidence.measure} of at least {evidence.bar:.2f}, {number} {units} {kind} referable retinopathy "
        f"are needed; there are {evidence.patients:,}."
    )

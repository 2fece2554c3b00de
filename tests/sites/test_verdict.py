"""The verdict in one sentence: as on its card, worse, or too few photographs to tell."""

from __future__ import annotations

from retinagrade.evaluation.integrity.findings import Finding
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.evaluation.sample_plan import plan
from retinagrade.grader.metadata import Metadata
from retinagrade.sites.card_comparison import compare_with_card
from retinagrade.sites.verdict import MARGIN, Verdict, judge, weigh_evidence
from tests.grader.graders import metadata
from tests.sites.simulated import card_of, simulated

CARD = card_of(simulated(400, 2))


def _judged(site: GradedPredictions, card: Metadata = CARD, *findings: Finding) -> Verdict:
    return judge(
        compare_with_card(site, card, resamples=200), weigh_evidence(site, card.referable), findings, len(site)
    )


def test_many_photographs_show_that_it_works() -> None:
    assert _judged(simulated(400, 1)).outcome == "as on its card"


def test_few_photographs_show_nothing_and_the_plan_says_how_many_would() -> None:
    site = simulated(14, 1)
    verdict = _judged(site)
    assert verdict.outcome == "too few photographs"
    assert CARD.referable is not None
    sensitivity, _ = weigh_evidence(site, CARD.referable)
    assert not sensitivity.shown
    assert sensitivity.needed == plan(CARD.referable.sensitivity - MARGIN, CARD.referable.sensitivity).photographs
    assert str(sensitivity.needed) in verdict.detail


def test_a_moved_scale_asks_for_thresholds_and_a_weak_network_does_not() -> None:
    moved = _judged(simulated(300, 1, shift=-0.9))
    assert moved.outcome == "worse"
    assert "threshold" in moved.detail
    weak = _judged(simulated(300, 1, noise=2.2))
    assert (weak.outcome, weak.detail) == ("worse", "")


def test_figures_beside_wrong_labels_count_for_nothing() -> None:
    verdict = _judged(simulated(400, 1), CARD, Finding("misaligned", "the rows are shifted"))
    assert verdict.outcome == "not to be trusted"
    assert _judged(simulated(400, 1), CARD, Finding("few-cases", "few")).outcome == "as on its card"


def test_a_card_without_figures_gives_no_verdict() -> None:
    assert _judged(simulated(400, 1), metadata(validation=None, referable=None)).outcome == "no card"


def test_both_eyes_of_a_patient_are_one_piece_of_evidence() -> None:
    one = weigh_evidence(simulated(300, 1), CARD.referable)
    two = weigh_evidence(simulated(300, 1, eyes=2), CARD.referable)
    assert [each.photographs for each in one] == [each.photographs for each in two]
    assert all(each.lower < other.lower for each, other in zip(two, one, strict=True))

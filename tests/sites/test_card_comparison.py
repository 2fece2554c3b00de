"""Figures here against those on the card: differences are found, and honest graders are left in peace."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retinagrade.evaluation.intervals import Interval
from retinagrade.grader.metadata import Threshold
from retinagrade.sites.card_comparison import (
    FALSE_ALARMS,
    SENSITIVITY,
    SPECIFICITY,
    ComparedFigure,
    compare_with_card,
    counted_on_card,
    mark_differences,
)
from tests.grader.graders import metadata
from tests.sites.simulated import card_of, simulated


def test_a_grader_that_works_as_on_its_card_gets_no_warning() -> None:
    figures = compare_with_card(simulated(300, 1, eyes=2), card_of(simulated(400, 2)), resamples=200)
    assert {figure.name for figure in figures} >= {
        "quadratic_weighted_kappa",
        "referable_auc",
        SENSITIVITY,
        SPECIFICITY,
    }
    for figure in figures:
        assert not figure.differs
        assert figure.difference is not None
        assert figure.difference_interval is not None
        assert figure.difference_interval.low < figure.difference < figure.difference_interval.high


def test_a_shifted_scale_and_a_noisy_network_are_told_apart() -> None:
    card = card_of(simulated(400, 2))
    shifted = {one.name: one for one in compare_with_card(simulated(300, 1, shift=-0.9), card, resamples=200)}
    assert shifted[SENSITIVITY].worse
    assert shifted["quadratic_weighted_kappa"].worse
    assert not shifted["referable_auc"].worse
    noisy = {one.name: one for one in compare_with_card(simulated(300, 1, noise=2.2), card, resamples=200)}
    assert noisy["referable_auc"].worse


def test_a_card_without_figures_leaves_nothing_to_compare() -> None:
    empty = metadata(validation=None, referable=None)
    assert compare_with_card(simulated(50, 1), empty, resamples=200) == []


def test_a_site_without_the_disease_has_no_sensitivity_to_test() -> None:
    photographs = simulated(60, 1)
    healthy = photographs.rows(photographs.grades < 2)
    figures = {one.name: one for one in compare_with_card(healthy, card_of(simulated(400, 2)), resamples=200)}
    assert figures[SENSITIVITY].here is None
    assert figures[SENSITIVITY].p_value is None
    assert figures[SENSITIVITY].reason
    assert figures[SPECIFICITY].p_value is not None


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=6))
def test_warnings_are_those_of_holm(p_values: list[float | None]) -> None:
    figures = [ComparedFigure(str(row), 0.5, None, 0.6, None, p_value=p) for row, p in enumerate(p_values)]
    marked = [one.p_value for one in mark_differences(figures) if one.differs]
    tested = sorted(p for p in p_values if p is not None)
    least = [p <= FALSE_ALARMS / (len(tested) - rank) for rank, p in enumerate(tested)]
    expected = tested[: least.index(False)] if False in least else tested
    assert sorted(p for p in marked if p is not None) == expected


def test_the_photographs_behind_a_threshold_are_known_or_as_few_as_its_shares_need() -> None:
    stated = Threshold(
        threshold=0.4, rule="fda", target=None, sensitivity=0.9, specificity=0.8, positives=200, negatives=300
    )
    assert counted_on_card(stated) == (200, 300)
    silent = stated.model_copy(update={"positives": None, "negatives": None, "sensitivity": 229 / 254})
    assert counted_on_card(silent) == (254, 5)


def test_worse_and_better_need_a_difference_by_more_than_chance() -> None:
    figure = ComparedFigure("referable_auc", 0.7, Interval(0.6, 0.8), 0.9, Interval(0.85, 0.95), -0.2, differs=True)
    assert (figure.worse, figure.better) == (True, False)
    assert figure.to_json()["card_interval"] == [0.85, 0.95]

"""The gate's decision follows its cut points, and its reasons name what a photographer can do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinagrade.gate.names import ADVICE, FAULTS, describe_reason, reason_of
from retinagrade.gate.quality import GateAnswers, judge_quality
from retinagrade.gate.settings import GateSettings

COLOUR = (0.0, 1.0, 0.0, 0.0, 0.0)
GOOD = GateAnswers(COLOUR, 0.02, 0.0, (0.0,) * 8, (1.0, 1.0), (0.9, 0.1, 0.0))
HAZY = replace(GOOD, usable=0.99, reject=0.9, faults=(0.0, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 0.0))
DEFAULT = GateSettings()

share = st.floats(0, 1)
answers = st.builds(
    GateAnswers,
    modality=st.tuples(*[share] * 5),
    usable=share,
    reject=share,
    faults=st.tuples(*[share] * 8),
    visible=st.tuples(share, share),
    centre=st.tuples(share, share, share),
)


def test_a_good_photograph_has_no_reason() -> None:
    quality = judge_quality(GOOD, DEFAULT)
    assert (quality.level, quality.modality, quality.centre, quality.reasons) == ("good", "colour", "macula", ())


def test_faults_are_named_by_their_probability() -> None:
    quality = judge_quality(HAZY, DEFAULT)
    assert quality.level == "reject"
    assert [reason_of(reason) for reason in quality.reasons] == ["haze", "blurred"]
    usable = judge_quality(replace(HAZY, usable=0.9, reject=0.1), DEFAULT)
    assert (usable.level, usable.is_gradable) == ("usable", True)


@pytest.mark.parametrize(
    ("modality", "reason"),
    [
        ((0.6, 0.4, 0.0, 0.0, 0.0), "no fundus"),
        ((0.0, 0.2, 0.8, 0.0, 0.0), "red-free"),
        ((0.1, 0.1, 0.1, 0.7, 0.0), "fluorescence"),
        ((0.0, 0.4, 0.0, 0.0, 0.6), "wide-field"),
    ],
)
def test_only_colour_photographs_of_a_fundus_are_graded(modality: tuple[float, ...], reason: str) -> None:
    quality = judge_quality(replace(GOOD, modality=modality), DEFAULT)
    assert (quality.level, quality.modality, quality.centre) == ("reject", reason, None)
    assert [reason_of(each) for each in quality.reasons] == [reason]


def test_a_missing_macula_refuses_and_a_missing_disc_warns() -> None:
    assert judge_quality(replace(GOOD, visible=(1.0, 0.1)), DEFAULT).level == "reject"
    without_disc = judge_quality(replace(GOOD, visible=(0.1, 1.0)), DEFAULT)
    assert without_disc.level == "usable"
    assert [reason_of(each) for each in without_disc.reasons] == ["optic disc missing"]


def test_settings_move_decisions() -> None:
    lenient = GateSettings(least={"haze": 0.9, "blurred": 0.7})
    assert judge_quality(HAZY, lenient).level == "usable"
    assert judge_quality(replace(HAZY, faults=(0, 0, 0, 0.95, 0, 0, 0, 0)), lenient).level == "reject"
    assert judge_quality(
        replace(GOOD, modality=(0.6, 0.4, 0, 0, 0)), GateSettings(least={"no fundus": 0.9})
    ).is_gradable
    assert judge_quality(HAZY, GateSettings(reject_below=0.01)).level == "usable"
    taken_for_a_fundus = replace(GOOD, modality=(0.8, 0.2, 0, 0, 0))
    assert judge_quality(taken_for_a_fundus, GateSettings(least={"no fundus": 0.95})).is_gradable


def test_a_photograph_is_refused_for_any_of_its_faults() -> None:
    assert judge_quality(HAZY, GateSettings(least={"haze": 0.9, "blurred": 0.7})).level == "usable"
    assert judge_quality(HAZY, GateSettings(least={"haze": 0.9})).level == "reject"  # it is blurred, too


def test_the_gate_judges_also_where_it_is_off() -> None:
    off = GateSettings(is_off=True)
    for answers in (HAZY, replace(GOOD, modality=(1.0, 0, 0, 0, 0)), GOOD):
        on, quality = judge_quality(answers, DEFAULT), judge_quality(answers, off)
        assert (quality.level, quality.is_gradable) == ("unchecked", True)
        assert quality.is_refused == on.is_refused == (on.level == "reject")
        assert quality.reasons == (describe_reason("unchecked"), *on.reasons)


@given(answers)
def test_every_warning_and_refusal_has_a_reason(found: GateAnswers) -> None:
    quality = judge_quality(found, DEFAULT)
    assert (quality.level == "good") == (not quality.reasons)
    assert {reason_of(each) for each in quality.reasons} <= set(ADVICE)
    assert 0 <= quality.score <= 1
    assert quality.is_gradable or quality.modality != "colour" or quality.score < 0.25 or found.visible[1] <= 0.25


@given(answers, share, share)
def test_a_lower_cut_point_never_refuses_more(found: GateAnswers, first: float, second: float) -> None:
    low, high = sorted((first, second))
    strict = judge_quality(found, GateSettings(reject_below=high, usable_below=1))
    assert judge_quality(found, GateSettings(reject_below=low, usable_below=1)).is_gradable or not strict.is_gradable


def test_reasons_can_stand_in_a_cell() -> None:
    assert set(FAULTS) <= set(ADVICE)
    assert not any(", " in f"{reason}{advice}" for reason, advice in ADVICE.items())

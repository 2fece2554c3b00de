"""Settings of the gate are understood or refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinagrade.errors import UsageError
from retinagrade.gate.cuts import MOST_GOOD_REFUSED, choose_cuts
from retinagrade.gate.folder import doubt_of_gate
from retinagrade.gate.settings import GateSettings, parse_gate, percentile_settings


def test_choices_add_up(tmp_path: Path) -> None:
    file = tmp_path / "gate.json"
    file.write_text(GateSettings(reject_below=0.1, origin="a clinic").model_dump_json(), encoding="utf-8")
    settings, worst = parse_gate(["haze=0.9", str(file), "macula missing = 1"], GateSettings())
    assert (settings.reject_below, settings.least, worst) == (0.1, {"haze": 0.9, "macula missing": 1.0}, None)
    assert parse_gate(["off"], GateSettings())[0].is_off
    assert parse_gate(["percentile=2.5"], GateSettings())[1] == 2.5


@pytest.mark.parametrize(
    "choice", ["on", "haze", "haze=2", "fog=0.5", "percentile=101", "percentile=0", "missing.json", "off=1", ""]
)
def test_other_choices_are_refused(choice: str) -> None:
    with pytest.raises(UsageError):
        parse_gate([choice], GateSettings())


@pytest.mark.parametrize(
    "choices",
    [["off", "percentile"], ["dark=0.9", "off"], ["haze=0.9", "haze=0.8"], ["percentile", "percentile=2"]],
    ids=" ".join,
)
def test_choices_that_cancel_each_other_are_refused(choices: list[str]) -> None:
    with pytest.raises(UsageError):
        parse_gate(choices, GateSettings())


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"reject_below": "0.1", "usable_below": 0.5}',
        '{"is_off": true}',
        '{"reject_below": 0.9, "usable_below": 0.1}',
        '{"least": {"fog": 0.1}}',
    ],
)
def test_a_file_of_other_things_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "gate.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="gate"):
        GateSettings.read(tmp_path / "gate.json")


@given(st.lists(st.integers(1, 999), unique=True, min_size=20, max_size=60), st.floats(0.1, 100))
def test_percentile_refuses_its_share(thousandths: list[int], worst: float) -> None:
    scores = [each / 1000 for each in thousandths]
    settings = percentile_settings(GateSettings(), scores, worst)
    assert sum(score < settings.reject_below for score in scores) == math.ceil(len(scores) * worst / 100)


def test_percentile_says_nothing_of_a_few_photographs() -> None:
    with pytest.raises(UsageError, match="20"):
        percentile_settings(GateSettings(), [0.5] * 19, 5)


qualities = st.sampled_from(["good", "usable", "reject"])


@given(st.lists(st.tuples(st.floats(0, 1), qualities), min_size=1, max_size=60))
def test_cut_points_spare_good_photographs(pairs: list[tuple[float, str]]) -> None:
    scores, judged = zip(*pairs, strict=True)
    settings, _ = choose_cuts(scores, judged, GateSettings())
    good = [score for score, quality in pairs if quality == "good"]
    assert not good or sum(score < settings.reject_below for score in good) <= MOST_GOOD_REFUSED * len(good)
    assert settings.usable_below >= settings.reject_below


def test_separable_judgements_are_reproduced() -> None:
    scores = [
        *(0.01 * i for i in range(12)),
        *(0.4 + 0.01 * i for i in range(12)),
        *(0.8 + 0.01 * i for i in range(12)),
    ]
    judged = ["reject"] * 12 + ["usable"] * 12 + ["good"] * 12
    settings, warnings = choose_cuts(scores, judged, GateSettings())  # type: ignore[arg-type]
    assert 0.11 < settings.reject_below < 0.4
    assert 0.51 < settings.usable_below < 0.8
    assert warnings == []


def test_the_gate_is_doubted_when_a_fifth_is_refused_for_one_reason() -> None:
    assert doubt_of_gate([["haze: x"]] * 3 + [["dark: x"]] * 2 + [[]] * 15) is None
    assert "haze" in (doubt_of_gate([["haze: x"]] * 5 + [[]] * 15) or "")
    assert doubt_of_gate([["haze: x"]] * 10) is None  # too few photographs to tell

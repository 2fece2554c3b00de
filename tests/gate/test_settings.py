"""Settings of the gate are understood or refused."""

from __future__ import annotations

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
    settings, worst = parse_gate([str(file), "haze=0.9", "macula missing = 1"], GateSettings())
    assert (settings.reject_below, settings.least, worst) == (0.1, {"haze": 0.9, "macula missing": 1.0}, None)
    assert parse_gate(["off"], GateSettings())[0].is_off
    assert parse_gate(["percentile=2.5"], GateSettings())[1] == 2.5


@pytest.mark.parametrize(
    "choice", ["on", "haze", "haze=2", "fog=0.5", "percentile=101", "percentile=x", "missing.json", "off=1", ""]
)
def test_other_choices_are_refused(choice: str) -> None:
    with pytest.raises(UsageError):
        parse_gate([choice], GateSettings())


def test_off_and_percentile_exclude_each_other() -> None:
    with pytest.raises(UsageError):
        parse_gate(["off", "percentile"], GateSettings())


@pytest.mark.parametrize("text", ["{", "[]", '{"reject_below": 0.9, "usable_below": 0.1}', '{"least": {"fog": 0.1}}'])
def test_a_file_of_other_things_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "gate.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="gate"):
        GateSettings.read(tmp_path / "gate.json")


@given(st.lists(st.floats(0.01, 0.99), unique=True, max_size=60), st.floats(0, 100))
def test_percentile_refuses_at_most_its_share(scores: list[float], worst: float) -> None:
    settings = percentile_settings(GateSettings(), scores, worst)
    assert sum(score < settings.reject_below for score in scores) <= len(scores) * worst / 100 + 1e-9


qualities = st.sampled_from(["good", "usable", "reject"])


@given(st.lists(st.tuples(st.floats(0, 1), qualities), min_size=1, max_size=60))
def test_cut_points_spare_good_photographs(pairs: list[tuple[float, str]]) -> None:
    scores, judged = zip(*pairs, strict=True)
    settings, _ = choose_cuts(scores, judged, GateSettings(reject_below=0))
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

"""Judgement of the gate."""

from __future__ import annotations

import numpy as np

from retinagrade.gate.names import FAULTS, MODALITIES
from retinagrade.training.gate.judge import is_refused, judge, judge_photographs, refusal_scores
from retinagrade.training.gate.picture import Label


def label(modality: str, kind: str, strength: float, *families: str) -> Label:
    reasons = (np.nan,) * len(FAULTS) if np.isnan(strength) else (strength,) + (0.0,) * (len(FAULTS) - 1)
    return Label(modality, kind, frozenset(families), "eye", strength, reasons, 1.0, 0.0, 0)


def answers(modalities: list[str], reject: list[float]) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    count = len(modalities)
    modality = np.full((count, 5), 0.05, np.float32)
    modality[range(count), [MODALITIES.index(each) for each in modalities]] = 0.8
    quality = np.stack([reject, reject], axis=1).astype(np.float32)
    visible = np.tile(np.array([0.9, 0.1], np.float32), (count, 1))
    return {
        "modality": modality, "quality": quality, "reasons": np.repeat(quality[:, :1], len(FAULTS), axis=1),
        "visible": visible, "centre": np.tile(np.array([1, 0, 0], np.float32), (count, 1)),
    }  # fmt: skip


def test_figures_count_what_the_gate_refuses() -> None:
    labels = [
        label("colour", "clean", 0.0, "notch"),
        label("colour", "fundus", 0.1),
        label("colour", "fundus", 0.5, "haze"),
        label("colour", "fundus", 0.9, "haze"),
        label("no fundus", "ball", np.nan, "ball"),
        label("no fundus", "eye", np.nan, "eye"),
    ]
    given = answers(["colour"] * 4 + ["no fundus", "colour"], [0.0, 0.1, 0.6, 0.9, 0.0, 0.7])
    assert is_refused(given).tolist() == [False, False, True, True, True, True]
    assert np.argmin(refusal_scores(given)) == 0
    figures = judge(labels, given)
    assert figures["quality"]["auc_reject_against_good"] == 1
    assert figures["quality"]["usable"] == {"refused": 1.0, "pictures": 1}
    assert figures["quality"]["reject_by_degradation"]["haze"]["pictures"] == 1
    clean = figures["clean_photographs_of_made_up_cameras"]
    assert clean["refused"] == 0
    assert clean["by_look"]["notch"]["pictures"] == 1
    none = figures["no_fundus"]
    assert (none["refused"], none["called_no_fundus"]) == (1, 0.5)
    assert none["by_kind"]["eye"]["called_no_fundus"] == 0
    assert figures["landmarks"]["macula"]["missing_and_called_missing"]["share"] == 1
    assert figures["landmarks"]["optic disc"]["visible_and_called_missing"]["share"] == 0


def test_real_photographs_are_named_where_they_are_refused() -> None:
    figures = judge_photographs(["a", "b"], answers(["colour", "no fundus"], [0.0, 0.0]))
    assert figures["refused"] == 0.5
    assert figures["refused_photographs"] == ["b"]

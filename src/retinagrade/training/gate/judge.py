"""Judgement of the gate on held-out pictures: every figure by look, degradation and kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from retinagrade.gate.names import CENTRES, FAULTS, LANDMARKS, MODALITIES
from retinagrade.images.degradation import DEGRADATION_KINDS, REJECT_FROM, USABLE_FROM
from retinagrade.training.gate.picture import Label

THRESHOLD: Final = 0.5
"""Probability from which an answer counts as yes."""
_CLEAR: Final = 0.4
"""Strength up to which landmarks are judged."""
_COLOUR: Final = MODALITIES.index("colour")
_NONE: Final = MODALITIES.index("no fundus")
Answers = Mapping[str, NDArray[np.float32]]
"""Probabilities (N, K) by question."""
_Figures = dict[str, Any]
_Marks = NDArray[np.bool_]


def refusal_scores(answers: Answers) -> NDArray[np.float64]:
    """Returns the probability (N,) that a picture is no colour photograph of a fundus, or one to reject."""
    colour, reject = (answers[name][:, place].astype(float) for name, place in (("modality", _COLOUR), ("quality", 1)))
    return np.asarray(1 - colour * (1 - reject))


def is_refused(answers: Answers) -> _Marks:
    """Returns whether (N,) the gate refuses pictures: no colour photograph of a fundus, or one to reject."""
    other = answers["modality"].argmax(axis=1) != _COLOUR
    return np.asarray(other | (answers["quality"][:, 1] >= THRESHOLD))


def judge(labels: Sequence[Label], answers: Answers) -> _Figures:
    """Judges answers.

    Args:
        labels: What N pictures show.
        answers: The gate's answers.

    Returns:
        Figures for a JSON document; ``None`` where one is undefined. Shares are of the pictures counted by ``pictures``
        beside them.
    """
    table = _Table(labels, answers)
    return {
        "pictures": len(labels),
        "quality": _judge_quality(table),
        "clean_photographs_of_made_up_cameras": _judge_clean(table),
        "synthetic_photographs": _refused(table, table.is_synthetic & table.is_clean),
        "no_fundus": _judge_no_fundus(table),
        "modalities": {
            name: _share(table.found_modality == place, table.modality == place)
            for place, name in enumerate(MODALITIES)
        },
        "reasons_auc": {
            name: _auc(table.reasons[:, place] >= USABLE_FROM, answers["reasons"][:, place], table.is_fundus)
            for place, name in enumerate(FAULTS)
        },
        "landmarks": _judge_landmarks(table),
        "centre": {
            name: _share(table.found_centre == place, table.is_clear & (table.centre == place))
            for place, name in enumerate(CENTRES)
        },
    }


def judge_photographs(image_ids: Sequence[str], answers: Answers) -> _Figures:
    """Judges answers for real photographs, all of them good enough to grade.

    Args:
        image_ids: Ids of the photographs (N,).
        answers: The gate's answers.
    """
    refused = is_refused(answers)
    return {
        "photographs": len(image_ids),
        "refused": float(refused.mean()),
        "at_most_usable": float((refused | (answers["quality"][:, 0] >= THRESHOLD)).mean()),
        "refused_photographs": [image_id for image_id, is_out in zip(image_ids, refused, strict=True) if is_out],
    }


class _Table:
    """Labels and answers as arrays."""

    def __init__(self, labels: Sequence[Label], answers: Answers) -> None:
        self.labels, self.answers = labels, answers
        self.modality = np.array([MODALITIES.index(each.modality) for each in labels])
        self.kind = np.array([each.kind for each in labels])
        self.strength = np.array([each.strength for each in labels])
        self.reasons = np.array([each.reasons for each in labels]).reshape(-1, len(FAULTS))
        self.centre = np.array([each.centre for each in labels])
        self.visible = np.array([(each.disc, each.macula) for each in labels]).reshape(-1, 2)
        self.found_modality = answers["modality"].argmax(axis=1)
        self.found_centre = answers["centre"].argmax(axis=1)
        self.refused, self.score = is_refused(answers), refusal_scores(answers)
        self.is_synthetic = np.array([each.source == "synthetic" for each in labels], bool)
        is_colour = self.modality == _COLOUR
        self.is_clean = is_colour & (self.kind == "clean") & (self.strength < USABLE_FROM)
        self.is_fundus = is_colour & (self.kind == "fundus") & ~self.is_synthetic
        self.is_clear = is_colour & (self.strength < _CLEAR)

    def shows(self, family: str) -> _Marks:
        """Returns whether (N,) pictures show a family."""
        return np.array([family in each.families for each in self.labels], bool)


def _judge_quality(table: _Table) -> _Figures:
    good = table.is_fundus & (table.strength < USABLE_FROM)
    reject = table.is_fundus & (table.strength >= REJECT_FROM)
    usable = table.is_fundus & ~good & ~reject
    return {
        "auc_reject_against_good": _auc(reject, table.score, good | reject),
        "auc_reject_against_all_others": _auc(reject, table.score, table.is_fundus),
        "good": _refused(table, good),
        "usable": _refused(table, usable),
        "reject": _refused(table, reject),
        "reject_by_degradation": {
            kind: {
                **_refused(table, reject & table.shows(kind)),
                "auc_against_good": _auc(reject, table.score, good | (reject & table.shows(kind))),
            }
            for kind in DEGRADATION_KINDS
        },
    }


def _judge_clean(table: _Table) -> _Figures:
    clean = table.is_clean & ~table.is_synthetic
    families = sorted(
        {family for label, is_clean in zip(table.labels, clean, strict=True) if is_clean for family in label.families}
    )
    return {
        **_refused(table, clean),
        "called_no_fundus": _ratio(table.found_modality == _NONE, clean),
        "at_most_usable": _ratio(table.refused | (table.answers["quality"][:, 0] >= THRESHOLD), clean),
        "by_look": {family: _refused(table, clean & table.shows(family)) for family in families},
    }


def _judge_no_fundus(table: _Table) -> _Figures:
    none = table.modality == _NONE
    kinds = sorted(set(table.kind[none].tolist()))
    called = table.found_modality == _NONE

    def figures(pictures: _Marks) -> _Figures:
        return {**_refused(table, pictures), "called_no_fundus": _ratio(called, pictures)}

    return {**figures(none), "by_kind": {kind: figures(none & (table.kind == kind)) for kind in kinds}}


def _judge_landmarks(table: _Table) -> _Figures:
    figures: _Figures = {}
    for place, name in enumerate(LANDMARKS):
        missing = table.answers["visible"][:, place] < THRESHOLD
        is_there, is_missing = (table.is_clear & (table.visible[:, place] == value) for value in (1, 0))
        figures[name] = {
            "missing_and_called_missing": _share(missing, is_missing),
            "visible_and_called_missing": _share(missing, is_there),
        }
    return figures


def _refused(table: _Table, pictures: _Marks) -> _Figures:
    return {"refused": _ratio(table.refused, pictures), "pictures": int(pictures.sum())}


def _share(found: _Marks, pictures: _Marks) -> _Figures:
    return {"share": _ratio(found, pictures), "pictures": int(pictures.sum())}


def _ratio(found: _Marks, pictures: _Marks) -> float | None:
    return float(found[pictures].mean()) if pictures.any() else None


def _auc(is_positive: _Marks, scores: NDArray[np.floating], among: _Marks) -> float | None:
    truths = is_positive[among]
    if not truths.any() or truths.all():
        return None
    return float(roc_auc_score(truths, scores[among]))

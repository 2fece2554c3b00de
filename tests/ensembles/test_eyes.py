"""Both eyes of a patient, and the one eye of others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from retinagrade.ensembles.combination import combine_members, fit_combination
from retinagrade.ensembles.eyes import both_eyes_scores, has_both_eyes, has_quality, this_eye
from retinagrade.ensembles.scores import MemberScores
from retinagrade.errors import JoinError
from retinagrade.evaluation.fitting.out_of_fold import out_of_fold
from retinagrade.evaluation.metrics import Undefined, log_loss
from retinagrade.grades import PROBABILITY_COLUMNS
from tests.evaluation.tables import predictions


def table(patients: Sequence[str | None], sides: Sequence[str | None], **further: Sequence[str]) -> pd.DataFrame:
    found = predictions(np.zeros(len(patients), int), skill=1)
    return found.join(pd.DataFrame({"patient_id": patients, "laterality": sides, **further}))


def test_the_other_eye_is_found_by_patient_and_side() -> None:
    found = table(["a", "b", "a", "a", "c", "d", None, None], ["L", "R", "R", "R", None, "L", "L", "R"])
    own = found[list(PROBABILITY_COLUMNS)].to_numpy()
    scores = both_eyes_scores(found)
    assert np.array_equal(this_eye(scores), own)
    assert scores[0, 1] == pytest.approx((own[2] + own[3]) / 2)  # two shots of the other eye count as one
    assert scores[2, 1] == pytest.approx(own[0])
    assert scores[3, 1] == pytest.approx(own[0])
    assert has_both_eyes(scores).tolist() == [True, False, True, True, False, False, False, False]


def test_an_id_means_a_patient_within_its_data_set() -> None:
    sides = ["L", "R", "L", "R"]
    assert has_both_eyes(both_eyes_scores(table(["1"] * 4, sides, dataset=["x", "y", "z", "z"]))).tolist() == [
        False,
        False,
        True,
        True,
    ]
    assert not has_both_eyes(both_eyes_scores(table(["1"] * 4, sides).drop(columns="laterality"))).any()


def test_quality_is_a_further_score() -> None:
    found = table(["a", "a"], ["L", "R"], quality=["0.9", "0.4"])
    assert has_quality(found)
    assert not has_quality(found.assign(quality=pd.Series(["0.9", None])))
    assert both_eyes_scores(found, quality=True)[:, :, 5].tolist() == [[0.9, 0.4], [0.4, 0.9]]
    with pytest.raises(JoinError, match="no column 'quality'"):
        both_eyes_scores(found.drop(columns="quality"), quality=True)
    with pytest.raises(JoinError, match="other values than numbers"):
        both_eyes_scores(found.assign(quality="good"), quality=True)


def studies(count: int, seed: int = 0) -> tuple[pd.DataFrame, MemberScores]:
    """Patients whose eyes have one grade; some have a photograph of one eye only."""
    rng = np.random.default_rng(seed)
    grades = rng.integers(0, 5, count).repeat(2)
    known = predictions(grades, skill=0.7, seed=seed)
    known = known.assign(patient_id=np.arange(2 * count) // 2, laterality=["L", "R"] * count)
    known = known[rng.random(2 * count) < 0.9].reset_index(drop=True)
    known["patient_id"] = known["patient_id"].astype(str)
    whose = pd.factorize(known["patient_id"])[0]
    return known, MemberScores(known["grade"].to_numpy(dtype=int), both_eyes_scores(known), whose)


def test_two_eyes_know_more_than_one_and_one_eye_stays_what_it_is() -> None:
    _, scores = studies(300)
    two = has_both_eyes(scores.probabilities)
    assert 0 < (~two).sum() < 100
    combined = out_of_fold(scores, lambda seen, others: combine_members(fit_combination("eyes", seen), others))
    assert np.array_equal(combined[~two], this_eye(scores.probabilities)[~two])
    alone = this_eye(scores.probabilities)[two]
    assert log_loss(scores.grades[two], combined[two]) < log_loss(scores.grades[two], alone) - 0.1


def test_no_two_eyes_no_second_stage() -> None:
    known, _ = studies(20)
    scores = MemberScores(
        known["grade"].to_numpy(dtype=int), both_eyes_scores(known.assign(laterality="L")), np.arange(len(known))
    )
    with pytest.raises(Undefined, match="no patient is known to have photographs of both eyes"):
        fit_combination("eyes", scores)

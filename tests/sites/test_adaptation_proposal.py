"""The proposal of an adaptation: what it would give, or the reason why nobody can tell."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from retinagrade.grader.metadata import LesionMetadata
from retinagrade.lesion_maps.calibration import MapCalibration
from retinagrade.lesion_maps.grade_model import GradeModel
from retinagrade.sites.adaptation_proposal import propose_adaptation
from tests.evaluation.lesion_numbers import NAMES, draw, fit
from tests.grader.lesion_graders import KINDS


@pytest.fixture(scope="module")
def lesions() -> LesionMetadata:
    return LesionMetadata(model=GradeModel(maps=MapCalibration.identity(KINDS), grade=fit()), networks=())


def _site(photographs: int) -> tuple[pd.DataFrame, dict[str, dict[str, float]]]:
    """Returns the photographs of a site whose camera moves all numbers, and their numbers."""
    numbers, grades, patients = draw(photographs, 1, shift=-1.0)
    digests = [f"digest {row}" for row in range(photographs)]
    named = [dict(zip(NAMES, row, strict=True)) for row in numbers.tolist()]
    labels = pd.array(grades, dtype="Int64")
    table = pd.DataFrame({"image_id": digests, "digest": digests, "grade": labels, "patient_id": patients})
    return table, dict(zip(digests, named, strict=True))


def test_a_moved_scale_is_worth_an_adaptation(lesions: LesionMetadata) -> None:
    table, numbers = _site(50)
    proposal = propose_adaptation(lesions, table, numbers, resamples=200)
    assert proposal.better
    assert proposal.gain is not None
    assert proposal.gain.patients == 25
    written = json.loads(json.dumps(proposal.to_json()))
    assert written["gain"]["quadratic_weighted_kappa"]["interval"][0] > 0
    assert written["sentences"]


def test_photographs_without_a_label_or_numbers_do_not_count(lesions: LesionMetadata) -> None:
    table, numbers = _site(24)
    table.loc[0, "grade"] = pd.NA
    del numbers["digest 1"]
    proposal = propose_adaptation(lesions, table, numbers, resamples=200)
    assert proposal.gain is not None
    assert proposal.gain.photographs == 22


def test_a_reason_stands_where_nothing_can_be_told(lesions: LesionMetadata) -> None:
    table, numbers = _site(10)
    for proposal in (
        propose_adaptation(None, table, numbers),
        propose_adaptation(lesions, table, numbers),
        propose_adaptation(lesions, table, {}),
    ):
        assert proposal.gain is None
        assert not proposal.better
        assert proposal.sentences
        assert proposal.to_json()["gain"] is None

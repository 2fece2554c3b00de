"""The reasons for which a person should review a photograph that has a grade."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retinagrade.gate.quality import Quality
from retinagrade.grader.make_grading import make_grading, review_kind
from retinagrade.grader.runtime import Grader
from retinagrade.gradings.grading import BELOW_REFERRAL, GATE_WOULD_REFUSE

GOOD = Quality("good", False, 0.95, "colour", "macula", ())
MODERATE = np.array([0.1, 0.1, 0.7, 0.1, 0.0])


@pytest.fixture(scope="module")
def grader(grader_file: Path) -> Grader:
    return Grader.load(grader_file)


@pytest.mark.parametrize(("threshold", "is_referred"), [(0.7, True), (0.9, False)])
def test_a_moderate_photograph_that_is_not_referred_is_reviewed(
    grader: Grader, threshold: float, is_referred: bool
) -> None:
    assert grader.metadata.referable is not None
    referable = grader.metadata.referable.model_copy(update={"threshold": threshold})
    metadata = grader.metadata.model_copy(update={"referable": referable})
    grading = make_grading("a", None, MODERATE, GOOD, metadata)
    assert (grading.predicted_grade, grading.referable) == (2, is_referred)
    assert (BELOW_REFERRAL in map(review_kind, grading.review_reasons)) != is_referred
    assert is_referred or grading.needs_review


def test_a_photograph_that_only_the_gate_would_refuse_is_reviewed(grader: Grader) -> None:
    unchecked = Quality(
        "unchecked", True, 0.1, "colour", "macula", ("unchecked: the gate is off", "dark: use more flash")
    )
    grading = make_grading("a", None, MODERATE, unchecked, grader.metadata)
    assert grading.gradable
    assert grading.needs_review
    assert GATE_WOULD_REFUSE in grading.review_reasons

"""The bundled grader: it is there, small, says what it is, and grades with no more than a photograph."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import retinagrade
from retinagrade.datasets.synthetic.patients import synthesize
from retinagrade.export.card import model_card
from retinagrade.grader.metadata import BUNDLED
from tests.cli.test_commands import run as command


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eyes")
    synthesize(folder, count=2, size=300, seed=2)
    return folder


def test_it_grades_with_no_model_named(photographs: Path) -> None:
    files = sorted(photographs.rglob("*.jpg"))
    given = retinagrade.Grader.load("default").grade(files)
    assert [one.error for one in given] == [None, None]
    assert all(sum(one.probabilities or ()) == pytest.approx(1) for one in given)
    assert retinagrade.Grader.load().metadata == retinagrade.Grader.load("default").metadata
    code = 0 if all(one.gradable for one in given) else 1
    printed = json.loads(command("grade", *files, "--json", code=code))
    assert [one["probabilities"] for one in printed] == [pytest.approx(one.probabilities) for one in given]
    assert {one["model"] for one in printed} == {given[0].model}


def test_it_is_small_and_its_card_is_that_of_its_metadata() -> None:
    assert BUNDLED.stat().st_size <= 12e6
    metadata = retinagrade.Grader.load("default").metadata
    assert BUNDLED.with_suffix(".md").read_text(encoding="utf-8") == model_card(metadata, BUNDLED.name)


def test_it_says_what_it_learnt_from_and_how_it_was_judged() -> None:
    metadata = retinagrade.Grader.load("default").metadata
    assert metadata.training_data.datasets == ("idrid",)
    assert "CC BY 4.0" in (metadata.training_data.source or "")
    assert "Apache-2.0" in (metadata.licence or "")
    measured = metadata.cross_validation
    assert measured is not None
    assert measured.photographs == metadata.training_data.photographs["train"]
    assert all(figure.interval is not None for figure in measured.metrics.values())
    assert None not in (metadata.referable, metadata.vision_threatening, metadata.conformal, metadata.referral)

"""The bundled grader is small, documents itself, and grades without further arguments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import retinagrade
from retinagrade.datasets.synthetic.patients import synthesize
from retinagrade.exporting.card import model_card
from retinagrade.grader.metadata import BUNDLED
from retinagrade.gradings.grading import GRADED_KINDS
from tests.cli.command_line import run as command


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eyes")
    synthesize(folder, count=2, size=300, seed=2)
    return folder


def test_it_is_the_default_model(photographs: Path) -> None:
    files = sorted(photographs.rglob("*.jpg"))
    gradings = retinagrade.Grader.load("default").grade(files)
    assert [each.error for each in gradings] == [None, None]
    assert all(sum(each.probabilities or ()) == pytest.approx(1) for each in gradings)
    assert retinagrade.Grader.load().metadata == retinagrade.Grader.load("default").metadata
    code = 0 if all(each.gradable for each in gradings) else 1
    printed = json.loads(command("grade", *files, "--json", code=code))
    assert [each["probabilities"] for each in printed] == [pytest.approx(each.probabilities) for each in gradings]
    assert {each["model"] for each in printed} == {gradings[0].model}


def test_it_is_small_and_its_card_matches_its_metadata() -> None:
    assert BUNDLED.stat().st_size <= 12e6
    metadata = retinagrade.Grader.load("default").metadata
    assert BUNDLED.with_suffix(".md").read_text(encoding="utf-8") == model_card(metadata, BUNDLED.name)


def test_it_documents_its_training_data_and_metrics() -> None:
    metadata = retinagrade.Grader.load("default").metadata
    assert metadata.training_data.datasets == ("idrid",)
    assert "CC BY 4.0" in (metadata.training_data.source or "")
    assert "Apache-2.0" in (metadata.licence or "")
    measured = metadata.cross_validation
    assert measured is not None
    assert measured.photographs == 405  # with a grade; the others have outlined lesions
    assert metadata.training_data.photographs == {"train": 459, "val": 0}
    assert all(metric.interval is not None for metric in measured.metrics.values())
    assert None not in (
        metadata.referable,
        metadata.vision_threatening,
        metadata.oedema,
        metadata.prediction_sets,
        metadata.review,
    )
    assert metadata.lesions is not None
    assert set(GRADED_KINDS) < set(metadata.lesions.kinds)

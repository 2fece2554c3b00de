"""Validation at a site: one call from photographs and labels to a page, and on to a local grader file."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pandas as pd
import pytest

from retinagrade import Grader, Validation, localize, validate
from retinagrade.errors import JoinError, UsageError
from retinagrade.evaluation.integrity.findings import Finding
from retinagrade.sites.card_comparison import SENSITIVITY
from retinagrade.sites.validation import NUMBERS
from tests.cli.command_line import run
from tests.grader.conftest import eyes, grader_file

module = importlib.import_module("retinagrade.sites.validate")
__all__ = ["eyes", "grader_file"]
SCHEMA = Path(__file__).parents[2] / "docs" / "validation.schema.json"


@pytest.fixture(scope="module")
def photographs(eyes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photographs, of which the last can't be read and the one before is too dark."""
    folder = tmp_path_factory.mktemp("site") / "photographs"
    folder.mkdir()
    for path in eyes.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    *_, dark, broken = sorted(folder.iterdir())
    dark.write_bytes(_dark_photograph())
    broken.write_bytes(b"\xff\xd8\xff no photograph")
    return folder


def _dark_photograph() -> bytes:
    image = np.zeros((128, 192, 3), dtype=np.uint8)
    cv2.circle(image, (96, 64), 60, (12, 14, 18), -1)
    return bytes(cv2.imencode(".png", image)[1])


@pytest.fixture(scope="module")
def labels(eyes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels with patients, cameras and a photograph without a grade."""
    ids = sorted(path.stem for path in eyes.iterdir())
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    rows = {
        "image_id": ids,
        "grade": [None, *(row % 5 for row in range(1, len(ids)))],
        "patient_id": [name.partition("_")[0] for name in ids],
        "camera": ["A" if row % 2 else "B" for row in range(len(ids))],
    }
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def validation(photographs: Path, grader_file: Path, labels: Path) -> Validation:
    return validate(photographs, labels=labels, out=labels.with_name("report"), model=grader_file, resamples=200)


def test_a_report_has_everything(validation: Validation, labels: Path) -> None:
    written = json.loads((validation.folder / "validation.json").read_text("utf-8"))
    jsonschema.validate(written, json.loads(SCHEMA.read_text("utf-8")))
    assert written == json.loads(json.dumps(validation.to_json()))
    assert written["evaluation"]["photographs"] == 9
    assert written["evaluation"]["decisions"]["photographs"] == 11
    assert written["evaluation"]["decisions"]["unlabelled"] == 1
    gate = written["gate"]
    assert (gate["photographs"], gate["refused"], gate["errors"]) == (12, 1, 1)
    assert gate["good"] + gate["usable"] == 10
    assert any("could not be used" in reason for reason in written["attention"])
    assert {one["column"] for one in written["evaluation"]["decisions"]["outcomes"]} >= {"camera"}
    assert validation.verdict.outcome == "too few photographs"
    assert validation.needs_attention
    page = validation.page.read_text("utf-8")
    assert validation.verdict.sentence in page
    assert page.index(validation.verdict.sentence) < page.index("against its card")
    assert all(command in page for step in validation.next_steps for command in step.commands)
    assert "http" not in page.replace("http://www.w3.org", "")
    assert repr(validation).startswith(validation.verdict.sentence)


@pytest.mark.parametrize(("sensitivity", "is_proposed"), [(0.5, False), (0.95, True)])
def test_few_photographs_propose_no_threshold_that_misses_more(
    validation: Validation, sensitivity: float, is_proposed: bool
) -> None:
    point = replace(validation.local.thresholds["referable"], sensitivity=sensitivity)
    figures = [replace(each, here=0.9) if each.name == SENSITIVITY else each for each in validation.figures]
    assert SENSITIVITY in {each.name for each in figures}
    changed = replace(validation, local=replace(validation.local, thresholds={"referable": point}), figures=figures)
    commands = [command for step in changed.next_steps for command in step.commands]
    assert any("--calibration" in command for command in commands) == is_proposed


def test_labels_like_chance_propose_no_threshold(validation: Validation) -> None:
    findings = [Finding("no-information", "The grades and the predictions seem to be independent.")]
    changed = replace(validation, evaluation=replace(validation.evaluation, findings=findings))
    assert not any("--calibration" in command for step in changed.next_steps for command in step.commands)


def test_the_calibration_goes_into_a_local_file(validation: Validation, grader_file: Path, tmp_path: Path) -> None:
    local = localize(grader_file, tmp_path / "local.onnx", calibration=validation.folder / "calibration.json")
    assert local.metadata.referable is not None
    assert local.metadata.referable.threshold == validation.local.thresholds["referable"].threshold
    assert local.metadata.referable.positives == validation.local.thresholds["referable"].positives


def test_labels_of_other_photographs_are_refused_before_any_grading(
    eyes: Path, grader_file: Path, labels: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(labels)
    for name, rows in {"fewer": table[1:], "none": table.assign(grade=None)}.items():
        rows.to_csv(tmp_path / f"{name}.csv", index=False)
        with pytest.raises(JoinError):
            validate(eyes, labels=tmp_path / f"{name}.csv", out=tmp_path / "out", model=grader_file)
    pd.DataFrame({"image_id": range(30), "grade": 0, "camera": [f"camera {row}" for row in range(30)]}).to_csv(
        tmp_path / "cameras.csv", index=False
    )
    with pytest.raises(UsageError):
        validate(eyes, labels=tmp_path / "cameras.csv", out=tmp_path / "out", model=grader_file)
    assert not (tmp_path / "out").exists()


def test_an_interrupted_call_continues_unless_photographs_are_gone(
    eyes: Path, grader_file: Path, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for path in sorted(eyes.iterdir())[:4]:
        (photographs / path.name).write_bytes(path.read_bytes())
    table = pd.read_csv(labels)[:4]
    table.to_csv(tmp_path / "labels.csv", index=False)
    call = partial(validate, photographs, labels=tmp_path / "labels.csv", out=tmp_path / "out", model=grader_file)
    monkeypatch.setattr(module, "evaluate", _interrupt)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            call()
    (photographs / path.name).unlink()
    table[:-1].to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(UsageError):
        call()
    numbers = tmp_path / "out" / NUMBERS
    numbers.write_text("by another grader file", "utf-8")
    with pytest.raises(KeyboardInterrupt):
        call(overwrite=True)
    assert not numbers.exists()


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_the_command_continues_grades_nothing_anew_and_says_the_verdict(
    validation: Validation, photographs: Path, grader_file: Path, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (validation.folder / "validation.json").read_bytes()
    graded: list[object] = []
    stream = Grader.stream

    def watched(grader: Grader, sources: Iterable[object], *rest: object, **named: object) -> object:
        graded.extend(sources := list(sources))
        return stream(grader, sources, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Grader, "stream", watched)
    arguments = ("validate", photographs, "--labels", labels, "--out", validation.folder, "--model", grader_file)
    printed = run(*arguments, "--resamples", 200, code=1)
    assert (validation.folder / "validation.json").read_bytes() == before
    assert len(graded) == 1  # the one that can't be read is tried again
    assert validation.verdict.sentence in printed
    assert "retinagrade evaluate" in printed

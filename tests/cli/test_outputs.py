"""No command replaces its inputs, or files that it didn't make; every refusal comes before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from retinagrade.cli import app
from retinagrade.errors import UsageError
from tests.folder_contents import file_digests

GUARD = ("for the output", "outside it", "another place", "another name", "its own", "--overwrite")
"""Ends of the guard's messages: a command may fail for another reason, which proves nothing."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a file at every place that a command may want; nothing in it is a real result."""
    names = (
        "p/7_left.jpg", "p/labels.csv", "list.txt", "labels.csv", "matrix.csv", "space.yaml", "own.yaml", "notes.md",
        "prepared/manifest.csv", "prepared/prepare.json", "grader.onnx", "masks/labels.csv", "masks/run/x",
        "run/run.json", "run/experiment.yaml", "run/predictions/val.csv", "run/checkpoints/best.ckpt",
        "other/run.json", "other/experiment.yaml", "other/predictions/val.csv", "mine/run.json", "mine/report.html",
        "mine/card.md",
    )  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("image_id,p0,p1,p2,p3,p4,grade\na,1,0,0,0,0,0\n")
    (tmp_path / "list.txt").write_text("p/7_left.jpg\n")
    (tmp_path / "own.yaml").write_text("base: scratch-2\n")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        # An output that is, holds or lies in an input.
        "grade p/7_left.jpg --saliency p",
        "grade p/*.jpg --saliency p",
        "grade --list list.txt --saliency p",
        "grade --list list.txt --out list.txt",
        "grade p --saliency p",
        "grade p --out p/r.csv",
        "grade p --studies p/s.csv",
        "grade p --dicom p",
        "grade p --fhir p",
        "grade p --out r.csv --studies r.csv",
        "prepare p --out p",
        "prepare p --out p/prepared",
        "prepare p --out .",
        "prepare labels.csv --out labels.csv",
        "data check p --out p",
        "data check p --out p/check",
        "train prepared own.yaml --out prepared",
        "train prepared own.yaml --out prepared/run",
        "train prepared scratch-2 --out .",
        "train prepared scratch-2 scratch-3 --out .",
        "train prepared scratch-2 --out . --find-rate",
        "train prepared scratch-2 --out prepared/folds --folds 2",
        "tune prepared scratch-2 --space space.yaml --out .",
        "predict prepared run --out run/run.json",
        "predict prepared run --out prepared/manifest.csv",
        "predict prepared run --out run/x.csv",
        "evaluate run/predictions/val.csv --out run",
        "evaluate --confusion-matrix matrix.csv --out .",
        "compare run other --out run",
        "compare run other --out run/comparison",
        "calibrate run --out run/run.json",
        "calibrate run --out run/predictions/val.csv",
        "calibrate labels.csv --out labels.csv",
        "ensemble run other --out run",
        "ensemble run other --out run/both",
        "explain p/7_left.jpg run --out p",
        "explain p run --out p/heat",
        "explain p/7_left.jpg run --out run",
        "lesion-agreement masks run --out masks",
        "lesion-agreement masks run --out run/lesions",
        "lesion-agreement masks masks/run --out masks/lesions",
        "export run --out notes.onnx --statements notes.md",
        # Something that exists and isn't this command's own.
        "grade p --studies labels.csv",
        "grade p --out mine",
        "prepare p --out mine",
        "data synthesize --count 2 --out mine",
        "data check p --out mine",
        "predict prepared run --out matrix.csv",
        "predict prepared run --split val",
        "evaluate labels.csv --out mine",
        "compare run other --out mine",
        "calibrate run --out matrix.csv",
        "explain p/7_left.jpg run --out mine",
        "lesion-agreement masks run --out mine",
        "export run --out grader.onnx",
        "export run --out mine/card.onnx",
        "demo --out mine",
        # A file where a folder belongs, and the reverse.
        "grade p --saliency labels.csv",
        "grade p --dicom labels.csv/below",
        "prepare p --out labels.csv",
        "prepare p --out labels.csv/below",
        "data synthesize --count 2 --out labels.csv",
        "data check p --out labels.csv",
        "train prepared scratch-2 --out labels.csv",
        "evaluate run/predictions/val.csv --out labels.csv",
        "compare run other --out labels.csv",
        "calibrate run --out mine",
        "predict prepared run --out mine",
        "export run --out labels.csv/x.onnx",
        "ensemble run other --out labels.csv",
        "explain p/7_left.jpg run --out labels.csv",
        "lesion-agreement masks run --out labels.csv",
        "tune prepared scratch-2 --space space.yaml --out labels.csv",
        "demo --out labels.csv",
    ],
)
def test_files_of_others_stay(place: Path, command: str) -> None:
    before = file_digests(place)
    done = CliRunner().invoke(app, command.split())
    assert isinstance(done.exception, UsageError), done.output
    assert any(words in str(done.exception) for words in GUARD), done.exception
    assert file_digests(place) == before

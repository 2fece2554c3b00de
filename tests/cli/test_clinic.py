"""The commands of ``docs/clinic.md``, one after the other: on synthetic eyes, and (slow) on IDRiD."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from retinagrade.datasets.synthetic.patients import synthesize
from retinagrade.grader.metadata import Metadata
from retinagrade.grader.runtime import Grader
from tests.cli.command_line import run
from tests.grader.graders import write_grader

PAGE = Path(__file__).parents[2] / "docs" / "clinic.md"
LEFT_OUT = {21, 28, 118, 279, 327, 333, 375, 391}
"""IDRiD's copies, which the default grader left out as well: two of them would stand in both halves."""


def commands() -> list[list[str]]:
    """Returns the arguments of the commands of the page, in order."""
    lines = re.findall(r"^    retinagrade (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [shlex.split(line) for line in lines]


def go(folder: Path, monkeypatch: pytest.MonkeyPatch, model: Path | None = None) -> Metadata:
    """Gives the commands in a folder with ``site``, ``site.csv``, ``new`` and ``new.csv``.

    Args:
        folder: The folder.
        monkeypatch: Changes the working folder.
        model: A fast grader file in the place of the default one; intervals are then coarse.

    Returns:
        The metadata of the local grader file.
    """
    monkeypatch.chdir(folder)
    assert [command[0] for command in commands()] == ["validate", "export", "grade", "evaluate"]
    for name, *words in commands():
        coarse: list[object] = []
        if model is not None:
            words = [str(model) if word == "default" else word for word in words]
            coarse += ["--resamples", 200] if name in ("validate", "evaluate") else []
            coarse += ["--model", model] if name == "validate" else []
        run(name, *words, *coarse, code=None)
    found = json.loads((folder / "report" / "validation.json").read_text("utf-8"))
    assert (folder / "report" / "index.html").is_file()
    assert (folder / "evaluation" / "report.html").is_file()
    facts = Grader.load(folder / "local.onnx").metadata
    assert facts.referable is not None
    assert facts.referable.threshold == found["local"]["thresholds"]["referable"]["threshold"]
    with (folder / "graded.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["grader_digest"] for row in rows} == {facts.digest}
    assert len(rows) == len([*(folder / "new").iterdir()])
    return facts


def test_the_path_on_synthetic_eyes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = write_grader(tmp_path / "small.onnx")
    for name, seed in {"site": 1, "new": 2}.items():
        drawn = tmp_path / f"{name}-drawn"
        synthesize(drawn, 10, size=96, seed=seed, workers=1)
        (drawn / "photographs").rename(tmp_path / name)
        shutil.copy(drawn / "labels.csv", tmp_path / f"{name}.csv")
    assert go(tmp_path, monkeypatch, small).history[-1].data == "10 photographs of results.csv"


@pytest.mark.slow
def test_the_path_on_idrid(idrid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The odd photographs play the site, the even ones its next patients."""
    root = idrid / "B. Disease Grading"
    with next((root / "2. Groundtruths").glob("*.csv")).open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if re.fullmatch(r"IDRiD_\d+", row[0].strip())]
    for name, remainder in {"site": 1, "new": 0}.items():
        chosen = [row for row in rows if int(row[0][-3:]) % 2 == remainder and int(row[0][-3:]) not in LEFT_OUT]
        (tmp_path / name).mkdir()
        with (tmp_path / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("image_id", "grade", "oedema_risk"), *(row[:3] for row in chosen)])
        for row in chosen:
            shutil.copy(root / "1. Original Images" / "a. Training Set" / f"{row[0].strip()}.jpg", tmp_path / name)
    go(tmp_path, monkeypatch)
    written = json.loads((tmp_path / "evaluation" / "metrics.json").read_text("utf-8"))
    assert not [one for one in written["findings"] if one["verdict"] in ("impossible", "misaligned", "chance")]
    used = next(one for one in written["decisions"]["outcomes"] if one["decision"] == "referable")
    assert used["metrics"]["sensitivity"]["value"] > 0.8

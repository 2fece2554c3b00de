"""No command asks another machine for anything, and none leaves an identifier in the home folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from retinagrade.cli import app
from retinagrade.datasets.synthetic.patients import synthesize
from tests.training.tiny_experiments import TINY
from tests.watched_network import refused, watched_environment

TRAINING = [part for setting in [*TINY, "training.epochs=1", "training.logger=none"] for part in ("--set", setting)]
COMMANDS = [
    ["data", "check", "prepared/manifest.csv", "--out", "check"],
    ["data", "synthesize", "--out", "made", "--count", "2", "--size", "64"],
    ["prepare", "made", "--out", "again", "--size", "64"],
    ["split", "prepared", "--val", "0.3"],
    ["experiments", "list"],
    ["experiments", "show", "scratch-2"],
    ["train", "prepared", "scratch-2", "--out", "run", *TRAINING],
    ["tune", "prepared", "scratch-2", "--space", "space.yaml", "--out", "search", "--trials", "1", *TRAINING],
    ["predict", "prepared", "run", "--split", "val"],
    ["evaluate", "run/predictions/val.csv", "--out", "evaluation"],
    ["compare", "run", "search/trial-000", "--split", "val", "--out", "comparison"],
    ["calibrate", "run"],
    ["ensemble", "run", "search/trial-000", "--method", "mean", "--out", "both"],
    ["explain", "photograph", "run", "--out", "explanation"],
    ["lesion-agreement", "photograph", "run", "--out", "lesions"],
    ["outline", "prepared", "run", "--out", "maps"],
    ["fit-grades", "maps", "--out", "grades"],
    ["export", "run", "--out", "run.onnx"],
    ["grade", "photograph", "--model", "run.onnx", "--out", "results.csv"],
    ["grade", "photograph", "--fast"],
    ["grade", "photograph", "--model", "run.onnx", "--out", "months/2026-01.csv"],
    ["grade", "photograph", "--model", "run.onnx", "--out", "months/2026-02.csv"],
    ["monitor", "months", "--out", "monitoring"],
    ["validate", "photograph", "--labels", "labels.csv", "--model", "run.onnx", "--out", "report"],
    ["adapt", "default", "--data", "prepared", "--out", "local.onnx"],
    ["train-gate", "--help"],
    ["plan", "--bar", "0.8", "--true", "0.9"],
    ["info"],
    ["demo", "--help"],
    ["serve", "--help"],
    ["listen", "--help"],
]
SCRIPT = """
import json, sys
from typer.testing import CliRunner
from retinagrade.cli import app
for command in json.loads(sys.argv[1]):
    done = CliRunner().invoke(app, command)
    # These miss masks, lesions or photographs when everything is loaded.
    if command[0] not in ("lesion-agreement", "outline", "fit-grades", "adapt", "monitor"):
        assert done.exception is None or done.exit_code in (0, 1) and isinstance(done.exception, SystemExit), (
            command, done.exit_code, done.output, done.exception)
"""
ALLOWED = {"matplotlib", "torch", "fontconfig"}
"""Caches of fonts and compiled code."""


def test_no_command_leaves_this_machine(prepared: Path, tmp_path: Path) -> None:
    groups = {group.name for group in app.registered_groups}
    names = {command.name for command in app.registered_commands} | groups
    assert names == {command[0] for command in COMMANDS}
    work = tmp_path / "work"
    (work / "photograph").mkdir(parents=True)
    shutil.copytree(prepared, work / "prepared")  # which a command splits
    (work / "space.yaml").write_text("training.learning_rate: {low: 1.0e-4, high: 1.0e-2}\n")
    synthesize(tmp_path / "drawn", count=1, size=320, seed=5)  # the gate refuses photographs of 64 px by chance
    photograph = min((tmp_path / "drawn" / "photographs").iterdir())
    (work / "photograph" / photograph.name).write_bytes(photograph.read_bytes())
    (work / "labels.csv").write_text(f"image_id,grade\n{photograph.stem},2\n")
    (work / "months").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(COMMANDS)],
        cwd=work,
        env=watched_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert refused(tmp_path) == []
    home = tmp_path / "home"
    assert {path.relative_to(home).parts[1] for path in home.rglob("*") if path.is_file()} <= ALLOWED

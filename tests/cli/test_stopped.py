"""Long commands that are stopped by a signal: they don't say that they are done, and the same command continues."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from retinagrade.storage.files import is_temporary
from retinagrade.training.train import train
from tests.cli.command_line import TINY
from tests.folder_contents import file_digests
from tests.training.lesions.lesion_sets import tiny_lesions, write_lesion_set

SETTINGS = [word for setting in (*TINY, "training.logger=none") for word in ("--set", setting)]
COMMANDS: dict[str, list[str]] = {
    "train": ["train", "set", "scratch-2", "--folds", "3", *SETTINGS],
    "tune": ["tune", "set", "scratch-2", "--space", "space.yaml", "--trials", "3", *SETTINGS],
    "outline": ["outline", "set", "run", "--split", "all"],
}
PARTS = {"train": "fold-0/checkpoints/last.ckpt", "tune": "trial-000/checkpoints/last.ckpt", "outline": "maps/*/*.png"}
"""Files that show that the work has begun."""
RESULTS = (".png", "predictions/val.csv", "manifest.csv", "experiment.yaml", "winner.yaml")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_lesion_set(folder).rename(folder / "set")
    train(folder / "set", tiny_lesions("training.epochs=1", "crops.an_epoch=8"), folder / "run", workers=0)
    (folder / "space.yaml").write_text(
        yaml.safe_dump({"training.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}})
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_ends_a_command_as_not_done_and_the_same_command_continues(
    command: str, inputs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert stop(command, inputs, out, signal.SIGINT, lambda: any(out.glob(PARTS[command]))) == 130
    before = results(out)
    assert stop(command, inputs, out, signal.SIGTERM, lambda: results(out) != before) == -signal.SIGTERM
    finish(command, inputs, out)
    finish(command, inputs, tmp_path / "whole")
    assert results(out) == results(tmp_path / "whole")
    assert not [path for path in out.rglob("*") if is_temporary(path)]


def start(command: str, inputs: Path, out: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "retinagrade", *COMMANDS[command], "--out", str(out)]
    return subprocess.Popen(words, cwd=inputs, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def stop(command: str, inputs: Path, out: Path, by: signal.Signals, has_begun: Callable[[], bool]) -> int:
    process = start(command, inputs, out)
    deadline = time.monotonic() + 120
    while not has_begun() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, by)
    return process.wait(60)


def finish(command: str, inputs: Path, out: Path) -> None:
    assert start(command, inputs, out).wait(300) == 0


def results(out: Path) -> dict[str, str]:
    return {name: digest for name, digest in file_digests(out).items() if name.endswith(RESULTS)}

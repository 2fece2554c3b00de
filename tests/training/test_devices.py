"""Real trainings in several processes: the same history as in one, and a clear error where a process dies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from retinagrade.evaluation.predictions import read_predictions
from retinagrade.runs.run import Run

pytestmark = pytest.mark.slow

# Batch-norm that is trained, weighted losses, balanced draws and accumulated steps, in steps so small that rounding
# isn't blown up; without dropout, whose masks are drawn by each process.
SETTINGS = [
    "network.backbone=lcnet_050", "network.weights=none", "network.image_size=64", "network.dense=[16]",
    "network.dense_dropout=0", "network.trained_from=all", "training.batch_size=6", "training.balance=4",
    "training.epochs=3", "training.learning_rate=1e-3", "training.optimizer=sgd", "training.accumulate=2",
    "training.class_weights=inverse-frequency", "training.precision=32", "training.ema=0.9",
]  # fmt: skip
FROZEN = [*SETTINGS, "network.trained_from=none"]
PYTHON = [sys.executable, "-m"]


def training(prepared: Path, out: Path, settings: list[str], *words: str) -> list[str]:
    command = ["retinagrade", "train", str(prepared), "mobilenetv2-2", "--out", str(out), *words]
    return command + [word for setting in settings for word in ("--set", setting)]


def done(command: list[str]) -> str:
    """Returns all that a command prints; each process has one thread, as two share the processor here."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert "Warning" not in ended.stderr
    return ended.stdout + ended.stderr


def same(one: Run, other: Run) -> None:
    history, expected = (run.history().drop(columns="seconds") for run in (one, other))
    pd.testing.assert_frame_equal(history, expected, rtol=1e-3)
    table, expected = (read_predictions(run.predictions_file("val")) for run in (one, other))
    pd.testing.assert_frame_equal(table, expected, rtol=1e-3)


@pytest.fixture(scope="module")
def alone(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("devices") / "alone"
    done(PYTHON + training(prepared, out, SETTINGS))
    return Run(out)


def test_two_processes_train_as_one_does(alone: Run, prepared: Path, tmp_path: Path) -> None:
    printed = done(PYTHON + training(prepared, tmp_path / "two", SETTINGS, "--devices", "2"))
    assert printed.count("epoch 1 of 3") == 1
    assert printed.count("mobilenetv2-2: 3 epochs") == 1
    two = Run(tmp_path / "two")
    same(two, alone)
    assert two.finished_record().devices.startswith("2 × ")
    validation = read_predictions(alone.predictions_file("val"))
    assert len(read_predictions(two.predictions_file("val"))) == len(validation)
    # A finished run is left as it is.
    before = two.record_file.read_bytes()
    done(PYTHON + training(prepared, tmp_path / "two", SETTINGS, "--devices", "2"))
    assert two.record_file.read_bytes() == before


def test_two_processes_share_the_features_of_a_frozen_backbone(prepared: Path, tmp_path: Path) -> None:
    for name, words in (("one", ()), ("two", ("--devices", "2"))):
        done(PYTHON + training(prepared, tmp_path / name, FROZEN, *words))
    same(Run(tmp_path / "two"), Run(tmp_path / "one"))


def test_two_machines_on_this_one_by_torchrun(alone: Run, prepared: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = training(prepared, tmp_path / "two", SETTINGS, "--nodes", "2")
    meeting = ["--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1", f"--master-port={port}"]
    machines = [
        subprocess.Popen(
            [*PYTHON, "torch.distributed.run", *meeting, f"--node-rank={rank}", "-m", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [machine.communicate(timeout=600) for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert "mobilenetv2-2: 3 epochs" in said[0][0]
    assert said[1][0] == ""
    same(Run(tmp_path / "two"), alone)


@pytest.mark.parametrize(("by", "code"), [(signal.SIGKILL, 2), (signal.SIGINT, 130)])
def test_a_lost_process_ends_the_training_which_can_continue(
    by: signal.Signals, code: int, prepared: Path, tmp_path: Path
) -> None:
    long = [*SETTINGS, "training.epochs=8", "training.patience=8", "training.learning_rate=1e-4"]
    run = Run(tmp_path / "cut")
    command = PYTHON + training(prepared, run.folder, long, "--devices", "2")
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 300
    while not run.last_checkpoint.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    if by == signal.SIGINT:
        os.killpg(process.pid, by)
    else:
        os.kill(second_of(process.pid), by)
    _, said = process.communicate(timeout=120)
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert said.count("same command") == (
        1 if by == signal.SIGINT else 1 + said.count("another process of this training has ended")
    )
    assert ("the process of device 1 was ended by SIGKILL" if by == signal.SIGKILL else "stopped: the same") in said
    assert run.record().status == "training"
    done(command)
    done(PYTHON + training(prepared, tmp_path / "whole", long))
    same(run, Run(tmp_path / "whole"))


def test_a_wrong_number_of_processes_is_an_error(prepared: Path, tmp_path: Path) -> None:
    command = training(prepared, tmp_path / "run", SETTINGS)
    ended = subprocess.run(
        [*PYTHON, "torch.distributed.run", "--nproc-per-node=2", "-m", *command],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "2 processes were started" in ended.stderr
    assert not (tmp_path / "run").exists()


def second_of(parent: int) -> int:
    """The process of the second device."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return next(int(pid) for pid in children if b"\0RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes())

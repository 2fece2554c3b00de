"""A real training in a process of its own, and a signal after its first whole epoch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from retinagrade.runs.run import Run


def interrupted(
    folder: Path, prepared: Path, overrides: Sequence[str], by: signal.Signals
) -> tuple[Run, list[str], int, str]:
    """Trains ``scratch-2`` and sends a signal as soon as there is a checkpoint.

    Returns:
        The run, which is not finished; the command; its exit code; and what it said on standard error.
    """
    run = Run(folder)
    command = [sys.executable, "-m", "retinagrade", "train", str(prepared), "scratch-2", "--out", str(folder)]
    command += [word for override in overrides for word in ("--set", override)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    while not run.last_checkpoint.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, by)
    _, said = process.communicate(timeout=60)
    assert run.last_checkpoint.is_file(), said
    assert run.record().status == "training", "the signal came too late to test anything"
    return run, command, process.returncode, said

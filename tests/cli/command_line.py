"""The command line as tests call it: in a process of its own."""

from __future__ import annotations

import subprocess
import sys

TINY = [
    "network.image_size=48", "network.scratch.filters=[4,8]", "network.scratch.kernel=3", "network.scratch.pools=[3,3]",
    "network.dense=[16]", "training.epochs=2", "training.batch_size=8", "training.balance=6",
]  # fmt: skip
"""Settings of a network that trains in seconds."""


def run(*arguments: object, code: int | None = 0) -> str:
    """Runs ``retinagrade`` and returns its standard output; standard error where it fails with 2.

    Without a ``code``, the data may need attention (0 or 1).
    """
    done = subprocess.run(
        [sys.executable, "-m", "retinagrade", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode in ((0, 1) if code is None else (code,)), (
        f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    )
    assert "Traceback" not in done.stderr
    return done.stderr if code == 2 else done.stdout

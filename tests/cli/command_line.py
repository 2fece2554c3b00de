"""The command line as tests call it: its main function, in the process of the test."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch

import pytest

from retinagrade.cli import main

TINY = [
    "network.image_size=48", "network.scratch.filters=[4,8]", "network.scratch.kernel=3", "network.scratch.pools=[3,3]",
    "network.dense=[16]", "training.epochs=2", "training.batch_size=8", "training.balance=6",
]  # fmt: skip
"""Settings of a network that trains in seconds."""


def run(*arguments: object, code: int | None = 0) -> str:
    """Runs ``retinagrade`` and returns its standard output; standard error where it fails with 2.

    Without a ``code``, the data may need attention (0 or 1). A process of its own would import PyTorch for each call;
    tests of processes (signals, pipes, the environment) start them by themselves.
    """
    output, errors = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    argv = ["retinagrade", *map(str, arguments)]
    with (
        patch.object(sys, "argv", argv),
        redirect_stdout(output),
        redirect_stderr(errors),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    returned = ended.value.code
    printed, complaints = (stream.buffer.getvalue().decode() for stream in (output, errors))
    assert returned in ((0, 1) if code is None else (code,)), f"exit {returned}\n{printed}\n{complaints}"
    assert "Traceback" not in complaints
    return complaints if code == 2 else printed

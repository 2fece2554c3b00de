"""``retinagrade serve`` in a separate process, which can't write to any file."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Served:
    """A running service.

    Attributes:
        process: Its process.
        url: Its address.
        log: Lines of its log so far; all lines after the process has ended and ``reader`` was joined.
        reader: Thread that reads the log.
    """

    process: subprocess.Popen[str]
    url: str
    log: list[dict[str, Any]] = field(default_factory=list)
    reader: threading.Thread = field(init=False)

    def read(self) -> None:
        """Reads the log until it ends."""
        assert self.process.stderr is not None
        self.log.extend(json.loads(line) for line in self.process.stderr)


def _begin() -> None:
    """Forbids the service to write files, and lets it hear SIGHUP where the tests run under nohup."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextmanager
def served(model: Path, *options: str, **environment: str) -> Iterator[Served]:
    """Runs the command on a free port while the block lasts."""
    command = [sys.executable, "-m", "retinagrade", "serve", "--model", str(model), "--port", "0", *options]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        preexec_fn=_begin,
    )
    with process:
        assert process.stderr is not None
        first = process.stderr.readline()
        try:
            running = Served(process, json.loads(first)["url"])
        except ValueError:
            process.kill()
            raise AssertionError(first + process.stderr.read()) from None
        running.reader = threading.Thread(target=running.read)
        running.reader.start()
        try:
            yield running
        finally:
            process.terminate()
            running.reader.join()

"""``retinagrade serve`` in a process of its own, which can't write a byte to any file."""

from __future__ import annotations

import json
import os
import resource
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
    """A service that runs.

    Attributes:
        process: Its process.
        url: Where it listens.
        log: Its lines so far, all of them once the process has ended and ``reader`` was joined.
        reader: Reads them.
    """

    process: subprocess.Popen[str]
    url: str
    log: list[dict[str, Any]] = field(default_factory=list)
    reader: threading.Thread = field(init=False)

    def read(self) -> None:
        """Reads the log to its end."""
        assert self.process.stderr is not None
        self.log.extend(json.loads(line) for line in self.process.stderr)


@contextmanager
def served(model: Path, *options: str, **environment: str) -> Iterator[Served]:
    """Starts the command line on any free port, and ends it in the end."""
    command = [sys.executable, "-m", "retinagrade", "serve", "--model", str(model), "--port", "0", *options]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
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

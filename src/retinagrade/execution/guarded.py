"""A process for single items that come from elsewhere: an item that takes too much time or memory costs only itself."""

from __future__ import annotations

import atexit
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, Final, Generic

from retinagrade.execution.engine import WorkItem, WorkResult
from retinagrade.execution.worker import ERROR, READY, start_worker

_LOOK: Final = 0.05
"""Seconds between two looks at whether anybody still wants the result."""
_START: Final = 60.0
"""Seconds that a process may take to start."""

_ENDING: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that end a service."""


class GuardedError(Exception):
    """An item has no result: it took too long, killed its process, or nobody wanted it any more."""


class GuardedProcess(Generic[WorkItem, WorkResult]):
    """A process that works on one item at a time, within limits. One thread may use it at a time.

    A process that exceeds a limit is killed, and the next item gets a new one. It ignores the signals that end a
    service, which may reach all of its processes while it still finishes its work.
    """

    def __init__(
        self, work: Callable[[WorkItem], WorkResult], *, seconds: float, memory: int | None, patience: float
    ) -> None:
        """Starts the process, and doesn't wait for it.

        Args:
            work: A picklable function.
            seconds: Seconds that an item may take.
            memory: Bytes that an item may add to the memory of the process; ``None`` for no limit.
            patience: Seconds that an item may take when nobody wants its result any more. To kill a process takes some
                tenths of a second for the next one's start, so a shorter item is finished.
        """
        self._work, self._seconds, self._memory, self._patience = work, seconds, memory, patience
        self._process, self._connection = self._start()
        self._is_ready = False
        atexit.register(self.close)  # before Python waits for the process

    def __call__(self, item: WorkItem, is_wanted: Callable[[], bool] = lambda: True) -> WorkResult:
        """Works on an item, and waits for the result.

        Args:
            item: A picklable item.
            is_wanted: Returns whether anybody still wants the result; called again and again, in this thread.

        Raises:
            GuardedError: The item has no result.
            Exception: The exception of the function, from the process.
        """
        if not self._process.is_alive():
            self._restart()
        try:
            self._wait_for_start()
            self._connection.send_bytes(ForkingPickler.dumps(item))
            self._wait(is_wanted)
            kind, value = self._connection.recv()
        except (EOFError, OSError) as error:
            self._restart()
            raise GuardedError("it killed the process, which may have run out of memory") from error
        except GuardedError:
            self._restart()
            raise
        if kind == ERROR:
            raise value
        result: WorkResult = value
        return result

    def close(self) -> None:
        """Kills the process."""
        atexit.unregister(self.close)
        self._stop()

    def _stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _start(self) -> tuple[BaseProcess, Connection]:
        return start_worker(self._work, self._memory, _ENDING)

    def _restart(self) -> None:
        self._stop()
        self._process, self._connection = self._start()
        self._is_ready = False

    def _wait_for_start(self) -> None:
        if self._is_ready:
            return
        if not self._connection.poll(_START):
            raise GuardedError("the process did not start")
        message: tuple[str, Any] = self._connection.recv()
        self._is_ready = message[0] == READY

    def _wait(self, is_wanted: Callable[[], bool]) -> None:
        start = time.monotonic()
        while not self._connection.poll(_LOOK):
            seconds = time.monotonic() - start
            if seconds > self._seconds:
                raise GuardedError(f"it took longer than {self._seconds:g} s")
            if seconds > self._patience and not is_wanted():
                raise GuardedError("nobody wants it any more")

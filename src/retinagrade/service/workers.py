"""Several processes that serve one address. The one above them restarts those that die, and adds up their metrics."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Lock, Thread
from types import FrameType
from typing import Any, Final

from retinagrade.errors import RetinagradeError, UsageError
from retinagrade.execution.worker import start_process
from retinagrade.service.logs import configure_logging, log_event
from retinagrade.service.routes import ServiceState
from retinagrade.service.worker_metrics import Snapshot, add_up, metrics_text, retired, take_snapshot

Begin = Callable[[ServiceState], None]
"""What a worker calls when it is about to serve."""
_LOOK: Final = 0.5
"""Seconds between two looks at signals and at workers that wait for their start."""
_ANSWER: Final = 2.0
"""Seconds that a worker may take to state its metrics; after that, those that it stated before count."""
_LONGEST_PAUSE: Final = 60.0
"""Seconds between two starts of a worker that dies again and again before it is ready."""


@dataclass
class _Worker:
    """A worker, as the process above it knows it.

    Attributes:
        number: Its number, from 1.
        process: Its process.
        told: Pipe on which it reports that it is ready, and then states its metrics when it is asked.
        asks: Pipe on which it asks for the metrics of all workers.
        is_ready: Whether it serves.
        asked: Number of the last question about its metrics.
        answered: Number of the last question that it has answered.
        metrics: Its metrics, as it stated them last.
    """

    number: int
    process: BaseProcess
    told: Connection
    asks: Connection
    is_ready: bool = False
    asked: int = 0
    answered: int = 0
    metrics: Snapshot = field(default_factory=dict)


class _AllMetrics:
    """Asks the process above for the metrics of all workers; several threads may call it."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock = connection, Lock()

    def __call__(self) -> bytes:
        with self._lock:
            self._connection.send(None)
            return self._connection.recv_bytes()


def serve_as_worker(serve: Callable[[Begin], None], number: int, told: Connection, asks: Connection) -> None:
    """Serves in a worker process.

    Args:
        serve: Function that loads the grader, calls its argument with the state of the service, and serves.
        number: Number of the worker.
        told: Pipe on which the worker reports, see :class:`_Worker`.
        asks: Pipe on which it asks.
    """
    configure_logging(number)

    def begin(state: ServiceState) -> None:
        state.metrics_text = _AllMetrics(asks)
        told.send(None)
        Thread(target=_state_metrics, args=(told, state), daemon=True).start()

    try:
        serve(begin)
    except RetinagradeError as error:
        told.send(error)
    except KeyboardInterrupt:  # Ctrl-C reaches all processes, and the requests are finished
        return


def _state_metrics(told: Connection, state: ServiceState) -> None:
    with suppress(EOFError, OSError):
        while True:
            told.send((told.recv(), take_snapshot(state.metrics.registry)))


class Workers:
    """The workers of one service. Use it in the main thread, which hears the signals."""

    def __init__(self, serve: Callable[[Begin], None], number: int) -> None:
        """Starts the workers.

        Args:
            serve: Picklable function of :func:`serve_as_worker`.
            number: Number of workers.
        """
        self._serve = serve
        self._signal: int | None = None
        self._ended: Snapshot = {}
        self._failures = dict.fromkeys(range(1, number + 1), 0)
        self._due: dict[int, float] = {}
        self._workers = {each: self._start(each) for each in self._failures}

    def run(self, on_ready: Callable[[], None]) -> None:
        """Keeps the workers alive until SIGTERM, SIGHUP or Ctrl-C, and then lets them finish their requests.

        Args:
            on_ready: Called once, when all workers are ready.

        Raises:
            RetinagradeError: A worker could not start.
        """
        earlier = self._hear_signals()
        is_announced = False
        try:
            while self._signal is None:
                ears = [ear for each in self._workers.values() for ear in (each.told, each.asks, each.process.sentinel)]
                heard = wait(ears, _LOOK)
                for worker in [*self._workers.values()]:
                    self._attend(worker, heard, is_announced)
                if not is_announced and all(each.is_ready for each in self._workers.values()):
                    is_announced = True
                    on_ready()
                for number in [number for number, due in self._due.items() if due <= time.monotonic()]:
                    del self._due[number]
                    self._workers[number] = self._start(number)
        finally:
            self._stop()
            for name, handler in earlier.items():
                signal.signal(name, handler)
        if self._signal is not None:
            signal.raise_signal(self._signal)  # the process ends as its caller expects it

    def _hear_signals(self) -> dict[signal.Signals, Any]:
        def note(number: int, _: FrameType | None) -> None:
            self._signal = number

        names = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]
        heard = [name for name in names if signal.getsignal(name) != signal.SIG_IGN]  # nohup ignores SIGHUP
        return {name: signal.signal(name, note) for name in heard}

    def _start(self, number: int) -> _Worker:
        told, their_told = Pipe()
        asks, their_asks = Pipe()
        process = start_process(serve_as_worker, self._serve, number, their_told, their_asks)
        their_told.close()
        their_asks.close()
        return _Worker(number, process, told, asks)

    def _attend(self, worker: _Worker, heard: list[Any], is_announced: bool) -> None:
        if worker.told in heard:
            error = self._listen(worker)
            if error is not None and not is_announced:
                raise error
        if worker.asks in heard:
            with suppress(EOFError, OSError):
                worker.asks.recv()
                worker.asks.send_bytes(metrics_text(self._all_metrics()))
        if not worker.process.is_alive():
            if not is_announced:
                raise UsageError(
                    f"a worker ended before it was ready (exit code {worker.process.exitcode}): start fewer --workers, "
                    "which need less memory"
                )
            self._replace(worker)

    def _listen(self, worker: _Worker) -> RetinagradeError | None:
        """Takes one message of a worker; returns the reason why it couldn't start."""
        try:
            message = worker.told.recv()
        except (EOFError, OSError):  # it is dying
            return None
        if message is None:
            worker.is_ready = True
            self._failures[worker.number] = 0
        elif isinstance(message, RetinagradeError):
            return message
        else:
            worker.answered, worker.metrics = message
        return None

    def _all_metrics(self) -> Snapshot:
        """Asks all workers for their metrics, and adds them up."""
        asked = [each for each in self._workers.values() if each.is_ready]
        for each in asked:
            each.asked += 1
            with suppress(OSError):
                each.told.send(each.asked)
        until = time.monotonic() + _ANSWER
        while waiting := [each for each in asked if each.answered < each.asked and each.process.is_alive()]:
            answers = wait([each.told for each in waiting], max(0.0, until - time.monotonic()))
            if not answers:
                break
            for each in waiting:
                if each.told in answers:
                    self._listen(each)
        return add_up([self._ended, *(each.metrics for each in asked)])

    def _replace(self, worker: _Worker) -> None:
        """Plans the start of a worker in the place of one that has died."""
        log_event("worker died", worker=worker.number, code=worker.process.exitcode)
        self._ended = add_up([self._ended, retired(worker.metrics)])
        failures = self._failures[worker.number]
        self._failures[worker.number] += 1
        pause = 0.0 if failures == 0 else min(_LONGEST_PAUSE, 2.0**failures)
        self._due[worker.number] = time.monotonic() + pause
        del self._workers[worker.number]
        self._close(worker)

    def _stop(self) -> None:
        """Lets all workers finish their requests; they give up themselves those that take too long."""
        for each in self._workers.values():
            each.asks.close()
            if each.process.is_alive():
                each.process.terminate()
        for each in self._workers.values():
            each.process.join()
            each.told.close()

    @staticmethod
    def _close(worker: _Worker) -> None:
        worker.process.join()
        worker.told.close()
        worker.asks.close()

"""Work in parallel processes that survives an item which kills its process.

Each worker has a pipe of its own. A pool with a shared queue can't survive everything: a worker that is killed while it
sends a result leaves half a message in the queue and keeps its lock (``docs/decisions/0001-process-pool.md``).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from typing import Any, Final

from retinagrade.execution.engine import WorkItem, WorkResult
from retinagrade.execution.worker import ERROR, READY, start_worker

_AHEAD: Final = 4
"""Items that a worker has at a time: the one at work, and those that wait in its pipe."""
_WAITING_BYTES: Final = 4096
"""Size up to which an item may wait in a pipe, where it must fit however long the worker takes to read it."""
_FAILED_STARTS: Final = 3
"""Workers that may die before they are ready, in a row, until no more are started."""


def processors() -> int:
    """Returns the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_unordered(
    work: Callable[[WorkItem], WorkResult],
    items: Iterable[WorkItem],
    workers: int | None,
    crashed: Callable[[WorkItem], WorkResult],
) -> Iterator[WorkResult]:
    """Applies a function to items in processes; results come as they are ready.

    When a process dies, the items that it had not begun go to the other processes. The one item that it was working on
    is tried once more at the end, alone, with all of the machine's memory.

    Args:
        work: A picklable function. Its exceptions end the iteration.
        items: The items. Each process takes a few of them ahead, so memory stays bounded.
        workers: Number of processes; by default one for each processor, and never more than items. With 1, this process
            does the work, and an item that kills it ends everything.
        crashed: Makes the result of an item that has killed its process twice.

    Yields:
        One result for each item.

    Raises:
        RuntimeError: Processes can't start.
    """
    workers = workers or processors()
    if isinstance(items, Sized):
        workers = max(1, min(workers, len(items)))
    if workers == 1:
        yield from map(work, items)
        return
    suspects: list[WorkItem] = []
    yield from _stream(work, items, workers, suspects)
    for item in suspects:
        lost: list[WorkItem] = []
        yield from _stream(work, [item], 1, lost)
        yield from map(crashed, lost)


def _stream(
    work: Callable[[WorkItem], WorkResult], items: Iterable[WorkItem], workers: int, killers: list[WorkItem]
) -> Iterator[WorkResult]:
    """Yields the results of all items but those that kill their process, which are appended to ``killers``."""
    queue, returned, failed_starts = iter(items), deque[WorkItem](), 0
    team = [_Worker(work) for _ in range(workers)]
    try:
        while True:
            for worker in team:
                worker.take(returned, queue)
            by_connection = {worker.connection: worker for worker in team if worker.items}
            if not by_connection:
                return
            for connection in wait(list(by_connection)):
                worker = by_connection[connection]  # type: ignore[index]
                try:
                    kind, value = worker.connection.recv()
                except (EOFError, OSError):
                    failed_starts = 0 if worker.is_ready else failed_starts + 1
                    if failed_starts == _FAILED_STARTS:
                        raise RuntimeError(
                            "worker processes can't start: a script that calls this needs `if __name__ == '__main__':`"
                        ) from None
                    if worker.is_ready:
                        killers.append(worker.items.popleft())
                    returned.extend(worker.items)
                    worker.stop()
                    team[team.index(worker)] = _Worker(work)
                    continue
                if kind == READY:
                    worker.is_ready = True
                    continue
                worker.items.popleft()
                if kind == ERROR:
                    raise value
                yield value
    finally:
        for worker in team:
            worker.stop()


class _Worker:
    """A process and the items that it has.

    Attributes:
        connection: This end of the pipe to the process.
        items: Items that were sent and have no result yet, the oldest first: the process is working on this one.
        is_ready: True when the process has started.
    """

    def __init__(self, work: Callable[[Any], Any]) -> None:
        """Starts a process. Args: ``work``, the function that it applies."""
        self._process, self.connection = start_worker(work)
        self.items: deque[Any] = deque()
        self.is_ready = False

    def take(self, returned: deque[Any], queue: Iterator[Any]) -> None:
        """Sends the next items to the process: one, and more where they are small."""
        while len(self.items) < _AHEAD:
            try:
                item = returned.popleft() if returned else next(queue)
            except StopIteration:
                return
            message = ForkingPickler.dumps(item)
            if self.items and len(message) > _WAITING_BYTES:
                returned.appendleft(item)
                return
            self.items.append(item)
            with suppress(OSError):  # the process has died, as reading from it will show
                self.connection.send_bytes(message)

    def stop(self) -> None:
        """Lets the process finish the item that it is working on, and end."""
        self.connection.close()
        self._process.join()

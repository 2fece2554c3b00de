"""Work in parallel processes that survives a file which kills its process."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from queue import SimpleQueue

import cv2

from retinagrade.execution.engine import WorkItem, WorkResult

_AHEAD = 4


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_unordered(
    work: Callable[[WorkItem], WorkResult],
    items: Iterable[WorkItem],
    workers: int | None,
    crashed: Callable[[WorkItem], WorkResult],
) -> Iterator[WorkResult]:
    """Applies a function to items in processes; results come as they are ready.

    When a process dies, the items that were under way are tried again one by one, each in a process of its own, so
    that the one item that kills its process costs nobody else.

    Args:
        work: A picklable function. Its exceptions end the iteration.
        items: What to work on; a few items a process are taken ahead, so memory stays bounded.
        workers: Processes, by default one a processor, and never more than items; 1 works in this one, where nothing
            can be isolated.
        crashed: What stands in for the result of an item that killed its process.

    Yields:
        One result an item.

    Raises:
        RuntimeError: Processes can't start at all.
    """
    workers = workers or processors()
    if isinstance(items, Sized):
        workers = max(1, min(workers, len(items)))
    if workers == 1:
        yield from map(work, items)
        return
    queue = iter(items)
    while True:
        waiting: dict[Future[WorkResult], WorkItem] = {}
        ready: SimpleQueue[Future[WorkResult]] = SimpleQueue()
        refused: list[WorkItem] = []
        try:
            with _pool(workers) as pool:
                while True:
                    for item in islice(queue, workers * _AHEAD - len(waiting)):
                        refused.append(item)  # until the pool has taken it: a broken one does not
                        future = pool.submit(work, item)
                        waiting[future] = refused.pop()
                        future.add_done_callback(ready.put)
                    if not waiting:
                        return
                    future = ready.get()
                    result = future.result()
                    del waiting[future]
                    yield result
        except BrokenProcessPool:
            _require_processes()
            yield from _one_by_one(work, [*waiting.values(), *refused], crashed)


def _require_processes() -> None:
    """Tells a file that kills its process from a program in which no process can start."""
    try:
        with _pool(1) as pool:
            pool.submit(processors).result()
    except BrokenProcessPool:
        raise RuntimeError(
            "worker processes can't start: a script that calls this needs `if __name__ == '__main__':`"
        ) from None


def _one_by_one(
    work: Callable[[WorkItem], WorkResult], items: Iterable[WorkItem], crashed: Callable[[WorkItem], WorkResult]
) -> Iterator[WorkResult]:
    """Applies ``work`` to one item at a time, in a process that is replaced when an item has killed it."""
    pending = deque(items)
    while pending:
        future = None
        try:
            with _pool(1) as pool:
                while pending:
                    future = None
                    future = pool.submit(work, pending[0])  # fails where the process died between two items
                    result = future.result()
                    pending.popleft()
                    yield result
        except BrokenProcessPool:
            if future is not None:
                yield crashed(pending.popleft())


def _pool(workers: int) -> ProcessPoolExecutor:
    # Never fork: OpenCV's and a framework's threads don't survive it.
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,))

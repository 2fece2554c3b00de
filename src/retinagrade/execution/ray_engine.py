"""Ray in the place of processes: the same functions on the same items, on this machine or on a cluster.

Ray tasks of a few items each, with few under way; not Ray Data. There, a file that kills its worker is tried again for
ever, or, with a limit, takes the items of its block with it and nobody learns which ones (measured with Ray 2.60).
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

import cv2
import ray
from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayTaskError, WorkerCrashedError

from retinagrade.errors import UsageError
from retinagrade.execution.engine import WorkItem, WorkResult
from retinagrade.execution.local import processors
from retinagrade.paths import is_local
from retinagrade.provenance import installed_versions

_AHEAD: Final = 4
"""Tasks under way, for each processor."""
_TOGETHER: Final = 8
"""Items in a task, where there are many: giving out a task takes the time of some small photographs."""
_CRASHES: Final = 2
"""Times that an item may kill its worker until it is given up: once could be somebody else's doing."""
_LOSSES: Final = 5
"""Nodes that may be lost under an item until it is given up; it may be what kills them."""
_STORE: Final = 100 << 20
"""Bytes of the object store of a Ray of one's own: next to nothing goes through it."""
_RECHECK: Final = 5.0
"""Seconds after which the cluster's size is asked for again: nodes come and go."""
_PATIENCE: Final = 10.0
"""Seconds in which a cluster's address has to answer."""
_SAME: Final = ("retinagrade", "numpy", "opencv-python-headless", "simplejpeg")
"""Packages that decide a result's bytes."""


@dataclass(frozen=True)
class RayEngine:
    """Where work runs: a :class:`~retinagrade.execution.engine.Engine`.

    A killed worker's and a lost node's items are given to others. A Ray that is connected already is used and left as
    it is.

    Attributes:
        address: ``auto`` or ``HOST:PORT`` from a machine of the cluster, ``ray://HOST:10001`` from outside; ``None``
            for the one that the environment names (``RAY_ADDRESS``), or else a Ray of one's own on this machine.
        folders: What every worker must reach: local paths, which must be shared folders with the same names on all
            machines. URLs may be among them.
    """

    address: str | None = None
    folders: tuple[Path, ...] = ()

    def __call__(
        self,
        work: Callable[[WorkItem], WorkResult],
        items: Iterable[WorkItem],
        workers: int | None,
        crashed: Callable[[WorkItem], WorkResult],
    ) -> Iterator[WorkResult]:
        """Applies a function to items; results come as they are ready.

        Args:
            work: A picklable function of a module. Its exceptions end the iteration.
            items: What to work on; a few for each processor are taken ahead, so memory stays bounded.
            workers: Tasks at once; by default one a processor of the cluster. More than that is for work that waits
                for a network.
            crashed: What stands in for the result of an item that killed its worker twice.

        Yields:
            One result an item.

        Raises:
            UsageError: No such cluster, or one of its machines has other versions or doesn't see a folder.
        """
        shared = tuple(folder for folder in self.folders if is_local(folder))
        home = Path.cwd() if shared else None
        job = _Job(work, home, shared, tuple(sorted(_versions().items())))
        with _connected(self.address, workers) as at_once:
            yield from _stream(job, items, at_once, crashed)


@dataclass(frozen=True)
class _Job:
    work: Callable[[Any], Any]
    home: Path | None
    shared: tuple[Path, ...]
    versions: tuple[tuple[str, str], ...]


@dataclass
class _Attempt:
    items: list[Any]
    crashes: int = 0
    losses: int = 0


@contextmanager
def _connected(address: str | None, workers: int | None) -> Iterator[int | None]:
    """Connects to Ray, or starts one; yields how many items are wanted at once, or ``None`` for all that it can do."""
    if ray.is_initialized():
        yield workers
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers of every run
    where = address or os.environ.get("RAY_ADDRESS") or "local"
    own: dict[str, Any] = {}
    if where == "local":
        own = {"num_cpus": workers or processors(), "object_store_memory": _STORE, "include_dashboard": False}
    try:
        if ":" in where:  # Ray would knock for minutes where nobody answers
            host, _, port = where.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
        ray.init(where, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"no Ray at {where} ({error}): start it with `ray start --head`, or leave the address out"
        ) from error
    try:
        yield None if own else workers
    finally:
        ray.shutdown()


def _stream(
    job: _Job, items: Iterable[WorkItem], at_once: int | None, crashed: Callable[[WorkItem], WorkResult]
) -> Iterator[WorkResult]:
    queue = iter(items)
    again: deque[_Attempt] = deque()
    waiting: dict[ray.ObjectRef[Any], _Attempt] = {}
    task, room, together, asked = None, 0, 1, -_RECHECK
    try:
        while True:
            if time.monotonic() - asked >= _RECHECK:
                cpus = float(ray.cluster_resources().get("CPU", 1.0))  # type: ignore[no-untyped-call]
                room = at_once or round(_AHEAD * cpus)
                share = min(1.0, cpus / at_once) if at_once else 1.0
                # Ray's own retries know no difference between a lost node and a file that kills its worker.
                task, asked = ray.remote(max_retries=0, num_cpus=share)(_apply), time.monotonic()
                together = max(1, min(_TOGETHER, len(items) // room)) if isinstance(items, Sized) else 1
            assert task is not None
            while len(waiting) < room:
                attempt = again.popleft() if again else _Attempt(list(islice(queue, together)))
                if not attempt.items:
                    break
                waiting[task.remote(job, attempt.items)] = attempt
            if not waiting:
                return
            ray.wait(list(waiting), num_returns=1, timeout=_RECHECK)
            for ref in ray.wait(list(waiting), num_returns=len(waiting), timeout=0)[0]:
                attempt = waiting.pop(ref)
                try:
                    yield from ray.get(ref)
                    continue
                except (WorkerCrashedError, OutOfMemoryError):
                    attempt.crashes += 1
                except (NodeDiedError, ObjectLostError):
                    attempt.losses += 1
                except RayTaskError as error:
                    raise (error.cause or error) from None
                if attempt.crashes < _CRASHES and attempt.losses < _LOSSES:
                    # One by one, so that an item that kills its worker costs nobody else.
                    again.extend(_Attempt([item], attempt.crashes, attempt.losses) for item in attempt.items)
                else:
                    yield from map(crashed, attempt.items)
    finally:
        for ref in waiting:
            ray.cancel(ref, force=True)


def _apply(job: _Job, items: list[Any]) -> list[Any]:
    """What a worker does with a task's items."""
    _settle(job.home, job.shared, job.versions)
    return [job.work(item) for item in items]


@lru_cache(maxsize=1)
def _settle(home: Path | None, shared: tuple[Path, ...], wanted: tuple[tuple[str, str], ...]) -> None:
    """Makes a worker one of the job's, once: the same versions, the same folders, the same names of files in errors."""
    if other := dict(_versions().items() - dict(wanted).items()):
        raise UsageError(f"{socket.gethostname()} has {other}, not {dict(wanted)}: install the same on all machines")
    for folder in shared:
        if home is not None and not (home / folder).exists():
            raise UsageError(
                f"{socket.gethostname()} doesn't see {home / folder}: share the folder under this name, or use a URL"
            )
    if home is not None:
        os.chdir(home)
    cv2.setNumThreads(1)


def _versions() -> dict[str, str]:
    return {name: number for name, number in installed_versions().items() if name in _SAME}

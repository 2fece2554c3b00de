"""The engine that runs work on Ray, on this machine or on a cluster.

It uses Ray tasks of a few items each, not Ray Data. Ray Data tries a file that kills its worker again without end, or,
with a limit, loses all items of its block without naming them (measured with Ray 2.60).
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import tempfile
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
from ray._private import ray_constants
from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayTaskError, WorkerCrashedError

from retinagrade.errors import UsageError
from retinagrade.execution.engine import WorkItem, WorkResult
from retinagrade.execution.local import processors
from retinagrade.provenance import installed_versions
from retinagrade.storage.paths import is_local

_AHEAD: Final = 4
"""Tasks for each processor that are handed out at a time."""
_TASK_ITEMS: Final = 8
"""Items in a task, where there are many: to hand out a task takes as long as some small photographs."""
_MAX_CRASHES: Final = 2
"""Workers that an item may kill until it is given up: the first kill may have another cause."""
_MAX_LOSSES: Final = 5
"""Nodes that may be lost while they work on an item until it is given up: the item may be the cause."""
_STORE_BYTES: Final = 100 << 20
"""Bytes of the object store of a Ray that the engine starts: it holds only small results."""
_RECHECK_SECONDS: Final = 5.0
"""Seconds after which the cluster's size is read again: nodes come and go."""
_ANSWER_SECONDS: Final = 10.0
"""Seconds within which a cluster's address must answer."""
_USER_HOME: Final = "RETINAGRADE_USER_HOME"
"""Environment variable that names the user's home folder to the workers of a Ray that the engine starts."""
_COMPARED_PACKAGES: Final = ("retinagrade", "numpy", "opencv-python-headless", "simplejpeg")
"""Packages whose versions can change the bytes of a result."""


@dataclass(frozen=True)
class RayEngine:
    """An :class:`~retinagrade.execution.engine.Engine` on Ray.

    Items of killed workers and lost nodes go to other workers. If this process is connected to Ray already, the engine
    uses this connection and keeps it open.

    Attributes:
        address: ``auto`` or ``HOST:PORT`` from a machine of the cluster, ``ray://HOST:10001`` from outside. ``None``
            connects to the address in ``RAY_ADDRESS``, or else starts Ray on this machine.
        folders: Folders and URLs that all workers must reach. Local folders must be shared, with the same path on all
            machines.
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
            items: The items. A few for each processor are taken ahead, so memory stays bounded.
            workers: Number of simultaneous tasks; by default one for each processor of the cluster. More are useful
                where work waits for a network.
            crashed: Makes the result of an item that has killed its worker twice.

        Yields:
            One result for each item.

        Raises:
            UsageError: The cluster doesn't answer, or a machine has different versions or can't reach a folder.
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
    """Connects to Ray or starts it. Yields the number of simultaneous tasks; ``None`` for as many as fit."""
    if ray.is_initialized():
        yield workers
        return
    target = address or os.environ.get("RAY_ADDRESS") or "local"
    if target == "local":
        with _private_ray(workers or processors()):
            yield None
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report each run to its makers
    try:
        if ":" in target:  # Ray would try an address without a cluster for minutes
            host, _, port = target.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
        ray.init(target, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"no Ray at {target} ({error}): start it with `ray start --head`, or leave the address out"
        ) from error
    try:
        yield workers
    finally:
        ray.shutdown()


@contextmanager
def _private_ray(processes: int) -> Iterator[None]:
    """Runs Ray on this machine while the block lasts: on loopback, with a token, and within a temporary folder.

    Without these settings, Ray listens on all interfaces, writes its token into the home folder, leaves its logs, and
    asks addresses of clouds where it runs. Its processes find an empty configuration in a home folder of their own.
    """
    # Ray's sockets lie in the folder, and the system allows about 100 characters for their paths.
    short = min((tempfile.gettempdir(), "/tmp"), key=lambda folder: (not Path(folder).is_dir(), len(folder)))
    with tempfile.TemporaryDirectory(prefix="ray-", dir=short, ignore_cleanup_errors=True) as folder:
        (Path(folder) / "ray_bootstrap_config.yaml").write_text("{}\n", encoding="utf-8")
        settings = {
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's name for "not only on loopback", on every system
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_TOKEN": _token(),
        }
        on_other_interfaces = ray_constants.ENABLE_RAY_CLUSTER
        ray_constants.ENABLE_RAY_CLUSTER = False  # Ray has read the variable when it was imported
        try:
            with _environment(settings):
                with _environment({"HOME": folder, _USER_HOME: str(Path.home())}):
                    ray.init(
                        "local",
                        num_cpus=processes,
                        object_store_memory=_STORE_BYTES,
                        include_dashboard=False,
                        log_to_driver=False,
                        logging_level=logging.ERROR,
                        _temp_dir=folder,
                    )
                try:
                    yield
                finally:
                    ray.shutdown()
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = on_other_interfaces


@lru_cache(maxsize=1)
def _token() -> str:
    """Returns the token of each Ray that this process starts: Ray reads it once."""
    return secrets.token_hex(32)


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """Sets environment variables while the block lasts."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _stream(
    job: _Job, items: Iterable[WorkItem], at_once: int | None, crashed: Callable[[WorkItem], WorkResult]
) -> Iterator[WorkResult]:
    queue = iter(items)
    again: deque[_Attempt] = deque()
    waiting: dict[ray.ObjectRef[Any], _Attempt] = {}
    task, room, task_items, checked = None, 0, 1, -_RECHECK_SECONDS
    try:
        while True:
            if time.monotonic() - checked >= _RECHECK_SECONDS:
                cpus = float(ray.cluster_resources().get("CPU", 1.0))  # type: ignore[no-untyped-call]
                room = at_once or round(_AHEAD * cpus)
                share = min(1.0, cpus / at_once) if at_once else 1.0
                # Ray's own retries don't distinguish a lost node from a file that kills its worker.
                task, checked = ray.remote(max_retries=0, num_cpus=share)(_apply), time.monotonic()
                task_items = max(1, min(_TASK_ITEMS, len(items) // room)) if isinstance(items, Sized) else 1
            assert task is not None
            while len(waiting) < room:
                attempt = again.popleft() if again else _Attempt(list(islice(queue, task_items)))
                if not attempt.items:
                    break
                waiting[task.remote(job, attempt.items)] = attempt
            if not waiting:
                return
            ray.wait(list(waiting), num_returns=1, timeout=_RECHECK_SECONDS)
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
                if attempt.crashes < _MAX_CRASHES and attempt.losses < _MAX_LOSSES:
                    # One item in each task, so that an item that kills its worker costs no other item.
                    again.extend(_Attempt([item], attempt.crashes, attempt.losses) for item in attempt.items)
                else:
                    yield from map(crashed, attempt.items)
    finally:
        for ref in waiting:
            ray.cancel(ref, force=True)


def _apply(job: _Job, items: list[Any]) -> list[Any]:
    """Applies the function to the items of a task, in a worker."""
    _set_up_worker(job.home, job.shared, job.versions)
    return [job.work(item) for item in items]


@lru_cache(maxsize=1)
def _set_up_worker(home: Path | None, shared: tuple[Path, ...], wanted: tuple[tuple[str, str], ...]) -> None:
    """Prepares a worker for a job, once: compares versions, looks for folders, and changes to the same folder."""
    if different := dict(_versions().items() - dict(wanted).items()):
        raise UsageError(
            f"{socket.gethostname()} has {different}, not {dict(wanted)}: install the same on all machines"
        )
    for folder in shared:
        if home is not None and not (home / folder).exists():
            raise UsageError(
                f"{socket.gethostname()} can't find {home / folder}: share the folder under this path, or use a URL"
            )
    if home is not None:
        os.chdir(home)
    if (user_home := os.environ.get(_USER_HOME)) is not None:
        os.environ["HOME"] = user_home  # credentials of object stores lie there
    cv2.setNumThreads(1)


def _versions() -> dict[str, str]:
    return {name: number for name, number in installed_versions().items() if name in _COMPARED_PACKAGES}

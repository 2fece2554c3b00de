"""Engines, which apply a function to many items in parallel, and their choice by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from retinagrade.errors import UsageError

WorkItem = TypeVar("WorkItem")
WorkResult = TypeVar("WorkResult")
EngineName = Literal["local", "ray"]


class Engine(Protocol):
    """A way to apply a function to many items: in processes of this machine, or on Ray.

    Each engine gives one result for each item, whatever happens to a worker, and takes few items ahead. An item that
    kills its worker is tried once more, and costs no other item its result.
    """

    def __call__(
        self,
        work: Callable[[WorkItem], WorkResult],
        items: Iterable[WorkItem],
        workers: int | None,
        crashed: Callable[[WorkItem], WorkResult],
    ) -> Iterator[WorkResult]:
        """Applies ``work`` to ``items``; see :func:`~retinagrade.execution.local.map_unordered`."""
        ...


def choose_engine(engine: EngineName | Engine, folders: Sequence[Path] = (), address: str | None = None) -> Engine:
    """Returns an engine by its name, or the given engine unchanged.

    Args:
        engine: ``local``, ``ray``, or an engine.
        folders: Local folders and URLs that workers read and write; Ray checks that all machines reach them.
        address: Address of a Ray cluster: ``auto``, ``HOST:PORT`` or ``ray://HOST:10001``.

    Raises:
        UsageError: An unknown name, or an address without Ray.
        ModuleNotFoundError: Ray isn't installed.
    """
    if engine == "ray":
        from retinagrade.execution.ray_engine import RayEngine

        return RayEngine(address, tuple(folders))
    if address is not None:
        raise UsageError("an address needs Ray: choose the engine ray (--engine ray)")
    if engine == "local":
        from retinagrade.execution.local import map_unordered

        return map_unordered
    if isinstance(engine, str):
        raise UsageError(f"unknown engine {engine!r}: choose local or ray")
    return engine

"""An engine is chosen by name, or passed as an object."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from retinagrade.errors import UsageError
from retinagrade.execution.engine import WorkItem, WorkResult, choose_engine
from retinagrade.execution.local import map_unordered
from retinagrade.execution.ray_engine import RayEngine


def engine_of_ours(
    work: Callable[[WorkItem], WorkResult],
    items: Iterable[WorkItem],
    workers: int | None,
    crashed: Callable[[WorkItem], WorkResult],
) -> Iterator[WorkResult]:
    yield from map(work, items)


def test_names() -> None:
    folders = [Path("source"), Path("prepared")]
    assert choose_engine("local", folders) is map_unordered
    assert choose_engine("ray", folders) == RayEngine(None, tuple(folders))
    assert choose_engine("ray", folders, "ray://head:10001") == RayEngine("ray://head:10001", tuple(folders))


def test_an_engine_is_returned_unchanged() -> None:
    assert choose_engine(engine_of_ours) is engine_of_ours
    engine = RayEngine("auto")
    assert choose_engine(engine, [Path("source")]) is engine


def test_mistakes_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="unknown engine 'dask': choose local or ray"):
        choose_engine("dask")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="choose the engine ray"):
        choose_engine("local", address="auto")
    with pytest.raises(UsageError, match="choose the engine ray"):
        choose_engine(engine_of_ours, address="auto")

"""Grading on an engine: batches go to workers, which grade them exactly as one machine does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial

from retinagrade.execution.engine import Engine
from retinagrade.gate.settings import GateSettings
from retinagrade.grader.make_grading import failed_grading
from retinagrade.grader.runtime import BATCH, GradedPhotograph, Grader

NamedPath = tuple[str, str]
"""Id and path of a photograph."""


def grade_on_engine(
    photographs: Iterable[str],
    image_ids: Iterable[str],
    *,
    engine: Engine,
    workers: int | None,
    model: str | os.PathLike[str],
    fast: bool,
    saliency: bool,
    gate: GateSettings,
) -> Iterator[GradedPhotograph]:
    """Grades photographs like :meth:`~retinagrade.grader.runtime.Grader.stream`, on an engine and in any order.

    Args:
        photographs: Paths or URLs.
        image_ids: Ids of the photographs.
        engine: Engine to grade on.
        workers: Batches that are graded at once; by default, the engine decides.
        model: The grader file; every worker must reach it.
        fast: See :meth:`~retinagrade.grader.runtime.Grader.load`.
        saliency: Return the inputs of the network and the saliency maps as well.
        gate: Cut points of the gate.

    Yields:
        One result per photograph, equal to that of :meth:`~retinagrade.grader.runtime.Grader.stream`, whose last bits
        depend on the batch. If a photograph kills its worker, the photographs of its batch are graded one by one.
    """
    named = list(zip(image_ids, photographs, strict=True))
    load = partial(_load_once, os.fspath(model), fast, gate.model_dump_json())
    work = partial(_grade_batch, load=load, saliency=saliency)
    alone: list[list[NamedPath]] = []
    batches = [named[start : start + BATCH] for start in range(0, len(named), BATCH)]
    for graded, lost in engine(work, batches, workers, _lose_batch):
        alone.extend([each] for each in lost)
        yield from graded
    for graded, lost in engine(work, alone, workers, _lose_batch) if alone else ():
        yield from graded
        for image_id, path in lost:
            error = f"{path}: decoding it killed the process"
            yield GradedPhotograph(failed_grading(image_id, path, error, load().metadata))


def _grade_batch(
    batch: list[NamedPath], load: Callable[[], Grader], saliency: bool
) -> tuple[list[GradedPhotograph], list[NamedPath]]:
    """Grades a batch in a worker; returns its results, and no lost photographs."""
    results = load().stream([path for _, path in batch], [image_id for image_id, _ in batch])
    return [each if saliency else GradedPhotograph(each.grading) for each in results], []


def _lose_batch(batch: list[NamedPath]) -> tuple[list[GradedPhotograph], list[NamedPath]]:
    """Stands in for the result of a batch that killed its worker."""
    return [], batch


@lru_cache(maxsize=1)
def _load_once(model: str, fast: bool, gate: str) -> Grader:
    return Grader.load(model, fast).with_gate(GateSettings.model_validate_json(gate))

"""Grading on other machines: batch by batch, as one machine does it, so that figures are equal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path

from retinagrade.execution.engine import Engine
from retinagrade.grader.results import Grading, model_name
from retinagrade.grader.runtime import BATCH, GradedPhotograph, Grader

Named = tuple[str, str]
"""A photograph's id and path."""


def grade_on_engine(
    engine: Engine,
    workers: int | None,
    model: Path,
    fast: bool,
    saliency: bool,
    photographs: Iterable[str],
    image_ids: Iterable[str],
) -> Iterator[GradedPhotograph]:
    """Like :meth:`~retinagrade.grader.runtime.Grader.stream`, in no order, where the engine says.

    Args:
        engine: Where to grade.
        workers: Batches at once.
        model: The grader file, which every worker must reach.
        fast: See :meth:`~retinagrade.grader.runtime.Grader.load`.
        saliency: Bring photographs and saliency back as well.
        photographs: Files; paths or URLs.
        image_ids: Their ids.

    Yields:
        One grading a photograph, with the figures of :meth:`~retinagrade.grader.runtime.Grader.stream`, which depend in
        the last bits on the batch: the photographs of a batch in which one kills its worker are graded one by one.
    """
    named = list(zip(image_ids, photographs, strict=True))
    work = partial(_grade, model=model, fast=fast, saliency=saliency)
    alone: list[list[Named]] = []
    batches = [named[start : start + BATCH] for start in range(0, len(named), BATCH)]
    for seen, lost in engine(work, batches, workers, _lost):
        alone.extend([each] for each in lost)
        yield from seen
    for seen, lost in engine(work, alone, workers, _lost) if alone else ():
        yield from seen
        for image_id, path in lost:
            error = f"{path}: decoding it killed the process"
            yield GradedPhotograph(
                Grading(image_id, path, error=error, model=model_name(_loaded(model, fast).metadata))
            )


def _grade(batch: list[Named], model: Path, fast: bool, saliency: bool) -> tuple[list[GradedPhotograph], list[Named]]:
    """What a worker does: gradings of a batch, and none that were lost."""
    seen = _loaded(model, fast).stream([path for _, path in batch], [image_id for image_id, _ in batch])
    return [one if saliency else GradedPhotograph(one.grading) for one in seen], []


def _lost(batch: list[Named]) -> tuple[list[GradedPhotograph], list[Named]]:
    return [], batch


@lru_cache(maxsize=1)
def _loaded(model: Path, fast: bool) -> Grader:
    return Grader.load(model, fast)

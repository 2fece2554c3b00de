"""The pipeline from photographs to results: several threads decode, and one thread grades batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from retinagrade.errors import ImageError
from retinagrade.execution.local import processors
from retinagrade.grader.eyes import identify_eye
from retinagrade.grader.results import Grading, model_name
from retinagrade.grader.runtime import BATCH, GradedPhotograph, Grader, PreparedPhotograph
from retinagrade.images.decoding import InMemory
from retinagrade.images.read import photograph_size
from retinagrade.service.batching import Batcher
from retinagrade.service.metrics import ServiceMetrics
from retinagrade.service.schemas import PhotographResult, encode_pictures

PATIENCE: Final = 0.004
"""Seconds that the first photograph of a batch waits for more."""
_AHEAD: Final = 2
"""Batches that are decoded ahead; the number bounds memory."""
Result = TypeVar("Result")


class TooManyPixelsError(ImageError):
    """A photograph is larger than the service decodes."""


class Pipeline:
    """Grades the photographs of many requests together, in bounded memory. Use it in one event loop."""

    def __init__(self, grader: Grader, max_megapixels: float, metrics: ServiceMetrics) -> None:
        """Creates a pipeline; :meth:`start` starts it.

        Args:
            grader: The grader.
            max_megapixels: Largest size of a photograph, in millions of pixels.
            metrics: Metrics to count photographs and batches in.
        """
        self._grader, self._max_megapixels, self._metrics = grader, max_megapixels, metrics
        self._decoders = ThreadPoolExecutor(processors(), "decode")
        self._network = ThreadPoolExecutor(1, "network")
        self._room = asyncio.Semaphore(processors() + (1 + _AHEAD) * BATCH)
        self._batcher = Batcher[PreparedPhotograph, GradedPhotograph](self._grade_batch, BATCH, PATIENCE)

    def start(self) -> None:
        """Starts to accept photographs."""
        self._batcher.start()

    async def stop(self) -> None:
        """Finishes the accepted photographs and ends the threads."""
        await self._batcher.stop()
        self._decoders.shutdown()
        self._network.shutdown()

    async def grade(self, files: Sequence[InMemory], wants_pictures: bool) -> list[PhotographResult | ImageError]:
        """Grades photographs.

        Args:
            files: The photographs.
            wants_pictures: True to add pictures to the results.

        Returns:
            One result per photograph, in their order; an error for an unusable one.
        """
        return await asyncio.gather(*(self._grade(file, wants_pictures) for file in files))

    def error_entry(self, file: InMemory, error: ImageError) -> PhotographResult:
        """Makes the entry of an unusable photograph."""
        eye, model = identify_eye(file), model_name(self._grader.metadata)
        grading = Grading(file.stem, file.name, eye.study, eye.laterality, model=model, error=str(error))
        return PhotographResult(grading=grading)

    async def _grade(self, file: InMemory, wants_pictures: bool) -> PhotographResult | ImageError:
        async with self._room:
            try:
                prepared = await _run_in(self._decoders, lambda: self._prepare(file))
            except ImageError as error:
                self._metrics.photographs.labels("refused").inc()
                return error
            graded = await self._batcher(prepared)
        self._metrics.photographs.labels("graded" if graded.grading.gradable else "ungradable").inc()
        pictures = await _run_in(self._decoders, lambda: encode_pictures(graded)) if wants_pictures else None
        return PhotographResult(grading=graded.grading, pictures=pictures)

    def _prepare(self, file: InMemory) -> PreparedPhotograph:
        try:
            width, height = photograph_size(file)
        except (ImageError, ModuleNotFoundError):  # preparing it raises a better error
            width = height = 0
        if width * height > self._max_megapixels * 1e6:
            raise TooManyPixelsError(
                f"{file}: {width} × {height} pixels exceed the service's limit of {self._max_megapixels:g} megapixels: "
                "shrink the photograph"
            )
        prepared = self._grader.prepare(file, file.stem)
        if prepared.error is not None:
            raise ImageError(prepared.error)
        return prepared

    async def _grade_batch(self, batch: Sequence[PreparedPhotograph]) -> list[GradedPhotograph]:
        self._metrics.batch.observe(len(batch))
        with self._metrics.network.time():
            return await _run_in(self._network, lambda: list(self._grader.grade_prepared(batch)))


async def _run_in(threads: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
    return await asyncio.get_running_loop().run_in_executor(threads, work)

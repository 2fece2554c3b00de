"""From photographs to answers: decoded by some threads, judged in batches by one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from retinagrade.errors import ImageError
from retinagrade.execution.local import processors
from retinagrade.grader.eyes import identify_eye
from retinagrade.grader.results import Grading, model_name
from retinagrade.grader.runtime import BATCH, GradedPhotograph, Grader, OpenedPhotograph
from retinagrade.images.decoding import InMemory
from retinagrade.images.read import photograph_size
from retinagrade.service.batching import Batcher
from retinagrade.service.metrics import ServiceMetrics
from retinagrade.service.schemas import PhotographResult, encode_pictures

PATIENCE: Final = 0.004
"""Seconds that the first photograph of a batch waits for others."""
_AHEAD: Final = 2
"""Batches that are decoded ahead, which bounds memory."""
Result = TypeVar("Result")


class TooManyPixelsError(ImageError):
    """A photograph is larger than the service decodes."""


class Pipeline:
    """Grades photographs of many requests at once, in bounded memory: to be used in one event loop."""

    def __init__(self, grader: Grader, max_megapixels: float, metrics: ServiceMetrics) -> None:
        """Args: the ``grader``, the most pixels of a photograph, in millions, and where it is counted what is done."""
        self._grader, self._max_megapixels, self._metrics = grader, max_megapixels, metrics
        self._decoders = ThreadPoolExecutor(processors(), "decode")
        self._network = ThreadPoolExecutor(1, "network")
        self._room = asyncio.Semaphore(processors() + (1 + _AHEAD) * BATCH)
        self._batcher = Batcher[OpenedPhotograph, GradedPhotograph](self._judge, BATCH, PATIENCE)

    def start(self) -> None:
        """Starts to take photographs."""
        self._batcher.start()

    async def stop(self) -> None:
        """Finishes what it took."""
        await self._batcher.stop()
        self._decoders.shutdown()
        self._network.shutdown()

    async def grade(self, files: Sequence[InMemory], wants_pictures: bool) -> list[PhotographResult | ImageError]:
        """Grades photographs.

        Args:
            files: The photographs.
            wants_pictures: Whether answers should have pictures.

        Returns:
            One each, in their order; what is wrong with those that can't be used.
        """
        return await asyncio.gather(*(self._grade(file, wants_pictures) for file in files))

    def refused(self, file: InMemory, error: ImageError) -> PhotographResult:
        """The entry of a photograph that can't be used, among others that can."""
        eye, model = identify_eye(file), model_name(self._grader.metadata)
        given = Grading(file.stem, file.name, eye.study, eye.laterality, model=model, error=str(error))
        return PhotographResult(grading=given)

    async def _grade(self, file: InMemory, wants_pictures: bool) -> PhotographResult | ImageError:
        async with self._room:
            try:
                opened = await _in(self._decoders, lambda: self._open(file))
            except ImageError as error:
                self._metrics.photographs.labels("refused").inc()
                return error
            seen = await self._batcher(opened)
        self._metrics.photographs.labels("graded" if seen.grading.gradable else "not gradable").inc()
        drawn = await _in(self._decoders, lambda: encode_pictures(seen)) if wants_pictures else None
        return PhotographResult(grading=seen.grading, pictures=drawn)

    def _open(self, file: InMemory) -> OpenedPhotograph:
        try:
            width, height = photograph_size(file)
        except (ImageError, ModuleNotFoundError):  # opening it says so, too, and what to do
            width = height = 0
        if width * height > self._max_megapixels * 1e6:
            raise TooManyPixelsError(
                f"{file}: {width} × {height} pixels are more than the service's limit of {self._max_megapixels:g} "
                "megapixels: shrink it"
            )
        opened = self._grader.open(file, file.stem)
        if opened.error is not None:
            raise ImageError(opened.error)
        return opened

    async def _judge(self, opened: Sequence[OpenedPhotograph]) -> list[GradedPhotograph]:
        self._metrics.batch.observe(len(opened))
        with self._metrics.network.time():
            return await _in(self._network, lambda: list(self._grader.judge(opened)))


async def _in(threads: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
    return await asyncio.get_running_loop().run_in_executor(threads, work)

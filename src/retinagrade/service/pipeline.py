"""The pipeline from photographs to results: several processes decode, and one thread grades batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event
from typing import Final, TypeVar

from retinagrade.errors import ImageError
from retinagrade.execution.guarded import GuardedError
from retinagrade.execution.local import processors
from retinagrade.grader.eyes import UNKNOWN
from retinagrade.grader.make_grading import failed_grading
from retinagrade.grader.runtime import BATCH, Grader, PreparedPhotograph
from retinagrade.gradings.grading import Grading
from retinagrade.images.decoding import InMemory
from retinagrade.images.dicom import holds_dicom
from retinagrade.images.visit import UNKNOWN_VISIT, Visit
from retinagrade.service.batching import Batcher
from retinagrade.service.decoding import DecodedPhotograph, Decoder, WholePicture, start_decoder
from retinagrade.service.metrics import ServiceMetrics
from retinagrade.service.pictures import Drawing, Pictures, encode_pictures, make_drawing
from retinagrade.service.schemas import PhotographResult
from retinagrade.service.settings import ServiceSettings

PATIENCE: Final = 0.004
"""Seconds that the first photograph of a batch waits for more."""
_AHEAD: Final = 2
"""Batches that are decoded ahead; the number bounds memory."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class RefusedPhotograph:
    """A photograph without a result.

    Attributes:
        entry: Its entry, which states the reason.
        is_too_large: Whether it has more pixels than the service decodes.
        failure: The exception, where the service is to blame and not the photograph.
    """

    entry: PhotographResult
    is_too_large: bool = False
    failure: Exception | None = None


def _entry(file: InMemory, grading: Grading, visit: Visit, pictures: Pictures | None = None) -> PhotographResult:
    return PhotographResult(
        grading=grading,
        patient_id=visit.patient_id or (None if holds_dicom(file) else grading.study),
        examined_on=visit.examined_on,
        pictures=pictures,
    )


class TooLargeError(ImageError):
    """A photograph has more pixels than the service decodes."""


@dataclass(frozen=True)
class WaitingPhotograph:
    """A photograph that waits for the network.

    Attributes:
        prepared: The photograph.
        wants_pictures: Whether its request asked for pictures.
    """

    prepared: PreparedPhotograph
    wants_pictures: bool


class Pipeline:
    """Grades the photographs of many requests together, in bounded memory. Use it in one event loop.

    When a caller is cancelled, its photographs are dropped: those that wait at once, and those that are being decoded
    after a second.
    """

    def __init__(self, grader: Grader, settings: ServiceSettings, metrics: ServiceMetrics) -> None:
        """Creates a pipeline; :meth:`start` starts it.

        Args:
            grader: The grader.
            settings: Limits of the service.
            metrics: Metrics to count photographs and batches in.
        """
        self._grader, self._settings, self._metrics = grader, settings, metrics
        self._number = max(1, processors() // settings.workers)
        self._threads = ThreadPoolExecutor(self._number, "decode")
        self._decoders = SimpleQueue[Decoder]()
        self._network = ThreadPoolExecutor(1, "network")
        self._room = asyncio.Semaphore(self._number + (1 + _AHEAD) * BATCH)
        self._batcher = Batcher[WaitingPhotograph, Drawing | Exception](self._grade_batch, BATCH, PATIENCE)

    def start(self) -> None:
        """Starts to accept photographs."""
        for _ in range(self._number):
            self._decoders.put(start_decoder(self._grader.metadata, self._settings))
        self._batcher.start()

    async def stop(self) -> None:
        """Finishes the accepted photographs and ends threads and processes."""
        await self._batcher.stop()
        self._threads.shutdown()
        self._network.shutdown()
        while not self._decoders.empty():
            self._decoders.get().close()

    async def grade(
        self, files: Sequence[InMemory], wants_pictures: bool, counted: bool = True
    ) -> list[PhotographResult | RefusedPhotograph]:
        """Grades photographs.

        Args:
            files: The photographs.
            wants_pictures: True to add pictures to the results.
            counted: False for photographs that were graded before, which the metrics must not count twice.

        Returns:
            One result per photograph, in their order; no photograph affects another.
        """
        return await asyncio.gather(*(self._grade(file, wants_pictures, counted) for file in files))

    async def convert(self, file: InMemory) -> bytes:
        """Converts a whole photograph to JPEG, at its own resolution and upright.

        Raises:
            ImageError: The photograph can't be read.
            TooLargeError: The photograph has more pixels than the service decodes.
        """
        async with self._room:
            try:
                decoded = await self._decode(WholePicture(file))
            except GuardedError as error:
                raise ImageError(_undecodable(file, error)) from None
        if decoded.picture is None:
            kind = TooLargeError if decoded.is_too_large else ImageError
            raise kind(decoded.prepared.error)
        return decoded.picture

    async def run(self, work: Callable[[], Result]) -> Result:
        """Does some other work of a request in one of the threads that wait for decoders."""
        return await _run_in(self._threads, work)

    async def _grade(self, file: InMemory, wants_pictures: bool, counted: bool) -> PhotographResult | RefusedPhotograph:
        async with self._room:
            try:
                decoded = await self._decode(file)
                if decoded.prepared.error is not None:
                    return self._refuse(file, decoded.prepared, decoded.visit, is_too_large=decoded.is_too_large)
                graded = await self._batcher(WaitingPhotograph(decoded.prepared, wants_pictures))
                if isinstance(graded, Exception):
                    raise graded
                pictures = await _run_in(self._threads, lambda: encode_pictures(graded, decoded.size))
            except GuardedError as error:
                reason = _undecodable(file, error)
                return self._refuse(file, PreparedPhotograph(file.stem, file.name, UNKNOWN, error=reason))
            except Exception as error:  # a mistake of ours, which must not cost the other photographs their results
                reason = f"{file}: the service failed at this photograph; its log has the details"
                return self._refuse(
                    file, PreparedPhotograph(file.stem, file.name, UNKNOWN, error=reason), failure=error
                )
        if counted:
            self._metrics.count(graded.grading)
        return _entry(file, graded.grading, decoded.visit, pictures)

    def _refuse(
        self,
        file: InMemory,
        unusable: PreparedPhotograph,
        visit: Visit = UNKNOWN_VISIT,
        is_too_large: bool = False,
        failure: Exception | None = None,
    ) -> RefusedPhotograph:
        self._metrics.photographs.labels("refused").inc()
        grading = failed_grading(
            unusable.image_id,
            unusable.path,
            unusable.error,
            self._grader.metadata,
            unusable.eye,
            unusable.digest,
        )
        return RefusedPhotograph(_entry(file, grading, visit), is_too_large, failure)

    async def _decode(self, item: InMemory | WholePicture) -> DecodedPhotograph:
        gone = Event()

        def decode() -> DecodedPhotograph:
            decoder = self._decoders.get()  # there is one for each thread
            try:
                return decoder(item, lambda: not gone.is_set())
            finally:
                self._decoders.put(decoder)

        try:
            return await _run_in(self._threads, decode)
        except asyncio.CancelledError:
            gone.set()
            raise

    async def _grade_batch(self, batch: Sequence[WaitingPhotograph]) -> list[Drawing | Exception]:
        self._metrics.batch.observe(len(batch))
        with self._metrics.network.time():
            return await _run_in(self._network, lambda: _grade_each(self._grader, batch))


def _undecodable(file: InMemory, error: GuardedError) -> str:
    return f"{file}: can't be decoded: {error}: export the photograph again, as JPEG or PNG"


def _grade_each(grader: Grader, batch: Sequence[WaitingPhotograph]) -> list[Drawing | Exception]:
    """Grades a batch; where that fails, each photograph alone, and the exception stands for those that fail."""
    try:
        graded = grader.grade_prepared([each.prepared for each in batch])
        # One photograph after the other: its lesion maps are gone before those of the next are computed.
        return [make_drawing(each, waiting.wants_pictures) for each, waiting in zip(graded, batch, strict=True)]
    except Exception as error:
        if len(batch) == 1:
            return [error]
        return [result for photograph in batch for result in _grade_each(grader, [photograph])]


async def _run_in(threads: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
    return await asyncio.get_running_loop().run_in_executor(threads, work)

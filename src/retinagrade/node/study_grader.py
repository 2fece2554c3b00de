"""Grading of the studies in a queue, one after the other."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from pydicom import Dataset

from retinagrade.errors import ImageError
from retinagrade.execution.guarded import GuardedError
from retinagrade.grader.eyes import UNKNOWN
from retinagrade.grader.runtime import BATCH, GradedPhotograph, Grader, PreparedPhotograph
from retinagrade.images.decoding import InMemory
from retinagrade.node.policy import MOST_TRIES
from retinagrade.node.queue import Queue
from retinagrade.node.results import make_results
from retinagrade.node.rows import StoredPhotograph, StudyResult, WaitingStudy
from retinagrade.service.decoding import DecodedPhotograph

Decode = Callable[[InMemory], DecodedPhotograph]
"""A function that prepares a photograph, in a process of its own."""


class StudyGrader:
    """Grades studies, and puts their results into the queue. One thread may use it."""

    def __init__(self, queue: Queue, grader: Grader, decode: Decode, clock: Callable[[], float] = time.time) -> None:
        """Sets it up.

        Args:
            queue: The queue.
            grader: The grader.
            decode: Prepares a photograph; it may raise a GuardedError.
            clock: Returns the time, in seconds.
        """
        self._queue, self._grader, self._decode, self._clock = queue, grader, decode, clock

    def grade(self, study: WaitingStudy) -> list[GradedPhotograph]:
        """Grades a study with all its photographs, and queues its results.

        A photograph that can't be read goes to quarantine as well; the report names it as unreadable.

        Returns:
            The graded photographs.

        Raises:
            Exception: The study could not be graded. After the last try, its photographs go to quarantine.
        """
        photographs = self._queue.photographs(study.study)
        kept = [each for each in photographs if self._queue.path(each.file).exists()]  # old files are deleted
        self._queue.begin_study(study)
        try:
            graded = [*self._grade_photographs(study.study, kept)]
            results = make_results(study.study, graded, self._grader.metadata, self._predecessors(study.study))
            for each in graded:
                if each.grading.error is not None:
                    self._quarantine(self._find(kept, each.grading.image_id), each.grading.error)
            self._queue.finish_study(study, len(photographs), results, self._clock())
        except (OSError, sqlite3.OperationalError):  # the disk, not the study, is at fault
            self._queue.forget_try(study)
            raise
        except Exception as error:
            if study.tries + 1 >= MOST_TRIES:
                why = error if isinstance(error, ImageError) else type(error).__name__
                self.give_up(study, f"its study could not be graded ({why})")
            raise
        return graded

    def give_up(self, study: WaitingStudy, reason: str) -> None:
        """Puts the photographs of a study into quarantine, which stay in the study as well."""
        for photograph in self._queue.photographs(study.study):
            if self._queue.path(photograph.file).exists():
                self._quarantine(photograph, reason)

    def _grade_photographs(self, study: str, photographs: Sequence[StoredPhotograph]) -> Iterator[GradedPhotograph]:
        for start in range(0, len(photographs), BATCH):
            batch = [self._prepare(each) for each in photographs[start : start + BATCH]]
            for graded in self._grader.grade_prepared(batch):
                yield replace(graded, grading=replace(graded.grading, study=study))

    def _prepare(self, photograph: StoredPhotograph) -> PreparedPhotograph:
        path = self._queue.path(photograph.file)
        data = path.read_bytes()
        try:
            prepared = self._decode(InMemory(str(path), data)).prepared
        except GuardedError as error:
            message = f"{path}: decoding failed, because {error}: export the photograph again"
            prepared = PreparedPhotograph(photograph.uid, str(path), UNKNOWN, error=message)
        return replace(prepared, image_id=photograph.uid)

    def _quarantine(self, photograph: StoredPhotograph, reason: str) -> None:
        path = self._queue.path(photograph.file)
        reason = reason.removeprefix(f"{path}: ")
        self._queue.quarantine(photograph.uid, photograph.digest, reason, path.read_bytes(), self._clock())

    def _find(self, photographs: Sequence[StoredPhotograph], uid: str) -> StoredPhotograph:
        return next(each for each in photographs if each.uid == uid)

    def _predecessors(self, study: str) -> list[Dataset]:
        return [_reference(each) for each in self._queue.reports(study)]


def _reference(report: StudyResult) -> Dataset:
    reference = Dataset()
    reference.SOPClassUID, reference.SOPInstanceUID = report.sop_class, report.uid
    reference.StudyInstanceUID, reference.SeriesInstanceUID = report.study, report.series
    return reference

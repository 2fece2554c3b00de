"""Grading of the studies in a queue, one after the other."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from pydicom import Dataset

from retinagrade.errors import ImageError, RetinagradeError
from retinagrade.execution.guarded import GuardedError
from retinagrade.grader.eyes import UNKNOWN
from retinagrade.grader.runtime import BATCH, GradedPhotograph, Grader, PreparedPhotograph
from retinagrade.images.decoding import InMemory
from retinagrade.node.policy import MOST_TRIES, next_study_wait
from retinagrade.node.queue import Queue
from retinagrade.node.results import make_results
from retinagrade.node.rows import StoredPhotograph, StudyResult, WaitingStudy
from retinagrade.service.decoding import DecodedPhotograph

Decode = Callable[[InMemory], DecodedPhotograph]
"""A function that prepares a photograph, in a process of its own."""


_NOTHING_LEFT: Final = "its photographs were deleted from the queue: send them again under new UIDs"


class StudyError(RetinagradeError):
    """A study could not be graded. The message has the reason in words, and quotes neither patient nor UID.

    Attributes:
        is_final: Whether the study is given up.
    """

    def __init__(self, reason: str, is_final: bool) -> None:
        """Describes the reason."""
        super().__init__(reason)
        self.is_final = is_final


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

        A photograph that can't be read goes to quarantine as well; the report names it as unreadable. A fault in the
        data can't improve, so the study is given up at once. After any other fault, it is tried again later.

        Returns:
            The graded photographs.

        Raises:
            StudyError: The study could not be graded. If it is given up, its photographs go to quarantine.
            OSError: The disk is at fault, not the study.
            sqlite3.DatabaseError: Same.
            ImageError: Same: it doesn't give a photograph.
        """
        photographs = self._queue.photographs(study.study)
        kept = [each for each in photographs if self._queue.path(each.file).exists()]  # old files are deleted
        self._queue.begin_study(study)
        try:
            graded = self._grade_and_queue(study, len(photographs), kept)
        except Exception as error:
            if _is_of_the_disk(error):
                self._queue.forget_try(study)
                raise
            raise self._fail(replace(study, photographs=len(photographs)), photographs, error) from error
        return graded

    def _grade_and_queue(
        self, study: WaitingStudy, number: int, photographs: Sequence[StoredPhotograph]
    ) -> list[GradedPhotograph]:
        if not photographs:
            raise ImageError(_NOTHING_LEFT)
        graded = [*self._grade_photographs(study.study, photographs)]
        results = make_results(study.study, graded, self._grader.metadata, self._predecessors(study.study))
        for each in graded:
            photograph = self._find(photographs, each.grading.image_id)
            if each.grading.error is None:
                self._queue.release(photograph)  # where an earlier try has failed
            else:
                self._quarantine(photograph, each.grading.error)
        self._queue.finish_study(study, number, results, self._clock())
        return graded

    def _fail(self, study: WaitingStudy, photographs: Sequence[StoredPhotograph], error: Exception) -> StudyError:
        """Notes a failed try, and returns the error that says so."""
        if isinstance(error, ImageError):
            reason = str(error)
            for number, each in enumerate(photographs, start=1):
                reason = reason.replace(str(self._queue.path(each.file)), f"photograph {number}")
        else:
            reason = f"an error of the program, {type(error).__name__}: report it with the traceback in the log"
        is_final = isinstance(error, ImageError) or study.tries + 1 >= MOST_TRIES
        if is_final:
            for each in photographs:
                if self._queue.path(each.file).exists():
                    self._quarantine(each, f"its study could not be graded: {reason}")
            self._queue.give_up_study(study)
        else:
            self._queue.postpone_study(study, self._clock() + next_study_wait(study.tries + 1))
        return StudyError(reason, is_final)

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


def _is_of_the_disk(error: Exception) -> bool:
    """Whether the disk is at fault, not the study: a photograph that could not be read because of it counts, too."""
    causes = (error, error.__cause__)
    return any(isinstance(each, OSError | sqlite3.DatabaseError) for each in causes)


def _reference(report: StudyResult) -> Dataset:
    reference = Dataset()
    reference.SOPClassUID, reference.SOPInstanceUID = report.sop_class, report.uid
    reference.StudyInstanceUID, reference.SeriesInstanceUID = report.study, report.series
    return reference

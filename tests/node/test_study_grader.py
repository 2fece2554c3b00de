"""Grading of a queue: what goes wrong with one study costs that study only, and the disk's faults cost none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from retinagrade import Grader
from retinagrade.execution.guarded import GuardedError
from retinagrade.images.decoding import InMemory
from retinagrade.node.policy import MOST_TRIES
from retinagrade.node.queue import Queue
from retinagrade.node.rows import ResultKind
from retinagrade.node.study_grader import StudyGrader
from retinagrade.service.decoding import DecodedPhotograph
from retinagrade.service.settings import ServiceSettings
from tests.node.here import DecoderHere
from tests.node.nodes import write_eye


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    """A queue with a study of two photographs."""
    opened = Queue(tmp_path / "queue")
    for side in "LR":
        path = write_eye(tmp_path, side, side, "1")
        instance = dcmread(path, stop_before_pixels=True)
        uids = (str(instance.SOPInstanceUID), str(instance.SOPClassUID), str(instance.StudyInstanceUID))
        opened.add_photograph(*uids, side, path.read_bytes(), 100.0)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def grader(grader_file: Path) -> Grader:
    return Grader.load(grader_file)


def grade_next(queue: Queue, grader: Grader, decode: DecoderHere | None = None) -> None:
    study = queue.next_study(1000.0, 1.0)
    assert study is not None
    decoder = decode or DecoderHere(grader.metadata, ServiceSettings())
    StudyGrader(queue, grader, decoder, lambda: 1000.0).grade(study)


def fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("retinagrade.node.study_grader.make_results", fail)


def test_a_study_that_always_fails_goes_to_quarantine(
    queue: Queue, grader: Grader, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(ValueError("SECRET-7"), monkeypatch)
    for _ in range(MOST_TRIES):
        with pytest.raises(ValueError, match="SECRET"):
            grade_next(queue, grader)
    assert queue.next_study(1e9, 1.0) is None
    assert [reason for _, reason in queue.quarantined()] == ["its study could not be graded (ValueError)"] * 2


def test_a_full_disk_costs_no_try(queue: Queue, grader: Grader, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        fail_with(OSError(28, "No space left on device"), patch)
        for _ in range(MOST_TRIES + 1):
            with pytest.raises(OSError, match="space"):
                grade_next(queue, grader)
    grade_next(queue, grader)
    kinds = [each.kind for each in queue.due_results(1e9, 10)]
    assert kinds == [ResultKind.OVERLAY, ResultKind.OVERLAY, ResultKind.PAGE, ResultKind.DOCUMENT, ResultKind.REPORT]


def test_a_photograph_that_kills_its_decoder_is_unreadable(queue: Queue, grader: Grader) -> None:
    class Decoder(DecoderHere):
        def __call__(self, file: InMemory) -> DecodedPhotograph:
            raise GuardedError("it took longer than 30 s")

    grade_next(queue, grader, Decoder(grader.metadata, ServiceSettings()))
    assert [each.kind for each in queue.due_results(1e9, 10)] == [
        ResultKind.PAGE,
        ResultKind.DOCUMENT,
        ResultKind.REPORT,
    ]
    assert len(queue.quarantined()) == 2
    assert all("took longer" in reason and str(queue.folder) not in reason for _, reason in queue.quarantined())


def test_deleted_photographs_are_left_out_of_a_later_grading(queue: Queue, grader: Grader, tmp_path: Path) -> None:
    grade_next(queue, grader)
    for due in queue.due_results(1e9, 10):
        queue.note_delivered(due, 1000.0)
    queue.delete_answered(1e9)
    path = write_eye(tmp_path, "later", "L", "1")
    instance = dcmread(path, stop_before_pixels=True)
    uids = (str(instance.SOPInstanceUID), str(instance.SOPClassUID), str(instance.StudyInstanceUID))
    queue.add_photograph(*uids, "later", path.read_bytes(), 100.0)
    grade_next(queue, grader)
    assert ResultKind.REPORT in [each.kind for each in queue.due_results(1e9, 10)]

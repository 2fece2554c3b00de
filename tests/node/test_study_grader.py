"""Grading of a queue: what goes wrong with one study costs that study only, and the disk's faults cost none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from retinagrade import Grader
from retinagrade.errors import ImageError
from retinagrade.execution.guarded import GuardedError
from retinagrade.images.decoding import InMemory
from retinagrade.node.policy import MOST_TRIES
from retinagrade.node.queue import Queue
from retinagrade.node.rows import ResultKind
from retinagrade.node.study_grader import StudyError, StudyGrader
from retinagrade.service.decoding import DecodedPhotograph
from retinagrade.service.settings import ServiceSettings
from tests.node.here import DecoderHere
from tests.node.nodes import write_eye


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    """A queue with a study of two photographs."""
    opened = Queue(tmp_path / "queue")
    for side in "LR":
        add(opened, write_eye(tmp_path, side, side, "1"))
    yield opened
    opened.close()


def add(queue: Queue, path: Path) -> None:
    instance = dcmread(path, stop_before_pixels=True)
    uids = (str(instance.SOPInstanceUID), str(instance.SOPClassUID), str(instance.StudyInstanceUID))
    queue.add_photograph(*uids, path.stem, path.read_bytes(), 100.0)


@pytest.fixture(scope="module")
def grader(grader_file: Path) -> Grader:
    return Grader.load(grader_file)


def grade_next(queue: Queue, grader: Grader, decode: DecoderHere | None = None, now: float = 1000.0) -> None:
    study = queue.next_study(now, 1.0)
    assert study is not None
    decoder = decode or DecoderHere(grader.metadata, ServiceSettings())
    StudyGrader(queue, grader, decoder, lambda: now).grade(study)


def fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("retinagrade.node.study_grader.make_results", fail)


def test_a_study_that_always_fails_goes_to_quarantine(
    queue: Queue, grader: Grader, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(ValueError("SECRET-7"), monkeypatch)
    now = 1000.0
    for number in range(1, MOST_TRIES + 1):
        assert queue.quarantined() == []
        with pytest.raises(StudyError) as raised:
            grade_next(queue, grader, now=now)
        assert raised.value.is_final == (number == MOST_TRIES)
        assert queue.next_study(now + 1, 1.0) is None
        now += 1000
    assert (queue.next_study(1e9, 1.0), queue.counts().given_up) == (None, 1)
    assert all("ValueError" in reason and "SECRET" not in reason for _, reason in queue.quarantined())
    assert len(queue.quarantined()) == 2


def test_a_fault_in_the_data_is_given_up_at_once_and_names_no_file(
    queue: Queue, grader: Grader, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    study = queue.next_study(1000.0, 1.0)
    assert study is not None
    second = queue.photographs(study.study)[1]
    with monkeypatch.context() as patch:
        fail_with(ImageError(f"{queue.path(second.file)}: its name can't be written: correct it"), patch)
        with pytest.raises(StudyError, match=r"^photograph 2: its name can't be written") as raised:
            grade_next(queue, grader)
    assert raised.value.is_final
    assert (queue.next_study(1e9, 1.0), queue.counts().given_up, queue.counts().quarantined) == (None, 1, 2)
    path = write_eye(tmp_path, "later", "L", "1")
    add(queue, path)
    grade_next(queue, grader)  # with the new photograph, it is tried again
    assert queue.counts().given_up == queue.counts().quarantined == 0
    assert ResultKind.REPORT in [each.kind for each in queue.due_results(1e9, 10)]


def test_a_photograph_that_the_disk_does_not_give_costs_no_try(
    queue: Queue, grader: Grader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        try:
            raise OSError(5, "Input/output error")
        except OSError as error:
            raise ImageError("it can't be read") from error

    with monkeypatch.context() as patch:
        patch.setattr("retinagrade.node.study_grader.make_results", fail)
        with pytest.raises(ImageError):
            grade_next(queue, grader)
    grade_next(queue, grader)


def test_a_photograph_without_an_id_is_graded_with_its_study(queue: Queue, grader: Grader, tmp_path: Path) -> None:
    add(queue, write_eye(tmp_path, "no id", "L", "1", PatientID=""))
    grade_next(queue, grader)
    results = {each.kind: dcmread(queue.path(each.file)) for each in queue.due_results(1e9, 10)}
    assert {results[kind].PatientID for kind in (ResultKind.PAGE, ResultKind.DOCUMENT, ResultKind.REPORT)} == {
        "SECRET-7"
    }


def test_files_that_somebody_has_deleted_are_given_up(queue: Queue, grader: Grader) -> None:
    for path in (queue.folder / "photographs").iterdir():
        path.unlink()
    with pytest.raises(StudyError, match="deleted"):
        grade_next(queue, grader)
    assert queue.counts().given_up == 1


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
    add(queue, write_eye(tmp_path, "later", "L", "1"))
    grade_next(queue, grader)
    assert ResultKind.REPORT in [each.kind for each in queue.due_results(1e9, 10)]

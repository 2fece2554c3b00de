"""Answers to photographs: success only for what is on the disk, and a clear status for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from retinagrade.images.dicom import MAKER
from retinagrade.node.queue import Queue
from retinagrade.node.reception import Answer, Reception, Status
from retinagrade.node.settings import NodeSettings, Peer
from tests.node.nodes import write_eye

ARCHIVE = Peer("ARCHIVE", "127.0.0.1", 1)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    opened = Queue(tmp_path / "queue")
    yield opened
    opened.close()


def receive(queue: Queue, photograph: Path, named: str | None = None, **settings: Any) -> Answer:
    instance = dcmread(photograph)
    data = photograph.read_bytes()
    start = 132 + 12 + instance.file_meta.FileMetaInformationGroupLength
    reception = Reception(queue, NodeSettings(ARCHIVE, **settings), lambda: 100.0)
    syntax = str(instance.file_meta.TransferSyntaxUID)
    uid = named or str(instance.get("SOPInstanceUID", "1.2"))
    return reception.receive(str(instance.SOPClassUID), uid, syntax, data[start:], data[:start])


def test_success_means_that_the_file_is_there(queue: Queue, tmp_path: Path) -> None:
    photograph = write_eye(tmp_path, "a", "L", "1")
    assert receive(queue, photograph).status is Status.SUCCESS
    assert receive(queue, photograph).outcome == "repeated"
    (stored,) = queue.photographs(str(dcmread(photograph).StudyInstanceUID))
    assert queue.path(stored.file).read_bytes() == photograph.read_bytes()


def test_other_bytes_under_one_uid_go_to_quarantine(queue: Queue, tmp_path: Path) -> None:
    receive(queue, write_eye(tmp_path, "a", "L", "1"))
    answer = receive(queue, write_eye(tmp_path, "a", "R", "1"))
    assert answer.status is Status.OTHER_PHOTOGRAPH
    assert len(queue.quarantined()) == 1
    assert queue.counts().photographs == 1


def test_a_photograph_of_another_patient_is_refused_and_accepted_when_it_is_corrected(
    queue: Queue, tmp_path: Path
) -> None:
    first = write_eye(tmp_path, "a", "L", "1", PatientID="P2")
    assert receive(queue, first).status is Status.SUCCESS
    wrong = receive(queue, write_eye(tmp_path, "b", "R", "1", PatientID="P9"))
    assert (wrong.status, wrong.outcome) == (Status.OTHER_PATIENT, "quarantined")
    assert "PatientID" in wrong.comment
    assert len(wrong.comment) <= 64
    ((_, reason),) = queue.quarantined()
    assert "send it again" in reason
    assert "P2" not in reason + wrong.comment
    assert "P9" not in reason + wrong.comment
    assert receive(queue, write_eye(tmp_path, "b", "R", "1", PatientID="P2")).outcome == "stored"
    assert receive(queue, write_eye(tmp_path, "c", "R", "1", PatientID="")).outcome == "stored"
    assert {each.patient for each in queue.photographs(str(dcmread(first).StudyInstanceUID))} == {
        queue.photographs(str(dcmread(first).StudyInstanceUID))[0].patient,
        "",
    }


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.parametrize("elements", [{"StudyInstanceUID": None}, {"StudyInstanceUID": "../../etc"}])
def test_what_no_result_can_refer_to_goes_to_quarantine(queue: Queue, tmp_path: Path, elements: dict[str, Any]) -> None:
    answer = receive(queue, write_eye(tmp_path, "a", "L", "1", **elements))
    assert answer.status is Status.CANNOT_UNDERSTAND
    assert "StudyInstanceUID" in answer.comment
    assert len(answer.comment) <= 64
    assert queue.counts().quarantined == 1


def test_a_message_of_another_uid_does_not_match(queue: Queue, tmp_path: Path) -> None:
    answer = receive(queue, write_eye(tmp_path, "a", "L", "1"), "1.2.3")
    assert answer.status is Status.DOES_NOT_MATCH


def test_own_results_that_come_back_are_not_kept(queue: Queue, tmp_path: Path) -> None:
    answer = receive(queue, write_eye(tmp_path, "a", "L", "1", Manufacturer=MAKER))
    assert (answer.status, answer.outcome) == (Status.SUCCESS, "own result")
    assert queue.counts().photographs == 0


@pytest.mark.parametrize(
    "settings", [{"max_megabytes": 0.01}, {"max_waiting": 1}, {"reserve": 1 << 62}], ids=["size", "number", "disk"]
)
def test_limits_are_out_of_resources(queue: Queue, tmp_path: Path, settings: dict[str, Any]) -> None:
    receive(queue, write_eye(tmp_path, "a", "L", "1"))
    answer = receive(queue, write_eye(tmp_path, "b", "R", "1"), **settings)
    assert answer.status is Status.OUT_OF_RESOURCES
    assert len(answer.comment) <= 64
    assert queue.counts().photographs == 1


def test_a_disk_that_fails_is_out_of_resources(queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("retinagrade.node.queue.write_bytes", fail)
    answer = receive(queue, write_eye(tmp_path, "a", "L", "1"))
    assert answer.status is Status.OUT_OF_RESOURCES
    assert queue.counts().photographs == 0

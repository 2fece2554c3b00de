"""The queue: rows and files agree, whatever arrives, and whenever it is opened again."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from retinagrade.errors import UsageError
from retinagrade.node.policy import LONGEST, MOST_TRIES
from retinagrade.node.queue import Queue, result_file
from retinagrade.node.rows import Arrival, Commitment, ResultKind, StudyResult, WaitingStudy
from tests.node.nodes import write_eye


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    opened = Queue(tmp_path / "queue")
    yield opened
    opened.close()


def add(
    queue: Queue, uid: str, study: str = "1.1", digest: str = "a", now: float = 100.0, patient: str = ""
) -> Arrival:
    return queue.add_photograph(uid, "1.2.840", study, digest, b"bytes of " + digest.encode(), now, patient)


def due(queue: Queue, now: float, wait: float = 60) -> WaitingStudy:
    study = queue.next_study(now, wait)
    assert study is not None
    return study


def result(uid: str, study: str = "1.1", kind: ResultKind = ResultKind.REPORT) -> tuple[StudyResult, bytes]:
    return StudyResult(uid, "1.2.3", "1.5", study, kind, result_file(uid)), b"result"


def test_a_photograph_is_known_by_uid_and_bytes(queue: Queue) -> None:
    assert add(queue, "1.2") is Arrival.NEW
    assert add(queue, "1.2") is Arrival.SAME
    assert add(queue, "1.2", digest="b") is Arrival.OTHER
    (stored,) = queue.photographs("1.1")
    assert queue.path(stored.file).read_bytes() == b"bytes of a"
    assert len([*(queue.folder / "photographs").iterdir()]) == 1


def test_a_study_has_one_patient_and_a_photograph_without_an_id_contradicts_none(queue: Queue) -> None:
    assert add(queue, "1.2") is Arrival.NEW
    assert add(queue, "1.3", patient="P2") is Arrival.NEW
    assert add(queue, "1.4", digest="b", patient="P9") is Arrival.OTHER_PATIENT
    assert add(queue, "1.4", digest="c", patient="P2") is Arrival.NEW  # the wrong one was never kept
    assert add(queue, "1.5") is Arrival.NEW
    assert add(queue, "1.6", study="1.7", patient="P9") is Arrival.NEW
    assert add(queue, "1.3", patient="P2") is Arrival.SAME
    assert len([*(queue.folder / "photographs").iterdir()]) == queue.counts().photographs == 5


def test_a_study_has_one_patient_when_two_come_at_the_same_moment(queue: Queue) -> None:
    arrivals = dict[int, Arrival]()
    barrier = threading.Barrier(8)

    def arrive(number: int) -> None:
        barrier.wait()
        arrivals[number] = add(queue, f"1.2.{number}", digest=str(number), patient=f"P{number % 2}")

    threads = [threading.Thread(target=arrive, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(arrivals.values()) == [Arrival.NEW] * 4 + [Arrival.OTHER_PATIENT] * 4
    assert len({each.patient for each in queue.photographs("1.1")}) == 1
    assert len([*(queue.folder / "photographs").iterdir()]) == 4


def test_a_study_that_failed_waits_and_keeps_no_other_one_waiting(queue: Queue) -> None:
    add(queue, "1.2", study="1.1", now=100)
    add(queue, "1.3", study="1.4", now=110)
    broken = due(queue, 200)
    queue.begin_study(broken)
    queue.postpone_study(broken, 230)
    assert due(queue, 229).study == "1.4"
    assert due(queue, 230).study == "1.1"
    queue.postpone_study(broken, 10_000 + LONGEST)
    assert due(queue, 200).study == "1.1"  # the clock was set back
    assert due(queue, 10_000).study == "1.4"
    add(queue, "1.5", study="1.1", now=10_000)
    queue.give_up_study(broken)  # it doesn't know the new photograph
    assert (queue.counts().given_up, due(queue, 20_000).study) == (0, "1.4")
    queue.give_up_study(due(queue, 20_000))
    assert (queue.counts().given_up, due(queue, 20_000).study) == (1, "1.1")


def test_an_older_queue_gets_one_patient_a_study(tmp_path: Path) -> None:
    """A study of P2 was graded. One photograph of P9 and one of P2 followed, so that it failed for good."""
    older = Queue(tmp_path / "queue")
    written = {}
    for name, patient in {"a": "P2", "b": "P2", "wrong": "P9", "later": "P2", "no id": ""}.items():
        path = write_eye(tmp_path, name, "L", "1", PatientID=patient)
        instance = dcmread(path, stop_before_pixels=True)
        written[name] = (str(instance.SOPInstanceUID), str(instance.StudyInstanceUID), path.read_bytes())
    study = written["a"][1]

    def put(queue: Queue, name: str, digest: str, patient: str = "") -> Arrival:
        return queue.add_photograph(written[name][0], "1.2", study, digest, written[name][2], 100.0, patient)

    put(older, "a", "a")
    put(older, "b", "b")
    older.finish_study(due(older, 1000), 2, [], 1000)
    for name in ("wrong", "later", "no id"):
        put(older, name, name)
    older.give_up_study(due(older, 1000))
    for name in ("a", "b", "wrong", "later"):
        older.quarantine(written[name][0], name, "its study could not be graded", written[name][2], 1000)
    older.close()
    with sqlite3.connect(tmp_path / "queue" / "queue.sqlite") as connection:
        connection.execute("ALTER TABLE photographs DROP COLUMN patient")
        connection.execute("ALTER TABLE studies DROP COLUMN next_try")
        connection.execute("PRAGMA user_version = 1")
    for _ in range(2):  # the second time changes nothing
        queue = Queue(tmp_path / "queue")
        again = due(queue, 1000)
        assert (again.photographs, again.graded, again.tries) == (4, 2, 0)
        assert [each.uid for each in queue.photographs(study)] == [
            written[name][0] for name in ("a", "b", "later", "no id")
        ]
        ((uid, reason),) = queue.quarantined()
        assert uid == written["wrong"][0]
        assert "PatientID" in reason
        assert [each.read_bytes() for each in (tmp_path / "queue" / "quarantine").iterdir()] == [written["wrong"][2]]
        queue.close()
    queue = Queue(tmp_path / "queue")
    patient = queue.photographs(study)[0].patient
    assert put(queue, "wrong", "again", "another patient") is Arrival.OTHER_PATIENT
    assert put(queue, "wrong", "corrected", patient) is Arrival.NEW
    queue.close()


def test_a_study_is_due_after_it_was_quiet(queue: Queue) -> None:
    add(queue, "1.2", now=100)
    add(queue, "1.3", now=150)
    assert queue.next_study(209, 60) is None
    study = queue.next_study(210, 60)
    assert study is not None
    assert (study.photographs, study.graded) == (2, 0)


def test_a_later_photograph_makes_its_study_due_again(queue: Queue) -> None:
    add(queue, "1.2")
    study = queue.next_study(200, 60)
    assert study is not None
    queue.begin_study(study)
    add(queue, "1.3", now=201)  # it comes while the study is graded
    queue.finish_study(study, 1, [result("1.9")], 202)
    again = queue.next_study(300, 60)
    assert again is not None
    assert (again.graded, again.rounds, again.tries) == (1, 1, 0)
    queue.finish_study(again, 2, [result("1.10")], 301)
    assert queue.next_study(1000, 60) is None
    assert [each.uid for each in queue.reports("1.1")] == ["1.9", "1.10"]


def test_a_uid_keeps_its_first_bytes_and_is_sent_once(queue: Queue) -> None:
    add(queue, "1.2")
    study = queue.next_study(200, 60)
    assert study is not None
    queue.finish_study(study, 1, [result("1.9", kind=ResultKind.SEGMENTATION)], 200)
    (due,) = queue.due_results(200, 10)
    queue.note_delivered(due, 201)
    changed = (result("1.9")[0], b"other bytes")
    assert queue.finish_study(study, 1, [changed], 202) == []
    assert queue.due_results(1000, 10) == []
    assert queue.path(due.file).read_bytes() == b"result"


def test_a_study_that_ends_the_node_is_given_up(queue: Queue) -> None:
    add(queue, "1.2")
    for _ in range(MOST_TRIES):
        study = queue.next_study(200, 60)
        assert study is not None
        queue.begin_study(study)
    assert queue.next_study(10_000, 60) is None
    assert queue.counts().given_up == 1
    add(queue, "1.3", now=300)  # there is something new to try
    assert queue.next_study(400, 60) is not None


def test_everything_survives_and_files_without_rows_go(queue: Queue) -> None:
    add(queue, "1.2")
    study = queue.next_study(200, 60)
    assert study is not None
    queue.finish_study(study, 1, [result("1.9")], 200)
    queue.quarantine("1.7", "c", "unreadable", b"noise", 200)
    queue.add_commitment(Commitment("1.8", "CAMERA", (("1.2.840", "1.2"),)), 200)
    before = (queue.counts(), queue.photographs("1.1"), queue.due_results(200, 10), queue.due_commitments(200))
    for folder in ("photographs", "results", "quarantine"):
        (queue.folder / folder / "left.dcm").write_bytes(b"left by a killed node")
    again = Queue(queue.folder)
    after = (again.counts(), again.photographs("1.1"), again.due_results(200, 10), again.due_commitments(200))
    assert after == before
    assert [*queue.folder.rglob("left.dcm")] == []
    assert all(again.path(file).exists() for file in (after[1][0].file, after[2][0].file))
    again.close()


def test_quarantine_holds_each_file_once_with_its_newest_reason(queue: Queue) -> None:
    assert queue.quarantine("1.7", "c", "its study failed", b"noise", 1)
    assert queue.quarantine("1.8", "d", "no DICOM", b"other noise", 2)
    assert not queue.quarantine("1.7", "c", "unreadable", b"noise", 3)
    assert queue.quarantined() == [("1.8", "no DICOM"), ("1.7", "unreadable")]
    assert len([*(queue.folder / "quarantine").iterdir()]) == 2


def test_a_photograph_that_could_be_graded_leaves_quarantine(queue: Queue) -> None:
    add(queue, "1.2")
    (stored,) = queue.photographs("1.1")
    queue.quarantine("1.2", "a", "its study failed", b"bytes of a", 1)
    queue.quarantine("1.9", "a", "the UIDs differ", b"bytes of a", 1)
    queue.release(stored)
    assert queue.quarantined() == [("1.9", "the UIDs differ")]
    assert len([*(queue.folder / "quarantine").iterdir()]) == 1
    queue.release(stored)
    assert queue.path(stored.file).exists()


def test_old_files_go_when_all_is_delivered_and_their_rows_stay(queue: Queue) -> None:
    add(queue, "1.2")
    study = queue.next_study(200, 60)
    assert study is not None
    queue.finish_study(study, 1, [result("1.9")], 200)
    assert queue.delete_answered(10_000) == 0
    (due,) = queue.due_results(200, 10)
    queue.note_delivered(due, 300)
    assert queue.delete_answered(50) == 0  # a photograph came later
    assert queue.holds("1.2.840", "1.2")
    assert queue.delete_answered(10_000) == 2
    assert not queue.holds("1.2.840", "1.2")
    assert add(queue, "1.2") is Arrival.SAME


def test_the_documented_commands_work_beside_a_node(queue: Queue) -> None:
    page = (Path(__file__).parents[2] / "docs" / "node.md").read_text(encoding="utf-8")
    commands = re.findall(r'sqlite3 /var/lib/retinagrade-node/queue/queue\.sqlite "(.*)"', page)
    given_up, again, close, quarantined, delete = commands

    def run(sql: str) -> list[tuple[object, ...]]:
        with sqlite3.connect(queue.folder / "queue.sqlite") as connection:
            return connection.execute(sql.replace("number = 7", "number = 1")).fetchall()

    add(queue, "1.2")
    queue.give_up_study(due(queue, 200))
    queue.quarantine("1.2.3", "c", "unreadable", b"noise", 0)
    assert run(given_up) == [(1, "1.1")]
    assert run(quarantined) == [("1970-01-01 00:00:00", "1.2.3", "unreadable", "quarantine/c.dcm")]
    run(again)
    queue.give_up_study(due(queue, 200))
    run(close)
    run(delete)
    assert (queue.counts().given_up, queue.counts().quarantined, queue.next_study(1e9, 60)) == (0, 0, None)


def test_postponed_results_wait(queue: Queue) -> None:
    add(queue, "1.2")
    study = queue.next_study(200, 60)
    assert study is not None
    queue.finish_study(study, 1, [result("1.9")], 200)
    (due,) = queue.due_results(200, 10)
    queue.postpone_result(due, 230)
    assert queue.due_results(229, 10) == []
    assert [each.tries for each in queue.due_results(230, 10)] == [1]


@pytest.mark.parametrize("content", [b"no database at all, " * 100, None])
def test_another_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "queue.sqlite"
    if content is not None:
        file.write_bytes(content)
    else:
        with sqlite3.connect(file) as connection:
            connection.execute("PRAGMA user_version = 99")
    with pytest.raises(UsageError, match="choose another folder"):
        Queue(tmp_path)

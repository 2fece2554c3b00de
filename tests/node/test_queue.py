"""The queue: rows and files agree, whatever arrives, and whenever it is opened again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from retinagrade.errors import UsageError
from retinagrade.node.policy import MOST_TRIES
from retinagrade.node.queue import Queue, result_file
from retinagrade.node.rows import Arrival, Commitment, ResultKind, StudyResult


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    opened = Queue(tmp_path / "queue")
    yield opened
    opened.close()


def add(queue: Queue, uid: str, study: str = "1.1", digest: str = "a", now: float = 100.0) -> Arrival:
    return queue.add_photograph(uid, "1.2.840", study, digest, b"bytes of " + digest.encode(), now)


def result(uid: str, study: str = "1.1", kind: ResultKind = ResultKind.REPORT) -> tuple[StudyResult, bytes]:
    return StudyResult(uid, "1.2.3", "1.5", study, kind, result_file(uid)), b"result"


def test_a_photograph_is_known_by_uid_and_bytes(queue: Queue) -> None:
    assert add(queue, "1.2") is Arrival.NEW
    assert add(queue, "1.2") is Arrival.SAME
    assert add(queue, "1.2", digest="b") is Arrival.OTHER
    (stored,) = queue.photographs("1.1")
    assert queue.path(stored.file).read_bytes() == b"bytes of a"
    assert len([*(queue.folder / "photographs").iterdir()]) == 1


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


def test_quarantine_holds_each_file_once_with_its_reason(queue: Queue) -> None:
    assert queue.quarantine("1.7", "c", "unreadable", b"noise", 1)
    assert not queue.quarantine("1.7", "c", "unreadable", b"noise", 2)
    assert queue.quarantined() == [("1.7", "unreadable")]


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

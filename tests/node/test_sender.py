"""Sending: noted as delivered after the archive's answer, and never before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from retinagrade.node.queue import Queue, result_file
from retinagrade.node.rows import ResultKind, StudyResult
from retinagrade.node.sender import AwayError, Connection, send_due


class Scripted:
    """An archive whose answers are a script; an exception hangs up."""

    def __init__(self, *answers: int | Exception | None) -> None:
        self.answers, self.got, self.closed = [*answers], list[str](), 0

    def __call__(self, sop_classes: Iterable[str]) -> Connection:
        return self

    def store(self, result: StudyResult, data_file: str) -> int | None:
        self.got.append(result.uid)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    """A queue with two results of one study."""
    opened = Queue(tmp_path)
    opened.add_photograph("1.2", "1.2.840", "1.1", "a", b"photograph", 0)
    study = opened.next_study(100, 1)
    assert study is not None
    rows = [StudyResult(uid, "1.3", "1.4", "1.1", ResultKind.REPORT, result_file(uid)) for uid in ("1.7", "1.8")]
    opened.finish_study(study, 1, [(row, b"result") for row in rows], 100)
    yield opened
    opened.close()


def test_results_are_sent_in_order_and_once(queue: Queue) -> None:
    archive, outcomes = Scripted(0x0000, 0xB000), list[str]()
    assert send_due(queue, archive, outcomes.append, lambda: 100.0) == 2
    assert archive.got == ["1.7", "1.8"]
    assert outcomes == ["delivered"] * 2
    assert send_due(queue, archive, outcomes.append, lambda: 1e9) == 0
    assert archive.closed == 1


def test_a_lost_answer_sends_the_same_result_again(queue: Queue) -> None:
    archive = Scripted(0x0000, AwayError("gone"))
    with pytest.raises(AwayError):
        send_due(queue, archive, lambda _: None, lambda: 100.0)
    assert archive.closed == 1
    again = Scripted(0x0000)
    assert send_due(queue, again, lambda _: None, lambda: 101.0) == 1
    assert again.got == ["1.8"]


def test_an_object_that_the_archive_hangs_up_on_stops_no_other(queue: Queue) -> None:
    with pytest.raises(AwayError):
        send_due(queue, Scripted(AwayError("gone")), lambda _: None, lambda: 100.0)
    others = Scripted(0x0000)
    assert send_due(queue, others, lambda _: None, lambda: 100.5) == 1
    assert others.got == ["1.8"]


@pytest.mark.parametrize("refusal", [0xA700, 0xC000, 0x0122, None])
def test_a_refused_result_waits_longer_each_time(queue: Queue, refusal: int | None) -> None:
    send_due(queue, Scripted(refusal, 0x0000), lambda _: None, lambda: 100.0)
    assert send_due(queue, Scripted(0), lambda _: None, lambda: 100.9) == 0
    send_due(queue, Scripted(refusal), lambda _: None, lambda: 101.0)
    assert send_due(queue, Scripted(0), lambda _: None, lambda: 102.9) == 0
    assert send_due(queue, Scripted(0), lambda _: None, lambda: 103.0) == 1

"""Sending by STOW-RS: what the answers of archives mean, credentials, and TLS."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retinagrade.errors import UsageError
from retinagrade.node.queue import Queue, result_file
from retinagrade.node.rows import ResultKind, StudyResult
from retinagrade.node.sender import AwayError, NotServedError, send_due
from retinagrade.node.settings import Tls, WebPeer
from retinagrade.node.tls import client_context, server_context
from retinagrade.node.web_sender import WebArchive, read_authorization
from tests.node.certificates import make_certificates
from tests.node.web import Reply, WebServer, web_server

FILES = {"1.7": b"\r\nfirst\r\n", "1.8": b"--second"}
DIGESTS = {uid: hashlib.sha256(data).hexdigest() for uid, data in FILES.items()}


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    """A queue with two results of one study."""
    opened = Queue(tmp_path / "queue")
    opened.add_photograph("1.2", "1.2.840", "1.1", "a", b"photograph", 0)
    study = opened.next_study(100, 1)
    assert study is not None
    rows = [StudyResult(uid, "1.3", "1.4", "1.1", ResultKind.REPORT, result_file(uid)) for uid in FILES]
    opened.finish_study(study, 1, [(row, FILES[row.uid]) for row in rows], 100)
    yield opened
    opened.close()


def send(queue: Queue, archive: WebArchive, now: float = 100.0) -> list[str]:
    """Sends what is due; returns the outcomes."""
    outcomes = list[str]()
    send_due(queue, archive, outcomes.append, lambda: now)
    return outcomes


def archive_at(server: WebServer, credentials: Path | None = None, tls: Tls | None = None) -> WebArchive:
    return WebArchive(WebPeer(server.url, credentials), client_context(tls or Tls()))


def answer(stored: bool = False, reason: int | None = None) -> dict[str, Any]:
    """Makes the response to the first object."""
    uid = {"00081155": {"vr": "UI", "Value": ["1.7"]}}
    if stored:
        return {"00081199": {"vr": "SQ", "Value": [uid]}}
    element = {} if reason is None else {"00081197": {"vr": "US", "Value": [reason]}}
    return {"00081198": {"vr": "SQ", "Value": [{**uid, **element}]}}


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ((200, None), "delivered"),
        ((200, answer(stored=True)), "delivered"),
        ((202, answer(stored=True)), "delivered"),  # with a warning
        ((409, answer(reason=0x0111)), "delivered"),  # it came before, and the confirmation was lost
        ((409, answer(reason=0xB00E)), "delivered"),
        ((202, None), "refused"),
        ((200, answer(reason=0xA700)), "refused"),
        ((202, answer(reason=0xC000)), "refused"),
        ((409, answer(reason=0xB000)), "refused"),
        ((409, answer()), "refused"),
        ((409, None), "refused"),
        ((413, None), "refused"),
        ((500, {}), "refused"),
    ],
)
def test_an_answer_says_whether_the_archive_has_the_object(queue: Queue, reply: Reply, outcome: str) -> None:
    with web_server() as server:
        server.reply = lambda data: reply if data == FILES["1.7"] else (200, None)
        assert send(queue, archive_at(server)) == [outcome, "delivered"]
        assert send(queue, archive_at(server), 102.0) == ([] if outcome == "delivered" else [outcome])
    assert server.digests[:2] == [*DIGESTS.values()]


def test_an_answer_that_is_lost_sends_the_same_bytes_again(queue: Queue) -> None:
    with web_server() as server:
        server.reply = lambda _: None
        with pytest.raises(AwayError):
            send(queue, archive_at(server))
        server.reply = lambda _: (200, None)
        assert send(queue, archive_at(server), 100.5) == ["delivered"]  # the other one
        assert send(queue, archive_at(server), 101.0) == ["delivered"]
    assert server.digests == [DIGESTS["1.7"], DIGESTS["1.8"], DIGESTS["1.7"]]


@pytest.mark.parametrize("status", [301, 401, 403, 404, 503])
def test_an_archive_that_serves_nothing_is_away(queue: Queue, status: int) -> None:
    with web_server() as server:
        server.reply = lambda _: (status, None)
        with pytest.raises(AwayError, match=str(status)) as error:
            send(queue, archive_at(server))
        assert isinstance(error.value, NotServedError) == (status != 503)
        server.reply = lambda _: (200, None)
        later = 100.0 if status != 503 else 101.0  # where no object is at fault, none waits
        assert send(queue, archive_at(server), later) == ["delivered"] * 2


def test_an_archive_that_cannot_be_reached_is_away(queue: Queue) -> None:
    with web_server() as server:
        archive = archive_at(server)
    with pytest.raises(AwayError):
        send(queue, archive)


def test_a_result_that_somebody_deleted_stops_no_other(queue: Queue) -> None:
    queue.path(result_file("1.7")).unlink()
    with web_server() as server:
        assert send(queue, archive_at(server)) == ["refused", "delivered"]


def test_credentials_are_read_at_each_call(queue: Queue, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text("node:pass:wörd\n", "utf-8")
    with web_server() as server:
        server.reply = lambda _: (401, None)
        archive = archive_at(server, credentials)
        with pytest.raises(NotServedError):
            send(queue, archive)
        server.reply = lambda _: (200, None)
        credentials.write_text("Bearer abc.def\n")
        assert send(queue, archive) == ["delivered"] * 2
    sent = [each["Authorization"] for each in server.headers]
    assert sent == ["Basic bm9kZTpwYXNzOnfDtnJk", "Bearer abc.def", "Bearer abc.def"]


@pytest.mark.parametrize("text", ["", "token", ":password", "Bearer ", "a:b\nc:d", "Bearer sch\u00fc"])
def test_a_file_without_credentials_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "credentials").write_text(text, "utf-8")
    with pytest.raises(UsageError):
        read_authorization(tmp_path / "credentials")
    with pytest.raises(UsageError):
        read_authorization(tmp_path / "none")


def test_a_certificate_must_come_from_the_authority(queue: Queue, tmp_path: Path) -> None:
    files = make_certificates(tmp_path)
    own = Tls(files["node.pem"], files["node.key"], files["authority.pem"])
    with web_server(server_context(own)) as server:
        with pytest.raises(NotServedError, match="certificate"):
            send(queue, archive_at(server))
        assert send(queue, archive_at(server, tls=own)) == ["delivered"] * 2

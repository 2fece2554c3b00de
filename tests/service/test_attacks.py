"""Connections that do harm: the service stays small, says what it closes, and answers everybody else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import numpy as np
import pytest

from retinagrade import Grader
from retinagrade.service.app import create_app
from retinagrade.service.server import make_server, open_socket
from retinagrade.service.settings import ServiceSettings, share_of
from tests.images.encoded_files import encoded
from tests.service.served import Served, served

UPLOAD = b"POST /v1/grade HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
DECLARED = UPLOAD + b"Content-Length: 64000000\r\n\r\n"
CHUNKED = UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n"
SECOND = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET"
UNFINISHED = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Name: "


def connect(url: str, sent: bytes, address: str = "127.0.0.1") -> socket.socket:
    """Opens a connection, from any address of this machine's loopback, and sends bytes."""
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=60, source_address=(address, 0))
    connection.sendall(sent)
    return connection


def grade(url: str, eye: Path) -> int:
    return httpx2.post(f"{url}/v1/grade", files={"photographs": ("eye.jpg", eye.read_bytes())}, timeout=60).status_code


def megabytes(service: Served) -> float:
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return float(status.split("VmRSS:")[1].split()[0]) / 1000


@contextmanager
def running(grader: Grader, settings: ServiceSettings) -> Iterator[str]:
    """Runs the server in a thread of this process, with any settings; yields its URL."""
    server = make_server(create_app(grader, settings))
    listener = open_socket("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("begin", [DECLARED, CHUNKED, UNFINISHED, b"", b"GET"])
def test_connections_that_send_nothing_keep_nobody_waiting(service: Served, eyes: list[Path], begin: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(8 if begin in (DECLARED, CHUNKED) else 300):
            stack.enter_context(connect(service.url, begin))
        assert grade(service.url, eyes[0]) == 200
        assert httpx2.get(f"{service.url}/readyz").status_code == 200


def test_silent_uploads_at_the_limit_make_room(grader: Grader, eyes: list[Path]) -> None:
    with running(grader, ServiceSettings(max_requests=8)) as url, ExitStack() as stack:
        for number in range(8):
            stack.enter_context(connect(url, DECLARED, f"127.0.0.{number + 2}"))
        while "retinagrade_requests_in_progress 8.0" not in httpx2.get(f"{url}/metrics").text:
            time.sleep(0.05)
        while httpx2.get(f"{url}/readyz").status_code != 200:  # they may be silent for a second
            time.sleep(0.05)
        assert grade(url, eyes[0]) == 200


def test_one_address_does_not_take_everything(grader: Grader, eyes: list[Path]) -> None:
    settings = ServiceSettings(max_requests=16)
    with running(grader, settings) as url, ExitStack() as stack:
        for _ in range(share_of(settings.max_connections) + 20):
            stack.enter_context(connect(url, b"", "127.0.0.2"))
        for _ in range(settings.max_requests):
            stack.enter_context(connect(url, CHUNKED, "127.0.0.2"))
        assert grade(url, eyes[0]) == 200
        assert httpx2.get(f"{url}/readyz").status_code == 200


@pytest.mark.parametrize("drip", [b"", b"x"])
@pytest.mark.parametrize("begin", [UNFINISHED, b"", DECLARED, CHUNKED, SECOND])
def test_slow_connections_are_ended(grader: Grader, begin: bytes, drip: bytes) -> None:
    """A client that sends nothing, or a byte now and then, is cut off."""
    settings = ServiceSettings(header_seconds=0.3, idle_seconds=0.3, lowest_rate=1000)
    with running(grader, settings) as url, connect(url, begin) as connection:
        connection.settimeout(0.05)
        while True:
            try:
                if drip:
                    connection.send(drip if begin != CHUNKED else b"1\r\nx\r\n")
                if not connection.recv(65536):
                    break
            except TimeoutError:
                continue
            except OSError:
                break


def test_a_client_that_does_not_read_is_ended(grader: Grader) -> None:
    with running(grader, ServiceSettings(idle_seconds=0.3)) as url, connect(url, b"") as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with pytest.raises(OSError, match=r"."):  # noqa: PT012  # the first sends succeed
            while True:
                connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)


def test_what_is_closed_is_counted_and_logged(grader_file: Path) -> None:
    with served(grader_file, "--max-requests", "1") as running_service, ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(connect(running_service.url, UNFINISHED))
        text = ""
        while "retinagrade_closed_connections_total{" not in text:
            text = httpx2.get(f"{running_service.url}/metrics").text
    closed = [line for line in running_service.log if line["event"] == "closed connections"]
    assert {line["reason"] for line in closed} == {"too many connections"}
    assert sum(line["count"] for line in closed) >= 30


@pytest.mark.parametrize("begin", [UNFINISHED, b"GET /", CHUNKED + b"5;"])
def test_large_headers_are_refused(service: Served, begin: bytes) -> None:
    before = megabytes(service)
    with connect(service.url, begin) as connection, pytest.raises(OSError, match=r"."):  # noqa: PT012
        for _ in range(100):
            connection.sendall(b"a" * 1_000_000)
            assert megabytes(service) < before + 20


def test_pipelined_requests_wait_outside(service: Served) -> None:
    before = megabytes(service)
    with connect(service.url, b"") as connection:
        connection.settimeout(2)
        with pytest.raises(TimeoutError):  # noqa: PT012  # nobody reads the answers, so the service stops reading
            for _ in range(100):
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5000)
        assert httpx2.get(f"{service.url}/healthz").status_code == 200
        assert megabytes(service) < before + 40


def test_pipelined_requests_are_answered_in_their_order(service: Served) -> None:
    paths = [b"/healthz", b"/readyz", b"/nothing", b"/v1/model"] * 4
    with connect(service.url, b"".join(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in paths)) as each:
        answers = b""
        while answers.count(b"HTTP/1.1 ") < len(paths) or not answers.endswith(b"}"):
            answers += each.recv(65536)
    statuses = [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"404" if path == b"/nothing" else b"200" for path in paths]


def test_work_for_a_client_that_has_gone_is_dropped(grader_file: Path, eyes: list[Path]) -> None:
    """Otherwise the photographs of the first client, 64 of 49 megapixels, would take minutes."""
    large = encoded(np.zeros((7000, 7000, 3), np.uint8), "PNG")
    parts = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="photographs"; filename="%d.png"\r\n\r\n%s\r\n' % (number, large)
        for number in range(64)
    )
    with served(grader_file) as running_service:
        connection = connect(running_service.url, UPLOAD + b"Content-Length: %d\r\n\r\n" % (len(parts) + 7))
        connection.sendall(parts + b"--x--\r\n")
        text = "retinagrade_requests_in_progress 0.0"
        while "retinagrade_requests_in_progress 0.0" in text:
            text = httpx2.get(f"{running_service.url}/metrics").text
        connection.close()
        while "retinagrade_requests_in_progress 0.0" not in text:
            text = httpx2.get(f"{running_service.url}/metrics").text
        outcomes = [line.split() for line in text.splitlines() if line.startswith("retinagrade_photographs_total")]
        assert sum(float(count) for _, count in outcomes) < 60
        assert grade(running_service.url, eyes[0]) == 200
        running_service.process.terminate()
        running_service.process.wait()
        running_service.reader.join()
    assert 499 in [line.get("status") for line in running_service.log]

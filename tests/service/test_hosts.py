"""Names by which clients may call the service: a page elsewhere must not lead a browser here (DNS rebinding)."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Scope

from retinagrade.errors import UsageError
from retinagrade.service.hosts import allowed_hosts, is_allowed, serves_others
from tests.service.served import Served, served

OTHERS = (
    "evil.example",
    "evil.example:8000",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "grading.example.evil",
    "localhost@evil.example",
    "192.0.2.8",
    "[::2]",
    "0.0.0.0",
    "127.1",
    "2130706433",
    "",
    ":8000",
)


def scope_of(host: str | None, server: str = "192.0.2.7") -> Scope:
    headers = [] if host is None else [(b"host", host.encode("latin-1"))]
    return {"type": "http", "headers": headers, "server": (server, 8000)}


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:80",
        "127.0.0.1:8000",
        "127.9.9.9",
        "[::1]:8000",
        "192.0.2.7:8000",
        "grading.example.",
        None,
    ],
)
def test_the_service_is_called_by_its_own_names(host: str | None) -> None:
    assert is_allowed(scope_of(host), allowed_hosts("0.0.0.0", ["Grading.Example"]))


@pytest.mark.parametrize("host", OTHERS)
def test_another_name_is_refused(host: str) -> None:
    assert not is_allowed(scope_of(host), allowed_hosts("127.0.0.1", ["grading.example"]))
    assert is_allowed(scope_of(host), allowed_hosts("127.0.0.1", ["*"]))


@given(st.text(st.characters(max_codepoint=255), max_size=30))
def test_no_header_is_an_error(host: str) -> None:
    is_allowed(scope_of(host), allowed_hosts("localhost", []))


def test_the_name_that_the_service_listens_on_is_its_own() -> None:
    assert is_allowed(scope_of("Clinic.Example:8000"), allowed_hosts("clinic.example", []))


@pytest.mark.parametrize("name", ["", "http://a.example", "a.example:80", "a.example/b"])
def test_a_name_that_no_machine_has_is_an_error(name: str) -> None:
    with pytest.raises(UsageError):
        allowed_hosts("127.0.0.1", [name])


def test_what_other_machines_reach() -> None:
    assert [serves_others(host) for host in ("127.0.0.1", "localhost", "::1", "127.3.2.1")] == [False] * 4
    assert [serves_others(host) for host in ("0.0.0.0", "::", "192.0.2.1")] == [True] * 3
    with pytest.raises(UsageError):
        serves_others("no such name")


@pytest.fixture(scope="module")
def named(grader_file: Path) -> Iterator[Served]:
    with served(grader_file, "--allowed-hosts", "grading.example, grading.test") as running:
        yield running


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/model", "/v1/grade", "/nothing", "/page/page.js"])
def test_every_path_is_guarded(named: Served, path: str) -> None:
    def status(host: str) -> int:
        parts = urlsplit(named.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        if answer.status == 421:
            assert answer.headers["content-type"] == "application/problem+json"
            assert host.encode() not in answer.read()
        connection.close()
        return answer.status

    assert status("evil.example") == 421
    assert {status("grading.example"), status("grading.test:99"), status("localhost")} & {421} == set()

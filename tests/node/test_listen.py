"""The command: what it refuses before it starts, and how it begins and ends."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import retinagrade
from retinagrade.errors import UsageError
from retinagrade.storage.locking import locked
from tests.node.nodes import free_port, start_node


@pytest.mark.parametrize(
    "arguments",
    [
        {"send_to": "ORTHANC"},
        {"send_to": "ORTHANC@host:0"},
        {"send_to": "A" * 17 + "@host:4242"},
        {"aet": "a\\b"},
        {"callers": ["A@B"]},
        {"host": "0.0.0.0"},
        {"tls_key": "node.key"},
        {"tls_certificate": "none.pem", "tls_key": "none.key"},
        {"wait": -1},
    ],
)
def test_wrong_settings_are_refused_before_anything_starts(
    tmp_path: Path, grader_file: Path, arguments: dict[str, Any]
) -> None:
    with pytest.raises(UsageError):
        retinagrade.listen(grader_file, **{"send_to": "A@host:1", "queue": tmp_path / "queue", **arguments})


def test_a_queue_has_one_node(tmp_path: Path, grader_file: Path) -> None:
    with locked(tmp_path / "queue.sqlite"), pytest.raises(UsageError, match="another"):
        retinagrade.listen(grader_file, send_to="A@host:1", queue=tmp_path)


def test_a_node_says_that_it_is_alive_and_ends_at_sigterm(tmp_path: Path, grader_file: Path) -> None:
    node = start_node(grader_file, tmp_path / "queue", free_port(), 0)
    with urllib.request.urlopen(f"{node.status}/healthz") as answer:
        assert json.load(answer) == {"status": "alive"}
    node.process.send_signal(signal.SIGTERM)
    node.process.wait(30)
    events = [json.loads(line)["event"] for line in (tmp_path / "node.log").read_text().splitlines()]
    assert events == ["listening", "stopped"]
    assert (tmp_path / "queue").stat().st_mode & 0o077 == 0

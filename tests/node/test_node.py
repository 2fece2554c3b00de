"""A whole node in this process: photographs in, results out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from retinagrade import Grader
from retinagrade.node.node import Node
from retinagrade.node.settings import NodeSettings, Peer
from tests.node.nodes import NotingArchive, archive, send, wait_until, write_eye


@contextmanager
def node(model: Path, folder: Path, port: int, **settings: Any) -> Iterator[Node]:
    running = Node(Grader.load(model), NodeSettings(Peer("ARCHIVE", "127.0.0.1", port), wait=0.3, **settings), folder)
    running.start("127.0.0.1", 0)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def store() -> Iterator[NotingArchive]:
    with archive() as noting:
        yield noting


def counts(running: Node, name: str) -> int:
    return int(running.metrics.registry.get_sample_value("retinagrade_node_queue", {"rows": name}) or 0)


def test_a_study_is_answered_with_lesions_page_and_report(
    tmp_path: Path, lesion_file: Path, store: NotingArchive
) -> None:
    files = [write_eye(tmp_path, side, side, "1") for side in "LR"]
    with node(lesion_file, tmp_path / "queue", store.port) as running:
        assert send(running.port, files) == [0, 0]
        wait_until(lambda: counts(running, "delivered_results") == 7)
    assert sorted(each.Modality for each in store.objects.values()) == ["DOC", "OT", "OT", "OT", "SEG", "SEG", "SR"]

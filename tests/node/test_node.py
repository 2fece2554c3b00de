"""A whole node in this process: photographs in, results out."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pynetdicom import AE, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from starlette.testclient import TestClient

from retinagrade import Grader
from retinagrade.node.node import Node
from retinagrade.node.policy import MOST_TRIES
from retinagrade.node.results import make_results
from retinagrade.node.settings import NodeSettings, Peer, Tls, WebPeer
from retinagrade.node.tls import client_context, server_context
from retinagrade.node.web_app import WebAccess, make_app
from retinagrade.service.logs import LOGGER, JsonFormatter
from tests.grader.ophthalmic import write_ophthalmic
from tests.node.certificates import make_certificates
from tests.node.here import decode_here
from tests.node.nodes import NotingArchive, archive, commitment_client, send, send_by_web, wait_until, write_eye
from tests.node.web import served, web_server


@contextmanager
def node(model: Path, folder: Path, port: int, **settings: Any) -> Iterator[Node]:
    running = Node(Grader.load(model), NodeSettings(Peer("ARCHIVE", "127.0.0.1", port), wait=0.3, **settings), folder)
    running.start("127.0.0.1", 0)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(autouse=True)
def _decoder_here(monkeypatch: pytest.MonkeyPatch) -> None:
    decode_here(monkeypatch)


@pytest.fixture
def store() -> Iterator[NotingArchive]:
    with archive() as noting:
        yield noting


@contextmanager
def noted_log() -> Iterator[list[dict[str, Any]]]:
    """Collects the lines of the log while the block lasts."""
    lines = list[dict[str, Any]]()

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(JsonFormatter().format(record)))

    handler = Noting()
    LOGGER.addHandler(handler)
    level = LOGGER.level
    LOGGER.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)


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


def test_a_study_comes_and_is_answered_by_dicomweb(tmp_path: Path, grader_file: Path) -> None:
    with web_server() as store:
        settings = NodeSettings(WebPeer(store.url), wait=0.3)
        running = Node(Grader.load(grader_file), settings, tmp_path / "queue")
        running.start("127.0.0.1", 0)
        with served(running, settings, WebAccess()) as url:
            assert send_by_web(url, [write_eye(tmp_path, side, side, "1") for side in "LR"]) == [0, 0]
            wait_until(lambda: counts(running, "delivered_results") == 5)
    assert len(set(store.digests)) == len(store.digests) == 5


def test_a_later_photograph_makes_a_report_that_replaces_the_earlier_one(
    tmp_path: Path, grader_file: Path, store: NotingArchive
) -> None:
    left, right = (write_eye(tmp_path, side, side, "1") for side in "LR")
    with node(grader_file, tmp_path / "queue", store.port) as running:
        send(running.port, [left])
        wait_until(lambda: len(store.of_modality("SR")) == 1 and not counts(running, "waiting_results"))
        send(running.port, [left, right])  # the left one again, which changes nothing
        wait_until(lambda: len(store.of_modality("SR")) == 2 and not counts(running, "waiting_results"))
        delivered = counts(running, "delivered_results")
    first, second = sorted(store.of_modality("SR"), key=lambda each: int(each.InstanceNumber))
    (study,) = second.PredecessorDocumentsSequence
    replaced = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert replaced == first.SOPInstanceUID
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert "PredecessorDocumentsSequence" not in first
    overlays = [each for each in store.of_modality("OT") if each.SeriesNumber in (9002, 9003)]
    assert len(overlays) == 2  # the left overlay was made twice, and is one object
    assert delivered == len(store.objects) == 8
    assert all(len(digests) == 1 for digests in store.digests.values())


def test_an_unreadable_photograph_is_quarantined_and_reported(
    tmp_path: Path, grader_file: Path, store: NotingArchive
) -> None:
    left = write_eye(tmp_path, "L", "L", "1")
    right = write_eye(tmp_path, "R", "R", "1", NumberOfFrames=2)
    with node(grader_file, tmp_path / "queue", store.port) as running:
        assert send(running.port, [left, right]) == [0, 0]
        wait_until(lambda: len(store.of_modality("SR")) == 1)
        wait_until(lambda: counts(running, "quarantined") == 1)
    (report,) = store.of_modality("SR")
    assert "UNREADABLE" in str(report)


def test_a_photograph_of_another_patient_changes_nothing_for_its_study(
    tmp_path: Path, grader_file: Path, store: NotingArchive
) -> None:
    files = [write_eye(tmp_path, side, side, "1", PatientID="P2") for side in "LR"]
    later = write_eye(tmp_path, "later", "L", "1", PatientID="P2")
    wrong = write_eye(tmp_path, "wrong", "R", "1", PatientID="P9")
    with node(grader_file, tmp_path / "queue", store.port) as running:
        assert send(running.port, files) == [0, 0]
        wait_until(lambda: len(store.of_modality("SR")) == 1)
        assert send(running.port, [wrong, later]) == [0xC002, 0]
        wait_until(lambda: len(store.of_modality("SR")) == 2)
        corrected = write_eye(tmp_path, "wrong", "R", "1", PatientID="P2")
        assert send(running.port, [corrected]) == [0]
        wait_until(lambda: len(store.of_modality("SR")) == 3)
        assert (counts(running, "given_up"), counts(running, "quarantined")) == (0, 1)
    assert {each.PatientID for each in store.objects.values()} == {"P2"}


def test_a_study_that_fails_delays_no_other_one_and_is_told(
    tmp_path: Path, grader_file: Path, store: NotingArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(study: str, graded: Any, *rest: Any) -> Any:
        if study == broken_uid:
            raise ValueError("SECRET-7")
        return make_results(study, graded, *rest)

    monkeypatch.setattr("retinagrade.node.study_grader.make_results", make)
    monkeypatch.setattr("retinagrade.node.study_grader.next_study_wait", lambda _: 0.3)
    monkeypatch.setattr("retinagrade.node.node.FAULTS", 1)
    broken = write_eye(tmp_path, "L", "L", "broken")
    broken_uid = str(dcmread(broken).StudyInstanceUID)
    with node(grader_file, tmp_path / "queue", store.port) as running, noted_log() as lines:
        send(running.port, [broken])
        wait_until(lambda: any(line["event"] == "study failed" for line in lines))
        send(running.port, [write_eye(tmp_path, "L", "L", "good")])
        wait_until(lambda: len(store.of_modality("SR")) == 1)
        wait_until(lambda: any(line.get("given_up") for line in lines))
        assert counts(running, "given_up") == 1
        assert running.is_well
        failed = [line for line in lines if line["event"] == "study failed"]
    assert len(failed) == MOST_TRIES
    assert [line["given_up"] for line in failed] == [False] * (MOST_TRIES - 1) + [True]
    for line in failed:
        assert (line["level"], line["number"]) == ("error", 1)
        assert "ValueError" in line["reason"]
        assert not any(secret in json.dumps(line) for secret in ("SECRET-7", broken_uid))


def test_a_rejected_caller_is_logged_and_counted(tmp_path: Path, grader_file: Path, store: NotingArchive) -> None:
    photograph = write_eye(tmp_path, "L", "L", "1")
    with (
        node(grader_file, tmp_path / "queue", store.port, callers={"CAMERA": None}) as running,
        noted_log() as lines,
    ):
        assert send(running.port, [photograph], "STRANGER") == [-1]
        assert (
            not AE("CAMERA")
            .associate("127.0.0.1", running.port, [build_context(Verification)], ae_title="OTHER")
            .is_established
        )
        wait_until(lambda: len([line for line in lines if line["event"] == "connection rejected"]) == 2)
        first, second = (line for line in lines if line["event"] == "connection rejected")
        for reason in ("caller", "called title"):
            name = ("retinagrade_node_rejected_total", {"reason": reason})
            assert running.metrics.registry.get_sample_value(*name) == 1
    assert first["level"] == "warning"
    assert (first["reason"], first["address"], first["title"]) == ("caller", "127.0.0.1", "STRANGER")
    assert (second["reason"], second["title"]) == ("called title", "CAMERA")


def test_results_wait_for_the_archive_and_for_its_consent(tmp_path: Path, grader_file: Path) -> None:
    noting = NotingArchive(answer=lambda _: 0xA700)
    with archive(notes=noting) as noting:
        port = noting.port
    with node(grader_file, tmp_path / "queue", port) as running:
        send(running.port, [write_eye(tmp_path, "L", "L", "1")])
        wait_until(lambda: counts(running, "waiting_results") == 4)
        wait_until(lambda: (running.metrics.registry.get_sample_value("retinagrade_node_archive_away_total") or 0) > 0)
        with archive(port, noting):
            sent = ("retinagrade_node_sent_total", {"outcome": "refused"})
            wait_until(lambda: (running.metrics.registry.get_sample_value(*sent) or 0) > 0)
            noting.answer = lambda _: 0x0000
            wait_until(lambda: counts(running, "delivered_results") == 4)
    assert len(noting.objects) == 4


def test_a_photograph_that_is_too_large_gets_a_status_and_a_far_larger_one_is_cut_off(
    tmp_path: Path, grader_file: Path, store: NotingArchive
) -> None:
    large = write_eye(tmp_path, "L", "L", "1")
    huge = write_ophthalmic(tmp_path / "huge.dcm", np.zeros((300, 300, 3), np.uint8), "R", "1")
    with node(grader_file, tmp_path / "queue", store.port, max_megabytes=0.05) as running:
        assert send(running.port, [large]) == [0xA700]
        assert send(running.port, [huge]) == [-1]
        too_large = ("retinagrade_node_received_total", {"outcome": "too large"})
        assert running.metrics.registry.get_sample_value(*too_large) == 2
        assert counts(running, "photographs") == 0


def test_a_unit_of_any_length_is_not_read(tmp_path: Path, grader_file: Path, store: NotingArchive) -> None:
    with node(grader_file, tmp_path / "queue", store.port) as running:
        with socket.create_connection(("127.0.0.1", running.port)) as client:
            client.settimeout(30)
            client.sendall(b"\x01\x00\xff\xff\xff\xff" + bytes(10))
            with suppress(ConnectionResetError):
                assert client.recv(1) == b""
        assert send(running.port, [write_eye(tmp_path, "L", "L", "1")]) == [0]


def test_a_part_that_fails_again_and_again_is_told(
    tmp_path: Path, grader_file: Path, store: NotingArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("retinagrade.node.node.FAULTS", 1)
    with node(grader_file, tmp_path / "queue", store.port) as running:
        client = TestClient(make_app(running, NodeSettings(Peer("ARCHIVE", "127.0.0.1", 1)), WebAccess()))
        assert client.get("/healthz").status_code == 200
        monkeypatch.setattr("retinagrade.node.node.send_due", fail)
        wait_until(lambda: client.get("/healthz").status_code == 503)


def test_commitments_are_answered_on_the_same_connection_or_on_one_of_their_own(
    tmp_path: Path, grader_file: Path, store: NotingArchive
) -> None:
    photograph = write_eye(tmp_path, "L", "L", "1")
    with commitment_client() as client:
        callers = {"CAMERA": None, "STATION": Peer("STATION", "127.0.0.1", client.port)}
        with node(grader_file, tmp_path / "queue", store.port, callers=callers) as running:
            assert send(running.port, [photograph], "STRANGER") == [-1]
            assert send(running.port, [photograph]) == [0]
            for caller in callers:
                assert client.request(running.port, caller, [photograph]) == 0
                wait_until(lambda: len(client.answers) > 0)
                event, answer = client.answers.pop()
                assert event == 2
                assert len(answer.ReferencedSOPSequence) == len(answer.FailedSOPSequence) == 1
                assert answer.FailedSOPSequence[0].FailureReason == 0x0112
            wait_until(lambda: counts(running, "waiting_commitments") == 0)


def test_tls_both_ways(tmp_path: Path, grader_file: Path) -> None:
    files = make_certificates(tmp_path)
    tls = Tls(files["node.pem"], files["node.key"], files["authority.pem"], sends=True)
    server, client = server_context(tls), client_context(tls)
    with archive(tls=server) as noting, node(grader_file, tmp_path / "queue", noting.port, tls=tls) as running:
        photograph = write_eye(tmp_path, "L", "L", "1")
        assert send(running.port, [photograph]) == [-1]  # a plain connection
        assert send(running.port, [photograph], tls=client) == [0]
        wait_until(lambda: len(noting.of_modality("SR")) == 1)

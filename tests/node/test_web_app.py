"""A node over HTTP: photographs by STOW-RS, and who may call."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from dicomweb_client import DICOMwebClient
from pydicom import Dataset, dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, OphthalmicPhotography8BitImageStorage, SegmentationStorage
from requests.exceptions import HTTPError

from retinagrade import Grader
from retinagrade.images.dicom import MAKER
from retinagrade.node.node import Node
from retinagrade.node.settings import NodeSettings, Peer, Tls
from retinagrade.node.web_app import WebAccess
from retinagrade.service.hosts import LOOPBACK
from tests.node.certificates import make_certificates
from tests.node.here import decode_here
from tests.node.nodes import send, wait_until, write_eye
from tests.node.web import encode_parts, served

TYPE = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=limit'}


@dataclass
class WebNode:
    """A node whose studies wait for ever.

    Attributes:
        node: The node.
        url: Its address.
    """

    node: Node
    url: str

    def post(self, parts: list[bytes], path: str = "/studies") -> tuple[int, Dataset]:
        """Sends DICOM files; returns status and response."""
        answer = requests.post(self.url + path, encode_parts(parts), headers=TYPE, timeout=60)
        assert answer.headers["content-type"] == "application/dicom+json"
        return answer.status_code, Dataset.from_json(answer.json())

    def received(self, outcome: str) -> int:
        """Returns a number of the metrics."""
        name = "retinagrade_node_received_total"
        return int(self.node.metrics.registry.get_sample_value(name, {"outcome": outcome}) or 0)


@contextmanager
def web_node(
    model: Path, folder: Path, *, token: str | None = None, names: frozenset[str] | None = None, **settings: Any
) -> Iterator[WebNode]:
    all_settings = NodeSettings(Peer("ARCHIVE", "127.0.0.1", 1), wait=1e9, **settings)
    node = Node(Grader.load(model), all_settings, folder)
    node.start("127.0.0.1", 0)
    with served(node, all_settings, WebAccess(token, names)) as url:
        yield WebNode(node, url)


@pytest.fixture(autouse=True)
def _decoder_here(monkeypatch: pytest.MonkeyPatch) -> None:
    decode_here(monkeypatch)


def reasons(answer: Dataset) -> dict[str, int]:
    return {each.ReferencedSOPInstanceUID: each.FailureReason for each in answer.get("FailedSOPSequence", [])}


def uid(photograph: Path) -> str:
    return str(dcmread(photograph).SOPInstanceUID)


def test_a_client_of_dicomweb_stores_photographs(grader_file: Path, tmp_path: Path) -> None:
    instances = [dcmread(write_eye(tmp_path, side, side, "1")) for side in "LR"]
    session = requests.Session()
    session.headers["Authorization"] = "Bearer schlüssel".encode()  # type: ignore[assignment]
    with web_node(grader_file, tmp_path / "queue", token="schlüssel") as running:
        client = DICOMwebClient(running.url, session)
        for study in (None, instances[0].StudyInstanceUID):  # the second time changes nothing
            answer = client.store_instances(instances, study)
            stored = [each.ReferencedSOPInstanceUID for each in answer.ReferencedSOPSequence]
            assert stored == [each.SOPInstanceUID for each in instances]
        assert (running.received("stored"), running.received("repeated")) == (2, 2)
        with pytest.raises(HTTPError, match="401"):
            DICOMwebClient(running.url).store_instances(instances)
        key = {"X-API-Key": "schlüssel".encode()}
        assert requests.get(f"{running.url}/metrics", headers=key, timeout=60).status_code == 200
        statuses = [requests.get(running.url + path, timeout=60).status_code for path in ("/metrics", "/healthz")]
        assert statuses == [401, 200]


def test_a_file_is_kept_as_it_came_and_is_the_same_by_either_way(grader_file: Path, tmp_path: Path) -> None:
    photograph = write_eye(tmp_path, "L", "L", "1")
    with web_node(grader_file, tmp_path / "queue") as running:
        assert running.post([photograph.read_bytes()])[0] == 200
        (kept,) = (tmp_path / "queue" / "photographs").iterdir()
        assert kept.read_bytes() == photograph.read_bytes()
        assert send(running.node.port, [photograph]) == [0]
        assert running.received("repeated") == 1


@pytest.mark.filterwarnings("ignore:Invalid value")
def test_each_photograph_has_its_own_status(grader_file: Path, tmp_path: Path) -> None:
    good, large = write_eye(tmp_path, "L", "L", "1"), write_eye(tmp_path, "R", "R", "1")
    large.write_bytes(large.read_bytes() + bytes(200_000))
    no_study = write_eye(tmp_path, "no study", "L", "1", StudyInstanceUID=None)
    result = write_eye(tmp_path, "result", "L", "1", Manufacturer=MAKER)
    other = dcmread(write_eye(tmp_path, "other", "L", "1"))
    other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = SegmentationStorage
    other.save_as(tmp_path / "segmentation.dcm")
    other.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = OphthalmicPhotography8BitImageStorage
    other.save_as(tmp_path / "deflated.dcm")
    files = [good, large, no_study, result, tmp_path / "segmentation.dcm", tmp_path / "deflated.dcm"]
    with web_node(grader_file, tmp_path / "queue", max_megabytes=0.15) as running:
        status, answer = running.post([*(each.read_bytes() for each in files), b"no DICOM"])
        counts = running.node._queue.counts()
    assert status == 202
    assert [each.ReferencedSOPInstanceUID for each in answer.ReferencedSOPSequence] == [uid(good), uid(result)]
    assert [each.FailureReason for each in answer.FailedSOPSequence] == [0xA700, 0xC000, 0x0122, 0xC122]
    assert [each.FailureReason for each in answer.OtherFailuresSequence] == [0xC000]
    assert (counts.photographs, counts.quarantined) == (1, 2)


def test_a_photograph_of_another_patient_fails(grader_file: Path, tmp_path: Path) -> None:
    first, wrong = (
        write_eye(tmp_path, patient, side, "1", PatientID=patient) for patient, side in (("P2", "L"), ("P9", "R"))
    )
    with web_node(grader_file, tmp_path / "queue") as running:
        status, answer = running.post([first.read_bytes(), wrong.read_bytes()])
        assert (status, reasons(answer)) == (202, {uid(wrong): 0xC002})
        assert running.post([wrong.read_bytes()])[0] == 409
        corrected = write_eye(tmp_path, "P9", "R", "1", PatientID="P2")
        assert uid(corrected) == uid(wrong)
        assert running.post([corrected.read_bytes()])[0] == 200


def test_nothing_stored_is_a_conflict(grader_file: Path, tmp_path: Path) -> None:
    photograph = write_eye(tmp_path, "L", "L", "1")
    first = photograph.read_bytes()
    other = write_eye(tmp_path, "L", "R", "1").read_bytes()  # under the same UID
    with web_node(grader_file, tmp_path / "queue") as running:
        status, answer = running.post([first], "/studies/1.2.3")
        assert (status, reasons(answer)) == (409, {uid(photograph): 0xA900})
        assert running.post([first])[0] == 200
        status, answer = running.post([other])
        assert (status, reasons(answer)) == (409, {uid(photograph): 0xC001})


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/studies/1.02", TYPE, 400),
        ("/studies", {"Content-Type": "application/dicom"}, 415),
        ("/studies", {**TYPE, "Host": "elsewhere.example"}, 421),
        ("/series", TYPE, 404),
    ],
)
def test_requests_that_cannot_be_served_change_nothing(
    grader_file: Path, tmp_path: Path, path: str, headers: dict[str, str], status: int
) -> None:
    with web_node(grader_file, tmp_path / "queue", names=LOOPBACK) as running:
        body = encode_parts([write_eye(tmp_path, "L", "L", "1").read_bytes()])
        assert requests.post(running.url + path, body, headers=headers, timeout=60).status_code == status
        assert running.node._queue.counts().photographs == 0


def test_uploads_are_limited_in_number_and_stop_with_the_node(grader_file: Path, tmp_path: Path) -> None:
    with web_node(grader_file, tmp_path / "queue", max_associations=1) as running:
        address = running.url.removeprefix("http://").split(":")
        with socket.create_connection((address[0], int(address[1]))) as slow:
            slow.sendall(f"POST /studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: {TYPE['Content-Type']}".encode())
            slow.sendall(b"\r\nContent-Length: 1000\r\n\r\n--lim")
            photograph = encode_parts([write_eye(tmp_path, "L", "L", "1").read_bytes()])

            def status() -> int:
                return requests.post(f"{running.url}/studies", photograph, headers=TYPE, timeout=60).status_code

            wait_until(lambda: status() == 503)
        wait_until(lambda: status() == 200)


def test_tls_with_certificates_of_clients(grader_file: Path, tmp_path: Path) -> None:
    files = make_certificates(tmp_path)
    tls = Tls(files["node.pem"], files["node.key"], files["authority.pem"])
    with web_node(grader_file, tmp_path / "queue", tls=tls) as running, requests.Session() as session:
        session.trust_env = False  # the environment may name other authorities
        session.verify = str(files["authority.pem"])
        with pytest.raises(requests.exceptions.ConnectionError):
            session.get(f"{running.url}/healthz", timeout=60)
        session.cert = (str(files["node.pem"]), str(files["node.key"]))
        assert session.get(f"{running.url}/healthz", timeout=60).status_code == 200

"""Parts for tests of the node: photographs, an archive that notes everything, and the command as a process."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dicomweb_client import DICOMwebClient
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]
from requests.exceptions import HTTPError, RequestException

from tests.grader.lesion_graders import draw_photograph
from tests.grader.ophthalmic import write_ophthalmic


def write_eye(folder: Path, name: str, side: str | None, study: str, **elements: Any) -> Path:
    """Writes a photograph of one eye of a study; ``name`` makes its UID."""
    pixels, _ = draw_photograph(160, 144)
    return write_ophthalmic(folder / f"{study}-{name}.dcm", pixels, side, study, **elements)


@dataclass
class NotingArchive:
    """An archive that notes what it gets.

    Attributes:
        port: Its port.
        objects: Every object, by its UID, without pixels.
        digests: Digests of the bytes that came under each UID, one for each time.
        answer: Returns the status for an object.
    """

    port: int = 0
    objects: dict[str, Dataset] = field(default_factory=dict)
    digests: dict[str, list[str]] = field(default_factory=dict)
    answer: Callable[[Dataset], int] = lambda _: 0x0000

    def store(self, event: Event) -> int:
        """Handles C-STORE."""
        data, instance = event.encoded_dataset(include_meta=False), event.dataset
        instance.file_meta = event.file_meta
        status = self.answer(instance)
        if status == 0:
            uid = str(instance.SOPInstanceUID)
            self.digests.setdefault(uid, []).append(hashlib.sha256(data).hexdigest())
            for bulk in ("PixelData", "EncapsulatedDocument"):  # they would fill the memory
                if bulk in instance:
                    del instance[bulk]
            self.objects[uid] = instance
        return status

    def of_modality(self, modality: str) -> list[Dataset]:
        """Returns the objects of a modality."""
        return [each for each in [*self.objects.values()] if each.Modality == modality]


@contextmanager
def archive(
    port: int = 0, notes: NotingArchive | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[NotingArchive]:
    """Runs an archive while the block lasts; ``notes`` continues with those of an earlier one."""
    noting = notes or NotingArchive()
    entity = AE("ARCHIVE")
    entity.maximum_associations = 20
    entity.supported_contexts = AllStoragePresentationContexts
    entity.require_called_aet = True
    server = entity.start_server(
        ("127.0.0.1", port), block=False, ssl_context=tls, evt_handlers=[(evt.EVT_C_STORE, noting.store)]
    )
    assert server is not None
    noting.port = server.server_address[1]
    try:
        yield noting
    finally:
        server.shutdown()


@dataclass
class CommitmentClient:
    """A program that asks whether photographs are safe.

    Attributes:
        port: Its port, for answers over a connection of their own.
        answers: Event type and event information of each answer.
    """

    port: int
    answers: list[tuple[int | None, Dataset]] = field(default_factory=list)

    def note(self, event: Event) -> tuple[int, None]:
        """Handles N-EVENT-REPORT."""
        self.answers.append((event.event_type, event.event_information))
        return 0x0000, None

    def request(self, port: int, caller: str, files: Sequence[Path]) -> int:
        """Asks for these photographs, and for one that nobody has; returns the status of N-ACTION."""
        request, entity = Dataset(), AE(caller)
        request.TransactionUID = generate_uid()
        request.ReferencedSOPSequence = []
        instances = [dcmread(path) for path in files]
        for sop_class, uid in [*((each.SOPClassUID, each.SOPInstanceUID) for each in instances), ("1.2.3", "1.2.4")]:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
            request.ReferencedSOPSequence.append(item)
        entity.add_requested_context(StorageCommitmentPushModel)
        association = entity.associate(
            "127.0.0.1", port, ae_title="RETINAGRADE", evt_handlers=[(evt.EVT_N_EVENT_REPORT, self.note)]
        )
        answers = len(self.answers)
        status, _ = association.send_n_action(request, 1, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1")
        wait_until(lambda: len(self.answers) > answers)
        association.release()
        return int(status.Status)


@contextmanager
def commitment_client() -> Iterator[CommitmentClient]:
    """Runs the client's own server while the block lasts."""
    client = CommitmentClient(0)
    entity = AE("STATION")
    entity.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, client.note)])
    assert server is not None
    client.port = server.server_address[1]
    try:
        yield client
    finally:
        server.shutdown()


def send(port: int, files: Sequence[Path], aet: str = "CAMERA", tls: ssl.SSLContext | None = None) -> list[int]:
    """Sends files in one association; returns the statuses, -1 for an answer that didn't come."""
    entity, statuses = AE(aet), []
    instances = [dcmread(path) for path in files]
    for sop_class, syntax in {(each.SOPClassUID, each.file_meta.TransferSyntaxUID) for each in instances}:
        entity.add_requested_context(sop_class, syntax)
    association = entity.associate(
        "127.0.0.1", port, ae_title="RETINAGRADE", tls_args=None if tls is None else (tls, "127.0.0.1")
    )
    if not association.is_established:
        return [-1] * len(files)
    for each in instances:
        try:
            statuses.append(association.send_c_store(each).get("Status", -1))
        except (RuntimeError, ValueError):
            statuses.append(-1)
    association.release()
    return statuses


def send_by_web(url: str, files: Sequence[Path]) -> list[int]:
    """Sends files by STOW-RS in one request; returns 0 for each that is stored, -1 for the others."""
    instances = [dcmread(path) for path in files]
    try:
        answer = DICOMwebClient(url).store_instances(instances)
    except (HTTPError, RequestException):
        return [-1] * len(files)
    stored = {each.ReferencedSOPInstanceUID for each in answer.get("ReferencedSOPSequence", [])}
    return [0 if each.SOPInstanceUID in stored else -1 for each in instances]


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Waits until a condition holds; fails after some time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def free_port() -> int:
    """Returns a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class NodeProcess:
    """A running node.

    Attributes:
        process: Its process.
        port: Its port for DICOM.
        status: Address of its state.
    """

    process: subprocess.Popen[str]
    port: int
    status: str

    def kill(self) -> None:
        """Kills it at once, as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def start_node(model: Path, queue: Path, archive_port: int, port: int, *options: str) -> NodeProcess:
    """Starts the command, and waits until it listens."""
    command = [sys.executable, "-m", "retinagrade", "listen", "--send-to", f"ARCHIVE@127.0.0.1:{archive_port}"]
    command += ["--model", str(model), "--queue", str(queue), "--port", str(port), *options]
    with (queue.parent / "node.log").open("a+") as log:
        start = log.seek(0, os.SEEK_END)
        process = subprocess.Popen(command, stderr=log, text=True)
        while True:
            log.seek(start)
            for line in log.read().splitlines():
                if '"listening"' in line:
                    first = json.loads(line)
                    return NodeProcess(process, first["port"], first["http"])
            assert process.poll() is None, (queue.parent / "node.log").read_text()
            time.sleep(0.02)

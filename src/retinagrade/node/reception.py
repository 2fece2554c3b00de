"""Reception of photographs: each one is checked, put on the disk, and answered with a status of the standard.

Source: DICOM PS3.4 B.2.3 (status codes of C-STORE).
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from retinagrade.errors import ImageError
from retinagrade.grader.dicom_source import read_source_elements
from retinagrade.images.decoding import InMemory
from retinagrade.images.dicom import MAKER, read_elements
from retinagrade.node.queue import Queue
from retinagrade.node.rows import Arrival
from retinagrade.node.settings import NodeSettings

_OTHER_UIDS: Final = "its UIDs differ from those of the message"
_NAME: Final = "photograph"
"""Name of a photograph in reasons, which must not quote anything about a patient."""


class Status(IntEnum):
    """Status codes of C-STORE."""

    SUCCESS = 0x0000
    OUT_OF_RESOURCES = 0xA700
    DOES_NOT_MATCH = 0xA900
    CANNOT_UNDERSTAND = 0xC000
    OTHER_PHOTOGRAPH = 0xC001
    """Another photograph with this UID was received before."""


@dataclass(frozen=True)
class Answer:
    """The answer to a photograph.

    Attributes:
        status: Its status.
        outcome: What became of the photograph, in one word, for metrics and logs.
        comment: The reason, at most 64 characters; empty for a success.
    """

    status: Status
    outcome: str
    comment: str = ""


SUCCESSES: Final = {
    Arrival.NEW: Answer(Status.SUCCESS, "stored"),
    Arrival.SAME: Answer(Status.SUCCESS, "repeated"),
}
OWN: Final = Answer(Status.SUCCESS, "own result")
FULL: Final = Answer(Status.OUT_OF_RESOURCES, "full", "too many photographs wait, or the disk is full: send it later")
OUTCOMES: Final = ("stored", "repeated", "own result", "full", "too large", "quarantined")


class Reception:
    """Receives photographs into a queue. Several threads may use it."""

    def __init__(self, queue: Queue, settings: NodeSettings, clock: Callable[[], float] = time.time) -> None:
        """Sets it up.

        Args:
            queue: The queue.
            settings: Limits.
            clock: Returns the time, in seconds.
        """
        self._queue, self._settings, self._clock = queue, settings, clock

    def receive(self, sop_class: str, uid: str, syntax: str, data_set: bytes, header: bytes = b"") -> Answer:
        """Receives a photograph. A success means that it is on the disk.

        Args:
            sop_class: SOP Class UID that the sender named.
            uid: SOP Instance UID that the sender named.
            syntax: UID of the transfer syntax.
            data_set: The data set, as the sender encoded it.
            header: Preamble and file meta information, which make a file of the data set.
        """
        limit = self._settings.max_bytes
        if len(data_set) > limit:
            return Answer(Status.OUT_OF_RESOURCES, "too large", f"larger than {self._settings.max_megabytes:g} MB")
        if not self._has_room(len(data_set)):
            return FULL
        data = header + data_set
        # The file's own header names the program that wrote it, so an upgrade would change it.
        digest = hashlib.sha256(syntax.encode() + b"\0" + data_set).hexdigest()
        try:
            return self._store(sop_class, uid, digest, data)
        except (OSError, sqlite3.OperationalError):  # the disk is full or failing
            return FULL

    def _store(self, sop_class: str, uid: str, digest: str, data: bytes) -> Answer:
        file = InMemory(_NAME, data)
        try:
            source = read_source_elements(file)
            maker = read_elements(file, ("Manufacturer",)).get("Manufacturer")
        except ImageError as error:
            return self._quarantine(uid, digest, Status.CANNOT_UNDERSTAND, str(error), data)
        if (source.SOPClassUID, source.SOPInstanceUID) != (sop_class, uid):
            return self._quarantine(uid, digest, Status.DOES_NOT_MATCH, _OTHER_UIDS, data)
        if str(maker or "") == MAKER:  # an archive may send back everything that belongs to a study
            return OWN
        arrival = self._queue.add_photograph(uid, sop_class, source.StudyInstanceUID, digest, data, self._clock())
        if arrival is Arrival.OTHER:
            reason = "another photograph with this UID was received before"
            return self._quarantine(uid, digest, Status.OTHER_PHOTOGRAPH, reason, data)
        return SUCCESSES[arrival]

    def _quarantine(self, uid: str, digest: str, status: Status, reason: str, data: bytes) -> Answer:
        self._queue.quarantine(uid, digest, reason, data, self._clock())
        return Answer(status, "quarantined", reason.removeprefix(f"{_NAME}: ")[:64])

    def _has_room(self, size: int) -> bool:
        free = shutil.disk_usage(self._queue.folder).free
        few = self._queue.waiting_photographs() < self._settings.max_waiting
        return few and free - size > self._settings.reserve

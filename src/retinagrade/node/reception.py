"""Reception of photographs: each one is checked, put on the disk, and answered with a status of the standard.

Source: DICOM PS3.4 B.2.3 (status codes of C-STORE), PS3.18 Annex I (the same as failure reasons of STOW-RS).
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

from pydicom.uid import (
    OphthalmicPhotography8BitImageStorage,
    OphthalmicPhotography16BitImageStorage,
    SecondaryCaptureImageStorage,
    WideFieldOphthalmicPhotography3DCoordinatesImageStorage,
    WideFieldOphthalmicPhotographyStereographicProjectionImageStorage,
)

from retinagrade.errors import ImageError
from retinagrade.grader.dicom_source import read_source_elements
from retinagrade.images.decoding import InMemory
from retinagrade.images.dicom import MAKER, read_dicom_facts, read_elements, readable_syntaxes
from retinagrade.node.part10 import FileHeader, read_header
from retinagrade.node.queue import Queue
from retinagrade.node.rows import OTHER_PATIENT, Arrival
from retinagrade.node.settings import NodeSettings

PHOTOGRAPHS: Final = tuple(
    str(uid)
    for uid in (
        OphthalmicPhotography8BitImageStorage,
        OphthalmicPhotography16BitImageStorage,
        WideFieldOphthalmicPhotographyStereographicProjectionImageStorage,
        WideFieldOphthalmicPhotography3DCoordinatesImageStorage,
        SecondaryCaptureImageStorage,
    )
)
"""SOP classes that the node takes."""
_OTHER_UIDS: Final = "its UIDs differ from those of the message"
_NO_HEADER: Final = "no DICOM file, or its file header is damaged"
_OTHER_PATIENT: Final = "its PatientID is not that of its study: correct ID or study UID"
_COMMENT: Final = 64
"""Longest comment of the standard, in characters."""
_NAME: Final = "photograph"
"""Name of a photograph in reasons, which must not quote anything about a patient."""


class Status(IntEnum):
    """Status codes of C-STORE, and failure reasons of STOW-RS."""

    SUCCESS = 0x0000
    CLASS_NOT_SUPPORTED = 0x0122
    OUT_OF_RESOURCES = 0xA700
    DOES_NOT_MATCH = 0xA900
    CANNOT_UNDERSTAND = 0xC000
    SYNTAX_NOT_SUPPORTED = 0xC122
    OTHER_PHOTOGRAPH = 0xC001
    """Another photograph with this UID was received before."""
    OTHER_PATIENT = 0xC002
    """The photographs of its study belong to another patient."""


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
OUTCOMES: Final = ("stored", "repeated", "own result", "full", "too large", "not supported", "quarantined")


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
        self._syntaxes = frozenset(readable_syntaxes())

    def receive_file(self, data: bytes, study: str | None = None, is_whole: bool = True) -> tuple[str, str, Answer]:
        """Receives a DICOM file; see :meth:`receive`.

        Args:
            data: The file.
            study: Study Instance UID that the photograph must have; ``None`` for any.
            is_whole: Whether the file is whole; otherwise it is too large, and this is its beginning.

        Returns:
            SOP Class UID, SOP Instance UID and answer. The UIDs are those of the file's header, empty where it has
            none.
        """
        header = read_header(data) or FileHeader("", "", "", 0)
        if not is_whole:
            return header.sop_class, header.uid, self._too_large()
        answer = self.receive(
            header.sop_class, header.uid, header.syntax, data[header.size :], data[: header.size], study
        )
        return header.sop_class, header.uid, answer

    def receive(
        self, sop_class: str, uid: str, syntax: str, data_set: bytes, header: bytes = b"", study: str | None = None
    ) -> Answer:
        """Receives a photograph. A success means that it is on the disk.

        Args:
            sop_class: SOP Class UID that the sender named.
            uid: SOP Instance UID that the sender named; empty where a file has no header.
            syntax: UID of the transfer syntax.
            data_set: The data set, as the sender encoded it.
            header: Preamble and file meta information, which make a file of the data set.
            study: Study Instance UID that the sender named; ``None`` for none.
        """
        if len(data_set) > self._settings.max_bytes:
            return self._too_large()
        if uid and sop_class not in PHOTOGRAPHS:
            return Answer(Status.CLASS_NOT_SUPPORTED, "not supported", "its SOP class is none of photographs")
        if uid and syntax not in self._syntaxes:
            return Answer(Status.SYNTAX_NOT_SUPPORTED, "not supported", "its transfer syntax can't be read")
        if not self._has_room(len(data_set)):
            return FULL
        data = header + data_set
        # The file's own header names the program that wrote it, so an upgrade would change it.
        digest = hashlib.sha256(syntax.encode() + b"\0" + data_set).hexdigest()
        try:
            return self._store(sop_class, uid, study, digest, data)
        except (OSError, sqlite3.OperationalError):  # the disk is full or failing
            return FULL

    def _store(self, sop_class: str, uid: str, study: str | None, digest: str, data: bytes) -> Answer:
        file = InMemory(_NAME, data)
        if not uid:
            return self._quarantine(uid, digest, Status.CANNOT_UNDERSTAND, _NO_HEADER, data)
        try:
            source = read_source_elements(file)
            maker = read_elements(file, ("Manufacturer",)).get("Manufacturer")
            patient = read_dicom_facts(file).patient_key or ""
        except ImageError as error:
            return self._quarantine(uid, digest, Status.CANNOT_UNDERSTAND, str(error), data)
        named = (sop_class, uid, study or source.StudyInstanceUID)
        if (source.SOPClassUID, source.SOPInstanceUID, source.StudyInstanceUID) != named:
            return self._quarantine(uid, digest, Status.DOES_NOT_MATCH, _OTHER_UIDS, data)
        if str(maker or "") == MAKER:  # an archive may send back everything that belongs to a study
            return OWN
        study = str(source.StudyInstanceUID)
        arrival = self._queue.add_photograph(uid, sop_class, study, digest, data, self._clock(), patient)
        if arrival is Arrival.OTHER_PATIENT:
            return self._quarantine(uid, digest, Status.OTHER_PATIENT, OTHER_PATIENT, data, _OTHER_PATIENT)
        if arrival is Arrival.OTHER:
            reason = "another photograph with this UID was received before"
            return self._quarantine(uid, digest, Status.OTHER_PHOTOGRAPH, reason, data)
        return SUCCESSES[arrival]

    def _too_large(self) -> Answer:
        return Answer(Status.OUT_OF_RESOURCES, "too large", f"larger than {self._settings.max_megabytes:g} MB")

    def _quarantine(
        self, uid: str, digest: str, status: Status, reason: str, data: bytes, comment: str | None = None
    ) -> Answer:
        self._queue.quarantine(uid, digest, reason, data, self._clock())
        return Answer(status, "quarantined", comment or reason.removeprefix(f"{_NAME}: ")[:_COMMENT])

    def _has_room(self, size: int) -> bool:
        free = shutil.disk_usage(self._queue.folder).free
        few = self._queue.waiting_photographs() < self._settings.max_waiting
        return few and free - size > self._settings.reserve

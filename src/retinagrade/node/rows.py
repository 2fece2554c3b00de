"""The rows of the queue: photographs, studies, results and commitments."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

QUARANTINE: Final = "quarantine"
"""Folder of the files in quarantine, within the queue."""
OTHER_PATIENT: Final = (
    "its PatientID differs from that of the photographs that its study has: correct the PatientID or the "
    "StudyInstanceUID, and send it again"
)
"""Reason why a photograph goes to quarantine."""


class Arrival(StrEnum):
    """What became of a photograph that arrived."""

    NEW = "new"
    SAME = "same"
    OTHER = "other"
    """Another photograph has its UID."""
    OTHER_PATIENT = "other patient"
    """The photographs of its study belong to another patient."""


class ResultKind(StrEnum):
    """Kinds of results, in the order in which they are sent: a report comes after the objects that it refers to."""

    SEGMENTATION = "segmentation"
    OVERLAY = "overlay"
    PAGE = "page"
    DOCUMENT = "document"
    REPORT = "report"


@dataclass(frozen=True)
class StoredPhotograph:
    """A photograph that is on the disk.

    Attributes:
        uid: Its SOP Instance UID.
        sop_class: Its SOP Class UID.
        study: Its Study Instance UID.
        digest: SHA-256 digest of its encoding and its data set, without the file's own header.
        file: Its file, relative to the queue.
        patient: Pseudonym of its patient, see :class:`~retinagrade.images.dicom.DicomFacts`; empty without an id.
    """

    uid: str
    sop_class: str
    study: str
    digest: str
    file: str
    patient: str


@dataclass(frozen=True)
class WaitingStudy:
    """A study with photographs that were not graded.

    Attributes:
        number: Its number in the queue, by which logs name it.
        study: Its Study Instance UID.
        photographs: Number of its photographs.
        graded: Number of those that the last grading knew.
        last_arrival: Time of the last new photograph, in seconds.
        tries: Gradings that began since then, and didn't end, or failed.
        rounds: Gradings that ended.
    """

    number: int
    study: str
    photographs: int
    graded: int
    last_arrival: float
    tries: int
    rounds: int


@dataclass(frozen=True)
class StudyResult:
    """An object that goes to the archive.

    Attributes:
        uid: Its SOP Instance UID.
        sop_class: Its SOP Class UID.
        series: Its Series Instance UID.
        study: Its Study Instance UID.
        kind: Its kind.
        file: Its file, relative to the queue.
        tries: Tries to send it that the archive refused.
    """

    uid: str
    sop_class: str
    series: str
    study: str
    kind: ResultKind
    file: str
    tries: int = 0


@dataclass(frozen=True)
class Commitment:
    """A request to confirm that photographs are safe.

    Attributes:
        transaction: UID of the request.
        caller: Title of the program that asks.
        references: SOP Class UID and SOP Instance UID of each photograph.
        tries: Tries to answer that failed.
    """

    transaction: str
    caller: str
    references: tuple[tuple[str, str], ...]
    tries: int = 0


@dataclass(frozen=True)
class QueueCounts:
    """Numbers of rows.

    Attributes:
        photographs: Photographs that were received.
        waiting_photographs: Photographs that wait for grading.
        waiting_studies: Studies that wait for grading.
        given_up: Studies whose grading was given up.
        waiting_results: Results that the archive doesn't have yet.
        delivered_results: Results that the archive has.
        quarantined: Files in quarantine.
        waiting_commitments: Commitments that were not answered.
    """

    photographs: int
    waiting_photographs: int
    waiting_studies: int
    given_up: int
    waiting_results: int
    delivered_results: int
    quarantined: int
    waiting_commitments: int


def quarantine_file(digest: str) -> str:
    """Returns the file in quarantine of a photograph with this digest, relative to the queue."""
    return f"{QUARANTINE}/{digest}.dcm"

"""STOW-RS: the parts of a request, and the response to it.

Source: DICOM PS3.18 10.5 (Store Transaction) and Annex I (Store Instances Response Module), RFC 2387.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from pydicom import Dataset
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from retinagrade.node.reception import Answer, Status

DICOM_JSON: Final = "application/dicom+json"
_TYPES: Final = (b"", b"application/dicom")
_PARTS: Final = 1000
"""Largest number of parts in a request."""


class RequestError(Exception):
    """A request that can't be used.

    Attributes:
        status: HTTP status.
    """

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        """Describes the problem, and how to solve it."""
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True)
class Part:
    """A part of a request.

    Attributes:
        data: Its bytes; where it is too large, its beginning.
        is_whole: Whether these are all.
    """

    data: bytes
    is_whole: bool


class PartReader:
    """Splits a request into its parts while it arrives, and holds no more than one part and a piece."""

    def __init__(self, content_type: str, limit: int) -> None:
        """Sets it up.

        Args:
            content_type: Header ``Content-Type`` of the request.
            limit: Bytes of a part that are kept.

        Raises:
            RequestError: The request has no DICOM files in parts.
        """
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/related" or options.get(b"type", b"").lower() not in _TYPES:
            raise RequestError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                'send multipart/related; type="application/dicom": one DICOM file in each part',
            )
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        self._number = 0
        self._is_complete = False
        self._parts: list[Part] = []
        try:
            self._parser = MultipartParser(
                options.get(b"boundary", b""),
                {
                    "on_part_begin": self._begin_part,
                    "on_part_data": self._add_piece,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise _malformed() from error
        if b"boundary" not in options:
            raise _malformed()

    def feed(self, chunk: bytes) -> list[Part]:
        """Reads bytes, and returns the parts that have ended in them.

        Raises:
            RequestError: They are malformed, or there are too many parts.
        """
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _malformed() from error
        parts, self._parts = self._parts, []
        return parts

    def require_end(self) -> None:
        """Raises a RequestError unless the request is complete and has a part."""
        if not self._is_complete or not self._number:
            raise _malformed()

    def _begin_part(self) -> None:
        self._number += 1
        if self._number > _PARTS:
            detail = f"more than {_PARTS} parts: send several requests"
            raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
        self._pieces, self._size = [], 0

    def _add_piece(self, data: bytes, start: int, end: int) -> None:
        room = self._limit - self._size
        if room > 0:
            self._pieces.append(data[start : min(end, start + room)])
        self._size += end - start

    def _end_part(self) -> None:
        self._parts.append(Part(b"".join(self._pieces), self._size <= self._limit))
        self._pieces = []

    def _end(self) -> None:
        self._is_complete = True


def store_response(instances: Sequence[tuple[str, str, Answer]]) -> tuple[HTTPStatus, dict[str, Any]]:
    """Makes the response to a request.

    Args:
        instances: SOP Class UID, SOP Instance UID and answer of each part, as
            :meth:`~retinagrade.node.reception.Reception.receive_file` returns them.

    Returns:
        HTTP status, and the body in the DICOM JSON Model: 200 if all are stored, 409 if none is, 202 otherwise.
    """
    stored, failed, others = list[Dataset](), list[Dataset](), list[Dataset]()
    for sop_class, uid, answer in instances:
        item = Dataset()
        if uid:
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        if answer.status is Status.SUCCESS:
            item.RetrieveURL = ""  # nothing can be retrieved here
            stored.append(item)
        else:
            item.FailureReason = answer.status.value
            (failed if uid else others).append(item)
    response = Dataset()
    response.RetrieveURL = ""
    for name, items in (
        ("ReferencedSOPSequence", stored),
        ("FailedSOPSequence", failed),
        ("OtherFailuresSequence", others),
    ):
        if items:
            setattr(response, name, items)
    if len(stored) == len(instances):
        return HTTPStatus.OK, response.to_json_dict()
    return (HTTPStatus.ACCEPTED if stored else HTTPStatus.CONFLICT), response.to_json_dict()


def _malformed() -> RequestError:
    return RequestError(HTTPStatus.BAD_REQUEST, "the multipart message is malformed, or has no part: send it again")

"""Sending of results to an archive that speaks DICOMweb, by STOW-RS: one object in each request.

Source: DICOM PS3.18 10.5 (Store Transaction).
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from retinagrade.errors import UsageError
from retinagrade.node.rows import StudyResult
from retinagrade.node.sender import SECONDS, AwayError, Connection, NotServedError, is_success
from retinagrade.node.settings import WebPeer

_ACCEPTED: Final = 202
_FAILURE: Final = 0x0110
"""Status for a refusal without a reason: processing failure."""
_DUPLICATE: Final = 0x0111
_DUPLICATES: Final = (_DUPLICATE, 0xB00E)
"""Reasons of a server that has the object already; the second one is Azure's."""
_FAULTS_OF_THE_OBJECT: Final = frozenset({400, 406, 409, 413, 415, 422, 500})
"""Statuses with which a server refuses one object, and may take others."""
_ANSWER_BYTES: Final = 1 << 20
_FAILED, _REASON, _STORED, _UID = "00081198", "00081197", "00081199", "00081155"


class WebArchive:
    """An archive that speaks DICOMweb; calling it connects."""

    def __init__(self, peer: WebPeer, tls: ssl.SSLContext) -> None:
        """Sets it up, and doesn't connect.

        Args:
            peer: The archive.
            tls: Settings of encrypted connections.

        Raises:
            UsageError: The file with the credentials can't be used.
        """
        self._peer, self._tls = peer, tls
        self._authorization()

    def __call__(self, sop_classes: Iterable[str]) -> Connection:
        """Connects; see :data:`~retinagrade.node.sender.Connect`. The credentials are read each time."""
        url = urlsplit(self._peer.url)
        host = url.hostname or ""
        http: HTTPConnection
        if url.scheme == "https":
            http = HTTPSConnection(host, url.port, timeout=SECONDS, context=self._tls)
        else:
            http = HTTPConnection(host, url.port, timeout=SECONDS)
        try:
            headers = self._authorization()
            http.connect()
        except ssl.SSLError as error:
            raise NotServedError(f"the archive's certificate or TLS can't be used: {error.reason}") from error
        except OSError as error:
            raise AwayError("the archive can't be reached") from error
        except UsageError as error:
            raise NotServedError("the file with the credentials can't be used") from error
        return _WebConnection(http, f"{url.path}/studies", headers)

    def _authorization(self) -> dict[str, str]:
        path = self._peer.credentials
        return {} if path is None else {"Authorization": read_authorization(path)}


class _WebConnection:
    def __init__(self, http: HTTPConnection, path: str, headers: Mapping[str, str]) -> None:
        self._http, self._path, self._headers = http, path, headers

    def store(self, result: StudyResult, data_file: str) -> int | None:
        try:
            data = Path(data_file).read_bytes()
        except OSError:  # somebody has deleted it
            return None
        boundary = uuid4().hex
        body = b"".join(
            (f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode(), data, f"\r\n--{boundary}--".encode())
        )
        headers = {
            **self._headers,
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Accept": "application/dicom+json",
        }
        try:
            self._http.request("POST", self._path, body, headers)
            answer = self._http.getresponse()
            text = answer.read(_ANSWER_BYTES)
            if not answer.isclosed():  # it is longer than any answer to one object
                self._http.close()
        except (OSError, HTTPException) as error:
            raise AwayError("the archive has hung up, or does not answer") from error
        if answer.status // 100 == 2 or answer.status in _FAULTS_OF_THE_OBJECT:
            return read_status(answer.status, text, result.uid)
        if answer.status in (408, 425, 429) or answer.status > 500:
            raise AwayError(f"the archive answers with HTTP status {answer.status}")
        raise NotServedError(f"the archive answers with HTTP status {answer.status}: check address and credentials")

    def close(self) -> None:
        self._http.close()


def read_status(status: int, text: bytes, uid: str) -> int:
    """Returns the DICOM status of an object.

    Args:
        status: HTTP status.
        text: The response.
        uid: The object's UID.

    Example:
        >>> read_status(200, b"", "1.2"), hex(read_status(409, b"", "1.2"))
        (0, '0x110')
    """
    try:
        answer = json.loads(text)
    except ValueError:  # empty, XML or a page for people
        answer = {}
    failed = _values(answer, _FAILED)
    if failed:  # there was one object only; some servers leave its UID out
        reason = next((each for each in _values(failed[0], _REASON) if isinstance(each, int)), _FAILURE)
        if reason in _DUPLICATES:
            return _DUPLICATE
        return _FAILURE if is_success(reason) else reason
    named = {str(value) for each in _values(answer, _STORED) for value in _values(each, _UID)}
    if status // 100 == 2 and (uid in named or (status != _ACCEPTED and not named)):
        return 0
    return _FAILURE


def read_authorization(path: Path) -> str:
    """Reads credentials: ``USER:PASSWORD``, or ``Bearer TOKEN``, in one line.

    Returns:
        The header ``Authorization``.

    Raises:
        UsageError: The file can't be read, or has another form.
    """
    try:
        text = path.read_text("utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"{path}: the credentials can't be read ({reason}): write USER:PASSWORD into it") from None
    kind, _, token = text.partition(" ")
    if text.isprintable() and kind == "Bearer" and token.strip() and token.isascii():
        return f"Bearer {token.strip()}"
    if not text.isprintable() or not text.partition(":")[0] or ":" not in text:
        raise UsageError(f"{path}: no credentials: write USER:PASSWORD, or Bearer TOKEN, in one line")
    return "Basic " + base64.b64encode(text.encode()).decode()


def _values(item: Any, tag: str) -> list[Any]:
    """Returns the values of an element of DICOM JSON; none for anything else."""
    element = item.get(tag) if isinstance(item, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []

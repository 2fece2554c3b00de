"""Settings of a node, and the names of the programs that it talks to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from retinagrade.errors import UsageError
from retinagrade.service.hosts import LOOPBACK

_AET: Final = re.compile(r"[ -\[\]-~]{1,16}")
"""An application entity title: 1 to 16 printable characters, none of them a backslash."""
_RESERVE: Final = 500_000_000


@dataclass(frozen=True)
class Peer:
    """A program on the network.

    Attributes:
        aet: Its application entity title.
        host: Its machine.
        port: Its port.
    """

    aet: str
    host: str
    port: int

    def __str__(self) -> str:
        """Returns ``AET@HOST:PORT``."""
        return f"{self.aet}@{self.host}:{self.port}"


@dataclass(frozen=True)
class WebPeer:
    """A DICOMweb server.

    Attributes:
        url: Its base URL, ``http://…`` or ``https://…``, without a slash at the end.
        credentials: File with the node's credentials; ``None`` for none.
    """

    url: str
    credentials: Path | None = None

    def __str__(self) -> str:
        """Returns the URL."""
        return self.url


@dataclass(frozen=True)
class Tls:
    """Files for encrypted connections.

    Attributes:
        certificate: The node's certificate, PEM, with the chain to its authority; with it, clients must use TLS.
        key: The key of the certificate, PEM.
        authority: Certificates of the authorities that peers' certificates must come from; ``None`` for those of the
            system, and then a client needs no certificate.
        sends: Whether an archive that speaks DICOM is reached by TLS.
    """

    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None
    sends: bool = False


@dataclass(frozen=True)
class NodeSettings:
    """Settings of a node.

    Attributes:
        archive: The program that gets the results.
        aet: The node's application entity title.
        wait: Seconds that a study must have been quiet before it is graded.
        callers: Titles that may call, each with its address where that is known; none for every title.
        max_megabytes: Largest size of a photograph's file, in millions of bytes.
        max_megapixels: Largest size of a photograph, in millions of pixels.
        max_associations: Largest number of connections at once, and of uploads over HTTP.
        max_waiting: Largest number of photographs that wait for grading.
        keep_days: Days after which the files of an answered study are deleted.
        tls: Files for encrypted connections.
        reserve: Bytes of the disk that stay free.
    """

    archive: Peer | WebPeer
    aet: str = "RETINAGRADE"
    wait: float = 60.0
    callers: dict[str, Peer | None] = field(default_factory=dict)
    max_megabytes: float = 64
    max_megapixels: float = 50
    max_associations: int = 16
    max_waiting: int = 10_000
    keep_days: float = 30
    tls: Tls = Tls()
    reserve: int = _RESERVE

    @property
    def max_bytes(self) -> int:
        """Largest size of a photograph's file, in bytes."""
        return int(self.max_megabytes * 1e6)


def parse_aet(text: str) -> str:
    """Returns an application entity title.

    Raises:
        UsageError: The text is none.

    Example:
        >>> parse_aet("ORTHANC")
        'ORTHANC'
    """
    if not _AET.fullmatch(text) or not text.strip():
        raise UsageError(f"{text!r} is no application entity title: write 1 to 16 printable characters")
    return text.strip()


def parse_peer(text: str) -> Peer:
    """Reads ``AET@HOST:PORT``.

    Raises:
        UsageError: The text has another form.

    Example:
        >>> parse_peer("ORTHANC@archive.clinic:4242")
        Peer(aet='ORTHANC', host='archive.clinic', port=4242)
    """
    aet, _, address = text.rpartition("@")
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not aet or not host or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 1 << 16:
        raise UsageError(f"{text!r} is no address of a DICOM program: write AET@HOST:PORT")
    return Peer(parse_aet(aet), host, int(port))


def parse_archive(text: str, credentials: Path | None = None) -> Peer | WebPeer:
    """Reads the address of an archive: ``AET@HOST:PORT``, or the base URL of a DICOMweb server.

    Args:
        text: The address.
        credentials: File with the node's credentials for a DICOMweb server.

    Raises:
        UsageError: The text has another form, or credentials would travel in the clear.

    Example:
        >>> parse_archive("https://archive.clinic/dicom-web/")
        WebPeer(url='https://archive.clinic/dicom-web', credentials=None)
    """
    if "://" not in text:
        if credentials is not None:
            raise UsageError("credentials are for DICOMweb: give the archive as https://…, or leave the file out")
        return parse_peer(text)
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        port, url = 0, urlsplit("")
    if "@" in url.netloc:
        raise UsageError("a URL is no place for a password: leave it out, and give a file with --send-credentials")
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment or port == 0:
        raise UsageError(f"{text!r} is no base URL of a DICOMweb server: write https://HOST/PATH, without /studies")
    if credentials is not None and url.scheme == "http" and url.hostname not in LOOPBACK:
        raise UsageError(f"{text!r}: everybody on the way could read the credentials: write https://")
    return WebPeer(text.rstrip("/"), credentials)


def parse_callers(texts: tuple[str, ...]) -> dict[str, Peer | None]:
    """Reads titles that may call: ``AET``, or ``AET@HOST:PORT`` where storage commitments go to that address.

    Raises:
        UsageError: A text has another form.

    Example:
        >>> parse_callers(("CAMERA", "ORTHANC@archive:4242"))
        {'CAMERA': None, 'ORTHANC': Peer(aet='ORTHANC', host='archive', port=4242)}
    """
    callers: dict[str, Peer | None] = {}
    for text in texts:
        peer = parse_peer(text) if "@" in text else None
        callers[parse_aet(text) if peer is None else peer.aet] = peer
    return callers

"""Settings of a service, and its limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

PHOTOGRAPHS: Final = 64
"""Largest number of photographs in a request."""
SECONDS: Final = 60.0
"""Time limit for an upload, so that slow clients do not block the service."""
_HELD: Final = 8
"""Uploads of the largest size that memory holds at once."""
_SHARE: Final = 7 / 8
"""Share of every limit that one address may take: the others are answered whatever it does."""
_PIXEL_BYTES: Final = 40
"""Bytes that decoding takes for a pixel at most; measured for all formats: 24."""
_DECODER_BYTES: Final = 512 << 20
"""Bytes that decoding may take for any photograph."""


def share_of(limit: int) -> int:
    """Returns the part of a limit that one address may take, at least 1."""
    return max(1, math.ceil(limit * _SHARE))


@dataclass(frozen=True)
class ServiceSettings:
    """Limits, names and token of a service.

    Attributes:
        max_requests: Largest number of requests in progress; more get status 503.
        max_megabytes: Largest size of a request, in millions of bytes.
        max_megapixels: Largest size of a photograph, in millions of pixels; checked before decoding.
        token: Token that clients must present; ``None`` accepts every client.
        allowed_hosts: Names by which clients may call the service, in lower case; a request for another name gets
            status 421. ``None`` accepts every name, and is for applications without a socket.
        header_seconds: Seconds that a client may take for the headers of a request.
        idle_seconds: Seconds that an upload may pause or fall behind the lowest rate, and that a client may take
            nothing of a response.
        lowest_rate: Lowest rate of an upload, in bytes per second.
        photograph_seconds: Seconds that decoding a photograph may take.
        workers: Number of processes that serve the address together; the limits are those of one.
    """

    max_requests: int = 256
    max_megabytes: float = 64
    max_megapixels: float = 50
    token: str | None = None
    allowed_hosts: frozenset[str] | None = None
    header_seconds: float = 10.0
    idle_seconds: float = 10.0
    lowest_rate: int = 16_000
    photograph_seconds: float = 30.0
    workers: int = 1

    @property
    def max_bytes(self) -> int:
        """Largest size of a request, in bytes."""
        return int(self.max_megabytes * 1e6)

    @property
    def max_held_bytes(self) -> int:
        """Largest size of all requests in progress together, in bytes."""
        return _HELD * self.max_bytes

    @property
    def max_connections(self) -> int:
        """Largest number of open connections."""
        return 2 * self.max_requests + 64

    @property
    def photograph_bytes(self) -> int:
        """Largest memory that decoding a photograph may take, in bytes."""
        return _DECODER_BYTES + int(_PIXEL_BYTES * self.max_megapixels * 1e6)

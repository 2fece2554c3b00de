"""What a service is allowed to take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PHOTOGRAPHS: Final = 64
"""In one request."""
SECONDS: Final = 60.0
"""In which an upload must be complete, so that slow senders don't keep others out."""
_HELD: Final = 8
"""Largest uploads that are in memory at once."""


@dataclass(frozen=True)
class ServiceSettings:
    """Limits of a service.

    Attributes:
        queue: Requests that are taken at once; more are told to come back.
        max_megabytes: Of one request, in millions of bytes.
        max_megapixels: Of one photograph, in millions of pixels; held before it is decoded.
        token: What a client has to present; ``None`` lets everybody in.
    """

    queue: int = 256
    max_megabytes: float = 64
    max_megapixels: float = 50
    token: str | None = None

    @property
    def max_bytes(self) -> int:
        """Of one request."""
        return int(self.max_megabytes * 1e6)

    @property
    def max_held_bytes(self) -> int:
        """Of all requests together."""
        return _HELD * self.max_bytes

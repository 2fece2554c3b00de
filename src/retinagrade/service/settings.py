"""Settings of a service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PHOTOGRAPHS: Final = 64
"""Largest number of photographs in a request."""
SECONDS: Final = 60.0
"""Time limit for an upload, so that slow clients do not block the service."""
_HELD: Final = 8
"""Uploads of the largest size that memory holds at once."""


@dataclass(frozen=True)
class ServiceSettings:
    """Limits and token of a service.

    Attributes:
        max_requests: Largest number of requests in progress; more get status 503.
        max_megabytes: Largest size of a request, in millions of bytes.
        max_megapixels: Largest size of a photograph, in millions of pixels; checked before decoding.
        token: Token that clients must present; ``None`` accepts every client.
    """

    max_requests: int = 256
    max_megabytes: float = 64
    max_megapixels: float = 50
    token: str | None = None

    @property
    def max_bytes(self) -> int:
        """Largest size of a request, in bytes."""
        return int(self.max_megabytes * 1e6)

    @property
    def max_held_bytes(self) -> int:
        """Largest size of all requests in progress together, in bytes."""
        return _HELD * self.max_bytes

"""Who is let in: so many requests, and so many bytes of theirs, are in memory at once, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class CapacityError(Exception):
    """There is no room now."""


class RequestLimits:
    """Room for requests, counted before anything of them is read. For one event loop: nothing here waits.

    Attributes:
        requests: That are inside.
        bytes: That they may hold.
    """

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        """Args: the most ``max_requests`` and ``max_bytes`` inside at once."""
        self._max_requests, self._max_bytes = max_requests, max_bytes
        self.requests = self.bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether not even a request of no bytes would be let in."""
        return self.requests >= self._max_requests

    @contextmanager
    def admit(self, size: int) -> Iterator[None]:
        """Lets a request in while the block lasts.

        Args:
            size: Bytes that it may hold.

        Raises:
            FullError: There is no room.
        """
        if self.is_full or self.bytes + size > self._max_bytes:
            raise CapacityError
        self.requests += 1
        self.bytes += size
        try:
            yield
        finally:
            self.requests -= 1
            self.bytes -= size

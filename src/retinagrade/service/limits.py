"""Limits on the requests in progress: their number, and the bytes that they hold in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class CapacityError(Exception):
    """The limits are reached."""


class RequestLimits:
    """Counts requests before their bodies are read. Use it in one event loop; nothing here waits.

    Attributes:
        requests: Number of requests in progress.
        bytes: Bytes that these requests may hold.
    """

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        """Sets the limits.

        Args:
            max_requests: Largest number of requests in progress.
            max_bytes: Largest number of bytes that they may hold together.
        """
        self._max_requests, self._max_bytes = max_requests, max_bytes
        self.requests = self.bytes = 0

    @property
    def is_full(self) -> bool:
        """True at the request limit."""
        return self.requests >= self._max_requests

    @contextmanager
    def admit(self, size: int) -> Iterator[None]:
        """Counts a request while the block lasts.

        Args:
            size: Bytes that the request may hold.

        Raises:
            CapacityError: The request would exceed a limit.
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

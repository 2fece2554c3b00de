"""Limits on the requests in progress: their number and the bytes that they hold, altogether and for each address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from retinagrade.service.settings import share_of

_SILENCE: Final = 1.0
"""Seconds without a byte after which an upload makes room for others."""


class CapacityError(Exception):
    """The limits are reached."""


class Upload(Protocol):
    """An upload that may be given up."""

    @property
    def silence(self) -> float:
        """Seconds since the last bytes."""
        ...

    def give_up(self) -> None:
        """Ends the upload."""
        ...


class AdmittedRequest:
    """A request in progress.

    Attributes:
        address: Address of the client.
        size: Bytes that it holds.
        upload: Its upload; ``None`` before and after.
    """

    def __init__(self, limits: RequestLimits, address: str) -> None:
        """Begins with no byte. Args: ``limits`` and ``address``, of :meth:`RequestLimits.admit`."""
        self._limits, self.address = limits, address
        self.size = 0
        self.upload: Upload | None = None

    def hold(self, size: int) -> None:
        """Counts bytes that have arrived.

        Raises:
            CapacityError: The bytes would exceed a limit.
        """
        self._limits.hold(self, size)


class RequestLimits:
    """Counts requests, and their bytes as they arrive. Use it in one event loop; nothing here waits.

    At a limit, uploads that have brought nothing for a second are given up for others. One address may take most of
    every limit, and not all of it, so that the others are answered whatever it does.
    """

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        """Sets the limits.

        Args:
            max_requests: Largest number of requests in progress.
            max_bytes: Largest number of bytes that they may hold together.
        """
        self._max_requests, self._max_bytes = max_requests, max_bytes
        self._requests = dict[AdmittedRequest, None]()
        self._requests_of, self._bytes_of = Counter[str](), Counter[str]()
        self._bytes = 0

    @property
    def requests(self) -> int:
        """Number of requests in progress."""
        return len(self._requests)

    @property
    def bytes(self) -> int:
        """Bytes that these requests hold."""
        return self._bytes

    def has_room(self, address: str, size: int) -> bool:
        """Whether a further request of an address would be admitted now, and ``size`` bytes of it."""
        silent = self._silent(self.requests >= self._max_requests or self._bytes + size > self._max_bytes, address)
        of_address = [each for each in silent if each.address == address]
        return (
            self.requests - len(silent) < self._max_requests
            and self._requests_of[address] - len(of_address) < share_of(self._max_requests)
            and self._bytes - sum(each.size for each in silent) + size <= self._max_bytes
            and self._bytes_of[address] - sum(each.size for each in of_address) + size <= share_of(self._max_bytes)
        )

    @contextmanager
    def admit(self, address: str) -> Iterator[AdmittedRequest]:
        """Counts a request while the block lasts.

        Args:
            address: Address of the client.

        Yields:
            The request.

        Raises:
            CapacityError: The request would exceed a limit.
        """
        while (full := self.requests >= self._max_requests) or self._requests_of[address] >= share_of(
            self._max_requests
        ):
            self._give_one_up(full, address)
        request = AdmittedRequest(self, address)
        self._requests[request] = None
        self._requests_of[address] += 1
        try:
            yield request
        finally:
            self._remove(request)

    def hold(self, request: AdmittedRequest, size: int) -> None:
        """Counts bytes of a request; see :meth:`AdmittedRequest.hold`."""
        if request not in self._requests:
            raise CapacityError  # it was given up
        address = request.address
        while (full := self._bytes + size > self._max_bytes) or self._bytes_of[address] + size > share_of(
            self._max_bytes
        ):
            self._give_one_up(full, address)
        request.size += size
        self._bytes += size
        self._bytes_of[address] += size

    def _give_one_up(self, of_all: bool, address: str) -> None:
        silent = self._silent(of_all, address)
        if not silent:
            raise CapacityError
        longest = max(silent, key=lambda each: each.upload.silence if each.upload else 0.0)
        if longest.upload is not None:
            longest.upload.give_up()
        self._remove(longest)

    def _silent(self, of_all: bool, address: str) -> list[AdmittedRequest]:
        return [
            each
            for each in self._requests
            if (of_all or each.address == address) and each.upload is not None and each.upload.silence >= _SILENCE
        ]

    def _remove(self, request: AdmittedRequest) -> None:
        if request not in self._requests:  # it was given up
            return
        del self._requests[request]
        self._bytes -= request.size
        self._requests_of[request.address] -= 1
        self._bytes_of[request.address] -= request.size
        for counter in (self._requests_of, self._bytes_of):
            if not counter[request.address]:
                del counter[request.address]  # the addresses of a long life would fill the memory

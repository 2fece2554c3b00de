"""Limits on connections, below the application: how many there are, and how long each may wait without a request."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

from retinagrade.service.settings import share_of

TOO_SLOW: Final = "headers too slow"
TOO_MANY: Final = "too many connections"
NOT_READING: Final = "response not read"
_PERIOD: Final = 1.0
"""Seconds between two reports, so that a flood of connections makes no flood of lines."""


class ClosedConnections:
    """Counts the connections that the service has closed itself, and reports their numbers at most once a second."""

    def __init__(self, report: Callable[[str, int], None]) -> None:
        """Begins to count.

        Args:
            report: Function that takes a reason and the number of connections that were closed for it.
        """
        self._report, self._counts, self._last = report, Counter[str](), Counter[str]()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, reason: str) -> None:
        """Counts a connection."""
        self._counts[reason] += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PERIOD, self.flush)

    def flush(self) -> None:
        """Reports what isn't reported yet."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        counts, self._counts = self._counts, Counter()
        for reason, count in counts.items():
            self._report(reason, count)


class Connections:
    """The open connections of a service. Where there are too many, the one that has waited longest is closed.

    A connection waits while no request on it is in progress: its headers are incomplete, or nothing was sent at all.
    One address may have most of the connections, and not all of them, so that the others are answered whatever it does.
    """

    def __init__(self, most: int, header_seconds: float, stalled_seconds: float, closed: ClosedConnections) -> None:
        """Begins without connections.

        Args:
            most: Largest number of connections.
            header_seconds: Seconds that a client may take for the headers of a request.
            stalled_seconds: Seconds for which a client may read nothing of a response.
            closed: Counts the connections that are closed here.
        """
        self._most, self._closed = most, closed
        self.header_seconds, self.stalled_seconds = header_seconds, stalled_seconds
        self._open: dict[LimitedProtocol, str] = {}
        self._number_of = Counter[str]()

    def add(self, connection: LimitedProtocol, address: str) -> None:
        """Counts a new connection, and closes one where there are too many."""
        self._open[connection] = address  # in the order of their last requests
        self._number_of[address] += 1
        if self._number_of[address] > share_of(self._most):
            self._close_one(address)
        elif len(self._open) > self._most:
            self._close_one(max(self._number_of, key=lambda each: (self._number_of[each], each != address)))

    def begin_request(self, connection: LimitedProtocol) -> None:
        """Notes that a connection has a request in progress, and waits no more."""
        if connection in self._open:
            self._open[connection] = self._open.pop(connection)

    def remove(self, connection: LimitedProtocol) -> None:
        """Counts a closed connection out."""
        address = self._open.pop(connection, None)
        if address is not None:
            self._number_of[address] -= 1
            if not self._number_of[address]:
                del self._number_of[address]

    def close(self, connection: LimitedProtocol, reason: str) -> None:
        """Closes a connection for a reason that is reported."""
        self._closed.add(reason)
        self.remove(connection)
        connection.transport.abort()

    def _close_one(self, address: str) -> None:
        """Closes the connection of an address that has waited longest; where none waits, the newest of all."""
        of_address = (each for each, its in self._open.items() if its == address and each.is_waiting)
        self.close(next(of_address, next(reversed(self._open))), TOO_MANY)


class LimitedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with limits on time. h11 limits the size of headers, and reads no request before its turn.

    Subclasses set ``limits``.
    """

    limits: Connections

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Makes the protocol of one connection; see uvicorn."""
        super().__init__(*arguments, **options)
        self._header_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    @property
    def is_waiting(self) -> bool:
        """True while no request is in progress."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins a connection."""
        super().connection_made(transport)
        self._start_header_timer()
        peer = transport.get_extra_info("peername")
        self.limits.add(self, str(peer[0]) if peer else "")

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends a connection."""
        self.limits.remove(self)
        self._stop_header_timer()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads bytes."""
        super().data_received(data)
        if not self.is_waiting:
            if self._header_timer is not None:
                self._stop_header_timer()
                self.limits.begin_request(self)
        elif self._header_timer is None:
            self._start_header_timer()

    def pause_writing(self) -> None:
        """Notes that the client reads too slowly."""
        super().pause_writing()
        if self._write_timer is None:
            self._start_write_timer()

    def resume_writing(self) -> None:
        """Notes that the client has read."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _start_write_timer(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(self.limits.stalled_seconds, self._require_progress, left)

    def _require_progress(self, left: int) -> None:
        if self.transport.get_write_buffer_size() < left:
            self._start_write_timer()
        else:
            self.limits.close(self, NOT_READING)

    def _start_header_timer(self) -> None:
        self._header_timer = self.loop.call_later(self.limits.header_seconds, self.limits.close, self, TOO_SLOW)

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None


def limited_protocol(connections: Connections) -> type[LimitedProtocol]:
    """Returns uvicorn's protocol with limits."""
    return type("LimitedProtocol", (LimitedProtocol,), {"limits": connections})

"""The pace of an upload: a client that sends nothing, or a byte now and then, is not waited for."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive

from retinagrade.service.settings import SECONDS, ServiceSettings


class Pace:
    """Follows one upload: it may pause for seconds, must keep a lowest rate on average, and ends after a minute."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Starts the clock, in the running event loop.

        Args:
            settings: Limits of the service.
        """
        self._settings, self._clock = settings, asyncio.get_running_loop().time
        self._start = self._last = self._clock()
        self._received = 0
        self._waiting: asyncio.Timeout | None = None

    @property
    def silence(self) -> float:
        """Seconds since the last bytes."""
        return self._clock() - self._last

    def give_up(self) -> None:
        """Ends the upload that waits in :meth:`receive`, as if it were too slow."""
        if self._waiting is not None:
            self._waiting.reschedule(self._clock())

    async def receive(self, receive: Receive) -> Message:
        """Receives the next message.

        Args:
            receive: ASGI function that receives.

        Raises:
            TimeoutError: The client is too slow.
        """
        pause = self._settings.idle_seconds
        earned = pause + self._received / self._settings.lowest_rate
        async with asyncio.timeout_at(min(self._start + min(SECONDS, earned), self._last + pause)) as self._waiting:
            message = await receive()
        self._waiting = None
        self._received += len(message.get("body", b""))
        self._last = self._clock()
        return message

"""Refusals that arrive: most clients write all before they read, and would see a broken connection in their place."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retinagrade.service.settings import SECONDS


class DrainMiddleware:
    """ASGI middleware that reads to its end, and forgets, what a refused request still sends, within limits."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        """Args: the ``app`` inside, and the most to read before a connection is broken after all."""
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        # A client that asks first whether it may go on sends nothing until it is asked to.
        more = scope["type"] == "http" and "expect" not in Headers(scope=scope)

        async def receive_on() -> Message:
            nonlocal more
            message = await receive()
            more = bool(message.get("more_body", False))
            return message

        async def send_after(message: Message) -> None:
            refuses = message["type"] == "http.response.start" and message["status"] >= 400
            if refuses and more and message["status"] != HTTPStatus.REQUEST_TIMEOUT:  # who is too slow stays so
                left = self._max_bytes
                with suppress(TimeoutError):
                    async with asyncio.timeout(SECONDS):
                        while more and left > 0:
                            left -= len((await receive_on()).get("body", b""))
            await send(message)

        await self._app(scope, receive_on, send_after)

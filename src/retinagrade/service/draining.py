"""Refused requests are read to their end: most clients send everything before they read the response."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retinagrade.service.pace import Pace
from retinagrade.service.settings import ServiceSettings


class DrainMiddleware:
    """ASGI middleware that reads and discards the rest of a refused request, within limits, before it responds.

    Without it, such a client would see a broken connection instead of the response.
    """

    def __init__(self, app: ASGIApp, settings: ServiceSettings) -> None:
        """Wraps an application.

        Args:
            app: The application.
            settings: Limits of the service; a client that sends more, or too slowly, gets a broken connection.
        """
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        # A client that sends "Expect: 100-continue" waits before it sends the body.
        more = scope["type"] == "http" and "expect" not in Headers(scope=scope)

        async def receive_body() -> Message:
            nonlocal more
            message = await receive()
            more = bool(message.get("more_body", False))
            return message

        async def send_after_body(message: Message) -> None:
            refuses = message["type"] == "http.response.start" and message["status"] >= 400
            if refuses and more and message["status"] != HTTPStatus.REQUEST_TIMEOUT:  # a slow client would not finish
                left, pace = self._settings.max_bytes, Pace(self._settings)
                with suppress(TimeoutError):
                    while more and left > 0:
                        left -= len((await pace.receive(receive_body)).get("body", b""))
            await send(message)

        await self._app(scope, receive_body, send_after_body)

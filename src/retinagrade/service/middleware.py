"""What surrounds every request: its id, headers that browsers obey, a line in the log, metrics, and no traceback."""

from __future__ import annotations

import time
from typing import Final
from uuid import UUID, uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retinagrade.service.logs import LOGGER, log_event
from retinagrade.service.metrics import ServiceMetrics
from retinagrade.service.problems import problem_response

SECURITY: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer. There are no CORS headers: no other site may read one."""
_GONE: Final = 499
"""In logs and metrics: the client went before there was an answer."""


class RequestMiddleware:
    """ASGI middleware; see the module. The path is never logged, for it may be anything: the route stands for it."""

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        """Args: the ``app`` inside, and the ``metrics`` that requests are counted in."""
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0
        request_id = _request_id(Headers(scope=scope).get("x-request-id", ""))
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_more(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update({**SECURITY, "X-Request-ID": request_id})
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, send_more)
        except ClientDisconnect:
            status = _GONE
        except Exception:
            LOGGER.exception("failed", extra={"fields": {"request_id": request_id}})
            if status == 0:
                detail = "the service failed; its log says where, by the request's id"
                await problem_response(500, detail, request_id)(scope, receive, send_more)
        finally:
            seconds = time.perf_counter() - began
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "OPTIONS") else "other"
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            fields = {"method": method, "route": route, "status": status, "seconds": round(seconds, 4)}
            log_event("request", request_id=request_id, **fields, **scope["state"].get("fields", {}))


def _request_id(said: str) -> str:
    """The client's own where it is a UUID, which can't be a name; else a new one."""
    try:
        return str(UUID(said))
    except ValueError:
        return str(uuid4())

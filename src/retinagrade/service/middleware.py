"""Middleware around every request: request id, security headers, log line, metrics, and no traceback in a response."""

from __future__ import annotations

import time
from typing import Final
from uuid import UUID, uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retinagrade.service.hosts import is_allowed
from retinagrade.service.logs import LOGGER, log_event
from retinagrade.service.metrics import ServiceMetrics
from retinagrade.service.problems import problem_response

# blob: is for photographs that the page shows from the disk of its user. Only the page's own scripts make such URLs.
SECURITY: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of every response. There are no CORS headers: no other site may read a response."""
_GONE: Final = 499
"""Status in logs and metrics if the client disconnected before the response."""


class HeadMiddleware:
    """ASGI middleware that answers HEAD like GET, without a body, for every route."""

    def __init__(self, app: ASGIApp) -> None:
        """Wraps an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        inner = {**scope, "method": "GET"}  # a copy: the server reads the method from its own
        try:
            await self._app(inner, receive, send_without_body)
        finally:
            scope["route"] = inner.get("route")  # for the log


class HostMiddleware:
    """ASGI middleware that refuses requests for other names.

    A page elsewhere may give its own name the address 127.0.0.1, and would then be allowed to read responses.
    """

    def __init__(self, app: ASGIApp, allowed: frozenset[str] | None) -> None:
        """Wraps an application.

        Args:
            app: The application.
            allowed: Names that clients may use; ``None`` for all.
        """
        self._app, self._allowed = app, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http" or is_allowed(scope, self._allowed):
            await self._app(scope, receive, send)
            return
        detail = "this service doesn't go by the name in the header Host: allow the name with --allowed-hosts"
        await problem_response(421, detail, scope["state"]["request_id"])(scope, receive, send)


class RequestMiddleware:
    """ASGI middleware around every request. It logs the route, never the path, which may contain anything."""

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        """Wraps an application.

        Args:
            app: The application.
            metrics: Metrics to count requests in.
        """
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0
        request_id = _request_id(Headers(scope=scope).get("x-request-id", ""))
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update({**SECURITY, "X-Request-ID": request_id})
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            status = _GONE
        except Exception:
            LOGGER.exception("failed", extra={"fields": {"request_id": request_id}})
            if status == 0:
                detail = "the service failed; its log has the details under the request id"
                await problem_response(500, detail, request_id)(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - start
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "OPTIONS") else "other"
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            fields = {"method": method, "route": route, "status": status, "seconds": round(seconds, 4)}
            log_event("request", request_id=request_id, **fields, **scope["state"].get("fields", {}))


def _request_id(header: str) -> str:
    """Returns the client's request id if it is a UUID, which can't contain a name; else a new one."""
    try:
        return str(UUID(header))
    except ValueError:
        return str(uuid4())

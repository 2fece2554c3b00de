"""The node over HTTP: STOW-RS, whether it is alive, and its metrics."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydicom.config import IGNORE
from pydicom.uid import UID
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from retinagrade.node.node import Node
from retinagrade.node.settings import NodeSettings, Tls
from retinagrade.node.stow import DICOM_JSON, PartReader, RequestError, store_response
from retinagrade.service.connections import ClosedConnections, Connections, limited_protocol
from retinagrade.service.draining import DrainMiddleware
from retinagrade.service.hosts import is_allowed
from retinagrade.service.logs import log_event
from retinagrade.service.settings import ServiceSettings
from retinagrade.service.tokens import contains_token

_CONNECTIONS: Final = 64
_SECONDS: Final = 60.0
"""Seconds for which a client may be silent, and that uploads have to end when the node stops."""
_HEADER: Final = 65_536
"""Bytes for a photograph's file header beside its data set."""

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class WebAccess:
    """Who may call over HTTP.

    Attributes:
        token: Token that clients must send, as a bearer token or in ``X-API-Key``; ``None`` accepts every client.
        names: Names by which clients may call the node; ``None`` for all.
    """

    token: str | None = None
    names: frozenset[str] | None = None


def make_app(node: Node, settings: NodeSettings, access: WebAccess) -> Starlette:
    """Makes the application, which stops the node when it ends."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(node.stop)
        log_event("stopped")

    async def get_health(_: Request) -> Response:
        well = node.is_well
        return JSONResponse({"status": "alive" if well else "failing"}, 200 if well else 503)

    async def get_metrics(_: Request) -> Response:
        return Response(generate_latest(node.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    store = _Uploads(node, settings).store
    routes = [
        Route("/healthz", get_health),
        Route("/metrics", _guarded(get_metrics, access)),
        Route("/studies", _guarded(store, access), methods=["POST"]),
        Route("/studies/{study}", _guarded(store, access), methods=["POST"]),
    ]
    limits = ServiceSettings(max_megabytes=settings.max_megabytes)
    return Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(DrainMiddleware, settings=limits)])


class _Uploads:
    """The uploads in progress."""

    def __init__(self, node: Node, settings: NodeSettings) -> None:
        self._node, self._most = node, settings.max_associations
        self._limit = settings.max_bytes + _HEADER
        self._number = 0

    async def store(self, request: Request) -> Response:
        """Stores the photographs of a request."""
        study = request.path_params.get("study")
        try:
            if study is not None and not UID(study, IGNORE).is_valid:
                raise RequestError(HTTPStatus.BAD_REQUEST, "the study's UID is invalid")
            if self._number >= self._most:
                raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, "too many uploads at once: try again later")
            self._number += 1
            try:
                return await self._read(request, study)
            finally:
                self._number -= 1
        except RequestError as error:
            return _refuse(error.status, str(error))

    async def _read(self, request: Request, study: str | None) -> Response:
        reader = PartReader(request.headers.get("content-type", ""), self._limit)
        instances, more = [], True
        while more:
            try:
                async with asyncio.timeout(_SECONDS):
                    message = await request.receive()
            except TimeoutError as error:
                raise RequestError(HTTPStatus.REQUEST_TIMEOUT, "the upload has stalled: send it again") from error
            if message["type"] == "http.disconnect":
                return Response()  # nobody reads it
            for part in reader.feed(message.get("body", b"")):
                instances.append(await run_in_threadpool(self._node.receive_file, part.data, study, part.is_whole))
            more = bool(message.get("more_body", False))
        reader.require_end()
        status, body = store_response(instances)
        return JSONResponse(body, status, media_type=DICOM_JSON)


def _guarded(endpoint: Endpoint, access: WebAccess) -> Endpoint:
    """Returns an endpoint that answers those who may call; a web page elsewhere may not (see ``service.hosts``)."""

    async def answer(request: Request) -> Response:
        if not is_allowed(request.scope, access.names):
            return _refuse(HTTPStatus.MISDIRECTED_REQUEST, "this node doesn't go by the name in the header Host")
        if access.token is not None and not contains_token(_sent_tokens(request.headers), access.token):
            headers = {"WWW-Authenticate": "Bearer"}
            return _refuse(
                HTTPStatus.UNAUTHORIZED,
                "this node needs its token: send it as a bearer token, or in X-API-Key",
                headers,
            )
        return await endpoint(request)

    return answer


def _sent_tokens(headers: Headers) -> list[str]:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return [headers.get("x-api-key", ""), token.strip() if kind.lower() == "bearer" else ""]


def _refuse(status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> Response:
    log_event("request refused", status=status.value)
    return PlainTextResponse(f"{detail}\n", status, headers)


def make_server(app: Starlette, tls: Tls) -> uvicorn.Server:
    """Makes the server of an application. It ends at SIGTERM or Ctrl-C.

    Args:
        app: The application.
        tls: Files for encrypted connections.
    """

    def report(reason: str, count: int) -> None:
        log_event("closed connections", reason=reason, count=count)

    limits, closed = ServiceSettings(), ClosedConnections(report)
    connections = Connections(_CONNECTIONS, limits.header_seconds, limits.idle_seconds, closed)
    config = uvicorn.Config(
        app,
        http=limited_protocol(connections),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=round(_SECONDS),
    )
    if tls.certificate is not None:
        config.ssl_certfile, config.ssl_keyfile = str(tls.certificate), None if tls.key is None else str(tls.key)
        if tls.authority is not None:
            config.ssl_ca_certs, config.ssl_cert_reqs = str(tls.authority), ssl.CERT_REQUIRED
    return uvicorn.Server(config)

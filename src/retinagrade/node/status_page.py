"""The state of a node over HTTP: whether it is alive, and its metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from retinagrade.node.node import Node
from retinagrade.service.logs import log_event

_CONNECTIONS: Final = 64


def make_app(node: Node) -> Starlette:
    """Makes the application, which stops the node when it ends."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        node.stop()
        log_event("stopped")

    async def get_health(_: Request) -> JSONResponse:
        well = node.is_well
        return JSONResponse({"status": "alive" if well else "failing"}, 200 if well else 503)

    async def get_metrics(_: Request) -> Response:
        return Response(generate_latest(node.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    routes = [Route("/healthz", get_health), Route("/metrics", get_metrics)]
    return Starlette(routes=routes, lifespan=lifespan)


def make_server(node: Node) -> uvicorn.Server:
    """Makes the server of a running node. It ends at SIGTERM or Ctrl-C."""
    config = uvicorn.Config(
        make_app(node),
        http="h11",
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        limit_concurrency=_CONNECTIONS,
    )
    return uvicorn.Server(config)

"""The server process: it runs the application until it gets a signal, and then finishes the requests in progress."""

from __future__ import annotations

import os
import socket

import uvicorn
from fastapi import FastAPI

from retinagrade.errors import UsageError
from retinagrade.grader.results import model_name
from retinagrade.grader.runtime import Grader
from retinagrade.service.app import create_app
from retinagrade.service.logs import configure_logging, log_event
from retinagrade.service.settings import ServiceSettings

_BACKLOG = 2048


def serve(
    model: str | os.PathLike[str] = "default",
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    max_requests: int = 256,
    max_megabytes: float = 64,
    max_megapixels: float = 50,
    token: str | None = None,
) -> None:
    """Serves a grader file over HTTP, with a web page, until SIGTERM or Ctrl-C.

    Args:
        model: The grader file; ``default`` is the one that comes with the package.
        host: Address to listen on.
        port: Port to listen on; 0 chooses a free one, which the log names.
        max_requests: Largest number of requests in progress; more get status 503.
        max_megabytes: Largest size of a request, in millions of bytes; a larger one gets status 413.
        max_megapixels: Largest size of a photograph, in millions of pixels; a larger one gets status 413.
        token: Bearer token that clients must present; ``None`` accepts every client.

    Raises:
        GraderFileError: The grader file can't be used.
        UsageError: The address can't be listened on.
    """
    grader = Grader.load(model)
    app = create_app(grader, ServiceSettings(max_requests, max_megabytes, max_megapixels, token))
    run_server(app, open_socket(host, port), model_name(grader.metadata))


def open_socket(host: str, port: int) -> socket.socket:
    """Opens a socket that listens; port 0 chooses a free one.

    Raises:
        UsageError: The address is in use, or does not belong to this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UsageError(f"can't listen on {host} port {port}: {error.strerror or error}") from error


def run_server(app: FastAPI, listener: socket.socket, model: str) -> None:
    """Serves until SIGTERM or Ctrl-C, then accepts no connection and answers every request in progress.

    Args:
        app: The application.
        listener: Socket from :func:`open_socket`.
        model: Name and version of the grader file, for the log.
    """
    configure_logging()
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, lifespan="on", ws="none")
    host, port = listener.getsockname()[:2]
    log_event("listening", url=f"http://{f'[{host}]' if ':' in host else host}:{port}", model=model)
    uvicorn.Server(config).run(sockets=[listener])

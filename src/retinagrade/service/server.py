"""Runs the application until it is told to stop, and then finishes what it took."""

from __future__ import annotations

import socket

import uvicorn
from fastapi import FastAPI

from retinagrade.errors import UsageError
from retinagrade.service.logs import configure_logging, log_event

_BACKLOG = 2048


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 is any that is free.

    Raises:
        UsageError: The address is taken, or not this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UsageError(f"can't listen on {host} port {port}: {error.strerror or error}") from error


def run_server(app: FastAPI, listener: socket.socket, model: str) -> None:
    """Serves until SIGTERM or Ctrl-C. Then no connection is taken any more, and every request that was is answered.

    Args:
        app: The application.
        listener: From :func:`open_socket`.
        model: Its name and version, for the log.
    """
    configure_logging()
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, lifespan="on", ws="none")
    host, port = listener.getsockname()[:2]
    log_event("listening", url=f"http://{f'[{host}]' if ':' in host else host}:{port}", model=model)
    uvicorn.Server(config).run(sockets=[listener])

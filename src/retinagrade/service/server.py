"""The server process: it runs the application until it gets a signal, and then finishes the requests in progress."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from functools import partial
from typing import Final

import uvicorn
from fastapi import FastAPI

from retinagrade.arguments import AT_LEAST_ONE, NumberRange, check_arguments
from retinagrade.errors import UsageError
from retinagrade.execution.local import processors
from retinagrade.grader.make_grading import model_name
from retinagrade.grader.runtime import Grader
from retinagrade.service.app import create_app
from retinagrade.service.connections import ClosedConnections, Connections, limited_protocol
from retinagrade.service.hosts import allowed_hosts as names_of
from retinagrade.service.logs import configure_logging, log_event
from retinagrade.service.routes import ServiceState
from retinagrade.service.settings import SECONDS, ServiceSettings
from retinagrade.service.tokens import choose_token
from retinagrade.service.workers import Begin, Workers

_BACKLOG: Final = 2048
_HEADER_BYTES: Final = 65_536
"""Largest size of the headers of a request."""
_OTHER_FILES: Final = 100
"""Open files of the process besides its connections."""
_DRAINING_SECONDS: Final = 2 * SECONDS
"""Seconds after a signal until requests that still aren't answered are given up."""


@check_arguments(
    port=NumberRange(at_least=0, up_to=65_535),
    max_requests=AT_LEAST_ONE,
    max_megabytes=NumberRange(above=0),
    max_megapixels=NumberRange(above=0),
    workers=AT_LEAST_ONE,
)
def serve(
    model: str | os.PathLike[str] = "default",
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    max_requests: int = 256,
    max_megabytes: float = 64,
    max_megapixels: float = 50,
    workers: int = 1,
    token: str | None = None,
    token_file: str | os.PathLike[str] | None = None,
    open_to_all: bool = False,
    allowed_hosts: Sequence[str] = (),
) -> None:
    """Serves a grader file over HTTP, with a web page, until SIGTERM, SIGHUP or Ctrl-C.

    Args:
        model: The grader file; ``default`` is the one that comes with the package.
        host: Address to listen on.
        port: Port to listen on; 0 chooses a free one, which the log names.
        max_requests: Largest number of requests in progress; more get status 503.
        max_megabytes: Largest size of a request, in millions of bytes; a larger one gets status 413.
        max_megapixels: Largest size of a photograph, in millions of pixels; a larger one gets status 413.
        workers: Number of processes that serve the address together, each with a grader in its memory and with the
            limits above. One that dies is replaced.
        token: Token that clients must present; ``None`` accepts every client.
        token_file: File with the token, instead of ``token``.
        open_to_all: Whether a service without a token may be reached from other machines.
        allowed_hosts: Names by which clients may call the service, besides ``host``, the address that they reach, and
            those of this machine for itself; ``*`` for every name.

    Raises:
        GraderFileError: The grader file can't be used.
        UsageError: The address can't be listened on, the token can't be read or sent in a header, or the service would
            be open to other machines without saying so.
    """
    names = names_of(host, allowed_hosts)
    guard = choose_token(host, token, token_file, open_to_all)
    settings = ServiceSettings(max_requests, max_megabytes, max_megapixels, guard, names, workers=workers)
    if workers == 1:
        grader = Grader.load(model)
        run_server(create_app(grader, settings), open_socket(host, port), model_name(grader.metadata))
    else:
        _run_workers(model, settings, open_socket(host, port))


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
    """Serves until SIGTERM, SIGHUP or Ctrl-C, then accepts no connection and answers every request in progress.

    Args:
        app: The application.
        listener: Socket from :func:`open_socket`.
        model: Name and version of the grader file, for the log.
    """
    configure_logging()
    log_event("listening", url=_url(listener), model=model)
    _serve_until_signal(app, listener)


def _run_workers(model: str | os.PathLike[str], settings: ServiceSettings, listener: socket.socket) -> None:
    """Serves with several processes until SIGTERM, SIGHUP or Ctrl-C."""
    configure_logging()
    workers = Workers(partial(_serve_as_one_of_several, model, settings, listener), settings.workers)
    workers.run(lambda: log_event("listening", url=_url(listener), workers=settings.workers))


def _serve_as_one_of_several(
    model: str | os.PathLike[str], settings: ServiceSettings, listener: socket.socket, begin: Begin
) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, processors() // settings.workers)))
    app = create_app(Grader.load(model), settings)
    begin(app.state.service)
    _serve_until_signal(app, listener)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _serve_until_signal(app: FastAPI, listener: socket.socket) -> None:
    server = make_server(app)
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is not None and signal.getsignal(hang_up) != signal.SIG_IGN:  # nohup ignores it, and goes on
        signal.signal(hang_up, lambda *_: server.handle_exit(signal.SIGTERM, None))
    server.run(sockets=[listener])


def make_server(app: FastAPI) -> uvicorn.Server:
    """Makes the server of an application, with limits on its connections."""
    state: ServiceState = app.state.service
    settings = state.settings

    def report(reason: str, count: int) -> None:
        state.metrics.closed.labels(reason).inc(count)
        log_event("closed connections", reason=reason, count=count)

    closed = ClosedConnections(report)
    most = min(settings.max_connections, _most_sockets())
    connections = Connections(most, settings.header_seconds, settings.idle_seconds, closed)
    config = uvicorn.Config(
        app,
        http=limited_protocol(connections),
        h11_max_incomplete_event_size=_HEADER_BYTES,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=round(_DRAINING_SECONDS),
    )
    return uvicorn.Server(config)


def _most_sockets() -> int:
    """Returns how many sockets this process may open, with some left for files and pipes."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 512
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(8, soft - _OTHER_FILES)

"""``retinagrade serve``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from retinagrade.cli.grader import ModelOption


def serve(
    model: ModelOption = "default",
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on. 127.0.0.1 serves this machine only. 0.0.0.0 serves other machines, which "
            "should come through a proxy with TLS.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, metavar="NUMBER", help="Port to listen on. 0 chooses a free one, which the log names."
        ),
    ] = 8000,
    max_requests: Annotated[
        int,
        typer.Option(
            min=1, metavar="NUMBER", help="Largest number of requests in progress. A further one gets status 503."
        ),
    ] = 256,
    max_megabytes: Annotated[
        float,
        typer.Option(
            min=0.001,
            metavar="SIZE",
            help="Largest size of a request, in megabytes. A larger one gets status 413.",
        ),
    ] = 64,
    max_megapixels: Annotated[
        float,
        typer.Option(
            min=0.001,
            metavar="SIZE",
            help="Largest size of a photograph, in megapixels. A larger one gets status 413.",
        ),
    ] = 50,
    allowed_hosts: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Further names by which clients may call the service, separated by commas; '*' for every name. A "
            "request for another name gets status 421. [default: the name of --host, the address that the client "
            "reaches, and localhost]",
            show_default=False,
        ),
    ] = "",
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="NUMBER",
            help="Number of processes that serve the address together, each with the grader in its memory and with the "
            "limits above. One that dies is replaced. /metrics adds them up.",
        ),
    ] = 1,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with the token that clients must send, instead of RETINAGRADE_TOKEN."),
    ] = None,
    open_to_all: Annotated[
        bool,
        typer.Option(
            "--open",
            help="Serve everybody who reaches the address, without a token, also from other machines.",
        ),
    ] = False,
) -> None:
    """Grade photographs over HTTP and on a web page.

    The page is at the root of the service, http://127.0.0.1:8000 by default. Programs send photographs to /v1/grade.
    The service runs until Ctrl-C, SIGTERM or SIGHUP, and then finishes the requests in progress. If there is a token,
    in the environment variable RETINAGRADE_TOKEN or in --token-file, clients must send it, as a bearer token or in the
    header X-API-Key. A service that other machines reach needs the token, or --open. The service stores no photograph.
    It needs pip install 'retinagrade[serve]'.

    Exit code 2: the service could not start.
    """
    from retinagrade.service.server import serve as serve_grader

    serve_grader(
        model,
        host=host,
        port=port,
        max_requests=max_requests,
        max_megabytes=max_megabytes,
        max_megapixels=max_megapixels,
        workers=workers,
        token_file=token_file,
        token=os.environ.get("RETINAGRADE_TOKEN"),
        open_to_all=open_to_all,
        allowed_hosts=allowed_hosts.split(",") if allowed_hosts else (),
    )

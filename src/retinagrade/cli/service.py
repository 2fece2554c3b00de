"""``retinagrade serve``."""

from __future__ import annotations

import os
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds this module's command."""
    app.command("serve")(serve)


def serve(
    model: Annotated[
        str, typer.Option(help="A file that `retinagrade export` made, or 'default', which comes with the package.")
    ] = "default",
    host: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0 for other machines, behind TLS.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 8000,
    queue: Annotated[int, typer.Option(min=1, help="Requests that are taken at once; more get 503.")] = 256,
    max_megabytes: Annotated[float, typer.Option(min=0.001, help="Of one request; more gets 413.")] = 64,
    max_megapixels: Annotated[float, typer.Option(min=0.001, help="Of one photograph; more gets 413.")] = 50,
) -> None:
    """Grade photographs over HTTP, with a page; set RETINAGRADE_TOKEN to let in only those who present it."""
    from retinagrade.grader.results import model_name
    from retinagrade.grader.runtime import Grader
    from retinagrade.service.app import create_app
    from retinagrade.service.server import open_socket, run_server
    from retinagrade.service.settings import ServiceSettings

    token = os.environ.get("RETINAGRADE_TOKEN") or None
    grader = Grader.load(model)
    app = create_app(grader, ServiceSettings(queue, max_megabytes, max_megapixels, token))
    run_server(app, open_socket(host, port), model_name(grader.metadata))

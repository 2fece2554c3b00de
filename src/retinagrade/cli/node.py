"""``retinagrade listen``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from retinagrade.cli.grader import ModelOption


def listen(
    send_to: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Archive that gets the results: AET@HOST:PORT, such as ORTHANC@archive:4242, or the base URL of a "
            "DICOMweb server, such as https://archive/dicom-web.",
        ),
    ],
    model: ModelOption = "default",
    queue: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Folder for what was received and what must be sent. It holds patient data. The same folder continues "
            "after a restart.",
        ),
    ] = Path("retinagrade-queue"),
    aet: Annotated[
        str, typer.Option(metavar="TITLE", help="Application entity title of the node, by which clients must call it.")
    ] = "RETINAGRADE",
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on for DICOM. 127.0.0.1 serves this machine only. 0.0.0.0 serves other machines, "
            "and needs --callers or --open.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            metavar="NUMBER",
            help="Port to listen on for DICOM. 0 chooses a free one, which the log names.",
        ),
    ] = 11112,
    wait: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="A study is graded when nothing of it has come for so long."),
    ] = 60,
    callers: Annotated[
        str,
        typer.Option(
            metavar="TITLES",
            help="Titles that may call, separated by commas. One with its address, AET@HOST:PORT, gets answers to "
            "requests for storage commitment there. [default: every title]",
            show_default=False,
        ),
    ] = "",
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Serve other machines, whatever their title, and without a token.")
    ] = False,
    http_host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on for HTTP: STOW-RS (/studies), /healthz and /metrics. Where other machines reach "
            "it, it needs a token or --open.",
        ),
    ] = "127.0.0.1",
    http_port: Annotated[
        int,
        typer.Option(min=0, max=65535, metavar="NUMBER", help="Port to listen on for HTTP. 0 chooses a free one."),
    ] = 11113,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File with the token that clients over HTTP must send, instead of RETINAGRADE_TOKEN."
        ),
    ] = None,
    max_megabytes: Annotated[
        float, typer.Option(min=0.001, metavar="SIZE", help="Largest size of a photograph's file, in megabytes.")
    ] = 64,
    max_megapixels: Annotated[
        float, typer.Option(min=0.001, metavar="SIZE", help="Largest size of a photograph, in megapixels.")
    ] = 50,
    max_associations: Annotated[
        int,
        typer.Option(min=1, metavar="NUMBER", help="Largest number of connections at once, and of uploads over HTTP."),
    ] = 16,
    max_waiting: Annotated[
        int,
        typer.Option(min=1, metavar="NUMBER", help="Largest number of photographs that wait. More are refused."),
    ] = 10_000,
    keep_days: Annotated[
        float, typer.Option(min=0, metavar="DAYS", help="Files of an answered study are deleted after so many days.")
    ] = 30,
    tls_certificate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Certificate of the node, PEM. With it, clients must use TLS."),
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Key of the certificate, PEM.")] = None,
    tls_authority: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Authorities, PEM, from one of which clients and archive must have their certificates."
        ),
    ] = None,
    send_tls: Annotated[bool, typer.Option("--send-tls", help="Call an archive AET@HOST:PORT by TLS.")] = False,
    send_credentials: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Credentials for a DICOMweb server: one line, USER:PASSWORD or Bearer TOKEN."
        ),
    ] = None,
) -> None:
    """Grade the studies that cameras and archives send by DICOM.

    The node answers C-ECHO, C-STORE, requests for storage commitment, and STOW-RS (POST /studies). To the archive it
    sends, by C-STORE or STOW-RS, for each study a structured report, a segmentation of lesions or a saliency overlay
    for each photograph, and the result on one page, as PDF and as a picture. Nothing is lost or sent twice if the node
    is killed or the archive is away: the same command continues. If there is a token, in the environment variable
    RETINAGRADE_TOKEN or in --token-file, clients must send it over HTTP, as a bearer token or in the header X-API-Key.
    The node runs until Ctrl-C, SIGTERM or SIGHUP. It needs pip install 'retinagrade[node]'.

    Exit code 2: the node could not start.
    """
    from retinagrade.node.listen import listen as run_node

    run_node(
        model,
        send_to=send_to,
        queue=queue,
        aet=aet,
        host=host,
        port=port,
        wait=wait,
        callers=callers.split(",") if callers else (),
        open_to_all=open_to_all,
        http_host=http_host,
        http_port=http_port,
        token_file=token_file,
        token=os.environ.get("RETINAGRADE_TOKEN"),
        max_megabytes=max_megabytes,
        max_megapixels=max_megapixels,
        max_associations=max_associations,
        max_waiting=max_waiting,
        keep_days=keep_days,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        tls_authority=tls_authority,
        send_tls=send_tls,
        send_credentials=send_credentials,
    )

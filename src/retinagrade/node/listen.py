"""``retinagrade listen``: a DICOM node, which runs until it gets a signal."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from retinagrade.arguments import AT_LEAST_ONE, NOT_NEGATIVE, NumberRange, check_arguments
from retinagrade.errors import UsageError
from retinagrade.grader.make_grading import model_name
from retinagrade.grader.runtime import Grader
from retinagrade.node.node import Node
from retinagrade.node.settings import NodeSettings, Tls, WebPeer, parse_aet, parse_archive, parse_callers
from retinagrade.node.web_app import WebAccess, make_app, make_server
from retinagrade.service.hosts import LOOPBACK, serves_others
from retinagrade.service.logs import configure_logging, log_event
from retinagrade.service.server import open_socket
from retinagrade.service.tokens import choose_token
from retinagrade.storage.locking import locked, make_folder

_PORT = NumberRange(at_least=0, up_to=65_535)
_IN_USE = (
    "{folder}: another node uses this folder: stop that node (as a service: systemctl stop retinagrade-node), "
    "or choose another folder with --queue"
)


@check_arguments(
    port=_PORT,
    http_port=_PORT,
    wait=NOT_NEGATIVE,
    max_megabytes=NumberRange(above=0),
    max_megapixels=NumberRange(above=0),
    max_associations=AT_LEAST_ONE,
    max_waiting=AT_LEAST_ONE,
    keep_days=NOT_NEGATIVE,
)
def listen(
    model: str | os.PathLike[str] = "default",
    *,
    send_to: str,
    queue: str | os.PathLike[str] = "retinagrade-queue",
    aet: str = "RETINAGRADE",
    host: str = "127.0.0.1",
    port: int = 11112,
    wait: float = 60,
    callers: Sequence[str] = (),
    open_to_all: bool = False,
    http_host: str = "127.0.0.1",
    http_port: int = 11113,
    token: str | None = None,
    token_file: str | os.PathLike[str] | None = None,
    max_megabytes: float = 64,
    max_megapixels: float = 50,
    max_associations: int = 16,
    max_waiting: int = 10_000,
    keep_days: float = 30,
    tls_certificate: str | os.PathLike[str] | None = None,
    tls_key: str | os.PathLike[str] | None = None,
    tls_authority: str | os.PathLike[str] | None = None,
    send_tls: bool = False,
    send_credentials: str | os.PathLike[str] | None = None,
) -> None:
    """Runs a DICOM node until SIGTERM or Ctrl-C: it receives photographs, grades their studies and sends the results.

    Args:
        model: The grader file; ``default`` is the one that comes with the package.
        send_to: The archive that gets the results: ``AET@HOST:PORT``, or the base URL of a DICOMweb server.
        queue: Folder for what was received and what must be sent. It holds patient data. The same folder continues
            after a restart. One node at a time uses it.
        aet: The node's application entity title, by which clients must call it.
        host: Address to listen on for DICOM.
        port: Port to listen on for DICOM; 0 chooses a free one, which the log names.
        wait: Seconds that a study must have been quiet before it is graded.
        callers: Titles that may call. One with its address, ``AET@HOST:PORT``, gets answers to requests for storage
            commitment there.
        open_to_all: Whether other machines may call with any title, and over HTTP without a token.
        http_host: Address to listen on for HTTP: STOW-RS at ``/studies``, ``/healthz`` and ``/metrics``.
        http_port: Port to listen on for HTTP; 0 chooses a free one, which the log names.
        token: Token that clients must send over HTTP, as a bearer token or in ``X-API-Key``; ``None`` accepts every
            client.
        token_file: File with the token, instead of ``token``.
        max_megabytes: Largest size of a photograph's file, in millions of bytes.
        max_megapixels: Largest size of a photograph, in millions of pixels; a larger one is unreadable.
        max_associations: Largest number of connections at once, and of uploads over HTTP.
        max_waiting: Largest number of photographs that wait for grading; more are refused.
        keep_days: Days after which the files of an answered study are deleted.
        tls_certificate: The node's certificate, PEM; with it, clients must use TLS. HTTP stays plain where only this
            machine reaches it.
        tls_key: The key of the certificate, PEM.
        tls_authority: Certificates of the authorities, PEM, from one of which every client must have a certificate, and
            the archive, too; by default, clients need none, and the archive has one that this machine trusts.
        send_tls: Whether an archive ``AET@HOST:PORT`` is called by TLS.
        send_credentials: File with one line, ``USER:PASSWORD`` or ``Bearer TOKEN``, for a DICOMweb server.

    Raises:
        GraderFileError: The grader file can't be used.
        UsageError: A title, an address, a certificate or credentials can't be used, another node uses the queue, or
            the node would be open to other machines without saying so.
        ModuleNotFoundError: The extra ``node`` isn't installed.
    """
    archive = parse_archive(send_to, None if send_credentials is None else Path(send_credentials))
    if send_tls and isinstance(archive, WebPeer):
        raise UsageError("send_tls is for an archive AET@HOST:PORT: write https:// for a DICOMweb server")
    titles = parse_callers(tuple(callers))
    if not titles and not open_to_all and serves_others(host):
        raise UsageError(
            f"other machines reach {host} with any title: name those that may call (--callers), or use --open"
        )
    guard = choose_token(http_host, token, token_file, open_to_all)
    tls = _parse_tls(tls_certificate, tls_key, tls_authority, send_tls)
    settings = NodeSettings(
        archive,
        parse_aet(aet),
        wait,
        titles,
        max_megabytes,
        max_megapixels,
        max_associations,
        max_waiting,
        keep_days,
        tls,
    )
    grader = Grader.load(model)
    folder = Path(queue)
    make_folder(folder, mode=0o700)  # patients' data are nobody else's
    with locked(folder / "queue.sqlite", _IN_USE.format(folder=folder)):
        configure_logging()
        node = Node(grader, settings, folder)
        listener = open_socket(http_host, http_port)
        is_local = not serves_others(http_host)
        access = WebAccess(guard, LOOPBACK if is_local and guard is None else None)
        server = make_server(make_app(node, settings, access), Tls() if is_local else tls)
        hang_up = getattr(signal, "SIGHUP", None)
        if hang_up is not None and signal.getsignal(hang_up) != signal.SIG_IGN:  # nohup ignores it, and goes on
            signal.signal(hang_up, lambda *_: server.handle_exit(signal.SIGTERM, None))
        node.start(host, port)
        log_event(
            "listening",
            aet=settings.aet,
            host=host,
            port=node.port,
            http=_url(listener, server.config.is_ssl),
            archive=str(archive),
            model=model_name(grader.metadata),
        )
        server.run(sockets=[listener])


def _parse_tls(
    certificate: str | os.PathLike[str] | None,
    key: str | os.PathLike[str] | None,
    authority: str | os.PathLike[str] | None,
    sends: bool,
) -> Tls:
    if (certificate is None) != (key is None):
        raise UsageError("a certificate needs its key, and a key its certificate: give tls_certificate and tls_key")
    files = [None if each is None else Path(each) for each in (certificate, key, authority)]
    return Tls(files[0], files[1], files[2], sends)


def _url(listener: socket.socket, is_encrypted: bool) -> str:
    host, port = listener.getsockname()[:2]
    return f"{'https' if is_encrypted else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

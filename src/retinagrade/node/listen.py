"""``retinagrade listen``: a DICOM node that runs until it gets a signal."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from retinagrade.arguments import AT_LEAST_ONE, NOT_NEGATIVE, NumberRange, check_arguments
from retinagrade.errors import UsageError
from retinagrade.grader.make_grading import model_name
from retinagrade.grader.runtime import Grader
from retinagrade.node.node import Node
from retinagrade.node.settings import NodeSettings, Tls, parse_aet, parse_callers, parse_peer
from retinagrade.node.status_page import make_server
from retinagrade.service.hosts import serves_others
from retinagrade.service.logs import configure_logging, log_event
from retinagrade.service.server import open_socket
from retinagrade.storage.locking import locked

_PORT = NumberRange(at_least=0, up_to=65_535)


@check_arguments(
    port=_PORT,
    status_port=_PORT,
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
    status_port: int = 11113,
    max_megabytes: float = 64,
    max_megapixels: float = 50,
    max_associations: int = 16,
    max_waiting: int = 10_000,
    keep_days: float = 30,
    tls_certificate: str | os.PathLike[str] | None = None,
    tls_key: str | os.PathLike[str] | None = None,
    tls_authority: str | os.PathLike[str] | None = None,
    send_tls: bool = False,
) -> None:
    """Runs a DICOM node until SIGTERM or Ctrl-C: it receives photographs, grades their studies and sends the results.

    Args:
        model: The grader file; ``default`` is the one that comes with the package.
        send_to: The archive that gets the results, ``AET@HOST:PORT``.
        queue: Folder for what was received and what must be sent. It holds patient data. The same folder continues
            after a restart. One node at a time uses it.
        aet: The node's application entity title, by which clients must call it.
        host: Address to listen on.
        port: Port to listen on; 0 chooses a free one, which the log names.
        wait: Seconds that a study must have been quiet before it is graded.
        callers: Titles that may call. One with its address, ``AET@HOST:PORT``, gets answers to requests for storage
            commitment there.
        open_to_all: Whether other machines may call with any title.
        status_port: Port of this machine on which ``/healthz`` and ``/metrics`` are; 0 chooses a free one.
        max_megabytes: Largest size of a photograph's file, in millions of bytes.
        max_megapixels: Largest size of a photograph, in millions of pixels; a larger one is unreadable.
        max_associations: Largest number of connections at once.
        max_waiting: Largest number of photographs that wait for grading; more are refused.
        keep_days: Days after which the files of an answered study are deleted.
        tls_certificate: The node's certificate, PEM; with it, all clients must use TLS.
        tls_key: The key of the certificate, PEM.
        tls_authority: Certificates of the authorities, PEM, from one of which every client must have a certificate, and
            the archive, too; by default, clients need none, and the archive has one that this machine trusts.
        send_tls: Whether the archive is called by TLS.

    Raises:
        GraderFileError: The grader file can't be used.
        UsageError: A title, an address or a certificate can't be used, another node uses the queue, or the node would
            be open to other machines without saying so.
        ModuleNotFoundError: The extra ``node`` isn't installed.
    """
    archive = parse_peer(send_to)
    titles = parse_callers(tuple(callers))
    if not titles and not open_to_all and serves_others(host):
        raise UsageError(
            f"other machines reach {host} with any title: name those that may call (--callers), or use --open"
        )
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
        _parse_tls(tls_certificate, tls_key, tls_authority, send_tls),
    )
    grader = Grader.load(model)
    folder = Path(queue)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # patients' data are nobody else's
    with locked(folder / "queue.sqlite"):
        configure_logging()
        node = Node(grader, settings, folder)
        listener = open_socket("127.0.0.1", status_port)
        server = make_server(node)
        hang_up = getattr(signal, "SIGHUP", None)
        if hang_up is not None and signal.getsignal(hang_up) != signal.SIG_IGN:  # nohup ignores it, and goes on
            signal.signal(hang_up, lambda *_: server.handle_exit(signal.SIGTERM, None))
        node.start(host, port)
        log_event(
            "listening",
            aet=settings.aet,
            host=host,
            port=node.port,
            status=f"http://127.0.0.1:{listener.getsockname()[1]}",
            archive=str(archive),
            model=model_name(grader.metadata),
        )
        server.run(sockets=[listener])


def _parse_tls(
    certificate: str | os.PathLike[str] | None,
    key: str | os.PathLike[str] | None,
    authority: str | os.PathLike[str] | None,
    sends: bool,
) -> Tls | None:
    if certificate is not None and key is not None:
        return Tls(Path(certificate), Path(key), None if authority is None else Path(authority), sends)
    if certificate is not None or key is not None or authority is not None or sends:
        raise UsageError("TLS needs a certificate and its key: give tls_certificate and tls_key (--tls-key)")
    return None

"""The server side of DICOM: C-ECHO, C-STORE and requests for storage commitment, over pynetdicom."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from typing import Any, Final, cast

from pydicom import Dataset
from pynetdicom import AE, _config, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    Verification,
)
from pynetdicom.transport import ThreadedAssociationServer

from retinagrade.errors import UsageError
from retinagrade.images.dicom import readable_syntaxes
from retinagrade.node.commitment import parse_request
from retinagrade.node.reception import PHOTOGRAPHS, Answer, Reception, Status
from retinagrade.node.rows import Commitment
from retinagrade.node.settings import NodeSettings

_SECONDS: Final = 60.0
"""Seconds for which a client may be silent."""
_FACTOR: Final = 2
"""Times the limit of size at which a message is cut off. Below, it is read to its end, and gets a status."""
_PDU_BYTES: Final = 1 << 17
"""Largest size of a unit of a message, as the node announces it."""
_LONGEST_PDU: Final = 1 << 20
"""Longest unit that is read. That of a request for a connection may be longer than the node announces."""
_INVALID_ARGUMENT: Final = 0x0115
_NO_SUCH_ACTION: Final = 0x0123

OnPhotograph = Callable[[Answer], None]
"""Called with the answer to each photograph."""
OnCommitment = Callable[[Commitment, Any], None]
"""Called with a request, and the association over which it came."""
OnRejection = Callable[[str, str, str], None]
"""Called with the reason why a connection was rejected, the address of its machine, and its title."""


class Receiver:
    """The running server."""

    def __init__(
        self,
        reception: Reception,
        settings: NodeSettings,
        on_photograph: OnPhotograph,
        on_commitment: OnCommitment,
        on_rejection: OnRejection,
    ) -> None:
        """Sets it up; :meth:`start` starts it.

        Args:
            reception: Puts photographs on the disk.
            settings: Title, callers, limits and TLS.
            on_photograph: Called with the answer to each photograph.
            on_commitment: Called with each request for storage commitment.
            on_rejection: Called with each connection that is rejected.
        """
        self._reception, self._settings = reception, settings
        self._on_photograph, self._on_commitment, self._on_rejection = on_photograph, on_commitment, on_rejection
        self._server: ThreadedAssociationServer | None = None
        self._sizes: dict[threading.Thread, int] = {}

    def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Starts to listen, in threads. Returns the port; 0 chooses a free one.

        Raises:
            UsageError: The address can't be listened on.
        """
        _config.LOG_HANDLER_LEVEL = "none"  # the library would log titles and data sets
        entity = AE(self._settings.aet)
        entity.maximum_associations = self._settings.max_associations
        entity.maximum_pdu_size = _PDU_BYTES
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _SECONDS
        entity.require_called_aet = True
        entity.require_calling_aet = sorted(self._settings.callers)
        entity.add_supported_context(Verification)
        entity.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        for uid in PHOTOGRAPHS:
            entity.add_supported_context(uid, readable_syntaxes())
        try:
            self._server = entity.start_server(
                (host, port),
                block=False,
                ssl_context=tls,
                evt_handlers=[
                    (evt.EVT_C_ECHO, lambda _: Status.SUCCESS.value),
                    (evt.EVT_C_STORE, self._store),
                    (evt.EVT_N_ACTION, self._commit),
                    (evt.EVT_REJECTED, self._reject),
                    (evt.EVT_CONN_OPEN, _limit_units),
                    (evt.EVT_DATA_RECV, self._count),
                    (evt.EVT_CONN_CLOSE, self._forget),
                ],
            )
        except OSError as error:
            raise UsageError(f"can't listen on {host} port {port}: {error.strerror or error}") from error
        assert self._server is not None
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Accepts nothing more, and ends the connections; a photograph without an answer is sent again."""
        if self._server is None:
            return
        associations = self._server.active_associations
        self._server.shutdown()
        for association in associations:
            association.abort()

    def _store(self, event: Event) -> Dataset:
        request, syntax = cast(C_STORE, event.request), str(event.context.transfer_syntax)
        self._sizes.pop(event.assoc, None)
        data = event.encoded_dataset(include_meta=False)
        header = event.encoded_dataset()[: -len(data)] if data else b""
        answer = self._reception.receive(
            str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID), syntax, data, header
        )
        self._on_photograph(answer)
        status = Dataset()
        status.Status = answer.status.value
        if answer.comment:
            status.ErrorComment = answer.comment
        return status

    def _commit(self, event: Event) -> tuple[int, None]:
        if event.action_type != 1:
            return _NO_SUCH_ACTION, None
        commitment = parse_request(event.action_information, str(event.assoc.requestor.ae_title))
        if commitment is None:
            return _INVALID_ARGUMENT, None
        self._on_commitment(commitment, event.assoc)
        return Status.SUCCESS.value, None

    def _reject(self, event: Event) -> None:
        caller = event.assoc.requestor
        title, request = str(caller.ae_title).strip(), caller.primitive
        if request is not None and str(request.called_ae_title).strip() != self._settings.aet:
            reason = "called title"
        elif self._settings.callers and title not in self._settings.callers:
            reason = "caller"
        else:
            reason = "too many"
        self._on_rejection(reason, str(caller.address), title)

    def _count(self, event: Event) -> None:
        """Cuts a message off that is far larger than any photograph may be, before it fills the memory."""
        before, limit = self._sizes.get(event.assoc, 0), _FACTOR * self._settings.max_bytes
        self._sizes[event.assoc] = size = before + len(event.data)
        if before <= limit < size:  # once, though the rest of the message may still come
            self._on_photograph(Answer(Status.OUT_OF_RESOURCES, "too large"))
            event.assoc.abort()

    def _forget(self, event: Event) -> None:
        self._sizes.pop(event.assoc, None)


def _limit_units(event: Event) -> None:
    """Closes a connection that announces too long a unit, before the library reads it whole into memory."""
    connection = event.assoc.dul.socket
    assert connection is not None
    read = connection.recv

    def read_some(nr_bytes: int) -> bytearray:
        if nr_bytes <= _LONGEST_PDU:
            return read(nr_bytes)
        if connection.socket is not None:
            connection.socket.close()
        raise OSError("the connection announces too long a unit")

    connection.recv = read_some  # type: ignore[method-assign]

"""Sending of results to the archive, again and again until it has them; by C-STORE, to an archive that speaks DICOM."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association

from retinagrade.errors import RetinagradeError
from retinagrade.node.policy import next_wait
from retinagrade.node.queue import Queue
from retinagrade.node.rows import StudyResult
from retinagrade.node.settings import Peer

_BATCH: Final = 100
"""Results that are looked up at once."""
SECONDS: Final = 30.0
"""Seconds for which an archive may be silent."""


class AwayError(RetinagradeError):
    """The archive can't be reached, or has hung up."""


class NotServedError(AwayError):
    """The archive serves the node with nothing, whatever the object."""


class Connection(Protocol):
    """A connection to an archive."""

    def store(self, result: StudyResult, data_file: str) -> int | None:
        """Sends a result.

        Returns:
            The status; ``None`` where nothing was sent: the archive takes no such objects, or the file is damaged.

        Raises:
            AwayError: The archive has hung up, so nobody knows whether it has the result.
        """
        ...

    def close(self) -> None:
        """Ends the connection."""
        ...


Connect = Callable[[Iterable[str]], Connection]
"""A function that connects to the archive for objects of some SOP classes; it raises an AwayError."""


def send_due(
    queue: Queue, connect: Connect, note: Callable[[str], None], clock: Callable[[], float] = time.time
) -> int:
    """Sends the results that are due.

    A result is noted as delivered after the archive has confirmed it. If the confirmation is lost, the archive gets the
    same bytes under the same UID again, which stay one object.

    Args:
        queue: The queue.
        connect: Connects to the archive.
        note: Called with ``delivered`` or ``refused`` after each result.
        clock: Returns the time, in seconds.

    Returns:
        The number of results that were delivered.

    Raises:
        AwayError: The archive is away.
    """
    due = queue.due_results(clock(), _BATCH)
    if not due:
        return 0
    delivered = 0
    connection = connect({each.sop_class for each in due})
    try:
        for result in due:
            try:
                status = connection.store(result, str(queue.path(result.file)))
            except NotServedError:
                raise
            except AwayError:  # an object that the archive can't bear must not stop all others
                queue.postpone_result(result, clock() + next_wait(result.tries + 1))
                raise
            if status is not None and is_success(status):
                queue.note_delivered(result, clock())
                delivered += 1
                note("delivered")
            else:
                queue.postpone_result(result, clock() + next_wait(result.tries + 1))
                note("refused")
    finally:
        connection.close()
    return delivered


def is_success(status: int) -> bool:
    """Whether a status means that the archive has the object: with a warning, and as a duplicate, it has.

    A UID of ours always stands for the same bytes, so a duplicate is an object whose confirmation was lost.

    Example:
        >>> is_success(0x0000), is_success(0xB000), is_success(0x0111), is_success(0xA700)
        (True, True, True, False)
    """
    return status in (0x0000, 0x0111) or status >> 12 == 0xB


class Archive:
    """An archive that speaks DICOM; calling it connects."""

    def __init__(self, aet: str, peer: Peer, tls: ssl.SSLContext | None = None) -> None:
        """Sets it up, and doesn't connect.

        Args:
            aet: The node's title.
            peer: The archive.
            tls: Settings of an encrypted connection; ``None`` for a plain one.
        """
        self._aet, self._peer, self._tls = aet, peer, tls

    def __call__(self, sop_classes: Iterable[str]) -> Connection:
        """Connects; see :data:`Connect`."""
        return _Connection(associate(self._aet, self._peer, sop_classes, self._tls))


class _Connection:
    def __init__(self, association: Association) -> None:
        self._association = association
        self._accepted = {str(each.abstract_syntax) for each in association.accepted_contexts}

    def store(self, result: StudyResult, data_file: str) -> int | None:
        if result.sop_class not in self._accepted:
            return None
        try:
            instance = dcmread(data_file)
        except (OSError, InvalidDicomError):  # somebody has deleted or changed it
            return None
        try:
            answer = self._association.send_c_store(instance)
        except RuntimeError as error:  # the association has ended
            raise AwayError("the archive has hung up") from error
        if "Status" not in answer:
            raise AwayError("the archive has hung up, or does not answer")
        return int(answer.Status)

    def close(self) -> None:
        with suppress(RuntimeError):
            if self._association.is_established:
                self._association.release()


def associate(
    aet: str, peer: Peer, sop_classes: Iterable[str], tls: ssl.SSLContext | None = None, roles: Sequence[object] = ()
) -> Association:
    """Connects to a program.

    Args:
        aet: The node's title.
        peer: The program.
        sop_classes: UIDs of the SOP classes that are needed.
        tls: Settings of an encrypted connection; ``None`` for a plain one.
        roles: Roles to negotiate.

    Raises:
        AwayError: The program is away, or refuses the connection.
    """
    entity = AE(aet)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = SECONDS
    for each in sorted(sop_classes):
        entity.add_requested_context(each, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    association = entity.associate(
        peer.host,
        peer.port,
        ae_title=peer.aet,
        tls_args=None if tls is None else (tls, peer.host),
        ext_neg=[*roles] or None,  # type: ignore[list-item]
    )
    if not association.is_established:
        raise AwayError("the archive can't be reached, or refuses the connection")
    return association

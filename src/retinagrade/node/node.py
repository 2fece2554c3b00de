"""The running node: a DICOM server that receives, a thread that grades, and a thread that sends."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pynetdicom import build_role
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from retinagrade.grader.make_grading import model_name
from retinagrade.grader.runtime import Grader
from retinagrade.node.commitment import answer_request
from retinagrade.node.metrics import NodeMetrics
from retinagrade.node.policy import LONGEST_AWAY, next_wait
from retinagrade.node.queue import Queue
from retinagrade.node.receiver import Receiver
from retinagrade.node.reception import Answer, Reception
from retinagrade.node.rows import Commitment
from retinagrade.node.sender import Archive, AwayError, Connect, associate, send_due
from retinagrade.node.settings import NodeSettings, WebPeer
from retinagrade.node.study_grader import StudyError, StudyGrader
from retinagrade.node.tls import client_context, server_context
from retinagrade.node.web_sender import WebArchive
from retinagrade.service.decoding import start_decoder
from retinagrade.service.logs import LOGGER, log_event
from retinagrade.service.settings import ServiceSettings
from retinagrade.storage.system_errors import reason_and_remedy

_LOOK: Final = 0.2
"""Seconds between two looks into the queue."""
_DELETION: Final = 3600.0
"""Seconds between two deletions of old files."""
_DAY: Final = 86_400.0
FAULTS: Final = 3
"""Faults of a thread, one after the other, from which on the node isn't well."""
_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""UID of the well-known instance of storage commitment."""


class Node:
    """A node. :meth:`start` starts its threads.

    Attributes:
        metrics: Its metrics.
        port: Port on which it receives photographs.
    """

    def __init__(self, grader: Grader, settings: NodeSettings, folder: Path) -> None:
        """Opens the queue.

        Args:
            grader: The grader.
            settings: Title, archive, limits.
            folder: Folder of the queue; the caller has locked it.
        """
        self._settings, tls = settings, settings.tls
        self._client_tls = client_context(tls) if tls.sends else None
        self._server_tls = None if tls.certificate is None else server_context(tls)
        self._connect = self._make_connect()
        self._queue = Queue(folder)
        self.metrics = NodeMetrics(model_name(grader.metadata), self._queue.counts)
        self.port = 0
        limits = ServiceSettings(max_megabytes=settings.max_megabytes, max_megapixels=settings.max_megapixels)
        self._decoder = start_decoder(grader.metadata, limits)
        self._grader = StudyGrader(self._queue, grader, self._decoder)
        self._reception = Reception(self._queue, settings)
        self._receiver = Receiver(
            self._reception, settings, self._note_answer, self._take_commitment, self._note_rejection
        )
        self._stopping = threading.Event()
        self._next_deletion = 0.0
        self._faults: Counter[str] = Counter({"grading": 0, "sending": 0, "upkeep": 0})
        self._threads = [
            threading.Thread(target=self._work, args=(name, step), name=name, daemon=True)
            for name, step in (("grading", self._grade_next), ("sending", self._send), ("upkeep", self._keep_up))
        ]

    def start(self, host: str, port: int) -> None:
        """Listens, grades and sends; returns at once.

        Raises:
            UsageError: The address can't be listened on.
        """
        self.port = self._receiver.start(host, port, self._server_tls)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the threads after the study and the result in progress."""
        self._receiver.stop()
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._decoder.close()
        self._queue.close()

    def receive_file(self, data: bytes, study: str | None, is_whole: bool) -> tuple[str, str, Answer]:
        """Receives a photograph; see :meth:`Reception.receive_file`."""
        sop_class, uid, answer = self._reception.receive_file(data, study, is_whole)
        self._note_answer(answer)
        return sop_class, uid, answer

    @property
    def is_well(self) -> bool:
        """Whether every thread works. An archive that is away and a study that fails are no faults of the node."""
        return all(thread.is_alive() for thread in self._threads) and max(self._faults.values()) < FAULTS

    def _make_connect(self) -> Connect:
        archive, aet = self._settings.archive, self._settings.aet
        if isinstance(archive, WebPeer):
            return WebArchive(archive, client_context(self._settings.tls))
        return Archive(aet, archive, self._client_tls)

    def _work(self, name: str, step: Callable[[], bool]) -> None:
        """Repeats a step until the node stops; waits where it found nothing to do, longer after each failure."""
        failures = 0
        while not self._stopping.is_set():
            try:
                found = step()
                failures = self._faults[name] = 0
            except Exception as error:
                failures += 1
                found = False
                if isinstance(error, AwayError):
                    self.metrics.away.inc()
                    log_event("archive away", tries=failures, reason=str(error))
                else:
                    self._faults[name] += 1
                    why = {"reason": reason_and_remedy(error)[0]} if isinstance(error, OSError) else {}
                    LOGGER.exception("failed", extra={"fields": {"thread": name, **why}})
            if not found:
                self._stopping.wait(next_wait(failures, LONGEST_AWAY) if failures else _LOOK)

    def _grade_next(self) -> bool:
        study = self._queue.next_study(time.time(), self._settings.wait)
        if study is None:
            return False
        begin = time.monotonic()
        try:
            graded = self._grader.grade(study)
        except StudyError as error:
            self.metrics.studies.labels("failed").inc()
            fields = {
                "number": study.number,
                "tries": study.tries + 1,
                "given_up": error.is_final,
                "reason": str(error),
            }
            LOGGER.error("study failed", exc_info=error.__cause__, extra={"fields": fields})
            return True
        self.metrics.studies.labels("graded").inc()
        log_event(
            "study graded", number=study.number, photographs=len(graded), seconds=round(time.monotonic() - begin, 3)
        )
        return True

    def _send(self) -> bool:
        def note(outcome: str) -> None:
            self.metrics.sent.labels(outcome).inc()

        return send_due(self._queue, self._connect, note) > 0

    def _keep_up(self) -> bool:
        """Answers commitments, and deletes old files."""
        for commitment in self._queue.due_commitments(time.time()):
            self._report_commitment(commitment)
        if time.monotonic() >= self._next_deletion:
            self._next_deletion = time.monotonic() + _DELETION
            deleted = self._queue.delete_answered(time.time() - _DAY * self._settings.keep_days)
            if deleted:
                log_event("deleted files of answered studies", files=deleted)
        return False

    def _note_answer(self, answer: Answer) -> None:
        self.metrics.received.labels(answer.outcome).inc()
        if answer.comment:
            fields = {"outcome": answer.outcome, "status": f"{answer.status:04X}"}  # the comment may quote the file
            LOGGER.warning("photograph refused", extra={"fields": fields})

    def _note_rejection(self, reason: str, address: str, title: str) -> None:
        self.metrics.rejected.labels(reason).inc()
        fields = {"reason": reason, "address": address, "title": title}
        LOGGER.warning("connection rejected", extra={"fields": fields})

    def _take_commitment(self, commitment: Commitment, association: Any) -> None:
        """Answers over a connection of its own where the caller's address is known, else over the one that is open."""
        if self._settings.callers.get(commitment.caller) is not None:
            self._queue.add_commitment(commitment, time.time())
            return
        threading.Thread(target=self._answer_on, args=(commitment, association), daemon=True).start()

    def _answer_on(self, commitment: Commitment, association: Any) -> None:
        try:
            event, answer = answer_request(commitment, self._queue)
            association.send_n_event_report(answer, event, StorageCommitmentPushModel, _INSTANCE)
            log_event("commitment answered", photographs=len(commitment.references))
        except (RuntimeError, ValueError):  # the caller has hung up
            log_event("commitment not answered")

    def _report_commitment(self, commitment: Commitment) -> None:
        peer = self._settings.callers.get(commitment.caller)
        try:
            if peer is None:  # it is no longer a caller
                raise AwayError("its address is not known")
            role = build_role(StorageCommitmentPushModel, scp_role=True)
            uid = str(StorageCommitmentPushModel)
            association = associate(self._settings.aet, peer, [uid], self._client_tls, [role])
            try:
                event, answer = answer_request(commitment, self._queue)
                status, _ = association.send_n_event_report(answer, event, StorageCommitmentPushModel, _INSTANCE)
            finally:
                association.release()
            if status.get("Status") != 0:
                raise AwayError("it refuses the answer")
        except (AwayError, RuntimeError, ValueError):
            self._queue.postpone_commitment(commitment, time.time() + next_wait(commitment.tries + 1))
            log_event("commitment postponed", tries=commitment.tries + 1)
            return
        self._queue.finish_commitment(commitment)
        log_event("commitment answered", photographs=len(commitment.references))

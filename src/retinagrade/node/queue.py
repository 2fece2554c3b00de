"""The queue on disk: what was received, what waits for grading, and what the archive has. It survives ``kill -9``.

Files are written and flushed before the row that names them, and a row is flushed before anybody is answered. So a row
always has its file. A file without a row belongs to nobody, and the next start deletes it.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from retinagrade.errors import UsageError
from retinagrade.node.policy import LONGEST, MOST_TRIES, is_due
from retinagrade.node.rows import (
    QUARANTINE,
    Arrival,
    Commitment,
    QueueCounts,
    ResultKind,
    StoredPhotograph,
    StudyResult,
    WaitingStudy,
    quarantine_file,
)
from retinagrade.node.upgrade import upgrade_first_version
from retinagrade.storage.files import write_bytes

_VERSION: Final = 2
_PHOTOGRAPHS: Final = "photographs"
_RESULTS: Final = "results"
_SCHEMA: Final = """
CREATE TABLE photographs (
    uid TEXT PRIMARY KEY, sop_class TEXT NOT NULL, study TEXT NOT NULL, digest TEXT NOT NULL, file TEXT NOT NULL,
    patient TEXT NOT NULL
) STRICT;
CREATE INDEX photographs_of_study ON photographs (study);
CREATE TABLE studies (
    number INTEGER PRIMARY KEY, study TEXT NOT NULL UNIQUE, photographs INTEGER NOT NULL, graded INTEGER NOT NULL,
    last_arrival REAL NOT NULL, tries INTEGER NOT NULL, rounds INTEGER NOT NULL, next_try REAL NOT NULL
) STRICT;
CREATE INDEX waiting_studies ON studies (last_arrival) WHERE photographs > graded;
CREATE TABLE results (
    number INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, sop_class TEXT NOT NULL, series TEXT NOT NULL,
    study TEXT NOT NULL, kind TEXT NOT NULL, file TEXT NOT NULL, tries INTEGER NOT NULL, next_try REAL NOT NULL,
    delivered_at REAL
) STRICT;
CREATE INDEX waiting_results ON results (next_try) WHERE delivered_at IS NULL;
CREATE INDEX results_of_study ON results (study);
CREATE TABLE quarantine (
    uid TEXT NOT NULL, digest TEXT NOT NULL, reason TEXT NOT NULL, file TEXT NOT NULL, since REAL NOT NULL,
    PRIMARY KEY (uid, digest)
) STRICT;
CREATE TABLE commitments (
    transaction_uid TEXT PRIMARY KEY, caller TEXT NOT NULL, items TEXT NOT NULL, tries INTEGER NOT NULL,
    next_try REAL NOT NULL
) STRICT;
"""


class Queue:
    """The queue of one node. Several threads may use it; one process may.

    Attributes:
        folder: Its folder.
    """

    def __init__(self, folder: Path) -> None:
        """Opens the queue, or makes it, and deletes files that a killed node left without a row.

        Args:
            folder: Its folder; the caller has locked it.

        Raises:
            UsageError: The folder holds the queue of another version, or no queue.
        """
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in (_PHOTOGRAPHS, _RESULTS, QUARANTINE):
            (folder / name).mkdir(exist_ok=True)
        self._lock = threading.RLock()
        try:
            self._connection = sqlite3.connect(
                folder / "queue.sqlite", isolation_level=None, check_same_thread=False, timeout=30
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._require_version()
        except sqlite3.DatabaseError as error:
            raise UsageError(f"{folder}: its queue.sqlite can't be read ({error}): choose another folder") from error
        self._delete_unknown_files()

    def close(self) -> None:
        """Closes the queue."""
        with self._lock:
            self._connection.close()

    def path(self, file: str) -> Path:
        """Returns the path of a file in the queue."""
        return self.folder / file

    def add_photograph(
        self, uid: str, sop_class: str, study: str, digest: str, data: bytes, now: float, patient: str = ""
    ) -> Arrival:
        """Puts a photograph on the disk; when this returns, it survives a power cut.

        The photographs of a study belong to the patient of the first one that names a patient. One of another patient
        is not kept.

        Args:
            uid: SOP Instance UID; valid, so that it may be a file name.
            sop_class: SOP Class UID.
            study: Study Instance UID; valid.
            digest: Digest of its bytes.
            data: The file.
            now: The time, in seconds.
            patient: Pseudonym of its patient; empty without an id, which contradicts no patient.

        Returns:
            What became of it. Nothing is changed unless it is new.
        """
        known = self.find_photograph(uid)
        if known is None:
            # The digest in the name keeps two photographs of one UID apart that arrive at the same time.
            file = f"{_PHOTOGRAPHS}/{uid}-{digest[:16]}.dcm"
            write_bytes(self.path(file), data)
            with self._transaction() as connection:
                known = self.find_photograph(uid)
                contradicts = patient and self._patient(study) not in ("", patient)
                if known is None and not contradicts:
                    row = (uid, sop_class, study, digest, file, patient)
                    connection.execute("INSERT INTO photographs VALUES (?, ?, ?, ?, ?, ?)", row)
                    connection.execute(
                        "INSERT INTO studies (study, photographs, graded, last_arrival, tries, rounds, next_try)"
                        " VALUES (?, 1, 0, ?, 0, 0, 0) ON CONFLICT (study) DO UPDATE SET"
                        " photographs = photographs + 1, last_arrival = excluded.last_arrival, tries = 0, next_try = 0",
                        (study, now),
                    )
                    return Arrival.NEW
            if known is None or known.file != file:
                self.path(file).unlink(missing_ok=True)
            if known is None:
                return Arrival.OTHER_PATIENT
        return Arrival.SAME if known.digest == digest else Arrival.OTHER

    def find_photograph(self, uid: str) -> StoredPhotograph | None:
        """Returns the photograph of a UID."""
        rows = self._rows("SELECT uid, sop_class, study, digest, file, patient FROM photographs WHERE uid = ?", uid)
        return StoredPhotograph(*rows[0]) if rows else None

    def photographs(self, study: str) -> list[StoredPhotograph]:
        """Returns the photographs of a study, in the order of their arrival."""
        rows = self._rows(
            "SELECT uid, sop_class, study, digest, file, patient FROM photographs WHERE study = ? ORDER BY rowid", study
        )
        return [StoredPhotograph(*row) for row in rows]

    def quarantine(self, uid: str, digest: str, reason: str, data: bytes, now: float) -> bool:
        """Keeps a file that can't be used, for a person to look at; the same file once, with the newest reason.

        Args:
            uid: SOP Instance UID, as the sender named it.
            digest: Digest of its bytes.
            reason: Reason.
            data: The file.
            now: The time, in seconds.

        Returns:
            Whether it is new.
        """
        file = quarantine_file(digest)
        with self._lock:  # so that no file goes that another thread releases
            if not self.path(file).exists():
                write_bytes(self.path(file), data)
            with self._transaction() as connection:
                known = self._rows("SELECT 1 FROM quarantine WHERE uid = ? AND digest = ?", uid, digest)
                row = (uid, digest, reason, file, now)
                connection.execute("INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, ?, ?)", row)
        return not known

    def release(self, photograph: StoredPhotograph) -> None:
        """Takes a photograph out of quarantine, which its study has and which could be graded after all."""
        with self._lock:
            with self._transaction() as connection:
                row = (photograph.uid, photograph.digest)
                connection.execute("DELETE FROM quarantine WHERE uid = ? AND digest = ?", row)
            if not self._rows("SELECT 1 FROM quarantine WHERE digest = ?", photograph.digest):
                self.path(quarantine_file(photograph.digest)).unlink(missing_ok=True)

    def quarantined(self) -> list[tuple[str, str]]:
        """Returns UID and reason of each file in quarantine."""
        return self._rows("SELECT uid, reason FROM quarantine ORDER BY since")

    def next_study(self, now: float, wait: float) -> WaitingStudy | None:
        """Returns the study that has waited longest, if it is due; ``None`` for none.

        A study that failed waits for its next try, and keeps no other one waiting. Where the clock was set back, the
        study is the last one, and nothing is known about the next try.
        """
        for order in ("ASC", "DESC"):
            rows = self._rows(
                "SELECT number, study, photographs, graded, last_arrival, tries, rounds FROM studies"
                " WHERE photographs > graded AND tries < ? AND (next_try <= ? OR next_try > ?)"
                f" ORDER BY last_arrival {order} LIMIT 1",
                MOST_TRIES,
                now,
                now + LONGEST,
            )
            if rows and is_due(study := WaitingStudy(*rows[0]), now, wait):
                return study
        return None

    def begin_study(self, study: WaitingStudy) -> None:
        """Notes that a grading begins, so that a study which ends the process isn't tried for ever."""
        with self._transaction() as connection:
            connection.execute("UPDATE studies SET tries = tries + 1 WHERE study = ?", (study.study,))

    def finish_study(
        self, study: WaitingStudy, graded: int, results: Sequence[tuple[StudyResult, bytes]], now: float
    ) -> list[StudyResult]:
        """Writes the results of a grading, and notes it as done: all at once, or not at all.

        Args:
            study: The study.
            graded: Number of photographs that the grading knew.
            results: Results and their files. One whose UID is known is an equal result of an earlier grading. It is
                left as it is, so that a UID always stands for the same bytes.
            now: The time, in seconds.

        Returns:
            The new results.
        """
        new = [(result, data) for result, data in results if not self._has_result(result.uid)]
        for result, data in new:
            write_bytes(self.path(result.file), data)
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO results (uid, sop_class, series, study, kind, file, tries, next_try)"
                " VALUES (?, ?, ?, ?, ?, ?, 0, ?)",
                [(each.uid, each.sop_class, each.series, each.study, each.kind, each.file, now) for each, _ in new],
            )
            # A photograph that arrived in the meantime has set tries to 0, which stays.
            connection.execute(
                "UPDATE studies SET graded = ?, tries = 0, next_try = 0, rounds = rounds + 1 WHERE study = ?",
                (graded, study.study),
            )
        return [result for result, _ in new]

    def forget_try(self, study: WaitingStudy) -> None:
        """Takes back what :meth:`begin_study` noted, where the study was not at fault."""
        with self._transaction() as connection:
            connection.execute("UPDATE studies SET tries = ? WHERE study = ?", (study.tries, study.study))

    def postpone_study(self, study: WaitingStudy, next_try: float) -> None:
        """Notes when a study that failed is graded again, unless a photograph has come in the meantime."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE studies SET next_try = ? WHERE study = ? AND photographs = ?",
                (next_try, study.study, study.photographs),
            )

    def give_up_study(self, study: WaitingStudy) -> None:
        """Notes that a study is not graded again, unless a photograph has come in the meantime, or comes later."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE studies SET tries = ? WHERE study = ? AND photographs = ?",
                (MOST_TRIES, study.study, study.photographs),
            )

    def reports(self, study: str) -> list[StudyResult]:
        """Returns the reports of a study, oldest first."""
        rows = self._rows(
            "SELECT uid, sop_class, series, study, kind, file, tries FROM results"
            " WHERE study = ? AND kind = ? ORDER BY number",
            study,
            ResultKind.REPORT,
        )
        return [_result(row) for row in rows]

    def due_results(self, now: float, limit: int) -> list[StudyResult]:
        """Returns results that the archive doesn't have, and that are to be sent now, oldest first."""
        rows = self._rows(
            "SELECT uid, sop_class, series, study, kind, file, tries FROM results"
            " WHERE delivered_at IS NULL AND next_try <= ? ORDER BY number LIMIT ?",
            now,
            limit,
        )
        return [_result(row) for row in rows]

    def note_delivered(self, result: StudyResult, now: float) -> None:
        """Notes that the archive has a result."""
        with self._transaction() as connection:
            connection.execute("UPDATE results SET delivered_at = ? WHERE uid = ?", (now, result.uid))

    def postpone_result(self, result: StudyResult, next_try: float) -> None:
        """Notes that the archive refused a result, and when it is sent again."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE results SET tries = tries + 1, next_try = ? WHERE uid = ?", (next_try, result.uid)
            )

    def add_commitment(self, commitment: Commitment, now: float) -> None:
        """Notes a commitment that is to be answered."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO commitments VALUES (?, ?, ?, 0, ?)",
                (commitment.transaction, commitment.caller, json.dumps(commitment.references), now),
            )

    def due_commitments(self, now: float) -> list[Commitment]:
        """Returns the commitments that are to be answered now."""
        rows = self._rows(
            "SELECT transaction_uid, caller, items, tries FROM commitments WHERE next_try <= ? ORDER BY rowid", now
        )
        return [
            Commitment(transaction, caller, tuple((a, b) for a, b in json.loads(items)), tries)
            for transaction, caller, items, tries in rows
        ]

    def finish_commitment(self, commitment: Commitment) -> None:
        """Notes that a commitment was answered."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM commitments WHERE transaction_uid = ?", (commitment.transaction,))

    def postpone_commitment(self, commitment: Commitment, next_try: float) -> None:
        """Notes that a commitment could not be answered, and when it is tried again."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE commitments SET tries = tries + 1, next_try = ? WHERE transaction_uid = ?",
                (next_try, commitment.transaction),
            )

    def holds(self, sop_class: str, uid: str) -> bool:
        """Whether a photograph is safe on the disk."""
        found = self.find_photograph(uid)
        return found is not None and found.sop_class == sop_class and self.path(found.file).is_file()

    def waiting_photographs(self) -> int:
        """Returns the number of photographs that wait for grading."""
        sql = "SELECT COALESCE(SUM(photographs - graded), 0) FROM studies WHERE photographs > graded"
        return int(self._rows(sql)[0][0])

    def counts(self) -> QueueCounts:
        """Counts the rows."""
        sql = f"""SELECT
            (SELECT COUNT(*) FROM photographs),
            (SELECT COALESCE(SUM(photographs - graded), 0) FROM studies WHERE tries < {MOST_TRIES}),
            (SELECT COUNT(*) FROM studies WHERE photographs > graded AND tries < {MOST_TRIES}),
            (SELECT COUNT(*) FROM studies WHERE photographs > graded AND tries >= {MOST_TRIES}),
            (SELECT COUNT(*) FROM results WHERE delivered_at IS NULL),
            (SELECT COUNT(*) FROM results WHERE delivered_at IS NOT NULL),
            (SELECT COUNT(*) FROM quarantine),
            (SELECT COUNT(*) FROM commitments)"""
        return QueueCounts(*self._rows(sql)[0])

    def delete_answered(self, before: float) -> int:
        """Deletes the files of studies that were answered, and quiet since a time. Their rows stay.

        The rows keep a photograph that is sent again from a second grading.

        Args:
            before: The time, in seconds.

        Returns:
            The number of files that were deleted.
        """
        files = self._rows(
            "WITH answered AS (SELECT study FROM studies WHERE photographs = graded AND last_arrival < ?"
            " AND NOT EXISTS (SELECT 1 FROM results WHERE results.study = studies.study AND delivered_at IS NULL))"
            " SELECT file FROM photographs WHERE study IN answered"
            " UNION ALL SELECT file FROM results WHERE study IN answered",
            before,
        )
        deleted = 0
        for (file,) in files:
            path = self.path(file)
            if path.exists():
                path.unlink(missing_ok=True)
                deleted += 1
        return deleted

    def _patient(self, study: str) -> str:
        """Returns the pseudonym of the patient of a study; empty where none of its photographs names one."""
        rows = self._rows(
            "SELECT patient FROM photographs WHERE study = ? AND patient <> '' ORDER BY rowid LIMIT 1", study
        )
        return str(rows[0][0]) if rows else ""

    def _has_result(self, uid: str) -> bool:
        return bool(self._rows("SELECT 1 FROM results WHERE uid = ?", uid))

    def _require_version(self) -> None:
        (version,) = self._rows("PRAGMA user_version")[0]
        if version not in (0, 1, _VERSION):
            raise UsageError(f"{self.folder}: the queue of another version of retinagrade: choose another folder")
        if version == 0:
            with self._lock:
                self._connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
        if version == 1:
            with self._transaction() as connection:
                upgrade_first_version(connection, self.folder)

    def _delete_unknown_files(self) -> None:
        for folder, table in ((_PHOTOGRAPHS, "photographs"), (_RESULTS, "results"), (QUARANTINE, "quarantine")):
            known = {file for (file,) in self._rows(f"SELECT file FROM {table}")}
            for path in (self.folder / folder).iterdir():
                if f"{folder}/{path.name}" not in known:
                    path.unlink(missing_ok=True)

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


def result_file(uid: str) -> str:
    """Returns the file of a result, relative to the queue."""
    return f"{_RESULTS}/{uid}.dcm"


def _result(row: tuple[Any, ...]) -> StudyResult:
    uid, sop_class, series, study, kind, file, tries = row
    return StudyResult(uid, sop_class, series, study, ResultKind(kind), file, tries)

"""The queue of an older version: its tables become those of today, and each of its studies gets one patient."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from retinagrade.errors import ImageError
from retinagrade.images.dicom import read_dicom_facts
from retinagrade.node.rows import OTHER_PATIENT, quarantine_file
from retinagrade.storage.files import write_bytes


def upgrade_first_version(connection: sqlite3.Connection, folder: Path) -> None:
    """Upgrades the queue of version 1, which knew no patients.

    A photograph of another patient than the first one of its study goes to quarantine. Studies that were given up,
    perhaps because of it, are tried again.

    Args:
        connection: Its database, within a transaction.
        folder: Its folder.
    """
    connection.execute("ALTER TABLE photographs ADD COLUMN patient TEXT NOT NULL DEFAULT ''")
    connection.execute("ALTER TABLE studies ADD COLUMN next_try REAL NOT NULL DEFAULT 0")
    for uid, file in connection.execute("SELECT uid, file FROM photographs").fetchall():
        connection.execute("UPDATE photographs SET patient = ? WHERE uid = ?", (_read_patient(folder / file), uid))
    mixed = connection.execute(
        "SELECT study FROM photographs WHERE patient <> '' GROUP BY study HAVING COUNT(DISTINCT patient) > 1"
    )
    for (study,) in mixed.fetchall():
        _separate_patients(connection, folder, study)
    connection.execute("UPDATE studies SET tries = 0")
    connection.execute("PRAGMA user_version = 2")


def _separate_patients(connection: sqlite3.Connection, folder: Path, study: str) -> None:
    named = connection.execute(
        "SELECT uid, digest, file, patient FROM photographs WHERE study = ? AND patient <> '' ORDER BY rowid", (study,)
    ).fetchall()
    for uid, digest, file, patient in named:
        # The study's failure has put all its photographs there.
        connection.execute("DELETE FROM quarantine WHERE uid = ? AND digest = ?", (uid, digest))
        if patient != named[0][3]:
            write_bytes(folder / quarantine_file(digest), (folder / file).read_bytes())
            row = (uid, digest, OTHER_PATIENT, quarantine_file(digest), time.time())
            connection.execute("INSERT INTO quarantine VALUES (?, ?, ?, ?, ?)", row)
            connection.execute("DELETE FROM photographs WHERE uid = ?", (uid,))
    (kept,) = connection.execute("SELECT COUNT(*) FROM photographs WHERE study = ?", (study,)).fetchone()
    connection.execute(
        "UPDATE studies SET photographs = ?, graded = MIN(graded, ?) WHERE study = ?", (kept, kept, study)
    )


def _read_patient(file: Path) -> str:
    """Returns the pseudonym of the patient of a photograph; empty without an id, and where its file was deleted."""
    try:
        return read_dicom_facts(file).patient_key or ""
    except ImageError:
        return ""

"""A prepared set: the folder that ``prepare`` writes and that every later step reads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel

from retinagrade.arguments import check_arguments
from retinagrade.datasets.grade_counts import count_grades_by_split
from retinagrade.datasets.prepare_file import PreparedFile, prepared_path
from retinagrade.errors import ImageError, LayoutError
from retinagrade.execution.local import processors
from retinagrade.images.decoding import InMemory, read_photograph_bytes
from retinagrade.images.listing import LeftOutFile
from retinagrade.images.prepare import Contrast, PreparationSettings, Square
from retinagrade.images.read import read_photograph
from retinagrade.manifest import Manifest
from retinagrade.messages import count_and_first_few, counted
from retinagrade.storage.files import sha256
from retinagrade.storage.paths import read_bytes, user_path

PREPARATION_RECORD: Final = "prepare.json"
PREPARED_MANIFEST: Final = "manifest.csv"
CONTACT_SHEET: Final = "contact_sheet.jpg"


class PreparationRecord(BaseModel):
    """The file ``prepare.json`` of a prepared set.

    Attributes:
        origin: The command and the source, as :func:`~retinagrade.storage.output_guard.describe_origin` names them.
        settings: The settings that all photographs were prepared with.
        constants: Values that no setting changes, such as the quality of the JPEG files.
        versions: Versions of the libraries.
        counts: Numbers of prepared, failed and doubtful photographs.
        photographs: The outcome of every photograph, in the order of the source; empty until the first call has ended.
        left_out: The other files of the source's folder, with reasons.
    """

    origin: dict[str, Any]
    settings: PreparationSettings
    constants: dict[str, Any] = {}
    versions: dict[str, str]
    counts: dict[str, int] = {}
    photographs: list[PreparedFile] = []
    left_out: list[LeftOutFile] = []

    @classmethod
    def read(cls, folder: Path) -> PreparationRecord:
        """Reads the record of a prepared set.

        Raises:
            LayoutError: The folder holds no readable record.
        """
        try:
            return cls.model_validate_json(read_bytes(folder / PREPARATION_RECORD))
        except (OSError, ValueError) as error:
            raise LayoutError(
                f"{folder} is not a prepared set (no readable {PREPARATION_RECORD}): run `retinagrade prepare`"
            ) from error


class PreparedSet:
    """Photographs that are ready for a network: cropped to their fields of view, and all of one size.

    A prepared set is a path: every function that takes the folder of a prepared set takes this object as well.

    Attributes:
        folder: The folder of the set.
        manifest: The usable photographs, with grades, patients and splits.
        size: Side of the square photographs, in pixels.
        contrast: The contrast enhancement: ``none``, ``clahe`` or ``graham``.
        square: The way in which a field of view became a square: ``pad``, ``crop`` or ``frame``.
        prepared: Number of photographs that this call of ``prepare`` has prepared; 0 for a set read from its folder.
        reused: Number of photographs that earlier calls had prepared.
        failed: The photographs that could not be used, with reasons.
        other_files: The other files of the source's folder, with the reasons why they were left out.
        doubtful: The photographs whose crops a person should look at.
        contact_sheet: A picture of photographs before and after preparation, the most doubtful crops first.
    """

    @check_arguments()
    def __init__(self, folder: str | os.PathLike[str], prepared: int = 0) -> None:
        """Reads a prepared set.

        Args:
            folder: The folder that ``prepare`` has written, or its URL.
            prepared: Number of photographs that the current call of ``prepare`` has prepared.

        Raises:
            LayoutError: The folder is no prepared set, or its preparation has not ended.
        """
        self.folder = user_path(folder)
        record = _read_finished(self.folder)
        self.manifest = Manifest.read(self.folder / PREPARED_MANIFEST)
        self.size: int = record.settings.size
        self.contrast: Contrast = record.settings.contrast
        self.square: Square = record.settings.square
        self.prepared = prepared
        self.reused = len(self.manifest) - prepared
        self.failed = [outcome for outcome in record.photographs if outcome.reason is not None]
        self.other_files = record.left_out
        self.doubtful = [outcome for outcome in record.photographs if outcome.doubtful]
        self.contact_sheet = self.folder / CONTACT_SHEET

    def counts(self) -> pd.DataFrame:
        """Counts the photographs by split (rows) and grade (columns ``0`` to ``4`` and ``ungraded``)."""
        return pd.DataFrame.from_dict(count_grades_by_split(self.manifest.table), orient="index")

    def left_out(self) -> pd.DataFrame:
        """Lists the photographs that could not be used, and other files of the source, which have no ``image_id``.

        Returns:
            Columns ``image_id``, ``source``, ``reason`` and ``may_be_photograph``.
        """
        columns = ["image_id", "source", "reason", "may_be_photograph"]
        rows = [asdict(outcome) | {"may_be_photograph": True} for outcome in self.failed]
        rows += [asdict(each) | {"image_id": None, "source": each.file} for each in self.other_files]
        return pd.DataFrame(rows, columns=columns)

    @property
    def needs_attention(self) -> bool:
        """True if a photograph could not be used, or a file that may be a photograph was left out."""
        return bool(self.failed) or any(each.may_be_photograph for each in self.other_files)

    def to_json(self) -> dict[str, Any]:
        """Returns the outcome of the preparation for programs."""
        return {
            "out": str(self.folder),
            "prepared": self.prepared,
            "reused": self.reused,
            "failed": [asdict(outcome) for outcome in self.failed],
            "doubtful": [asdict(outcome) for outcome in self.doubtful],
            "left_out": [asdict(each) for each in self.other_files],
        }

    def __fspath__(self) -> str:
        """Returns the folder as text, so that the set can stand for its folder."""
        return str(self.folder)

    def __len__(self) -> int:
        """Returns the number of usable photographs."""
        return len(self.manifest)

    def __repr__(self) -> str:
        """Describes the set in a line."""
        return f"<PreparedSet {str(self.folder)!r}: {self._summary()}>"

    def _repr_html_(self) -> str:
        """Describes the set in a notebook, with a table of its photographs by split and grade."""
        return f"<p>{self._summary()}</p>{self.counts().to_html()}"

    def _summary(self) -> str:
        splits = ", ".join(f"{total} {split}" for split, total in self.counts().sum(axis=1).items())
        return (
            f"{counted(len(self), 'photograph')} of {self.size} × {self.size} pixels ({splits}), "
            f"{len(self.left_out())} left out, {counted(len(self.doubtful), 'doubtful crop')}"
        )


def preparation_settings(prepared: Path) -> dict[str, Any]:
    """Returns the settings that a prepared set was made with.

    Raises:
        LayoutError: The folder is no prepared set, or its preparation has not ended.
    """
    return asdict(_read_finished(prepared).settings)


def require_prepared_bytes(folder: Path, image_ids: Iterable[str]) -> None:
    """Requires that photographs of a prepared set still have the bytes that ``prepare`` wrote.

    Args:
        folder: The prepared set.
        image_ids: Ids of the photographs.

    Raises:
        LayoutError: The folder is no prepared set, or photographs are missing or changed; the message names them.
    """
    digests = prepared_digests(folder)

    def is_changed(image_id: str) -> bool:
        try:
            return sha256(prepared_path(folder, image_id)) != digests.get(image_id)
        except OSError:
            return True

    ids = list(image_ids)
    with ThreadPoolExecutor(processors()) as pool:
        changed = [image_id for image_id, differs in zip(ids, pool.map(is_changed, ids), strict=True) if differs]
    if changed:
        raise LayoutError(
            f"{folder}: photographs are missing, or differ from those that `prepare` wrote "
            f"({count_and_first_few(changed)}): run the same `retinagrade prepare` again"
        )


def prepared_digests(folder: Path) -> dict[str, str | None]:
    """Returns the SHA-256 digest of each prepared photograph by id, as ``prepare`` wrote it; ``None`` for none.

    Raises:
        LayoutError: The folder is no prepared set, or its preparation has not ended.
    """
    return {outcome.image_id: outcome.prepared_sha256 for outcome in _read_finished(folder).photographs}


def read_prepared(file: Path, digest: str | None) -> NDArray[np.uint8]:
    """Reads a prepared photograph, and requires the bytes that ``prepare`` wrote.

    Args:
        file: The photograph.
        digest: Its digest, from :func:`prepared_digests`.

    Returns:
        RGB pixels (S, S, 3), uint8.

    Raises:
        ImageError: The file can't be read, or has other bytes.
    """
    data = read_photograph_bytes(file)
    if hashlib.sha256(data).hexdigest() != digest:
        raise ImageError(
            f"{file} differs from the photograph that `prepare` wrote: run the same `retinagrade prepare` again"
        )
    return read_photograph(InMemory(str(file), data))


def _read_finished(folder: Path) -> PreparationRecord:
    record = PreparationRecord.read(folder)
    if not (folder / PREPARED_MANIFEST).is_file():
        raise LayoutError(f"{folder} was not prepared to the end: run the same `retinagrade prepare` again")
    return record

"""Continuing a table of results: which photographs have been graded, by their bytes and not by their names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Container, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from retinagrade.errors import UsageError
from retinagrade.execution.local import processors
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.grader.eyes import EyeIdentity, identify_eye
from retinagrade.grader.inputs import PhotographFile
from retinagrade.gradings.grading import Grading
from retinagrade.storage.paths import is_local, read_bytes, store_tag, to_path

Digests = Callable[[Iterable[str]], dict[str, str | None]]
"""A function from paths to the digests of their files; ``None`` for files that can't be read."""


@dataclass(frozen=True)
class Continued:
    """An earlier table, as this call continues it.

    Attributes:
        rows: All its rows, by their ids and in their order; those of taken-over photographs as this call names them.
        taken_over: Ids of the photographs of this call that need no grading.
    """

    rows: dict[str, Grading]
    taken_over: frozenset[str]

    def with_digests(self, digests: Container[str | None]) -> Continued:
        """Returns the same table, of which only photographs with one of these digests need no grading."""
        kept = (image_id for image_id in self.taken_over if self.rows[image_id].digest in digests)
        return replace(self, taken_over=frozenset(kept))


NOTHING: Final = Continued({}, frozenset())
"""A table without rows."""


def continue_from(
    earlier: Sequence[Grading], files: Sequence[PhotographFile], table: Path, digests: Digests
) -> Continued:
    """Finds the earlier gradings of photographs.

    A grading is taken over for the same bytes under the same id; or under a new id, where the path is the same. It gets
    the id, the path and the eye of this call. Failed photographs are left to be graded again.

    Args:
        earlier: Rows of the table.
        files: Photographs of this call, each with its own id.
        table: The table, for errors.
        digests: Function that computes the digests of files.

    Raises:
        UsageError: An id stands for another photograph in the table.
    """
    ids = {file.image_id for file in files}
    by_id = {row.image_id: row for row in earlier}
    by_path = {row.path: row for row in earlier if row.image_id not in ids and row.error is None}
    candidates = {
        file.image_id: row for file in files if (row := by_id.get(file.image_id) or by_path.get(file.path)) is not None
    }
    paths = [file.path for file in files if file.image_id in candidates]
    digest_of = digests(paths)
    taken_over: dict[str, Grading] = {}  # by the ids that the rows have in the table
    for file in files:
        row = candidates.get(file.image_id)
        if row is None:
            continue
        digest = digest_of[file.path]
        same_bytes = digest == row.digest if digest is not None else row.path == file.path
        if row.image_id != file.image_id:
            if same_bytes:
                taken_over[row.image_id] = _readdressed(row, file)
        elif row.error is not None:
            if not same_bytes and not _is_same_path(row.path, file.path):
                raise _clash(table, row, file)
        elif same_bytes:
            taken_over[file.image_id] = _readdressed(row, file)
        else:
            raise _clash(table, row, file)
    rows = [taken_over.get(row.image_id, row) for row in earlier]
    return Continued({row.image_id: row for row in rows}, frozenset(row.image_id for row in taken_over.values()))


def photograph_digests(paths: Iterable[str], progress: Progress | None = None) -> dict[str, str | None]:
    """Computes the digests of photographs, as gradings have them.

    Args:
        paths: Paths or URLs.
        progress: Receives the number of files.

    Returns:
        The digests by path; ``None`` for a file that can't be read.
    """
    names = list(paths)
    step = begin_stage(progress if names else None, "comparing photographs with the table", len(names))
    digests = {}
    with ThreadPoolExecutor(processors()) as pool:
        for name, digest in zip(names, pool.map(_digest, names), strict=True):
            digests[name] = digest
            step()
    return digests


def _digest(name: str) -> str | None:
    try:
        path = to_path(name)
        if is_local(path) and not path.is_file():
            return None  # a pipe or a device may never end
        return store_tag(path) or hashlib.sha256(read_bytes(path)).hexdigest()
    except (OSError, ValueError):
        return None


def _readdressed(row: Grading, file: PhotographFile) -> Grading:
    """Returns a grading with the id, the path and the eye that this call gives to the photograph."""
    seen = EyeIdentity(row.study, row.laterality, row.patient)
    if row.path != file.path or not file.name_has_patient:
        seen = identify_eye(to_path(file.path))
    eye = file.complete_eye(seen)
    return replace(
        row, image_id=file.image_id, path=file.path, study=eye.study, laterality=eye.laterality, patient=eye.patient
    )


def _is_same_path(one: str | None, other: str) -> bool:
    return one is not None and (one == other or os.path.abspath(one) == os.path.abspath(other))  # noqa: PTH100  # a URL is no Path


def _clash(table: Path, row: Grading, file: PhotographFile) -> UsageError:
    return UsageError(
        f"{table}: the id {row.image_id!r} is that of another photograph: of {row.path} in the table, and now of "
        f"{file.path}, which has other bytes. Choose another --out, or give the photographs ids of their own with "
        "--list"
    )

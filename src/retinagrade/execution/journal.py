"""A journal of finished work, from which an interrupted command continues."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Self

from retinagrade.storage.files import GrowingFile, write_bytes, write_text
from retinagrade.storage.paths import is_local, read_bytes

PART_LINES: Final = 200
"""Lines in a part; in an object store, a kill loses at most as many."""


class Journal:
    """A file to which lines are appended.

    In a file system, each line is written at once. An object store can't append to a file: there, each
    :data:`PART_LINES` lines, and the last ones, are a file of their own, ``<name>.000000`` and so on.

    Attributes:
        earlier: Complete lines of earlier calls, the oldest first. An incomplete line of a killed call is left out.
    """

    def __init__(self, path: Path) -> None:
        """Opens or creates the journal. Args: ``path`` of the file, in an existing folder."""
        self._path = path
        self._file: GrowingFile | None = None
        self._waiting: list[str] = []
        self.earlier = read_journal(path)
        self._parts = len(_files(path))
        if is_local(path):
            write_bytes(path, "".join(f"{line}\n" for line in self.earlier).encode())
            self._file = GrowingFile(path)

    def __enter__(self) -> Self:
        """Returns the journal; the end of the block closes it."""
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the journal."""
        self.close()

    def add(self, line: str) -> None:
        """Appends a line; ``line`` has no line break."""
        if self._file is not None:
            self._file.append(f"{line}\n")
            return
        self._waiting.append(line)
        if len(self._waiting) >= PART_LINES:
            self._write_part()

    def close(self) -> None:
        """Writes all lines."""
        if self._file is not None:
            self._file.close()
        elif self._waiting:
            self._write_part()

    def remove(self) -> None:
        """Deletes the file, or all its parts."""
        for file in _files(self._path):
            file.unlink()

    def _write_part(self) -> None:
        part = self._path.with_name(f"{self._path.name}.{self._parts:06d}")
        write_text(part, "".join(f"{line}\n" for line in self._waiting))
        self._waiting.clear()
        self._parts += 1


def read_journal(path: Path) -> list[str]:
    """Returns the complete lines of a journal, the oldest first, and changes nothing.

    Args:
        path: The journal, which may be absent.
    """
    texts = [read_bytes(file).decode("utf-8").rpartition("\n")[0] for file in _files(path)]
    return [line for text in texts for line in text.split("\n") if line]


def _files(path: Path) -> list[Path]:
    """Returns the file of a journal, or its parts in an object store."""
    if is_local(path):
        return [path] if path.is_file() else []
    folder = path.parent
    siblings = folder.iterdir() if folder.is_dir() else ()
    return sorted(each for each in siblings if each.stem == path.name and each.suffix[1:].isdigit())

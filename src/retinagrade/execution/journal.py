"""Lines that are noted as work goes on, so that what was killed can be continued."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Self, TextIO

from retinagrade.files import write_bytes, write_text
from retinagrade.paths import is_local, read_bytes

PART_LINES: Final = 200
"""Lines in a part: what a kill costs in an object store."""


class Journal:
    """A file of lines that is added to.

    In a file system every line is there at once. An object store can't add to a file: there, every :data:`PART_LINES` lines,
    and the last ones, become a file of their own beside it, ``<name>.000000`` and so on.

    Attributes:
        earlier: The whole lines that earlier calls left, the oldest first; a killed one may have left half a line.
    """

    def __init__(self, path: Path) -> None:
        """Opens or makes it. Args: ``path`` of the file, in a folder that exists."""
        self._path = path
        self._stream: TextIO | None = None
        self._waiting: list[str] = []
        files = self._files()
        texts = [read_bytes(file).decode("utf-8").rpartition("\n")[0] for file in files]
        self.earlier = [line for text in texts for line in text.split("\n") if line]
        self._parts = len(files)
        if is_local(path):
            write_bytes(path, "".join(f"{line}\n" for line in self.earlier).encode())
            self._stream = path.open("a", encoding="utf-8", newline="")

    def __enter__(self) -> Self:
        """The journal itself; leaving the block closes it, whatever happens."""
        return self

    def __exit__(self, *error: object) -> None:
        """See :meth:`close`."""
        self.close()

    def add(self, line: str) -> None:
        """Notes a line, which has no end of line in it."""
        if self._stream is not None:
            self._stream.write(f"{line}\n")
            self._stream.flush()
            return
        self._waiting.append(line)
        if len(self._waiting) >= PART_LINES:
            self._write_part()

    def close(self) -> None:
        """Sees to it that all lines are there."""
        if self._stream is not None:
            self._stream.close()
        elif self._waiting:
            self._write_part()

    def remove(self) -> None:
        """Deletes the file, or all parts of it."""
        for file in self._files():
            file.unlink()

    def _write_part(self) -> None:
        part = self._path.with_name(f"{self._path.name}.{self._parts:06d}")
        write_text(part, "".join(f"{line}\n" for line in self._waiting))
        self._waiting.clear()
        self._parts += 1

    def _files(self) -> list[Path]:
        if is_local(self._path):
            return [self._path] if self._path.is_file() else []
        folder = self._path.parent
        beside = folder.iterdir() if folder.is_dir() else ()
        return sorted(each for each in beside if each.stem == self._path.name and each.suffix[1:].isdigit())

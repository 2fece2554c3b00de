"""The table that a call of ``grade`` writes: it grows row by row and can be continued."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from retinagrade.errors import UsageError
from retinagrade.execution.journal import Journal, read_journal
from retinagrade.gradings.grading import Grading
from retinagrade.gradings.table import (
    GROWING,
    format_row,
    parse_json_lines,
    read_gradings,
    require_format,
    write_results,
)
from retinagrade.storage.files import GrowingFile
from retinagrade.storage.paths import is_local


class ResultsTable:
    """A file of gradings that grows row by row, and continues an existing file.

    A Parquet file, a workbook and a file in an object store can't grow. Their rows wait in a journal ``<name>.jsonl``
    beside them and are written at the end; while the journal exists, the file is incomplete.

    Attributes:
        path: The file.
        earlier: Gradings of earlier calls, failed ones included. The last one of several with the same id counts.
    """

    def __init__(self, path: Path, model: str, grader_digest: str = "") -> None:
        """Reads the file, if there is one, and changes nothing.

        Args:
            path: A ``.csv``, ``.jsonl``, ``.parquet`` or ``.xlsx`` file.
            model: Name and version of the grader file.
            grader_digest: SHA-256 digest of the grader file.

        Raises:
            UsageError: The suffix is unknown, or the file is no table of gradings, or of another grader file.
            ManifestError: A row or a cell was changed so that it can't be understood; the message names its line.
            ModuleNotFoundError: Parquet needs pyarrow, or Excel openpyxl, which isn't installed.
        """
        require_format(path)
        self.path = path
        self._grows = path.suffix in GROWING and is_local(path)
        self._journal_file = _journal_file(path)
        rows = read_gradings(path) if path.is_file() else []
        if not self._grows:
            rows += parse_json_lines(read_journal(self._journal_file), self._journal_file)
        _require_grader(rows, path, model, grader_digest)
        self.earlier = list({row.image_id: row for row in rows}.values())
        self._journal: Journal | None = None
        self._file: GrowingFile | None = None

    def begin(self, kept: Sequence[Grading]) -> None:
        """Replaces the file by one with these rows, to which :meth:`add` adds.

        Args:
            kept: The rows of :attr:`earlier`, perhaps changed; a later row with the same id replaces a row. A file that
                can't grow stays as it is until :meth:`finish`.
        """
        if not self._grows:
            self._journal = Journal(self._journal_file)
            return
        write_results(self.path, Grading, kept)
        self._file = GrowingFile(self.path)

    def add(self, grading: Grading) -> None:
        """Writes a row to disk at once."""
        if self._journal is not None:
            self._journal.add(format_row(grading, ".jsonl").rstrip("\n"))
            return
        assert self._file is not None, "begin() opens the file"
        self._file.append(format_row(grading, ".csv" if self.path.suffix == ".csv" else ".jsonl"))

    def finish(self, rows: Sequence[Grading]) -> None:
        """Closes the file, which then holds exactly these rows.

        Args:
            rows: All rows, in their order, which doesn't depend on interruptions.
        """
        self.close()
        write_results(self.path, Grading, rows)
        if self._journal is not None:
            self._journal.remove()

    def close(self) -> None:
        """Closes the file without its last rows, after an error."""
        if self._file is not None:
            self._file.close()
        if self._journal is not None:
            self._journal.close()


def delete_table(path: Path) -> None:
    """Deletes a table of results and its journal, so that a call begins it anew."""
    path.unlink(missing_ok=True)
    journal = Journal(_journal_file(path))
    journal.close()
    journal.remove()


def _journal_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.jsonl")


def _require_grader(rows: Iterable[Grading], path: Path, model: str, grader_digest: str) -> None:
    """Raises a UsageError where rows are results of another grader file."""
    for row in rows:
        if row.model != model:
            raise UsageError(f"{path} holds results of {row.model}, not of {model}: choose another file")
        if row.grader_digest != grader_digest:
            raise UsageError(
                f"{path} holds results of another grader file with the name {model}, or of other settings of its gate "
                f"(digests {row.grader_digest[:12]} there, {grader_digest[:12]} now): choose another file"
            )

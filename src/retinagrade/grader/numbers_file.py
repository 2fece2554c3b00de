"""A file of the lesion numbers of graded photographs, from which a grade model can be adapted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

from retinagrade.errors import UsageError
from retinagrade.execution.journal import Journal
from retinagrade.grader.runtime import GradedPhotograph


class NumbersFile:
    """A JSON Lines file: one line for each photograph, by the digest of its bytes.

    Attributes:
        numbers: The lesion numbers by name of each photograph, by its digest.
        refused: Digests of the photographs that the gate refused.
    """

    def __init__(self, path: Path, grader_digest: str) -> None:
        """Opens the file, or begins it.

        Args:
            path: The file, in an existing folder.
            grader_digest: Digest of the grader file.

        Raises:
            UsageError: The file holds something else, or numbers by another grader file.
        """
        self.numbers: dict[str, dict[str, float]] = {}
        self.refused: set[str] = set()
        self._digest = grader_digest
        self._journal = Journal(path)
        try:
            rows = [json.loads(line) for line in self._journal.earlier]
            by = {row["grader_digest"] for row in rows}
            self.numbers = {row["digest"]: row["numbers"] for row in rows}
            self.refused = {row["digest"] for row in rows if not row["gradable"]}
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} holds no lesion numbers: choose another file, or delete it") from error
        if by - {grader_digest}:
            raise UsageError(f"{path} holds lesion numbers by another grader file: choose another file, or delete it")

    def add(self, graded: GradedPhotograph) -> None:
        """Writes the numbers of a photograph to disk at once, unless it couldn't be used."""
        digest = graded.grading.digest
        if graded.lesions is None or digest is None or digest in self.numbers:
            return
        self.numbers[digest] = graded.lesions.numbers
        if not graded.grading.gradable:
            self.refused.add(digest)
        row = {
            "image_id": graded.grading.image_id,
            "digest": digest,
            "grader_digest": self._digest,
            "gradable": graded.grading.gradable,
            "numbers": graded.lesions.numbers,
        }
        self._journal.add(json.dumps(row))

    def __enter__(self) -> Self:
        """Returns the file; the end of the block closes it."""
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the file."""
        self._journal.close()

"""The journal of a preparation: what became of each photograph, as it goes, so that a killed run is continued."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

from retinagrade.datasets.prepare_file import Outcome
from retinagrade.files import write_bytes, write_text
from retinagrade.places import is_local, read_bytes

_NAME: Final = ".prepare.journal"
_PART: Final = 200
"""Outcomes in a part: what a kill costs where a file can't be added to."""


def read_journal(out: Path) -> Iterator[Outcome]:
    """What earlier calls noted in a prepared set, the oldest first."""
    for path in _parts(out):
        whole = read_bytes(path).decode("utf-8").rpartition("\n")[0]  # a killed run may leave half a line
        if is_local(out):
            write_bytes(path, f"{whole}\n".encode() if whole else b"")
        for line in filter(None, whole.split("\n")):
            yield Outcome(**json.loads(line))


@contextmanager
def journal(out: Path) -> Iterator[Callable[[Outcome], None]]:
    """Continues a prepared set's journal; yields a function that notes an outcome.

    A file of this machine has each outcome at once. An object store can't add to a file: there, every :data:`_PART`
    outcomes, and the last ones, become a file of their own.
    """
    if is_local(out):
        with (out / f"{_NAME}.jsonl").open("a", encoding="utf-8") as stream:

            def note(outcome: Outcome) -> None:
                stream.write(_line(outcome))
                stream.flush()

            yield note
        return
    number, lines = len(_parts(out)), list[str]()

    def write_part() -> None:
        nonlocal number
        if lines:
            write_text(out / f"{_NAME}.{number:06d}.jsonl", "".join(lines))
            lines.clear()
            number += 1

    def collect(outcome: Outcome) -> None:
        lines.append(_line(outcome))
        if len(lines) == _PART:
            write_part()

    try:
        yield collect
    finally:
        write_part()


def _line(outcome: Outcome) -> str:
    return json.dumps(asdict(outcome)) + "\n"


def _parts(out: Path) -> list[Path]:
    return sorted(path for path in out.iterdir() if path.name.startswith(_NAME) and path.suffix == ".jsonl")

"""Results of ``grade`` by period: read, ordered, and without a photograph that stands in two of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Literal

from retinagrade.errors import UsageError
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.gradings.grading import Grading
from retinagrade.gradings.table import SUFFIXES, read_gradings
from retinagrade.messages import counted, first_few

PeriodBy = Literal["table", "month", "week"]
"""What a period is: a table, or the calendar month or ISO week in which photographs were graded (UTC)."""


@dataclass(frozen=True)
class Period:
    """The results of one period.

    Attributes:
        name: Name of the table, or ``2026-07`` or ``2026-W31``.
        gradings: Its rows; a photograph that an earlier period has is not among them.
    """

    name: str
    gradings: tuple[Grading, ...]

    @property
    def grader_digests(self) -> frozenset[str]:
        """Digests of the grader files that made the results."""
        return frozenset(each.grader_digest for each in self.gradings)


@dataclass(frozen=True)
class Periods:
    """All periods, in their order.

    Attributes:
        periods: The periods.
        notes: What a reader should know, such as photographs that stand in two tables.
        files: The tables.
    """

    periods: tuple[Period, ...]
    notes: tuple[str, ...]
    files: tuple[Path, ...]


def read_periods(paths: Sequence[Path], by: PeriodBy | None, progress: Progress | None = None) -> Periods:
    """Reads tables of results, and arranges their rows by period.

    Args:
        paths: Tables of ``grade``, and folders of them.
        by: What a period is; ``None`` means a table where there are several, and else a month.
        progress: Receives the number of tables.

    Raises:
        UsageError: There is no table, a named file is none, or a row has no time although periods are by time.
        ManifestError: A row was changed.
    """
    files = [(file, path.is_dir()) for path in paths for file in _tables(path)]
    step = begin_stage(progress, "reading results", len(files))
    tables: dict[Path, list[Grading]] = {}
    others: list[Path] = []
    for file, is_found in files:
        try:
            tables[file] = read_gradings(file, further_columns=True)
        except UsageError:
            if not is_found:
                raise
            others.append(file)  # of another kind, such as a table of studies
        step()
    if not tables:
        raise UsageError(f"{first_few(map(str, paths))}: no results: name tables that `retinagrade grade` wrote")
    by = by or ("table" if len(tables) > 1 else "month")
    names = _table_names(list(tables))
    rows: dict[str, list[Grading]] = {}
    for file, gradings in tables.items():
        for grading in gradings:
            rows.setdefault(names[file] if by == "table" else _time_name(grading, by, file), []).append(grading)
        if by == "table":
            rows.setdefault(names[file], [])
    ordered, order_notes = _order_tables(rows) if by == "table" else (sorted(rows), [])
    periods, notes = _without_repetitions([(name, rows[name]) for name in ordered])
    notes = order_notes + notes
    if others:
        notes.append(
            f"{counted(len(others), 'file')} left out as no results of photographs: {first_few(map(str, others))}"
        )
    return Periods(tuple(periods), tuple(notes), tuple(tables))


def _tables(path: Path) -> list[Path]:
    if not path.is_dir():
        if path.suffix not in SUFFIXES:
            raise UsageError(f"{path} is no table of results: name a file {', '.join(SUFFIXES)}, or a folder of them")
        return [path]
    found = [file for file in path.rglob("*") if file.suffix in SUFFIXES and not file.name.startswith(".")]
    return sorted(found, key=lambda file: _natural(str(file)))


def _table_names(files: Sequence[Path]) -> dict[Path, str]:
    """Names tables by their files, and by their folders as well where two files have one name."""
    counts = Counter(file.stem for file in files)
    return {file: file.stem if counts[file.stem] == 1 else f"{file.parent.name}/{file.stem}" for file in files}


def _order_tables(rows: Mapping[str, Sequence[Grading]]) -> tuple[list[str], list[str]]:
    """Orders tables by the numbers in their names, or by their times where names have no number.

    Returns:
        The names in order, and a note where names and times disagree.
    """
    by_name = sorted(rows, key=_natural)
    times = {name: sorted(each.graded_at for each in rows[name] if each.graded_at is not None) for name in rows}
    if not all(times.values()):
        return by_name, []
    by_time = sorted(rows, key=lambda name: times[name][0])
    if by_time == by_name or any(times[one][-1] > times[other][0] for one, other in pairwise(by_time)):
        return by_name, []
    if any(character.isdigit() for name in rows for character in name):
        return by_name, ["the tables were graded in another order than that of their names, which counts here"]
    return by_time, ["the tables stand in the order in which they were graded, because their names have no numbers"]


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Returns a key that sorts month 10 after month 9."""
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def _time_name(grading: Grading, by: PeriodBy, file: Path) -> str:
    if grading.graded_at is None:
        raise UsageError(f"{file}: the row of {grading.image_id!r} has no time: use --by table")
    time = datetime.fromisoformat(grading.graded_at)
    if by == "month":
        return f"{time:%Y-%m}"
    year, week, _ = time.isocalendar()
    return f"{year}-W{week:02d}"


def _without_repetitions(named: Iterable[tuple[str, Sequence[Grading]]]) -> tuple[list[Period], list[str]]:
    """Keeps the first row of each photograph, known by its bytes, and counts the others for each pair of periods."""
    first_in: dict[str, str] = {}
    repeated: Counter[tuple[str, str]] = Counter()
    periods = []
    for name, gradings in named:
        kept = []
        for grading in gradings:
            if grading.digest is not None and grading.digest in first_in:
                repeated[first_in[grading.digest], name] += 1
                continue
            kept.append(grading)
            if grading.digest is not None:
                first_in[grading.digest] = name
        periods.append(Period(name, tuple(kept)))
    notes = []
    for (earlier, later), count in repeated.items():
        if earlier == later:
            notes.append(f"{counted(count, 'row')} of {later} repeat a photograph, and don't count")
        else:
            notes.append(f"{counted(count, 'photograph')} of {later} are in {earlier} as well, and count there only")
    return periods, notes


def choose_reference(
    periods: Sequence[Period], reference: int | Sequence[str]
) -> tuple[list[Period], list[Period], str]:
    """Divides periods into those of the reference and those that are compared with it.

    Args:
        periods: All periods.
        reference: Number of the first periods, or names.

    Returns:
        The periods of the reference, the periods after its last one, and the digest of the reference's grader file.

    Raises:
        UsageError: A name is unknown, no period is left, or the reference has results of several graders.
    """
    names = [period.name for period in periods]
    chosen = names[:reference] if isinstance(reference, int) else list(reference)
    if unknown := [name for name in chosen if name not in names]:
        raise UsageError(f"reference {unknown[0]}: there is no such period; there are {first_few(names)}")
    of_reference = [period for period in periods if period.name in chosen]
    digests = frozenset[str]().union(*(period.grader_digests for period in of_reference))
    if len(digests) > 1:
        rows = {each.grader_digest: each for period in of_reference for each in period.gradings}
        one, other = list(rows.values())[:2]
        raise UsageError(
            f"the reference {first_few(chosen)} has results of several graders ({describe_change(one, other)}): choose "
            "periods of one grader with --reference"
        )
    last = max((names.index(name) for name in chosen), default=len(names))
    later = [period for period in periods[last + 1 :] if period.name not in chosen]
    if not chosen or not later:
        raise UsageError(
            f"the reference is {', '.join(chosen) or 'empty'}, and no period comes after it: give results of more "
            "periods, choose another --reference, or other periods with --by"
        )
    return of_reference, later, next(iter(digests), "")


def describe_change(reference: Grading, other: Grading) -> str:
    """Says what differs between the graders of two results.

    Example:
        >>> old = Grading("a", None, grader_digest="1", referable_threshold=0.4)
        >>> describe_change(old, Grading("b", None, grader_digest="2", referable_threshold=0.3))
        'referable_threshold 0.3 instead of 0.4'
    """
    names = ("model", "referral", "referable_threshold", "vision_threatening_threshold", "oedema_threshold")
    different = [
        f"{name} {getattr(other, name)} instead of {getattr(reference, name)}"
        for name in names
        if getattr(other, name) != getattr(reference, name)
    ]
    return ", ".join(different) or "other settings of its gate, or another file of the same name"

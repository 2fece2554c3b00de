"""Printed results of the data commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.table import Table

from retinagrade.cli.console import console, print_left_out
from retinagrade.messages import counted

if TYPE_CHECKING:
    from retinagrade.datasets.data_check import DataCheck
    from retinagrade.datasets.findings import DataFinding
    from retinagrade.datasets.prepared_set import PreparedSet

_EXAMPLES: Final = 5


def print_check(check: DataCheck) -> None:
    """Prints the contents of the data set, and its findings by kind with examples."""
    from retinagrade.datasets.findings import FINDING_KINDS
    from retinagrade.datasets.grade_counts import describe_grade_counts

    if check.manifest is None:
        console().print("no known layout: only the files themselves are checked", style="yellow")
    contents = Table("", "", show_header=False, box=None)
    contents.add_row("photographs", str(len(check.examined)))
    contents.add_row("other files, left out", str(len(check.left_out)))
    if check.manifest is not None:
        contents.add_row("grades", describe_grade_counts(check.grades()))
        baseline = check.majority_baseline()
        accuracy = "unknown without grades" if baseline is None else f"accuracy {baseline:.1%}"
        contents.add_row("always predicting the most frequent grade", accuracy)
    contents.add_row("sizes", _first_counts(check.sizes()))
    qualities = ", ".join(f"{count} {level}" for level, count in check.qualities().items())
    contents.add_row("quality", qualities or "unknown")
    contents.add_row("cameras", counted(len(check.cameras()), "different shape") + " of the field of view")
    console().print(contents)
    print_left_out(check.left_out)
    if check.doubt is not None:
        console().print(f"attention: {check.doubt}", style="bold red")
    if not check.findings:
        console().print("nothing needs attention", style="green")
        return
    table = Table("findings", "meaning", "examples")
    for kind, meaning in FINDING_KINDS.items():
        if findings := check.of_kind(kind):
            table.add_row(str(len(findings)), meaning, "\n".join(map(_example, findings[:_EXAMPLES])))
    console().print(table)


def _example(finding: DataFinding) -> str:
    if finding.kind == "orphan":
        return finding.message
    return f"{', '.join(map(_short_path, finding.files[:2]))}: {finding.message}"


def _short_path(file: str) -> str:
    first, *rest = file.split("/")
    return f"{first}/…/{rest[-1]}" if len(rest) > 1 else file


def _first_counts(counts: dict[str, int], shown: int = 4) -> str:
    listed = ", ".join(f"{name} ({count})" for name, count in list(counts.items())[:shown])
    return f"{listed}, …" if len(counts) > shown else listed


def print_prepared(prepared: PreparedSet) -> None:
    """Prints the numbers of photographs, and lists doubtful crops and unusable photographs."""
    total = len(prepared) + len(prepared.failed)
    earlier = f" ({prepared.reused} from before)" if prepared.reused else ""
    files = f"; {counted(len(prepared.other_files), 'other file')} left out" if prepared.other_files else ""
    console().print(
        f"{len(prepared)} of {total} photographs are in {prepared.folder}{earlier}{files}",
    )
    if prepared.doubtful:
        ids = ", ".join(outcome.image_id for outcome in prepared.doubtful[:8])
        crops = counted(len(prepared.doubtful), "doubtful crop")
        console().print(f"look at {crops}, first in {prepared.contact_sheet}: {ids}", style="yellow")
    if prepared.failed:
        table = Table("photograph", "reason", title=f"{len(prepared.failed)} left out")
        for outcome in prepared.failed:
            table.add_row(outcome.image_id, outcome.reason or "")
        console().print(table)
    print_left_out(prepared.other_files)


def print_split(prepared: PreparedSet) -> None:
    """Prints the numbers of photographs by split and grade."""
    counts = prepared.counts()
    table = Table("split", *(f"grade {grade}" if grade.isdigit() else grade for grade in counts.columns), "all")
    for name, row in counts.iterrows():
        table.add_row(str(name), *map(str, row), str(row.sum()))
    console().print(table)


def print_joined(joined: PreparedSet) -> None:
    """Prints the numbers of photographs by data set and split."""
    table = joined.manifest.table
    splits = table["split"].fillna("no split")
    names = sorted(splits.unique())
    printed = Table("data set", *names, "all")
    for name, own in splits.groupby(table["dataset"]):
        printed.add_row(str(name), *(str((own == split).sum()) for split in names), str(len(own)))
    console().print(printed)
    if excluded := int((splits == "excluded").sum()):
        console().print(
            f"{counted(excluded, 'photograph')} excluded, most often as copies of photographs on another side"
        )

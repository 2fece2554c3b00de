"""``retinagrade data``, ``prepare`` and ``split``: from a source folder to a prepared set with splits."""

from __future__ import annotations

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from retinagrade.cli.console import ATTENTION, JsonOption, console, print_json
from retinagrade.cli.engines import AddressOption, EngineChoice, EngineOption
from retinagrade.errors import LayoutError, UsageError
from retinagrade.execution.engine import choose_engine
from retinagrade.execution.progress_bar import open_progress_bar
from retinagrade.grades import N_GRADES
from retinagrade.paths import user_path

if TYPE_CHECKING:
    from retinagrade.images.prepare import Contrast

data = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Source data: check them, make photographs up.")


def register(app: typer.Typer) -> None:
    """Adds this module's commands."""
    app.add_typer(data, name="data")
    app.command("prepare")(prepare)
    app.command("split")(split)


class SquareBy(StrEnum):
    """How a field of view becomes a square."""

    PAD = "pad"
    CROP = "crop"
    FRAME = "frame"


class By(StrEnum):
    """What a split never separates."""

    PATIENT = "patient"
    IMAGE = "image"


@data.command("synthesize")
def synthesize(
    out: Annotated[Path, typer.Argument(help="The folder to make.")],
    count: Annotated[int, typer.Option(help="Photographs; two a patient.")],
    size: Annotated[int, typer.Option(help="Height of a photograph, in pixels.")] = 512,
    seed: Annotated[int, typer.Option(help="The same seed makes the same photographs.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Processes. [default: one a processor]")] = None,
) -> None:
    """Make fundus photographs up, with vessels, lesions by grade, lesion masks and labels."""
    from retinagrade.datasets.synthetic.patients import synthesize as make
    from retinagrade.execution.progress_bar import progress_bar

    with progress_bar("drawing", count) as done:
        manifest = make(out, count=count, size=size, seed=seed, workers=workers, on_done=done)
    grades = manifest.table["grade"].value_counts().sort_index()
    console().print(
        f"{len(manifest)} photographs in {out}; by grade: {', '.join(f'{g}: {n}' for g, n in grades.items())}",
        highlight=False,
    )


@data.command("check")
def check(
    source: Annotated[
        Path,
        typer.Argument(
            parser=user_path, help="A data set's folder, a manifest, or any folder of photographs; or its URL."
        ),
    ],
    layout: Annotated[str | None, typer.Option(help="The source's layout, where it can't be detected.")] = None,
    grades: Annotated[
        str | None, typer.Option(help="Folder names and their grades: 'healthy=0,early=1,…'.", metavar="NAME=GRADE,…")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for check.html, check.json, findings.csv and files.csv.")
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Write a cleaned manifest to --out as well, and what it leaves out and why.")
    ] = False,
    quality: Annotated[
        str, typer.Option(help="Name photographs below this quality, 0 to 1, or the worst share of them, as in 5%.")
    ] = "0.5",
    workers: Annotated[int | None, typer.Option(help="Processes. [default: one a processor]")] = None,
    engine: EngineOption = EngineChoice.LOCAL,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Look for corrupt, odd, duplicate, conflicting and leaking photographs; exit 1 if anything needs attention."""
    from retinagrade.datasets.check import check as check_set
    from retinagrade.datasets.check_files import findings_table, write_check, write_cleaned
    from retinagrade.datasets.layouts import read_dataset

    if fix and out is None:
        raise UsageError("--fix writes a cleaned manifest: say where to with --out")
    threshold = parse_quality(quality)
    runs_on = choose_engine(engine.value, [source], address)
    with tempfile.TemporaryDirectory() as unpacked:
        manifest = None
        try:
            manifest = read_dataset(source, layout, parse_grade_map(grades), unpack=Path(unpacked), complete=False)
        except LayoutError:
            if layout is not None or grades is not None or not source.is_dir():
                raise
        with open_progress_bar("checking") as (start, done):
            result = check_set(
                source, manifest, workers=workers, engine=runs_on, **threshold, on_start=start, on_done=done
            )
        page = None if out is None else write_check(result, out)
        left_out = None if not fix or out is None else write_cleaned(result, out)
    if json:
        print_json(result.to_json())
    else:
        if manifest is None:
            console().print("no known layout: only the files themselves are checked", style="yellow")
        console().print(findings_table(result))
        if left_out is not None:
            console().print(f"wrote {out}/manifest.csv; left {len(left_out)} photographs out (left_out.csv says why)")
        if page is not None:
            console().print(f"wrote {page}", highlight=False)
    if result.findings:
        raise typer.Exit(ATTENTION)


def parse_quality(text: str) -> dict[str, float]:
    """Reads a threshold of quality: a value, or a share of the photographs in per cent.

    Raises:
        UsageError: Neither of them, or out of range.

    Example:
        >>> parse_quality("0.4"), parse_quality("5%")
        ({'poor': 0.4}, {'poorest': 0.05})
    """
    share = text.strip().endswith("%")
    try:
        value = float(text.strip().removesuffix("%")) / (100 if share else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"--quality {text!r}: write a value from 0 to 1, or a share such as 5%")
    return {"poorest" if share else "poor": value}


def prepare(
    source: Annotated[
        Path, typer.Argument(parser=user_path, help="A data set's folder, or a manifest CSV; or its URL.")
    ],
    out: Annotated[
        Path,
        typer.Argument(parser=user_path, help="The prepared set, or its URL; the same command again continues it."),
    ],
    size: Annotated[int, typer.Option(help="Side of the square photographs, in pixels.")] = 512,
    clahe: Annotated[bool, typer.Option("--clahe", help="Equalise contrast by tiles.")] = False,
    graham: Annotated[bool, typer.Option("--graham", help="Subtract the local average, as B. Graham did.")] = False,
    square: Annotated[
        SquareBy,
        typer.Option(
            help="Pad the field of view to a square; crop it, which loses retina; or take the whole frame of "
            "photographs that were cropped already."
        ),
    ] = SquareBy.PAD,
    layout: Annotated[str | None, typer.Option(help="The source's layout, where it can't be detected.")] = None,
    grades: Annotated[
        str | None, typer.Option(help="Folder names and their grades: 'healthy=0,early=1,…'.", metavar="NAME=GRADE,…")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes. [default: one a processor]")] = None,
    engine: EngineOption = EngineChoice.LOCAL,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Crop, check and resize all photographs of a data set; exit 1 if some could not be used."""
    from retinagrade.datasets.layouts import read_dataset
    from retinagrade.datasets.prepare import prepare_manifest as prepare_set

    if clahe and graham:
        raise UsageError("--clahe and --graham: choose one of them")
    contrast: Contrast = "clahe" if clahe else "graham" if graham else "none"
    runs_on = choose_engine(engine.value, [source, out], address)
    manifest = read_dataset(source, layout, parse_grade_map(grades), unpack=out / ".unpacked")
    result = prepare_set(
        manifest, out, size=size, contrast=contrast, square=square.value, workers=workers, engine=runs_on
    )
    if json:
        print_json(result.to_json())
    else:
        console().print(
            f"{result.prepared + result.reused} of {len(manifest)} photographs are in {out}"
            + (f" ({result.reused} from before)" if result.reused else ""),
            highlight=False,
        )
        if result.doubtful:
            console().print(
                f"look at {len(result.doubtful)} doubtful crops, first in {out / 'contact_sheet.jpg'}: "
                + ", ".join(outcome.image_id for outcome in result.doubtful[:8]),
                style="yellow",
            )
        if result.failed:
            table = Table("photograph", "why it could not be used", title=f"{len(result.failed)} left out")
            for failure in result.failed:
                table.add_row(failure.image_id, failure.reason)
            console().print(table)
    if result.failed:
        raise typer.Exit(ATTENTION)


def split(
    prepared: Annotated[Path, typer.Argument(help="A prepared set.")],
    val: Annotated[float, typer.Option(help="Share of the photographs of each grade for validation.")] = 0.1,
    test: Annotated[float, typer.Option(help="Share for testing, where the data set has no official test set.")] = 0.0,
    by: Annotated[
        By, typer.Option(help="Keep patients and copies together, or split single images (report).")
    ] = By.PATIENT,
    seed: Annotated[int, typer.Option(help="The same seed makes the same split.")] = 0,
    folds: Annotated[int | None, typer.Option(help="Cross-validation: divide into this many parts instead.")] = None,
    fold: Annotated[int, typer.Option(help="The part, counted from 0, to validate on.")] = 0,
) -> None:
    """Divide a prepared set into training, validation and test photographs, stratified by grade."""
    from retinagrade.datasets.split import split_counts, split_prepared

    manifest = split_prepared(prepared, val=val, test=test, by=by.value, seed=seed, folds=folds, fold=fold)
    table = Table("split", *(f"grade {grade}" for grade in range(N_GRADES)), "ungraded", "all")
    for name, counts in split_counts(manifest).items():
        table.add_row(name, *map(str, counts.values()), str(sum(counts.values())))
    console().print(table)
    if by is By.IMAGE:
        console().print(
            "note: --by image separates eyes of one patient and copies of one photograph, so figures will flatter",
            style="yellow",
        )


def parse_grade_map(text: str | None) -> dict[str, int] | None:
    """Reads ``name=grade,…`` as given on the command line.

    Raises:
        UsageError: A part without ``=``, or a grade that is not 0 to 4.

    Example:
        >>> parse_grade_map("healthy=0, early=1")
        {'healthy': 0, 'early': 1}
    """
    if text is None:
        return None
    pairs = {}
    for part in text.split(","):
        name, equals, grade = (word.strip() for word in part.partition("="))
        if not (name and equals and grade in {str(index) for index in range(N_GRADES)}):
            raise UsageError(f"--grades {part.strip()!r}: write NAME=GRADE with a grade 0 to {N_GRADES - 1}")
        pairs[name] = int(grade)
    return pairs

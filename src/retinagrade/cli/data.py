"""``retinagrade data``, ``prepare`` and ``split``: from a downloaded data set to a prepared set with splits."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retinagrade.cli.console import ATTENTION, JsonOption, console, print_json, terminal_progress
from retinagrade.cli.data_tables import print_check, print_prepared, print_split
from retinagrade.cli.engines import AddressOption, EngineChoice, EngineOption
from retinagrade.cli.groups import GroupedCommands
from retinagrade.errors import UsageError
from retinagrade.execution.engine import choose_engine
from retinagrade.grades import N_GRADES
from retinagrade.messages import counted
from retinagrade.paths import user_path

if TYPE_CHECKING:
    from retinagrade.images.prepare import Contrast

data = typer.Typer(
    cls=GroupedCommands, no_args_is_help=True, rich_markup_mode=None, help="Check data sets, or draw a synthetic one."
)

LayoutOption = Annotated[
    str | None,
    typer.Option(
        help="Name of the data set's layout, such as idrid or folders; an unknown name lists all layouts. "
        "[default: detected]",
        show_default=False,
    ),
]
GradesOption = Annotated[
    str | None,
    typer.Option(
        help="For a data set with a folder for each grade: folder names and their grades, such as 'healthy=0,early=1'. "
        "[default: grades are read from names such as No_DR, Mild or 3]",
        metavar="NAME=GRADE,…",
        show_default=False,
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option(help="Number of worker processes. [default: one per processor]", show_default=False)
]


class SquareBy(StrEnum):
    """Ways to make a field of view a square."""

    PAD = "pad"
    CROP = "crop"
    FRAME = "frame"


class By(StrEnum):
    """Units that a split never separates."""

    PATIENT = "patient"
    IMAGE = "image"


@data.command("synthesize")
def synthesize(
    out: Annotated[Path, typer.Option(help="Folder to write: photographs, lesion masks and labels.csv.")],
    count: Annotated[int, typer.Option(help="Number of photographs; every patient has two.")],
    size: Annotated[
        int, typer.Option(help="Height of a photograph, in pixels; the width is 1.5 times the height.")
    ] = 512,
    seed: Annotated[int, typer.Option(help="Seed of all draws: one seed always draws the same photographs.")] = 0,
    workers: WorkersOption = None,
) -> None:
    """Draw synthetic fundus photographs of all grades.

    The photographs have vessels and the lesions of their grade. Their labels and lesion masks are written as well.
    """
    from retinagrade.datasets.grade_counts import count_grades, describe_grade_counts
    from retinagrade.datasets.synthetic.patients import synthesize as draw

    with terminal_progress() as progress:
        manifest = draw(out, count, size=size, seed=seed, workers=workers, progress=progress)
    grades = describe_grade_counts(count_grades(manifest.table))
    console().print(f"{counted(len(manifest), 'photograph')} in {out}: {grades}", highlight=False)


@data.command("check")
def check(
    source: Annotated[
        Path,
        typer.Argument(
            parser=user_path,
            metavar="SOURCE",
            help="Data set: a folder of photographs, a table of photographs (CSV or Parquet with the columns image_id "
            "and path), or the URL of either.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for check.html, check.json, findings.csv and files.csv. [default: no files are written]",
            show_default=False,
        ),
    ] = None,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="Also write manifest.csv to --out, without unusable photographs, surplus copies, conflicts and leaks; "
            "left_out.csv lists these and the reasons. No photograph is changed.",
        ),
    ] = False,
    quality: Annotated[
        str,
        typer.Option(
            help="Report photographs below this quality (0 to 1), or the worst share of the photographs, such as 5%."
        ),
    ] = "0.5",
    layout: LayoutOption = None,
    grades: GradesOption = None,
    workers: WorkersOption = None,
    engine: EngineOption = EngineChoice.LOCAL,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Find corrupt, copied, conflicting and leaking photographs.

    Every photograph is decoded, measured, and compared with all photographs and its label. The exit code is 0 if
    nothing needs attention, 1 if anything does, and 2 if the data set can't be read.
    """
    from retinagrade.datasets.check import check as check_dataset

    if fix and out is None:
        raise UsageError("--fix writes a cleaned manifest: name its folder with --out")
    thresholds = parse_quality(quality)
    with terminal_progress() as progress:
        result = check_dataset(
            source,
            layout=layout,
            grades=parse_grade_map(grades),
            workers=workers,
            engine=choose_engine(engine.value, [source], address),
            progress=progress,
            **thresholds,
        )
    if json:
        print_json(result.to_json())
    else:
        print_check(result)
    if out is not None:
        page = result.write(out)
        removed = result.write_cleaned(out) if fix else None
        if not json:
            if removed is not None:
                excluded = counted(len(removed), "photograph")
                console().print(f"wrote {out}/manifest.csv without {excluded}; {out}/left_out.csv lists the reasons")
            console().print(f"wrote {page}", highlight=False)
    if result.findings:
        raise typer.Exit(ATTENTION)


def prepare(
    source: Annotated[
        Path,
        typer.Argument(
            parser=user_path,
            metavar="SOURCE",
            help="Data set: its folder as downloaded, a table of photographs (CSV or Parquet with the columns image_id "
            "and path), RetinaMNIST's archive, or the URL of one of these.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            parser=user_path,
            metavar="PREPARED",
            help="Folder of the prepared set, or its URL. The same command again continues an interrupted one.",
        ),
    ],
    size: Annotated[int, typer.Option(help="Side of the square photographs, in pixels.")] = 512,
    clahe: Annotated[
        bool, typer.Option("--clahe", help="Equalise the contrast of small tiles (CLAHE). [default: colours unchanged]")
    ] = False,
    graham: Annotated[
        bool,
        typer.Option(
            "--graham", help="Subtract the local average colour, as B. Graham did. [default: colours unchanged]"
        ),
    ] = False,
    square: Annotated[
        SquareBy,
        typer.Option(
            help="Square around the field of view: pad keeps the whole retina, crop cuts its longer side, frame takes "
            "the whole picture, for photographs that were cropped before."
        ),
    ] = SquareBy.PAD,
    layout: LayoutOption = None,
    grades: GradesOption = None,
    workers: WorkersOption = None,
    engine: EngineOption = EngineChoice.LOCAL,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Crop, check and resize all photographs of a data set.

    The exit code is 0 if all photographs could be used, 1 if some could not, and 2 if the data set can't be prepared.
    """
    from retinagrade.datasets.prepare import prepare as prepare_dataset

    if clahe and graham:
        raise UsageError("--clahe and --graham: choose one of them")
    contrast: Contrast = "clahe" if clahe else "graham" if graham else "none"
    with terminal_progress() as progress:
        prepared = prepare_dataset(
            source,
            out,
            size=size,
            contrast=contrast,
            square=square.value,
            layout=layout,
            grades=parse_grade_map(grades),
            workers=workers,
            engine=choose_engine(engine.value, [source, out], address),
            progress=progress,
        )
    if json:
        print_json(prepared.to_json())
    else:
        print_prepared(prepared)
    if prepared.failed:
        raise typer.Exit(ATTENTION)


def split(
    prepared: Annotated[
        Path, typer.Argument(metavar="PREPARED", help="Folder of a prepared set, as `retinagrade prepare` writes it.")
    ],
    val: Annotated[float, typer.Option(help="Share of the photographs of each grade for validation, 0 to 1.")] = 0.1,
    test: Annotated[
        float, typer.Option(help="Share for testing, 0 to 1; for data sets without an official test set.")
    ] = 0.0,
    by: Annotated[
        By,
        typer.Option(
            help="patient keeps the photographs of a patient, and copies of a photograph, in one split; image splits "
            "single photographs, as the report does."
        ),
    ] = By.PATIENT,
    seed: Annotated[int, typer.Option(help="Seed of the draw: one seed always makes the same split.")] = 0,
    folds: Annotated[
        int | None,
        typer.Option(
            help="Number of folds for cross-validation, which replace --val. [default: no folds]", show_default=False
        ),
    ] = None,
    fold: Annotated[int, typer.Option(help="Fold for validation, counted from 0; needs --folds.")] = 0,
) -> None:
    """Divide a prepared set for training, validation and test.

    Every split has the same shares of grades. The split is written to manifest.csv of the set, and replaces an earlier
    split. An official test set stays the test set.
    """
    from retinagrade.datasets.split import split as split_set

    print_split(split_set(prepared, val=val, test=test, by=by.value, seed=seed, folds=folds, fold=fold))
    if by is By.IMAGE:
        console().print(
            "note: --by image separates the eyes of a patient and copies of a photograph, so metrics will be too good",
            style="yellow",
        )


def parse_quality(text: str) -> dict[str, float]:
    """Parses a threshold of quality: a value, or a share of the photographs in per cent.

    Raises:
        UsageError: The text is neither, or out of range.

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


def parse_grade_map(text: str | None) -> dict[str, int] | None:
    """Parses ``name=grade,…``.

    Raises:
        UsageError: A part has no ``=``, or no grade 0 to 4.

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

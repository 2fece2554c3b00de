"""``retinagrade data``, ``prepare`` and ``split``: from a downloaded data set to a prepared set with splits."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retinagrade.cli.console import ATTENTION, JsonOption, console, print_json, terminal_progress
from retinagrade.cli.data_tables import print_check, print_joined, print_prepared, print_split
from retinagrade.cli.options import AddressOption, EngineChoice, EngineOption, OverwriteOption, WorkersOption
from retinagrade.cli.plain_help import GroupedCommands, PlainCommand
from retinagrade.errors import UsageError
from retinagrade.execution.engine import choose_engine
from retinagrade.grades import N_GRADES
from retinagrade.messages import counted
from retinagrade.storage.paths import user_path

if TYPE_CHECKING:
    from retinagrade.images.prepare import Contrast

data = typer.Typer(
    cls=GroupedCommands,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Check data sets, join prepared ones, or draw a synthetic one.",
)

LayoutOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Layout of the data set, its folders and label files: idrid, eyepacs, aptos, messidor2, ddr, deepdrid, "
        "retinamnist, folders, table or dicom. [default: detected from the files]",
        show_default=False,
    ),
]
GradeNamesOption = Annotated[
    str | None,
    typer.Option(
        help="Grades of the folders, for a data set with a folder for each grade, such as 'healthy=0,early=1'. "
        "[default: grades come from names such as No_DR, Mild or 3]",
        metavar="NAME=GRADE,…",
        show_default=False,
    ),
]


class SquareBy(StrEnum):
    """Ways to make a field of view a square."""

    PAD = "pad"
    CROP = "crop"
    FRAME = "frame"


class GroupBy(StrEnum):
    """Units that a split never separates."""

    PATIENT = "patient"
    IMAGE = "image"


@data.command("synthesize", cls=PlainCommand)
def synthesize(
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Folder to write: photographs, masks (of their lesions), and labels.csv, their table.",
        ),
    ],
    count: Annotated[
        int, typer.Option(metavar="NUMBER", help="Number of photographs. Every patient has two, one of each eye.")
    ],
    size: Annotated[
        int,
        typer.Option(metavar="PIXELS", help="Height of a photograph, in pixels. The width is 1.5 times the height."),
    ] = 512,
    seed: Annotated[
        int,
        typer.Option(min=0, metavar="NUMBER", help="Seed of all draws: one seed always draws the same photographs."),
    ] = 0,
    workers: WorkersOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Draw synthetic fundus photographs of all grades.

    The photographs have vessels and the lesions of their grade. The folder is a data set for `prepare` and `data
    check`, and holds the lesion masks for `lesion-agreement`. Synthetic photographs say nothing about real eyes.
    """
    from retinagrade.datasets.grade_counts import count_grades, describe_grade_counts
    from retinagrade.datasets.synthetic.patients import synthesize as draw

    with terminal_progress() as progress:
        manifest = draw(out, count, size=size, seed=seed, workers=workers, overwrite=overwrite, progress=progress)
    grades = describe_grade_counts(count_grades(manifest.table))
    console().print(f"{counted(len(manifest), 'photograph')} in {out}: {grades}")


@data.command("check", cls=PlainCommand)
def check(
    source: Annotated[
        Path,
        typer.Argument(
            parser=user_path,
            metavar="SOURCE",
            help="Data set: its folder as downloaded, a table of photographs (CSV or Parquet with the columns image_id "
            "and path), or the URL of one of these.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder to write: check.html for people, check.json for programs, and the tables findings.csv and "
            "files.csv. [default: the command only prints the findings]",
            show_default=False,
        ),
    ] = None,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="Also write manifest.csv, a table without unusable photographs, surplus copies, conflicts and leaks, "
            "and left_out.csv, which lists these with the reasons. `prepare` takes manifest.csv as its SOURCE. Needs "
            "--out.",
        ),
    ] = False,
    quality: Annotated[
        str | None,
        typer.Option(
            metavar="QUALITY",
            help="Report photographs below this quality, from 0 (certainly not gradable) to 1 (certainly gradable). A "
            "value with %, such as 5%, reports that share of the photographs, the worst. [default: those that the gate "
            "rejects]",
            show_default=False,
        ),
    ] = None,
    layout: LayoutOption = None,
    grade_names: GradeNamesOption = None,
    workers: WorkersOption = None,
    engine: EngineOption = EngineChoice.LOCAL,
    address: AddressOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Find corrupt, copied, conflicting and leaking photographs.

    The command decodes every photograph, and compares it with all others and with its label. It changes no photograph.
    A copy shows the same picture as another file. A conflict is two copies with different grades. A leak is a
    photograph, patient or copy that stands on both sides of a split. The gate of `grade` judges the quality of each
    photograph. The command warns where it rejects so many for one reason that the gate may be wrong.

    Exit code 0: nothing needs attention; 1: something does; 2: the data set can't be read.
    """
    from retinagrade.datasets.check import check as check_dataset
    from retinagrade.datasets.data_check import guard_check

    if fix and out is None:
        raise UsageError("--fix writes a cleaned manifest: name its folder with --out")
    if out is not None:
        guard_check(out, source, overwrite)
    with terminal_progress() as progress:
        result = check_dataset(
            source,
            layout=layout,
            grade_names=parse_grade_map(grade_names),
            quality=quality,
            workers=workers,
            engine=choose_engine(engine.value, [source], address),
            progress=progress,
        )
    if json:
        print_json(result.to_json())
    else:
        print_check(result)
    if out is not None:
        page = result.write(out, overwrite=overwrite)
        removed = result.write_cleaned(out, overwrite=overwrite) if fix else None
        if not json:
            if removed is not None:
                reasons = f"without {counted(len(removed), 'photograph')}; {out / 'left_out.csv'} lists the reasons"
                contents = reasons if len(removed) else "with all photographs"
                console().print(f"wrote {out / 'manifest.csv'} {contents}")
            console().print(f"wrote {page}")
    if result.findings:
        raise typer.Exit(ATTENTION)


@data.command("join", cls=PlainCommand)
def join(
    sets: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]PREPARED…",
            help="Folders of prepared sets, at least two, prepared with the same settings. A name before = is that of "
            "the data set. [default name: the set's own name of its data set, else that of its folder]",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the joined set.")],
    workers: WorkersOption = None,
    engine: EngineOption = EngineChoice.LOCAL,
    address: AddressOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Join prepared sets, to train on several data sets at once.

    The joined set is a prepared set, whose photographs have the name of their data set before their ids. Each keeps its
    split. The command compares all photographs: where a copy or the same eye stands on two sides of the split, the
    photographs in train (beside val or test) and in val (beside test) are excluded.

    Exit code 0: done; 2: the sets can't be joined.
    """
    from retinagrade.datasets.join import join as join_sets

    chosen = _named_sets(sets)
    with terminal_progress() as progress:
        joined = join_sets(
            chosen,
            out,
            workers=workers,
            engine=choose_engine(engine.value, [out], address),
            overwrite=overwrite,
            progress=progress,
        )
    print_joined(joined)
    console().print(f"next: retinagrade train {out} EXPERIMENT --out runs/joined")


def _named_sets(sets: list[str]) -> dict[str, str] | list[str]:
    """Reads the arguments of ``data join``: folders, or folders by the names of their data sets."""
    parts = [("", "", each) if Path(each).exists() or "=" not in each else each.partition("=") for each in sets]
    if not any(name for name, _, _ in parts):
        return [folder for _, _, folder in parts]
    if not all(name for name, _, _ in parts):
        raise UsageError("write NAME=FOLDER for all sets, or for none")
    named = {name: folder for name, _, folder in parts}
    if len(named) < len(parts):
        raise UsageError("two sets have one name: give each its own")
    return named


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
            metavar="FOLDER",
            help="Folder of the prepared set, or its URL. The same command continues after an interruption. Other "
            "settings need another folder.",
        ),
    ],
    size: Annotated[
        int,
        typer.Option(
            metavar="PIXELS",
            help="Side of the square photographs, in pixels. Networks take them smaller: most experiments at 224.",
        ),
    ] = 512,
    clahe: Annotated[
        bool,
        typer.Option(
            "--clahe",
            help="Equalise the contrast of small tiles (CLAHE). Not together with --graham. [default: colours "
            "unchanged]",
        ),
    ] = False,
    graham: Annotated[
        bool,
        typer.Option(
            "--graham",
            help="Subtract the local average colour, as B. Graham did. Not together with --clahe. [default: colours "
            "unchanged]",
        ),
    ] = False,
    square: Annotated[
        SquareBy,
        typer.Option(
            help="Way to a square: pad adds black margins around the field of view and keeps the whole retina; crop "
            "cuts the longer side of the field of view; frame pads the whole picture, for photographs that somebody "
            "has cropped before."
        ),
    ] = SquareBy.PAD,
    layout: LayoutOption = None,
    grade_names: GradeNamesOption = None,
    masks: Annotated[
        bool,
        typer.Option(
            "--masks",
            help="Prepare photographs with lesion masks as well, and their masks: for the training of networks that "
            "outline lesions. The folder may hold no others.",
        ),
    ] = False,
    workers: WorkersOption = None,
    engine: EngineOption = EngineChoice.LOCAL,
    address: AddressOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Crop, check and resize all photographs of a data set.

    The result is a prepared set: a folder of square photographs with their table, manifest.csv. The command finds the
    field of view (the lit disc of a fundus photograph), crops to it and resizes. It never changes the data set, and
    names every file of it that it leaves out. `split` comes next, unless the data set has a split of its own.

    Exit code 0: all photographs are prepared; 1: some are unusable, or files that may be photographs are left out; 2:
    the data set can't be prepared.
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
            grade_names=parse_grade_map(grade_names),
            masks=masks,
            workers=workers,
            engine=choose_engine(engine.value, [source, out], address),
            overwrite=overwrite,
            progress=progress,
        )
    if json:
        print_json(prepared.to_json())
    else:
        print_prepared(prepared)
    if prepared.needs_attention:
        raise typer.Exit(ATTENTION)


def split(
    prepared: Annotated[
        Path, typer.Argument(metavar="PREPARED", help="Folder of a prepared set, which `retinagrade prepare` makes.")
    ],
    val: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Share of the photographs of each grade for validation, between 0 and 1."),
    ] = 0.1,
    test: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Share for testing, between 0 and 1. Only for data sets without an official test set."
        ),
    ] = 0.0,
    group_by: Annotated[
        GroupBy,
        typer.Option(
            help="Unit that stays in one split: patient keeps the photographs of a patient together, and copies of a "
            "photograph; image divides single photographs, as the university report does, which makes metrics too good."
        ),
    ] = GroupBy.PATIENT,
    seed: Annotated[
        int, typer.Option(min=0, metavar="NUMBER", help="Seed of the draw: one seed always makes the same split.")
    ] = 0,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="NUMBER",
            help="Number of folds: equal parts, one of which is for validation in place of --val. `train "
            "--folds` makes the same folds by itself. [default: no folds]",
            show_default=False,
        ),
    ] = None,
    fold: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="NUMBER",
            help="Fold for validation, counted from 0. Needs --folds. [default: 0]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Divide a prepared set for training, validation and test.

    A network learns from the training photographs. The validation photographs choose its best epoch and fit its
    calibration. Only the test photographs measure it without flattery. Every split has nearly the same shares of
    grades: photographs of one patient and copies of one photograph stay together. An official test set stays the test
    set.

    The command prints the numbers of photographs. It writes the split to manifest.csv of the prepared set, and its
    settings to split.json. It replaces an earlier split, and runs of the earlier split must be trained again.

    Exit code 0: done; 1: done, but a split lacks a grade, or has a share that is far from the one asked for.
    """
    from retinagrade.datasets.split import SplitSettings, missing_grades, split_shares
    from retinagrade.datasets.split import split as split_set

    divided = split_set(prepared, val=val, test=test, group_by=group_by.value, seed=seed, folds=folds, fold=fold)
    print_split(divided)
    if group_by is GroupBy.IMAGE:
        console().print(
            "note: --group-by image separates the eyes of a patient, and copies of a photograph: metrics will be too "
            "good",
            style="yellow",
        )
    settings = SplitSettings(val, test, group_by.value, seed, folds, fold or 0)
    shares = split_shares(divided.manifest, settings)
    for name, share in shares.items():
        if share.is_far:
            console().print(
                f"attention: {name} has {share.obtained:.0%} of the photographs instead of {share.asked:.0%}: few "
                "photographs of a grade, or large groups, allow no better division",
                style="bold red",
            )
    lacking = missing_grades(divided.manifest)
    for name, grades in lacking.items():
        console().print(
            f"attention: {name} has no photograph of grade {', '.join(map(str, grades))}: metrics of such a split say "
            "little. More photographs, or other shares, would help",
            style="bold red",
        )
    if lacking or any(share.is_far for share in shares.values()):
        raise typer.Exit(ATTENTION)


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
            raise UsageError(f"--grade-names {part.strip()!r}: write NAME=GRADE with a grade 0 to {N_GRADES - 1}")
        pairs[name] = int(grade)
    return pairs

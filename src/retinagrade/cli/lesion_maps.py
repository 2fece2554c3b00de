"""``retinagrade outline`` and ``fit-grades``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retinagrade.cli.console import console, terminal_progress
from retinagrade.cli.options import CameraOption, OverwriteOption, SameSettingsArgument, WorkersOption
from retinagrade.messages import counted


def outline(
    prepared: SameSettingsArgument,
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="Folder of a trained run of an experiment that outlines lesions, or of a cross-validation of one: its "
            "folds outline the photographs that they were not trained on.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Folder of the maps. The same command continues after an interruption.",
        ),
    ],
    split: Annotated[
        str,
        typer.Option(
            metavar="SPLIT",
            help="Split of the photographs: train, val or test; 'all' takes every photograph.",
        ),
    ] = "val",
    camera: CameraOption = None,
) -> None:
    """Write lesion maps of prepared photographs.

    The command writes one map for each photograph and each kind of lesion: maps/KIND/IMAGE_ID.png in the folder. Its
    grey values from 0 to 255 are the probabilities, from 0 to 1, that a pixel belongs to such a lesion.

    Exit code 0: done; 2: the maps could not be written.
    """
    from retinagrade.training.lesions.outline import outline as outline_photographs

    with terminal_progress() as progress:
        maps = outline_photographs(
            prepared, run, out, split=split, camera=[choice.value for choice in camera or []], progress=progress
        )
    printed = console()
    printed.print(repr(maps))
    printed.print(f"next: retinagrade fit-grades {out}")


def fit_grades(
    maps: Annotated[
        list[Path],
        typer.Argument(
            metavar="MAPS",
            help="One or several folders of maps that `outline` made with one cross-validation: of the photographs, "
            "and of the same photographs with --camera. Each photograph counts once.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Folder of the grade model. It is a run: `evaluate` and `calibrate` take it like one.",
        ),
    ],
    judge: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="MAPS",
            help="Folder of maps that is predicted, and not fitted on. Repeat the option for further folders.",
            show_default=False,
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    workers: WorkersOption = None,
) -> None:
    """Fit a grade model to lesion maps.

    A grade model computes the probabilities of the five grades from the number, the size and the place of lesions, and
    where the data set has labels for it, the probability of macular oedema. The command grades each photograph by a
    model that was fitted on the photographs of the other folds, so that `evaluate` measures it honestly.

    Dust on a camera looks like small lesions. Where ten or more of the photographs, at least 5 % of them, have a red
    lesion at the same place, and far fewer around it, the command fits the grades with and without the lesions there.
    The folder then holds marks.png, and each table of predictions has a second one, such as val-without-marks.csv.

    Exit code 0: done; 2: no model could be fitted.
    """
    from retinagrade.runs.fit_grades import fit_grades as fit

    with terminal_progress() as progress:
        run = fit(maps, out, judge=judge or [], overwrite=overwrite, workers=workers, progress=progress)
    printed = console()
    record = run.grade_model_record()
    if record.marks:
        printed.print(
            f"{counted(record.marks, 'mark')} of the camera, such as dust: many photographs have a red lesion at the "
            f"same place ({run.marks_file}). The grades are fitted with and without the lesions there."
        )
    for name in record.predictions:
        printed.print(f"next: retinagrade evaluate {run.predictions_file(name)}")

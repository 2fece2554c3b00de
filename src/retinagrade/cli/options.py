"""Options that mean the same in several commands: one spelling, one explanation."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class EngineChoice(StrEnum):
    """Where the work runs."""

    LOCAL = "local"
    RAY = "ray"


EngineOption = Annotated[
    EngineChoice,
    typer.Option(
        help="Place where the work runs: processes of this machine (local), or a Ray cluster (ray). Ray needs pip "
        "install 'retinagrade[scale]'."
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Address of the Ray cluster: auto, HOST:PORT or ray://HOST:10001. Needs --engine ray. [default: the "
        "environment variable RAY_ADDRESS, or a new Ray on this machine]",
        show_default=False,
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="NUMBER", help="Number of worker processes. [default: one per processor]", show_default=False
    ),
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting, such as training.epochs=3. Repeat the option for further settings; `retinagrade "
        "experiments show --yaml EXPERIMENT` lists them all.",
        show_default=False,
    ),
]
FastOption = Annotated[
    bool,
    typer.Option(
        "--fast",
        help="Compute in half precision (bfloat16): faster, but some grades may change. On a processor, pip install "
        "'retinagrade[openvino]' makes thousands of photographs faster still.",
    ),
]
TtaOption = Annotated[
    bool,
    typer.Option(
        "--tta",
        help="Average over four mirrored views of each photograph (test-time augmentation). Grading takes four times "
        "as long.",
    ),
]
ResamplesOption = Annotated[
    int,
    typer.Option(
        min=200,
        metavar="NUMBER",
        help="Number of bootstrap resamples of patients, from which the command computes the 95 % intervals.",
    ),
]
MovedSetOption = Annotated[
    Path | None,
    typer.Option(
        "--prepared",
        metavar="FOLDER",
        help="Prepared set that the run was trained on, if it was moved without the run. [default: its place when the "
        "run was trained, from the folder of the run]",
        show_default=False,
    ),
]
OverwriteOption = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace results of other inputs, and other files, that are in the place of the output. [default: the "
        "command refuses them]",
        show_default=False,
    ),
]
GradesTableOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="CSV file with the columns image_id and grade, for predictions without grades. With a column patient_id, "
        "the intervals are by patient. [default: the column grade of the predictions]",
        show_default=False,
    ),
]


class CameraChoice(StrEnum):
    """Changes that another camera would make."""

    COLOUR = "colour"
    LIGHT = "light"
    RESOLUTION = "resolution"
    SHARPNESS = "sharpness"
    CUT = "cut"


CameraOption = Annotated[
    list[CameraChoice] | None,
    typer.Option(
        metavar="CHANGE",
        help="Change the photographs as another camera would: colour, light (falling off, haze), resolution (and "
        "JPEG compression), sharpness (and noise), or cut (by the frame). Repeat the option for several changes. "
        "Metrics under a change that the training left out show how well a network generalises.",
        show_default=False,
    ),
]

SameSettingsArgument = Annotated[
    Path,
    typer.Argument(
        metavar="PREPARED",
        help="Folder of a set that was prepared with the same settings, such as --size, as the training photographs.",
        show_default=False,
    ),
]

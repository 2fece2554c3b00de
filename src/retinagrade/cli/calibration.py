"""``retinagrade calibrate``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retinagrade.cli.console import ATTENTION, JsonOption, console, print_json

if TYPE_CHECKING:
    from retinagrade.evaluation.fitting.calibration import Calibration


class Rule(StrEnum):
    """Rules that choose thresholds."""

    SENSITIVITY = "sensitivity"
    SPECIFICITY = "specificity"
    FDA = "fda"


class CalibrationMethod(StrEnum):
    """Calibrations of probabilities."""

    TEMPERATURE = "temperature"
    ISOTONIC = "isotonic"
    NONE = "none"


def calibrate(
    predictions: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="Folder of a run, or a CSV file of validation predictions with columns image_id, p0 … p4 and grade.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file to write. [default: calibration.json in the folder of the run; nothing for a CSV file]"
        ),
    ] = None,
    rule: Annotated[
        Rule,
        typer.Option(
            help="Rule that chooses the thresholds for referable and vision-threatening retinopathy: a sensitivity, a "
            "specificity, or `fda`, the requirements of the first trial for the FDA (sensitivity above 85 %, "
            "specificity above 82.5 %)."
        ),
    ] = Rule.SENSITIVITY,
    target: Annotated[
        float | None, typer.Option(help="The sensitivity or specificity to reach, from 0 to 1. [default: 0.9]")
    ] = None,
    coverage: Annotated[
        float,
        typer.Option(help="Share of the photographs, from 0 to 1, whose prediction set should hold the right grade."),
    ] = 0.9,
    method: Annotated[
        CalibrationMethod,
        typer.Option(help="Calibration of the probabilities, on which thresholds and prediction sets are fitted."),
    ] = CalibrationMethod.TEMPERATURE,
    json: JsonOption = False,
) -> None:
    """Fit temperature, thresholds and prediction sets.

    They are fitted on validation predictions. The exit code is 1 if some of them can't be fitted or relied on.
    """
    from retinagrade.evaluation.fitting.calibration import calibration_to_json
    from retinagrade.runs.calibrate import calibrate as calibrate_run
    from retinagrade.runs.calibrate import calibration_file

    calibration = calibrate_run(
        predictions, out=out, rule=rule.value, target=target, coverage=coverage, method=method.value
    )
    if json:
        print_json({**calibration_to_json(calibration), "warnings": calibration.warnings})
    else:
        _print_calibration(calibration, out or calibration_file(predictions))
    if calibration.warnings:
        raise typer.Exit(ATTENTION)


def _print_calibration(calibration: Calibration, file: Path | None) -> None:
    from retinagrade.evaluation.predictions import graded_predictions, read_predictions
    from retinagrade.evaluation.report.tables import rich_table
    from retinagrade.runs.calibration_tables import FITTED_ON_NOTE, calibration_tables

    printed = console()
    graded = graded_predictions(read_predictions(Path(calibration.source.file)))
    for table in calibration_tables(calibration, graded):
        printed.print(rich_table(table))
    printed.print(FITTED_ON_NOTE.format(calibration.source.photographs), highlight=False)
    for message in calibration.warnings:
        printed.print(f"attention: {message}", style="bold red", highlight=False)
    warnings = "\n".join(calibration.warnings)
    for name, reason in calibration.undefined.items():
        if reason not in warnings:
            printed.print(f"undefined: {name}: {reason}", style="dim", highlight=False)
    printed.print(f"wrote {file}" if file else "nothing was written: name a file with --out", highlight=False)

"""``retinagrade calibrate``."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retinagrade.cli.console import ATTENTION, JsonOption, console, print_json
from retinagrade.cli.options import OverwriteOption
from retinagrade.errors import UsageError

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


class Referral(StrEnum):
    """Findings for which a photograph is referable."""

    RETINOPATHY = "retinopathy"
    RETINOPATHY_OR_OEDEMA = "retinopathy-or-oedema"


def calibrate(
    predictions: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="Folder of a run, an ensemble or a cross-validation, or a CSV file of validation predictions with the "
            "columns image_id, p0 … p4 and grade.",
        ),
    ],
    grades: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            help="Table with the columns image_id and grade, for a table of results of `grade`. `export --model` puts "
            "the calibration into the grader file.",
            show_default=False,
        ),
    ] = None,
    quality: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            help="Calibrate the gate of `grade` instead: a CSV table with the columns image_id and quality (good, "
            "usable or reject), as a person has judged a few dozen photographs. RUN is a table of results of `grade` "
            "with these photographs. `grade --gate FILE` takes the file of --out. Only --out, --overwrite and --json "
            "belong to it.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON file to write. [default: calibration.json of the run; for a CSV file, the command only prints]",
            show_default=False,
        ),
    ] = None,
    rule: Annotated[
        Rule,
        typer.Option(
            help="Rule that chooses the thresholds of all decisions: sensitivity and "
            "specificity reach --target; fda reaches the bar of IDx-DR's trial for the FDA (sensitivity above 85 %, "
            "specificity above 82.5 %)."
        ),
    ] = Rule.SENSITIVITY,
    target: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Sensitivity or specificity to reach, above 0 and up to 1. Not together with --rule fda. [default: "
            "0.9]",
            show_default=False,
        ),
    ] = None,
    coverage: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Share of the photographs, between 0 and 1, whose prediction set should hold the right grade. A "
            "prediction set is a range of neighbouring grades, such as mild to moderate.",
        ),
    ] = 0.9,
    method: Annotated[
        CalibrationMethod,
        typer.Option(
            help="Calibration of the probabilities: temperature divides the logits by one number; isotonic fits rising "
            "steps; none leaves the probabilities unchanged. The command fits thresholds and prediction sets after it."
        ),
    ] = CalibrationMethod.TEMPERATURE,
    referral: Annotated[
        Referral,
        typer.Option(
            help="Findings for which a photograph is referable: retinopathy of grade 2 or worse, or also macular "
            "oedema, as in the pivotal trials. The second one needs a network that knows macular oedema."
        ),
    ] = Referral.RETINOPATHY,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Fit temperature, thresholds and sets of grades, or the gate.

    The command fits everything on validation predictions. `evaluate` measures the file on other photographs, and
    `export` puts it into the grader file. A temperature makes probabilities honest. A threshold turns a probability
    into a decision, such as referable or not.

    Exit code 0: done; 1: something can't be fitted or relied on, and a line that begins with "attention" names it; 2:
    nothing could be fitted.
    """
    if quality is not None:
        if grades is not None or target is not None:
            raise UsageError("--quality calibrates the gate, and --grades and --target the grades: give one of them")
        _calibrate_gate(predictions, quality, out, overwrite, json)
        return
    from retinagrade.evaluation.fitting.calibration import calibration_to_json
    from retinagrade.runs.calibrate import calibrate as calibrate_run
    from retinagrade.runs.calibrate import calibration_file

    calibration = calibrate_run(
        predictions,
        grades=grades,
        out=out,
        overwrite=overwrite,
        rule=rule.value,
        target=target,
        coverage=coverage,
        method=method.value,
        referral=referral.value,
    )
    if json:
        print_json({**calibration_to_json(calibration), "warnings": calibration.warnings})
    else:
        _print_calibration(calibration, grades, out or calibration_file(predictions))
    if calibration.warnings:
        raise typer.Exit(ATTENTION)


def _calibrate_gate(results: Path, quality: Path, out: Path | None, overwrite: bool, json: bool) -> None:
    from retinagrade.grader.calibrate_gate import calibrate_gate

    calibration = calibrate_gate(results, quality, out=out, overwrite=overwrite)
    if json:
        print_json(asdict(calibration) | {"settings": calibration.settings.model_dump()})
    else:
        console().print(repr(calibration))
        if calibration.left_out:
            console().print(f"left out, because they could not be read: {', '.join(calibration.left_out)}")
        console().print(f"wrote {out}" if out else "nothing was written: name a file with --out")
    if calibration.warnings or calibration.left_out:
        raise typer.Exit(ATTENTION)


def _print_calibration(calibration: Calibration, grades: Path | None, file: Path | None) -> None:
    from retinagrade.evaluation.predictions import graded_predictions, read_predictions
    from retinagrade.evaluation.report.tables import rich_table
    from retinagrade.runs.calibration_tables import FITTED_ON_NOTE, calibration_tables
    from retinagrade.runs.predictions import Predictions

    printed = console()
    source = Path(calibration.source.file)
    rows = read_predictions(source) if grades is None else Predictions.read(source, grades=grades).table
    graded = graded_predictions(rows[rows["image_id"].isin(calibration.source.image_ids)])
    for table in calibration_tables(calibration, graded):
        printed.print(rich_table(table))
    printed.print(FITTED_ON_NOTE.format(calibration.source.photographs))
    for message in calibration.warnings:
        printed.print(f"attention: {message}", style="bold red")
    warnings = "\n".join(calibration.warnings)
    for name, reason in calibration.undefined.items():
        if reason not in warnings:
            printed.print(f"undefined: {name}: {reason}", style="dim")
    printed.print(f"wrote {file}" if file else "nothing was written: name a file with --out")

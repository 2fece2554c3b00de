"""``retinagrade calibrate``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from retinagrade.cli.console import ATTENTION, JsonOption, console, print_json
from retinagrade.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from retinagrade.evaluation.fitting.calibration import Calibration
    from retinagrade.evaluation.predictions import GradedPredictions


class Rule(StrEnum):
    """How thresholds are chosen."""

    SENSITIVITY = "sensitivity"
    SPECIFICITY = "specificity"
    FDA = "fda"


class CalibrationMethod(StrEnum):
    """How probabilities are calibrated."""

    TEMPERATURE = "temperature"
    ISOTONIC = "isotonic"
    NONE = "none"


def register(app: typer.Typer) -> None:
    """Adds this module's commands."""
    app.command("calibrate")(calibrate)


def calibrate(
    predictions: Annotated[
        Path, typer.Argument(help="A run's folder, or a table of validation predictions with image_id, p0 … p4, grade.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The file to write. [default: RUN/calibration.json; of a table, none]")
    ] = None,
    rule: Annotated[
        Rule,
        typer.Option(
            help="Thresholds for referable and vision-threatening retinopathy: with the stated sensitivity, or "
            "specificity; or above the bar of the first trial for the FDA, 85 % and 82.5 %."
        ),
    ] = Rule.SENSITIVITY,
    target: Annotated[
        float | None, typer.Option(help="That sensitivity or specificity, from 0 to 1. [default: 0.9]")
    ] = None,
    coverage: Annotated[
        float, typer.Option(help="How often the right grade is to be in the set of possible grades, from 0 to 1.")
    ] = 0.9,
    method: Annotated[
        CalibrationMethod, typer.Option(help="Calibration of the probabilities, on which all else is fitted.")
    ] = CalibrationMethod.TEMPERATURE,
    json: JsonOption = False,
) -> None:
    """Fit temperature, thresholds and sets of grades on validation predictions; exit 1 if some can't be had."""
    if rule is Rule.FDA and target is not None:
        raise UsageError("--rule fda has its own bar: leave --target out")
    if target is not None and not 0 < target <= 1:
        raise UsageError(f"--target {target:g}: write a share above 0 and up to 1, such as 0.9")
    if not 0 < coverage < 1:
        raise UsageError(f"--coverage {coverage:g}: write a share between 0 and 1, such as 0.9")
    from retinagrade.evaluation.fitting.calibration import calibration_to_json, fit_calibration, save_calibration
    from retinagrade.evaluation.predictions import graded_predictions, read_predictions

    source, out = _places(predictions, out)
    photographs = graded_predictions(read_predictions(source))
    fitted = fit_calibration(
        photographs, source, rule=rule.value, target=target, coverage=coverage, method=method.value
    )
    if out is not None:
        save_calibration(fitted, out)
    if json:
        print_json({**calibration_to_json(fitted), "warnings": fitted.warnings})
    else:
        for part in _tables(fitted, photographs):
            console().print(part)
        console().print(f"wrote {out}" if out else "nothing was written: say where to with --out", highlight=False)
    if fitted.warnings:
        raise typer.Exit(ATTENTION)


def _places(predictions: Path, out: Path | None) -> tuple[Path, Path | None]:
    """The table to read, and the file to write."""
    if not predictions.is_dir():
        in_run = predictions.resolve().parent.name == "predictions"
        if in_run and predictions.stem.removesuffix("-tta") in ("train", "test"):
            raise UsageError(
                f"{predictions}: thresholds are fitted on validation predictions; fitted on the {predictions.stem} "
                "split, they would say nothing about it any more"
            )
        return predictions, out
    from retinagrade.runs.run import Run

    run = Run(predictions)
    source = run.predictions_file("val")
    if not source.is_file():
        raise UsageError(f"{predictions} is no run with validation predictions: there is no {source}")
    return source, out or run.calibration_file


def _tables(fitted: Calibration, photographs: GradedPredictions) -> list[RenderableType]:
    """What was fitted, for people."""
    from rich.text import Text

    parts: list[RenderableType] = [_calibration(fitted), _operating_points(fitted), _others(fitted)]
    parts.append(_sets(fitted, photographs))
    parts.append(
        Text(
            f"Thresholds, cuts and sets have the figures of the {fitted.source.photographs} photographs that they were "
            "fitted on: expect worse on others, and judge them on others."
        )
    )
    parts += [Text(f"attention: {message}", style="bold red") for message in fitted.warnings]
    told = "\n".join(fitted.warnings)
    undefined = {name: why for name, why in fitted.undefined.items() if why not in told}
    parts += [Text(f"undefined: {name}: {why}", style="dim") for name, why in undefined.items()]
    return parts


def _calibration(fitted: Calibration) -> Table:
    from retinagrade.pages.page import format_metric

    table = Table("probabilities", "log loss", "calibration error", title=f"{fitted.source.photographs} photographs")
    names = {
        "none": "as predicted",
        "temperature": f"temperature {fitted.temperature.temperature:.3f}",
        "isotonic": "isotonic",
    }
    for name, figures in fitted.metrics.items():
        cells = (None, None) if figures is None else (figures.log_loss, figures.calibration_error)
        table.add_row(names[name] + (" (used below)" if name == fitted.method else ""), *map(format_metric, cells))
    table.caption = "each fifth calibrated by what was fitted on the other four"
    return table


def _operating_points(fitted: Calibration) -> Table:
    asked = {
        "sensitivity": "sensitivity at least {:g}",
        "specificity": "specificity at least {:g}",
        "fda": "sensitivity > 85 %, specificity > 82.5 %",
    }
    table = Table("positive", "asked for", "from probability", "sensitivity", "specificity", "photographs + / -")
    for name, point in (("referable", fitted.referable), ("vision-threatening", fitted.vision_threatening)):
        if point is None:
            table.add_row(name, *["–"] * 5)
            continue
        table.add_row(
            name,
            asked[point.rule].format(point.target),
            f"{point.threshold:.3f}",
            f"{point.sensitivity:.3f}",
            f"{point.specificity:.3f}",
            f"{point.positives} / {point.negatives}",
        )
    return table


def _others(fitted: Calibration) -> Table:
    from retinagrade.pages.page import format_metric

    table = Table("rule", "fitted", "gives")
    cuts = fitted.grade_cuts
    if cuts is not None:
        kappas = (cuts.quadratic_weighted_kappa, cuts.cross_validated, cuts.of_most_probable)
        table.add_row(
            "grade by cuts of the expected grade",
            " ".join(f"{cut:.2f}" for cut in cuts.cuts),
            "QWK {} (cross-validated {}); most probable grade: {}".format(*map(format_metric, kappas)),
        )
    for asked, referral in (
        ("a person sees at most {:.0%}", fitted.review_share),
        ("at most {:.0%} of the others are wrong", fitted.review_error),
    ):
        if referral is not None:
            gives = (referral.reviewed, referral.error, referral.far_off)
            table.add_row(
                asked.format(referral.target),
                f"confidence below {referral.confidence:.3f}",
                "{:.0%} seen; of the others {:.0%} wrong, {:.0%} by 2 or more".format(*gives),
            )
    return table


def _sets(fitted: Calibration, photographs: GradedPredictions) -> Table:
    from retinagrade.evaluation.fitting.conformal import prediction_sets

    probabilities = fitted.calibrate(photographs.probabilities)
    columns = ("one grade", "two", "three", "four", "all five", "mean size")
    table = Table("sets of grades that hold the right one in", "do in", *columns)
    for name, conformal in (
        (f"{fitted.conformal.coverage:g} of all photographs", fitted.conformal),
        (f"{fitted.conformal.coverage:g} of each grade", fitted.conformal_by_grade),
    ):
        sets = prediction_sets(conformal, probabilities)
        sizes = sets.sum(axis=1)
        table.add_row(
            name,
            f"{sets[range(len(sets)), photographs.grades].mean():.3f}",
            *(f"{(sizes == size).mean():.0%}" for size in range(1, 6)),
            f"{sizes.mean():.2f}",
        )
    return table

"""The command line: every command parses its arguments, calls one function of the package and prints its result.

Exit codes: 0 done; 1 done, but a person should look at something; 2 not done; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Final

import typer

from retinagrade import __version__
from retinagrade.cli import (
    adaptation,
    calibration,
    data,
    demo,
    ensembles,
    evaluation,
    explanation,
    export,
    gate,
    grader,
    info,
    lesion_agreement,
    lesion_maps,
    monitoring,
    node,
    sample_plan,
    service,
    training,
    tuning,
    validation,
)
from retinagrade.cli.console import INTERRUPTED
from retinagrade.cli.failures import NOT_DONE, finish_output, make_output_safe, report
from retinagrade.cli.plain_help import GroupedCommands, PlainCommand

ENVIRONMENT: Final = {"GOMP_SPINCOUNT": "10000"}
"""Environment variables that the program sets unless the user has set them. Threads of torch then wait for each other
for microseconds at full load, not for milliseconds. On a busy machine, waiting threads keep the working ones from the
processor: training took five times as long."""

DEBUG: Final = "--debug"

app = typer.Typer(cls=GroupedCommands, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"retinagrade {__version__}")
        raise typer.Exit


@app.callback()
def retinagrade(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Print the traceback of an error as well. It may stand behind a command, too.")
    ] = False,
) -> None:
    """Grade diabetic retinopathy honestly, from colour fundus photographs.

    `retinagrade grade eye.jpg` works at once, with the bundled grader. To train a network of your own, give these
    commands in this order: prepare, split, train, evaluate, calibrate, export, grade.

    A prepared set is a folder of cropped photographs with their table, manifest.csv. An experiment is the settings of
    one training. A run is the folder of one training. Predictions are five probabilities for each photograph. A grader
    file is one ONNX file that grades photographs. The grades are 0 none, 1 mild, 2 moderate, 3 severe and
    4 proliferative; a grade is referable from 2 on, and vision-threatening from 3 on.

    Every command prints its result on standard output, and progress and errors on standard error. Exit codes: 0 done;
    1 done, but a person should look at something; 2 not done; 130 stopped by Ctrl-C.

    Research software, not a medical device.
    """


def _add_commands() -> None:
    """Registers every command under its heading, in the order of the work."""
    app.add_typer(data.data, name="data", rich_help_panel="Data")
    app.add_typer(training.experiments, name="experiments", rich_help_panel="Training")
    for heading, functions in {
        "Data": (data.prepare, data.split),
        "Training": (
            training.train,
            tuning.tune,
            training.predict,
            ensembles.ensemble,
            lesion_maps.outline,
            lesion_maps.fit_grades,
            gate.train_gate,
        ),
        "Evaluation": (
            sample_plan.plan,
            evaluation.evaluate,
            evaluation.compare,
            calibration.calibrate,
            explanation.explain,
            lesion_agreement.lesion_agreement,
        ),
        "Deployment": (
            export.export,
            grader.grade,
            validation.validate,
            adaptation.adapt,
            monitoring.monitor,
            service.serve,
            node.listen,
        ),
        "About": (demo.demo, info.info),
    }.items():
        for function in functions:
            app.command(function.__name__.replace("_", "-"), cls=PlainCommand, rich_help_panel=heading)(function)


_add_commands()


def main() -> None:
    """Runs the command line. Every error becomes one clear line and exit code 2; ``--debug`` adds its traceback."""
    for name, value in ENVIRONMENT.items():  # torch reads them when it is imported
        os.environ.setdefault(name, value)
    make_output_safe()
    arguments = [argument for argument in sys.argv[1:] if argument != DEBUG]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        code = _run(arguments)
        finish_output()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        report(error, debug)
        code = NOT_DONE
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """Runs a command, and returns its exit code."""
    try:
        app(arguments, prog_name="retinagrade")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else NOT_DONE * bool(ended.code)
    return 0

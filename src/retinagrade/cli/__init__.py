"""The command line: every command parses its arguments, calls one function of the package and prints its result.

Exit codes: 0 done; 1 done, but a person should look at something; 2 not done; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from importlib.metadata import requires
from typing import Annotated, Final

import typer
from rich.console import Console

from retinagrade import __version__
from retinagrade.cli import (
    calibration,
    data,
    demo,
    ensembles,
    evaluation,
    explanation,
    export,
    grader,
    info,
    lesions,
    service,
    training,
    tuning,
)
from retinagrade.cli.plain_help import GroupedCommands, PlainCommand
from retinagrade.errors import RetinagradeError

ENVIRONMENT: Final = {"GOMP_SPINCOUNT": "10000"}
"""Environment variables that the program sets unless the user has set them. Threads of torch then wait for each other
for microseconds at full load, not for milliseconds. On a busy machine, waiting threads keep the working ones from the
processor: training took five times as long."""

DISTRIBUTIONS: Final = {"sklearn": "scikit-learn", "upath": "universal-pathlib", "cv2": "opencv-python-headless"}
"""Distributions whose names differ from the names of their modules by more than a hyphen."""


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
        "Training": (training.train, tuning.tune, training.predict, ensembles.ensemble),
        "Evaluation": (
            evaluation.evaluate,
            evaluation.compare,
            calibration.calibrate,
            explanation.explain,
            lesions.lesions,
        ),
        "Deployment": (export.export, grader.grade, service.serve),
        "About": (demo.demo, info.info),
    }.items():
        for function in functions:
            app.command(function.__name__, cls=PlainCommand, rich_help_panel=heading)(function)


_add_commands()


def main() -> None:
    """Runs the command line. Every expected error becomes one clear message and exit code 2."""
    for name, value in ENVIRONMENT.items():  # torch reads them when it is imported
        os.environ.setdefault(name, value)
    try:
        app()
    except RetinagradeError as error:
        _fail(str(error))
    except (FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        if error.filename is None:
            raise
        path = error.filename2 or error.filename
        _fail(f"{path} can't be used ({error.strerror}): choose another path, or change this one")
    except ModuleNotFoundError as error:
        module = (error.name or "").split(".")[0]
        extra = extra_of(module)
        if extra is None:
            raise
        _fail(f"this command needs {module}, which the base install leaves out: pip install 'retinagrade[{extra}]'")


def extra_of(module: str, requirements: Iterable[str] | None = None) -> str | None:
    """Finds the smallest extra that installs a module.

    Args:
        module: Name of a top-level module.
        requirements: The requirements of a distribution, as its metadata has them; by default those of retinagrade.

    Returns:
        The name of the extra; ``None`` where no extra names the module's distribution.

    Example:
        >>> extra_of("sklearn", ["scikit-learn>=1.5; extra == 'evaluate'", "numpy>=2.0"])
        'evaluate'
    """
    distribution = DISTRIBUTIONS.get(module, module.replace("_", "-"))
    extras: dict[str, set[str]] = defaultdict(set)
    for requirement in requires("retinagrade") or [] if requirements is None else requirements:
        if match := re.match(r"([\w.-]+).*; extra == '([\w-]+)'", requirement):
            extras[match[2]].add(match[1])
    return min(
        (extra for extra, packages in extras.items() if distribution in packages and extra != "dev"),
        key=lambda extra: len(extras[extra]),
        default=None,
    )


def _fail(message: str) -> None:
    Console(stderr=True, soft_wrap=True).print(f"error: {message}", markup=False, highlight=False, style="red")
    sys.exit(2)

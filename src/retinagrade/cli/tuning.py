"""``retinagrade tune``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from retinagrade.cli.console import ATTENTION, console, error_console, terminal_progress
from retinagrade.cli.options import SettingsOption


class Pruning(StrEnum):
    """Rules that stop unpromising trials early."""

    MEDIAN = "median"
    HYPERBAND = "hyperband"
    NONE = "none"


def tune(
    prepared: Annotated[
        Path,
        typer.Argument(
            metavar="PREPARED",
            help="Folder of a prepared set with a split. The command uses only the splits train and val.",
        ),
    ],
    experiment: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT", help="Name of an experiment (see `retinagrade experiments list`), or a YAML file."
        ),
    ],
    space: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="YAML file with the settings to search, one a line: a range, such as training.learning_rate: {low: "
            "1.0e-4, high: 3.0e-2, log: true}, or choices, such as network.output: {choices: [softmax, ordinal]}.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Folder of the search: a run for each trial (trial-000 …), trials.csv, winner.yaml and report.html.",
        ),
    ],
    trials: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="NUMBER",
            help="Number of trials. The first is the unchanged experiment. A larger number extends a finished search.",
        ),
    ] = 20,
    metric: Annotated[
        str,
        typer.Option(
            metavar="METRIC",
            help="Metric of the validation photographs to optimise. Its name is one of metrics.json, which `evaluate` "
            "writes.",
        ),
    ] = "quadratic_weighted_kappa",
    pruning: Annotated[
        Pruning,
        typer.Option(
            help="Rule that stops unpromising trials early: median stops those that are worse than the median of the "
            "others at the same epoch; hyperband keeps the best third as epochs go on; none stops none."
        ),
    ] = Pruning.MEDIAN,
    seed: Annotated[
        int, typer.Option(min=0, metavar="NUMBER", help="Seed of the draws: one seed always makes the same trials.")
    ] = 0,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Database for the trials, such as postgresql://user:password@host/database or sqlite:///file.db. "
            "Workers on several machines can share it. [default: a file in --out]",
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Run whose network a fine-tuning experiment starts from. [default: the run beside --out with the name "
            "of the experiment that this one starts from]",
        ),
    ] = None,
    settings: SettingsOption = None,
) -> None:
    """Search for better settings of an experiment.

    Every trial is a run. The best settings become an experiment, winner.yaml, and report.html compares it with the
    unchanged experiment. `train` takes winner.yaml as its EXPERIMENT. The same command continues after an interruption,
    and in another shell it shares the trials. The command needs pip install 'retinagrade[tune]'.

    Exit code 0: all trials are done; 1: some failed; 2: the search was not possible.
    """
    from retinagrade.training.tuning.tune import tune as tune_experiment

    try:
        with terminal_progress() as progress:
            result = tune_experiment(
                prepared,
                experiment,
                out,
                space=space,
                trials=trials,
                metric=metric,
                pruning=pruning.value,
                storage=storage,
                seed=seed,
                start=start,
                settings=settings or [],
                progress=progress,
            )
    except KeyboardInterrupt:
        error_console().print(f"stopped: the same command continues the search in {out}")
        raise
    printed = console()
    if result is None:
        printed.print("no trial is left for this worker; the last other worker writes the report")
        return
    printed.print(result.verdict())
    printed.print(f"wrote {result.report}")
    printed.print(f"next: retinagrade train {prepared} {result.winner_file} --out RUN")
    if (result.trials["state"] == "failed").any():
        raise typer.Exit(ATTENTION)

"""``retinagrade tune``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from retinagrade.cli.console import ATTENTION, console, terminal_progress


class Pruning(StrEnum):
    """Rules that stop unpromising trials early."""

    MEDIAN = "median"
    HYPERBAND = "hyperband"
    NONE = "none"


def tune(
    prepared: Annotated[
        Path, typer.Argument(help="Folder of a prepared set with splits train and val; no other split is used.")
    ],
    experiment: Annotated[str, typer.Argument(help="Name of an experiment, or a YAML file.")],
    space: Annotated[
        Path,
        typer.Option(
            help="A YAML file with the settings to search, such as training.learning_rate, each with low and high (and "
            "log: true, or step), or with choices."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the search: a run for each trial, winner.yaml and report.html.")],
    trials: Annotated[int, typer.Option(min=1, help="Number of trials; the first is the unchanged experiment.")] = 20,
    metric: Annotated[
        str, typer.Option(help="Metric of the validation photographs to optimise, named as in metrics.json.")
    ] = "quadratic_weighted_kappa",
    pruning: Annotated[
        Pruning,
        typer.Option(
            help="Rule that stops unpromising trials early: `median` if they are worse than the median of the others "
            "at the same epoch, `hyperband`, or `none`."
        ),
    ] = Pruning.MEDIAN,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sampler that draws the settings.")] = 0,
    storage: Annotated[
        str | None,
        typer.Option(
            help="URL of a database for the trials, such as postgresql://user:password@host/database or "
            "sqlite:///file.db, which workers on several machines can share. [default: a file in OUT]"
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the run that the trials start from, for an experiment that fine-tunes another. "
            "[default: the run beside OUT that is named like that experiment]"
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Setting to change in all trials, as section.key=value. May be repeated."),
    ] = None,
) -> None:
    """Search for better settings of an experiment.

    Every trial is a run. The best settings become an experiment, winner.yaml, and report.html compares it with the
    unchanged experiment. The same command continues after an interruption, and in another shell it shares the trials.
    The exit code is 1 if a trial has failed.
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
        typer.echo(f"stopped: the same command continues the search in {out}", err=True)
        raise
    printed = console()
    if result is None:
        printed.print("no trial is left for this worker; the last other worker writes the report", highlight=False)
        return
    printed.print(result.verdict(), highlight=False)
    printed.print(f"wrote {result.report}", highlight=False)
    printed.print(f"next: retinagrade train {prepared} {result.winner_file} --out RUN", highlight=False)
    if (result.trials["state"] == "failed").any():
        raise typer.Exit(ATTENTION)

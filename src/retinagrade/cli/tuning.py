"""``retinagrade tune``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from retinagrade.cli.console import ATTENTION, console


class Pruning(StrEnum):
    """How trials that promise little are cut short."""

    MEDIAN = "median"
    HYPERBAND = "hyperband"
    NONE = "none"


def register(app: typer.Typer) -> None:
    """Adds this module's commands."""
    app.command("tune")(tune)


def tune(
    experiment: Annotated[str, typer.Argument(help="The name of an experiment, or a YAML file.")],
    space: Annotated[
        Path,
        typer.Option(
            help="A YAML file of what to search: settings such as training.learning_rate, each with low and high (and "
            "log: true, or step), or with choices."
        ),
    ],
    data: Annotated[Path, typer.Option(help="A prepared set with splits train and val; no other one is used.")],
    out: Annotated[Path, typer.Option(help="The study's folder; its trials are runs there.")],
    trials: Annotated[
        int, typer.Option(min=1, help="Trials that the study is to have; the first is the experiment as it is.")
    ] = 20,
    metric: Annotated[
        str, typer.Option(help="The figure of the validation photographs to be best, named as in metrics.json.")
    ] = "quadratic_weighted_kappa",
    pruning: Annotated[
        Pruning, typer.Option(help="Cut trials short that are worse than the median at their epoch, or by Hyperband.")
    ] = Pruning.MEDIAN,
    seed: Annotated[int, typer.Option(min=0, help="Of what is tried.")] = 0,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Where trials are kept: a URL such as postgresql://user:password@host/database or sqlite:///file.db. "
            "[default: a file in OUT]"
        ),
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="The run to start from, for experiments that go on with another.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change one setting of all trials: section.key=value. May be repeated."),
    ] = None,
) -> None:
    """Search for better settings of an experiment: many runs, the best of them as an experiment, and a report.

    The same command again goes on after an interruption, and in another shell it helps: workers share the trials.
    """
    from retinagrade.experiments.experiment import load_experiment
    from retinagrade.training.tuning.search import SearchPlan
    from retinagrade.training.tuning.search_space import read_space
    from retinagrade.training.tuning.tune import tune as tune_experiment

    plan = SearchPlan(load_experiment(experiment, overrides or []), read_space(space), metric, pruning.value, seed)
    try:
        found = tune_experiment(plan, data, out, trials, storage, start, typer.echo)
    except KeyboardInterrupt:
        typer.echo(f"stopped: the same command goes on with {out}", err=True)
        raise
    if found is None:
        typer.echo("no trial is left; the last of the other workers writes the report")
        return
    printed = console()
    printed.print(found.verdict(), highlight=False)
    printed.print(f"wrote {out / 'report.html'}", highlight=False)
    printed.print(f"next: retinagrade train {out / 'winner.yaml'} --data {data} --out RUN", highlight=False)
    if (found.trials["state"] == "failed").any():
        raise typer.Exit(ATTENTION)

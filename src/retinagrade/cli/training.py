"""``retinagrade experiments``, ``train`` and ``predict``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retinagrade.cli.console import JsonOption, console, print_json
from retinagrade.errors import UsageError

if TYPE_CHECKING:
    from retinagrade.training.experiment import Experiment

experiments = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="The experiments that come with retinagrade."
)


def register(app: typer.Typer) -> None:
    """Adds this module's commands."""
    app.add_typer(experiments, name="experiments")
    app.command("train")(train)
    app.command("predict")(predict)


@experiments.command("list")
def list_experiments(json: JsonOption = False) -> None:
    """Names and descriptions of all experiments."""
    from retinagrade.training.experiment import experiment_names, load_experiment

    found = [load_experiment(name) for name in experiment_names()]
    if json:
        print_json([{"name": e.name, "description": e.description, "source": e.source} for e in found])
        return
    for experiment in found:
        console().print(f"{experiment.name:24}{experiment.description} ({experiment.source})", highlight=False)


@experiments.command("show")
def show_experiment(
    name: Annotated[str, typer.Argument(help="An experiment's name, or a YAML file.")],
) -> None:
    """One experiment, whole, as YAML to copy and change."""
    from retinagrade.training.experiment import load_experiment

    typer.echo(load_experiment(name).to_yaml(), nl=False)


def train(
    experiment: Annotated[str, typer.Argument(help="An experiment's name, or a YAML file.")],
    data: Annotated[Path, typer.Option(help="A prepared set with a split.")],
    out: Annotated[Path, typer.Option(help="The run's folder; the same command again continues it.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change one setting: section.key=value. May be repeated."),
    ] = None,
    folds: Annotated[
        int | None, typer.Option(help="Cross-validate instead: train this many runs in OUT/fold-0, OUT/fold-1, …")
    ] = None,
    find_rate: Annotated[
        bool, typer.Option("--find-rate", help="Don't train: suggest a learning rate, from a few steps at rising ones.")
    ] = False,
) -> None:
    """Train an experiment; keep the best epoch and predict the validation photographs with it."""
    from retinagrade.training.experiment import load_experiment

    if folds is not None and find_rate:
        raise UsageError("--folds and --find-rate: choose one of them")
    chosen = load_experiment(experiment, overrides or [])
    try:
        if find_rate:
            _find_rate(chosen, data, out)
        elif folds is not None:
            _train_folds(chosen, data, out, folds)
        else:
            _train_once(chosen, data, out)
    except KeyboardInterrupt:
        if not find_rate:
            typer.echo(f"stopped: the same command continues {out} after its last whole epoch", err=True)
        raise


def _train_once(experiment: Experiment, data: Path, out: Path) -> None:
    from retinagrade.training.train import train as train_experiment

    run = train_experiment(experiment, data, out)
    record = run.record()
    best = record["best"]
    printed = console()
    printed.print(
        f"{record['experiment']}: {record['epochs']} epochs in {record['training_seconds']:.0f} s; best epoch "
        f"{best['epoch'] + 1:.0f} with {_figures(best)}",
        highlight=False,
    )
    printed.print(f"next: retinagrade evaluate {run.predictions_file('val')}", highlight=False)


def _train_folds(experiment: Experiment, data: Path, out: Path, folds: int) -> None:
    from retinagrade.training.folds import train_folds

    result = train_folds(experiment, data, out, folds, announce=typer.echo)
    record = result.record()
    printed = console()
    for best in record["best"]:
        printed.print(f"fold {best['fold']}: best epoch {best['epoch'] + 1:.0f} with {_figures(best)}", highlight=False)
    means = {name: None if over is None else over["mean"] for name, over in record["over_folds"].items()}
    spreads = {name: None if over is None else over["sd"] for name, over in record["over_folds"].items()}
    printed.print(f"{record['experiment']}: mean {_figures(means)}", highlight=False)
    printed.print(f"± standard deviation {_figures(spreads)}", highlight=False)
    printed.print(f"next: retinagrade evaluate {result.predictions_file}", highlight=False)


def _find_rate(experiment: Experiment, data: Path, out: Path) -> None:
    from retinagrade.training.learning_rate import find_learning_rate

    found = find_learning_rate(experiment, data, out)
    printed = console()
    printed.print(f"suggested: --set training.learning_rate={found.suggestion:g}", highlight=False)
    printed.print(
        f"look at {out / 'learning_rate.png'}; the losses are in learning_rate.csv beside it", highlight=False
    )


def _figures(best: Mapping[str, float | None]) -> str:
    names = {"val_loss": "validation loss", "val_accuracy": "accuracy", "val_qwk": "QWK"}
    values = ((name, best[key]) for key, name in names.items())
    return ", ".join(f"{name} {'undefined' if value is None else f'{value:.3f}'}" for name, value in values)


def predict(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    data: Annotated[Path, typer.Option(help="A set prepared with the settings of the training photographs.")],
    split: Annotated[
        str, typer.Option(help="Which photographs, by the manifest's split; 'all' for every one.")
    ] = "test",
    out: Annotated[Path | None, typer.Option(help="The table to write. [default: RUN/predictions/SPLIT.csv]")] = None,
    tta: Annotated[
        bool, typer.Option("--tta", help="Average over four mirrored views; writes to SPLIT-tta.csv by default.")
    ] = False,
) -> None:
    """Grade prepared photographs with a trained network; writes a table keyed by image_id."""
    from retinagrade.training.predict import predict as predict_split
    from retinagrade.training.run import Run

    console().print(f"wrote {predict_split(Run(run), data, split, out, flips=tta)}", highlight=False)

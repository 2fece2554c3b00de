"""``retinagrade experiments``, ``train`` and ``predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retinagrade.cli.console import JsonOption, console, print_json

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
    width = 2 + max(len(experiment.name) for experiment in found)
    for experiment in found:
        console().print(f"{experiment.name:{width}}{experiment.description} ({experiment.source})", highlight=False)


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
) -> None:
    """Train an experiment; keep the best epoch and predict the validation photographs with it."""
    from retinagrade.training.experiment import load_experiment
    from retinagrade.training.train import train as train_experiment

    run = train_experiment(load_experiment(experiment, overrides or []), data, out)
    record = run.record()
    best = record["best"]
    printed = console()
    printed.print(
        f"{record['experiment']}: {record['epochs']} epochs in {record['training_seconds']:.0f} s; best epoch "
        f"{best['epoch'] + 1:.0f} with validation loss {best['val_loss']:.3f}, accuracy {best['val_accuracy']:.3f}, "
        f"QWK {best['val_qwk']:.3f}",
        highlight=False,
    )
    printed.print(f"next: retinagrade evaluate {run.predictions_file('val')}", highlight=False)


def predict(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    data: Annotated[Path, typer.Option(help="A set prepared with the settings of the training photographs.")],
    split: Annotated[
        str, typer.Option(help="Which photographs, by the manifest's split; 'all' for every one.")
    ] = "test",
    out: Annotated[Path | None, typer.Option(help="The table to write. [default: RUN/predictions/SPLIT.csv]")] = None,
) -> None:
    """Grade prepared photographs with a trained network; writes a table keyed by image_id."""
    from retinagrade.training.predict import predict as predict_split
    from retinagrade.training.run import Run

    console().print(f"wrote {predict_split(Run(run), data, split, out)}", highlight=False)

"""``retinagrade experiments``, ``train`` and ``predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from retinagrade.cli.console import ATTENTION, JsonOption, console, print_json
from retinagrade.errors import UsageError

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
    yaml: Annotated[bool, typer.Option("--yaml", help="Print the YAML instead, to copy and change.")] = False,
) -> None:
    """One experiment: its network layer by layer with shapes and parameters, and how it is trained."""
    from retinagrade.training.experiment import load_experiment

    experiment = load_experiment(name)
    if yaml:
        typer.echo(experiment.to_yaml(), nl=False)
        return
    from retinagrade.models.network import build_network
    from retinagrade.models.summary import summary_table

    printed = console()
    printed.print(f"{experiment.name}: {experiment.description}", highlight=False)
    printed.print(f"source: {experiment.source}", highlight=False)
    if experiment.starts_from is not None:
        printed.print(f"starts from a run of {experiment.starts_from}", highlight=False)
    network = build_network(experiment.network.model_copy(update={"weights": "none"}))
    printed.print(summary_table(network, experiment.network))
    for section in ("augmentation", "training"):
        settings = getattr(experiment, section).model_dump(exclude_none=True)
        printed.print(f"{section}: {', '.join(f'{key} {value}' for key, value in settings.items())}", highlight=False)


def train(
    experiments: Annotated[
        list[str], typer.Argument(help="Names or YAML files; 'all' or patterns such as 'vgg16-*' for many.")
    ],
    data: Annotated[Path, typer.Option(help="A prepared set with a split.")],
    out: Annotated[
        Path, typer.Option(help="The run's folder, or for many experiments the folder of theirs; again continues it.")
    ],
    start: Annotated[
        Path | None, typer.Option(help="The run that a fine-tuning experiment starts from. [default: beside OUT]")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change one setting: section.key=value. May be repeated."),
    ] = None,
) -> None:
    """Train experiments; keep the best epoch and predict the validation photographs with it.

    Many experiments are compared at last: comparison.html. One that fails doesn't stop the others.
    """
    from retinagrade.training.many import EVERYTHING, choose

    if experiments == [EVERYTHING] or len(chosen := choose(experiments)) > 1 or chosen != experiments:
        if start is not None:
            raise UsageError("--start is for one experiment; many start from the runs beside them")
        _train_many(experiments, data, out, overrides or [])
    else:
        _train_one(chosen[0], data, out, start, overrides or [])


def _train_one(experiment: str, data: Path, out: Path, start: Path | None, overrides: list[str]) -> None:
    from retinagrade.pages import figure
    from retinagrade.training.experiment import load_experiment
    from retinagrade.training.train import train as train_experiment

    run = train_experiment(load_experiment(experiment, overrides), data, out, start=start)
    record = run.record()
    best = record["best"]
    printed = console()
    printed.print(
        f"{record['experiment']}: {record['epochs']} epochs in {record['training_seconds']:.0f} s; best epoch "
        f"{best['epoch'] + 1:.0f} with validation loss {best['val_loss']:.3f}, accuracy {best['val_accuracy']:.3f}, "
        f"QWK {figure(best['val_qwk'])}",
        highlight=False,
    )
    printed.print(f"next: retinagrade evaluate {run.predictions_file('val')}", highlight=False)


def _train_many(experiments: list[str], data: Path, out: Path, overrides: list[str]) -> None:
    from retinagrade.pages import figure
    from retinagrade.training.comparison import compare, finished_runs, write_comparison
    from retinagrade.training.many import train_many

    printed = console()
    runs, failures = train_many(
        experiments, data, out, overrides, lambda line: printed.print(line, style="bold", highlight=False)
    )
    if runs or finished_runs(out):
        page = write_comparison(out, failures)
        table = Table("run", "QWK", "referable AUC", "accuracy", "parameters", "epochs", "minutes")
        for row in compare(finished_runs(out)).to_dict("records"):
            figures = (row["quadratic_weighted_kappa"], row["referable_auc"], row["accuracy"])
            about = (f"{row['total']:,}", str(row["epochs"]), f"{row['seconds'] / 60:.1f}")
            table.add_row(row["run"], *(figure(value) for value in figures), *about)
        printed.print(table)
        printed.print(f"wrote {page}", highlight=False)
    for name, reason in failures.items():
        printed.print(f"{name} failed: {reason}", style="red", highlight=False)
    if failures:
        raise typer.Exit(ATTENTION)


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

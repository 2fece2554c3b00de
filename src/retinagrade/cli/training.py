"""``retinagrade experiments``, ``train`` and ``predict``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from retinagrade.cli.console import ATTENTION, INTERRUPTED, JsonOption, console, print_json
from retinagrade.errors import UsageError

if TYPE_CHECKING:
    from retinagrade.experiments.experiment import Experiment

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
    from retinagrade.experiments.experiment import experiment_names, load_experiment

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
    from retinagrade.experiments.experiment import load_experiment

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
    folds: Annotated[
        int | None, typer.Option(help="Cross-validate instead: train this many runs in OUT/fold-0, OUT/fold-1, …")
    ] = None,
    find_rate: Annotated[
        bool, typer.Option("--find-rate", help="Don't train: suggest a learning rate, from a few steps at rising ones.")
    ] = False,
    devices: Annotated[
        int,
        typer.Option(min=1, help="GPUs (or processes, without any) of a machine that train one experiment together."),
    ] = 1,
    nodes: Annotated[
        int, typer.Option(min=1, help="Machines that do; each is given this command by torchrun or srun.")
    ] = 1,
) -> None:
    """Train experiments; keep the best epoch and predict the validation photographs with it.

    Many experiments are compared at last: comparison.html. One that fails doesn't stop the others.
    """
    from retinagrade.experiments.experiment import load_experiment
    from retinagrade.training.sweep import choose_experiments

    if folds is not None and find_rate:
        raise UsageError("--folds and --find-rate: choose one of them")
    chosen = choose_experiments(experiments)
    try:
        if devices * nodes > 1 and (len(chosen) > 1 or folds is not None or find_rate):
            raise UsageError("--devices and --nodes are for the training of one experiment, without --folds")
        if chosen != experiments or len(chosen) > 1:
            if start is not None or folds is not None or find_rate:
                raise UsageError("--start, --folds and --find-rate are for one experiment: name it without a pattern")
            _train_many(chosen, data, out, overrides or [])
            return
        experiment = load_experiment(chosen[0], overrides or [])
        if find_rate:
            _find_rate(experiment, data, out, start)
        elif folds is not None:
            _train_folds(experiment, data, out, folds, start)
        else:
            _train_once(experiment, data, out, start, devices, nodes)
    except KeyboardInterrupt:
        if not find_rate:
            typer.echo(f"stopped: the same command continues {out} after its last whole epoch", err=True)
        raise


def _train_once(experiment: Experiment, data: Path, out: Path, start: Path | None, here: int, nodes: int) -> None:
    from retinagrade.training.distributed import Devices
    from retinagrade.training.launch import is_launched, launch
    from retinagrade.training.train import train as train_experiment

    devices = Devices(here, nodes)
    if not is_launched(devices) and devices.count > 1:
        launch(devices, sys.argv[1:])
        return
    try:
        run = train_experiment(experiment, data, out, start=start, devices=devices)
    except KeyboardInterrupt:
        if devices.count == 1:
            raise
        raise typer.Exit(INTERRUPTED) from None  # whoever started the processes says so, once
    if devices.rank:
        return
    record = run.record()
    best, validated = record["best"], run.predictions_file("val").is_file()
    printed = console()
    printed.print(
        f"{record['experiment']}: {record['epochs']} epochs in {record['training_seconds']:.0f} s; kept epoch "
        f"{best['epoch'] + 1:.0f} with {_figures(best) if validated else 'no photographs to validate it on'}",
        highlight=False,
    )
    if validated:
        printed.print(f"next: retinagrade evaluate {run.predictions_file('val')}", highlight=False)


def _train_many(experiments: list[str], data: Path, out: Path, overrides: list[str]) -> None:
    from retinagrade.pages.page import format_metric
    from retinagrade.training.sweep import train_sweep
    from retinagrade.training.sweep_report import finished_runs, sweep_table, write_sweep_report

    printed = console()
    runs, failures = train_sweep(
        experiments, data, out, overrides, lambda line: printed.print(line, style="bold", highlight=False)
    )
    if runs or finished_runs(out):
        page = write_sweep_report(out, failures)
        table = Table("run", "QWK", "referable AUC", "accuracy", "parameters", "epochs", "minutes")
        for row in sweep_table(finished_runs(out)).to_dict("records"):
            figures = (row["quadratic_weighted_kappa"], row["referable_auc"], row["accuracy"])
            about = (f"{row['total']:,}", str(row["epochs"]), f"{row['seconds'] / 60:.1f}")
            table.add_row(row["run"], *(format_metric(value) for value in figures), *about)
        printed.print(table)
        printed.print(f"wrote {page}", highlight=False)
    for name, reason in failures.items():
        printed.print(f"{name} failed: {reason}", style="red", highlight=False)
    if failures:
        raise typer.Exit(ATTENTION)


def _train_folds(experiment: Experiment, data: Path, out: Path, folds: int, start: Path | None) -> None:
    from retinagrade.training.cross_validate import cross_validate

    result = cross_validate(experiment, data, out, folds, start=start, announce=typer.echo)
    record = result.record()
    printed = console()
    for best in record["best"]:
        printed.print(f"fold {best['fold']}: kept epoch {best['epoch'] + 1:.0f} with {_figures(best)}", highlight=False)
    means = {name: None if over is None else over["mean"] for name, over in record["over_folds"].items()}
    spreads = {name: None if over is None else over["sd"] for name, over in record["over_folds"].items()}
    printed.print(f"{record['experiment']}: mean {_figures(means)}", highlight=False)
    printed.print(f"± standard deviation {_figures(spreads)}", highlight=False)
    printed.print(f"next: retinagrade evaluate {result.predictions_file}", highlight=False)


def _find_rate(experiment: Experiment, data: Path, out: Path, start: Path | None) -> None:
    from retinagrade.training.learning_rate import find_learning_rate

    found = find_learning_rate(experiment, data, out, start=start)
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
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help="Compute in bfloat16 or float16 where the machine has it: up to five times as fast, but probabilities "
            "differ by some hundredths from those in float32; writes to SPLIT-fast.csv by default.",
        ),
    ] = False,
) -> None:
    """Grade prepared photographs with a trained network; writes a table keyed by image_id."""
    from retinagrade.runs.run import Run
    from retinagrade.training.predict import predict as predict_split

    console().print(f"wrote {predict_split(Run(run), data, split, out, flips=tta, fast=fast)}", highlight=False)

"""``retinagrade experiments``, ``train`` and ``predict``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table

from retinagrade.cli.console import (
    ATTENTION,
    INTERRUPTED,
    JsonOption,
    console,
    error_console,
    print_json,
    print_text,
    terminal_progress,
)
from retinagrade.cli.options import (
    CameraOption,
    FastOption,
    OverwriteOption,
    SameSettingsArgument,
    SettingsOption,
    TtaOption,
)
from retinagrade.cli.plain_help import GroupedCommands, PlainCommand
from retinagrade.errors import UsageError
from retinagrade.messages import counted

if TYPE_CHECKING:
    from retinagrade.training.distributed import Devices


experiments = typer.Typer(
    cls=GroupedCommands,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List and show experiments, and write new ones.",
)


@experiments.command("list", cls=PlainCommand)
def list_experiments(json: JsonOption = False) -> None:
    """List names and descriptions of all experiments.

    An experiment is the settings of one training. Most repeat one of the university report; the others are
    retinagrade's own. `efficientnet-lite0` is a good first one.
    """
    from retinagrade.experiments.experiment import experiment_names, load_experiment

    shipped = [load_experiment(name) for name in experiment_names()]
    if json:
        print_json([{"name": e.name, "description": e.description, "source": e.source} for e in shipped])
        return
    width = 2 + max(len(experiment.name) for experiment in shipped)
    for experiment in shipped:
        console().print(f"{experiment.name:{width}}{experiment.description} ({experiment.source})")


@experiments.command("show", cls=PlainCommand)
def show_experiment(
    name: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT", help="Name of an experiment (see `retinagrade experiments list`), or a YAML file."
        ),
    ],
    yaml: Annotated[
        bool,
        typer.Option(
            "--yaml",
            help="Print the experiment as YAML with all settings, also those that a file leaves to its base or to the "
            "defaults.",
        ),
    ] = False,
) -> None:
    """Show the network and the settings of an experiment.

    The command prints the network layer by layer, with output shapes and numbers of parameters.
    """
    from retinagrade.experiments.experiment import load_experiment

    experiment = load_experiment(name)
    if yaml:
        print_text(experiment.to_yaml())
        return
    from retinagrade.models.lesion_network import build_lesion_network
    from retinagrade.models.network import build_network
    from retinagrade.models.summary import summary_table

    printed = console()
    printed.print(f"{experiment.name}: {experiment.description or 'no description'}")
    printed.print(f"source: {experiment.source or 'not stated'}")
    if experiment.starts_from is not None:
        printed.print(f"starts from a run of {experiment.starts_from}")
    build = build_lesion_network if experiment.outlines_lesions else build_network
    network = build(experiment.network.model_copy(update={"weights": "none"}))
    printed.print(summary_table(network, experiment.network))
    for section in ("augmentation", "crops", "training"):
        if (part := getattr(experiment, section)) is None:
            continue
        settings = part.model_dump(exclude_none=True)
        printed.print(f"{section}: {', '.join(f'{key} {value}' for key, value in settings.items())}")


@experiments.command("new", cls=PlainCommand)
def write_new_experiment(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the experiment.")],
    backbone: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Backbone: the name of a timm architecture, such as convnext_tiny, or scratch for a network of the "
            "report.",
        ),
    ] = "tf_efficientnet_lite0",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="YAML file to write. [default: NAME.yaml in this folder]", show_default=False
        ),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write the file of a new experiment for `train`.

    The file names a base, whose settings it has, and the settings that most people change. All others stand in
    comments with their values and their meanings.
    """
    from retinagrade.experiments.new import new_experiment

    file = new_experiment(name, backbone, out, overwrite=overwrite)
    console().print(f"wrote {file}")
    console().print(f"next: retinagrade train PREPARED {file} --out runs/{name}")


_Prepared = Annotated[
    Path,
    typer.Argument(
        metavar="PREPARED",
        help="Folder of a prepared set with a split: `retinagrade prepare` and `split` make it. Without a split, "
        "experiments that keep their last epoch take all photographs for training.",
    ),
]
_Experiments = Annotated[
    list[str],
    typer.Argument(
        metavar="EXPERIMENT",
        help="One or several names of experiments (see `retinagrade experiments list`), YAML files, or quoted patterns "
        "such as 'vgg16-*'; or 'all'.",
    ),
]
_RunFolder = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER",
        help="Folder of the run; for several experiments, the folder of their runs. The same command continues after "
        "an interruption. Another experiment needs another folder.",
        show_default=False,
    ),
]
_Start = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="Run whose network a fine-tuning experiment starts from. Only for one experiment. [default: the run "
        "beside --out with the name of the experiment that this one starts from]",
        show_default=False,
    ),
]
_BY_DATA_SET: Final = "data-set"


def _parse_folds(text: str) -> str:
    if text != _BY_DATA_SET and not (text.isdecimal() and int(text) >= 2):
        raise typer.BadParameter(f"{text!r} is neither a whole number of at least 2 nor {_BY_DATA_SET}")
    return text


_Folds = Annotated[
    str | None,
    typer.Option(
        parser=_parse_folds,
        metavar="NUMBER",
        help="Cross-validate with this number of folds: train each experiment once for each fold, in the runs fold-0, "
        "fold-1 … of its folder. With data-set: train one experiment once for each data set of a joined set, without "
        "it, and measure the network on it. [default: no cross-validation]",
        show_default=False,
    ),
]
_FindRate = Annotated[
    bool,
    typer.Option(
        "--find-rate",
        help="Suggest a learning rate instead of training, by 100 steps at rising rates. The command draws the losses "
        "in learning_rate.png of --out. Only for one experiment.",
    ),
]
_DeviceCount = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="NUMBER",
        help="Number of GPUs in each machine that train one experiment together; on a machine without GPUs, the number "
        "of processes. One device needs no option: training takes the GPU if there is one.",
    ),
]
_NodeCount = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="NUMBER",
        help="Number of machines that train one experiment together. torchrun or srun starts this command on each.",
    ),
]


def train(
    prepared: _Prepared,
    experiments: _Experiments,
    out: _RunFolder,
    start: _Start = None,
    settings: SettingsOption = None,
    folds: _Folds = None,
    find_rate: _FindRate = False,
    devices: _DeviceCount = 1,
    nodes: _NodeCount = 1,
) -> None:
    """Train experiments and predict the validation photographs.

    A run is the folder of one training. The command keeps the weights of the epoch with the lowest validation loss,
    and writes the predictions of the validation photographs to predictions/val.csv of the run, for `evaluate`. It
    compares several experiments in comparison.html; one that fails doesn't stop the others.

    Exit code 0: all experiments are trained; 1: some of several failed; 2: the training was not possible.
    """
    from retinagrade.training.distributed import Devices
    from retinagrade.training.sweep import choose_experiments

    chosen = choose_experiments(experiments)
    several = chosen != experiments or len(chosen) > 1
    if folds is not None and find_rate:
        raise UsageError("--folds and --find-rate: choose one of them")
    by_data_set = folds == _BY_DATA_SET
    number = None if folds is None or by_data_set else int(folds)
    if by_data_set and several:
        raise UsageError(f"--folds {_BY_DATA_SET} is for the training of one experiment: name one")
    if devices * nodes > 1 and (several or folds is not None or find_rate):
        raise UsageError("--devices and --nodes are for the training of one experiment, without --folds")
    if several and (start is not None or find_rate):
        raise UsageError("--start and --find-rate are for one experiment: name it without a pattern")
    changes = settings or []
    try:
        if several:
            _train_several(prepared, chosen, out, changes, number)
        elif find_rate:
            _find_rate(prepared, chosen[0], out, changes, start)
        elif by_data_set:
            _leave_one_out(prepared, chosen[0], out, changes, start)
        elif number is not None:
            _cross_validate(prepared, chosen[0], out, changes, start, number)
        else:
            _train_one(prepared, chosen[0], out, changes, start, Devices(devices, nodes))
    except KeyboardInterrupt:
        if not find_rate:
            error_console().print(f"stopped: the same command continues {out} after its last whole epoch")
        raise


def _train_one(
    prepared: Path, experiment: str, out: Path, settings: list[str], start: Path | None, devices: Devices
) -> None:
    from retinagrade.runs.run import Run
    from retinagrade.training.launch import is_launched, launch
    from retinagrade.training.train import train as train_experiment

    if not is_launched(devices) and devices.count > 1:
        launch(devices, sys.argv[1:])
        return
    was_finished = Run(out).is_finished
    try:
        with terminal_progress() as progress:
            run = train_experiment(
                prepared, experiment, out, settings=settings, start=start, devices=devices, progress=progress
            )
    except KeyboardInterrupt:
        if devices.count == 1:
            raise
        raise typer.Exit(INTERRUPTED) from None  # the process that started this one prints the message, once
    if devices.rank:
        return
    record = run.finished_record()
    written = [file for file in (run.predictions_file("val"), run.lesion_counts_file("val")) if file.is_file()]
    kept = record.kept
    printed = console()
    if was_finished:
        printed.print(f"{out} was trained before: nothing was left to do")
    printed.print(
        f"{record.experiment}: {counted(record.epochs, 'epoch')} in {record.training_seconds:.0f} s; kept epoch "
        f"{kept.epoch + 1} {'with ' + kept.describe() if written else 'without validation photographs'}",
    )
    if written:
        printed.print(f"next: retinagrade evaluate {written[0]}")


def _train_several(prepared: Path, experiments: list[str], out: Path, settings: list[str], folds: int | None) -> None:
    from retinagrade.pages.page import format_metric
    from retinagrade.training.sweep import sweep

    with terminal_progress() as progress:
        result = sweep(prepared, experiments, out, settings=settings, folds=folds, progress=progress)
    printed = console()
    if result.page is not None:
        table = Table("run", "QWK", "referable AUC", "accuracy", "parameters", "epochs", "minutes")
        for row in result.table.to_dict("records"):
            metrics = (row["quadratic_weighted_kappa"], row["referable_auc"], row["accuracy"])
            sizes = (f"{row['total']:,}", str(row["epochs"]), f"{row['seconds'] / 60:.1f}")
            table.add_row(row["run"], *(format_metric(value) for value in metrics), *sizes)
        printed.print(table)
        printed.print(f"wrote {result.page}")
    for name, reason in result.failures.items():
        printed.print(f"{name} failed: {reason}", style="red")
    if result.failures:
        raise typer.Exit(ATTENTION)


def _cross_validate(
    prepared: Path, experiment: str, out: Path, settings: list[str], start: Path | None, folds: int
) -> None:
    from retinagrade.runs.cross_validation import CrossValidation
    from retinagrade.runs.records import describe_metrics
    from retinagrade.training.cross_validate import cross_validate

    was_finished = CrossValidation(out).is_finished
    with terminal_progress() as progress:
        result = cross_validate(prepared, experiment, out, folds, settings=settings, start=start, progress=progress)
    record = result.finished_record()
    printed = console()
    if was_finished:
        printed.print(f"{out} was cross-validated before: nothing was left to do")
    for kept in record.kept:
        printed.print(f"fold {kept.fold}: kept epoch {kept.epoch + 1} with {kept.describe()}")
    means = {name: None if over is None else over.mean for name, over in record.over_folds.items()}
    spreads = {name: None if over is None else over.sd for name, over in record.over_folds.items()}
    printed.print(f"{record.experiment}: mean {describe_metrics(means)}")
    printed.print(f"± standard deviation {describe_metrics(spreads)}")
    outlines = result.lesion_counts_file.is_file()
    next_file = result.lesion_counts_file if outlines else result.predictions_file
    printed.print(f"next: retinagrade evaluate {next_file}")


def _leave_one_out(prepared: Path, experiment: str, out: Path, settings: list[str], start: Path | None) -> None:
    from retinagrade.pages.page import format_metric
    from retinagrade.runs.leave_one_out import MEASURED
    from retinagrade.training.leave_one_out import leave_one_data_set_out

    with terminal_progress() as progress:
        result = leave_one_data_set_out(prepared, experiment, out, settings=settings, start=start, progress=progress)
    printed = console()
    table = Table("data set left out", "photographs", "macro AUC", "AUC of pairs", "accuracy", "macro F1", "QWK")
    for row in result.metrics().to_dict("records"):
        values = [format_metric(row.get(name)) for name in MEASURED]
        table.add_row(str(row["data_set"]), str(row["photographs"]), *values)
    printed.print(table)
    printed.print(f"wrote {result.table_file}, with 95 % intervals of the data sets' metrics (none for pairwise_auc)")
    printed.print(f"next: retinagrade evaluate {result.predictions_file}")


def _find_rate(prepared: Path, experiment: str, out: Path, settings: list[str], start: Path | None) -> None:
    from retinagrade.training.learning_rate import find_learning_rate

    with terminal_progress() as progress:
        search = find_learning_rate(prepared, experiment, out, settings=settings, start=start, progress=progress)
    printed = console()
    printed.print(f"suggested: --set training.learning_rate={search.suggestion:g}")
    printed.print(f"look at {out / 'learning_rate.png'}; the losses are in learning_rate.csv beside it")


def predict(
    prepared: SameSettingsArgument,
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="Folder of a trained run, or of a cross-validation, whose folds predict their own photographs "
            "(--split val).",
        ),
    ],
    split: Annotated[
        str,
        typer.Option(
            metavar="SPLIT",
            help="Split of the photographs to predict: train, val, test, or another one in manifest.csv of the set; "
            "'all' takes every photograph.",
        ),
    ] = "test",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV file to write. [default: RUN/predictions/SPLIT.csv, with -tta, -fast and -camera-CHANGE in its "
            "name where these options are given]",
            show_default=False,
        ),
    ] = None,
    tta: TtaOption = False,
    fast: FastOption = False,
    camera: CameraOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Predict the grades of prepared photographs.

    The command writes a table with the probabilities p0 … p4 of the five grades, one row for each photograph. `grade`
    takes photographs that nobody has prepared.

    Exit code 0: done; 1: done, but grades or splits have changed since the training; 2: the prediction was not
    possible.
    """
    from retinagrade.training.predict import predict as predict_split

    with terminal_progress() as progress:
        predictions = predict_split(
            prepared,
            run,
            split=split,
            out=out,
            tta=tta,
            fast=fast,
            camera=[choice.value for choice in camera or []],
            overwrite=overwrite,
            progress=progress,
        )
    console().print(f"wrote {predictions.file}")
    changed = [each for each in predictions.findings if each.code in ("changed-grades", "split-changed")]
    for finding in changed:
        console().print(f"attention: {finding.text}", style="bold red")
    if changed:
        raise typer.Exit(ATTENTION)

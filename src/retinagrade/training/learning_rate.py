"""The learning-rate range test: a few steps at rising rates show where training is too slow and where it diverges."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import lightning.pytorch as pl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from retinagrade.arguments import NOT_NEGATIVE, NumberRange, check_arguments
from retinagrade.errors import ExperimentError
from retinagrade.evaluation.report.plots import figure_png
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.experiments.experiment import Experiment, load_experiment
from retinagrade.manifest import Manifest
from retinagrade.messages import counted
from retinagrade.runs.run import RATE_FILES, Run
from retinagrade.storage.files import sha256, write_bytes, write_text
from retinagrade.storage.output_guard import Output, continued_folder, file_output, guard_outputs, write_origin
from retinagrade.training.devices import loader_workers
from retinagrade.training.failures import clear_training_errors
from retinagrade.training.fit import initial_module, make_trainer
from retinagrade.training.loading import training_loader
from retinagrade.training.start import complete_experiment, find_start_run, training_inputs

LOWEST: Final = 1e-6
HIGHEST: Final = 10.0
STEPS: Final = 100
DIVERGED: Final = 4.0
"""Ratio of a smoothed loss to the lowest one from which training has diverged."""
SMOOTHING: Final = 0.9
"""Weight of the past in the smoothed loss."""
BELOW_THE_LOWEST: Final = 10.0
"""Ratio of the rate with the lowest loss, where training is about to diverge, to the suggested rate."""


@dataclass(frozen=True, repr=False)
class RateSearch:
    """Result of a learning-rate range test.

    Attributes:
        table: Columns ``learning_rate``, ``loss``, ``smoothed_loss``, one row for each step.
        suggestion: The rate to train with, or the peak of ``one-cycle``.
    """

    table: pd.DataFrame
    suggestion: float

    def __repr__(self) -> str:
        """Returns the suggestion and the number of steps."""
        return f"RateSearch(suggestion={self.suggestion:g}, {counted(len(self.table), 'step')})"

    def _repr_html_(self) -> str:
        return self.table._repr_html_()  # type: ignore[operator,no-any-return]  # pandas-stubs leave it out

    def figure(self) -> Figure:
        """Draws the losses by learning rate, with the suggestion."""
        return _draw_curve(self.table, self.suggestion)


@check_arguments(steps=NumberRange(at_least=2), workers=NOT_NEGATIVE)
def find_learning_rate(
    prepared: str | os.PathLike[str],
    experiment: str | os.PathLike[str] | Experiment,
    out: str | os.PathLike[str],
    *,
    settings: Sequence[str] = (),
    steps: int = STEPS,
    start: str | os.PathLike[str] | Run | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> RateSearch:
    """Trains for some steps at rates that rise from :data:`LOWEST` to :data:`HIGHEST`, and keeps no weights.

    Optimiser, batches, precision and clipping are the experiment's; a backbone with a rate of its own keeps its ratio
    to the head's. (Lightning's ``Tuner`` gives all parts of a network one rate.)

    Source: L. N. Smith, "Cyclical learning rates for training neural networks", WACV 2017, section 3.3.

    Args:
        prepared: Folder of a prepared set with a split ``train``.
        experiment: The experiment: its name, a YAML file, or an object.
        out: Folder of the run, for ``learning_rate.csv`` and ``learning_rate.png``; training there is still possible.
        settings: Settings to change, as ``section.key=value``.
        steps: Steps of the optimiser.
        start: The run to start from, as in :func:`~retinagrade.training.train.train`.
        workers: Processes that load photographs, as in :func:`~retinagrade.training.train.train`.
        progress: Receives the number of steps taken.

    Returns:
        Rates, losses and the suggestion.

    Raises:
        UsageError: ``out`` is, holds or lies in an input, or has the losses of other inputs.
        ExperimentError: No rate lowers the loss, or training fails as in :func:`~retinagrade.training.train.train`.
    """
    inputs, out = training_inputs(prepared, experiment, start), Path(out)
    experiment = load_experiment(experiment, settings)
    command, (csv, png) = f"train --find-rate {experiment.name}", (out / name for name in RATE_FILES[:2])
    losses = file_output(csv, command, inputs)
    guard_outputs([continued_folder(out), losses, Output(png, False, losses.is_earlier_result)], inputs)
    manifest_file = Path(prepared) / "manifest.csv"
    training = Manifest.read(manifest_file).graded().split("train")
    start_run = find_start_run(experiment, out, start, sha256(manifest_file))
    constant = experiment.training.model_copy(update={"schedule": "constant"})
    complete = complete_experiment(experiment, Run(out), start_run).model_copy(update={"training": constant})
    module = initial_module(complete, training, start_run)
    rising = _RisingRate(np.geomspace(LOWEST, HIGHEST, steps), begin_stage(progress, "trying learning rates", steps))
    trainer = make_trainer(constant, out, [rising], trial_steps=steps)
    loader = training_loader(training, complete, loader_workers() if workers is None else workers)
    with clear_training_errors(experiment, out):
        trainer.fit(module, loader)
    smoothed = smooth_losses(rising.losses)
    table = pd.DataFrame(
        {"learning_rate": rising.rates[: len(smoothed)], "loss": rising.losses, "smoothed_loss": smoothed}
    )
    suggestion = suggest_rate(table["learning_rate"].to_numpy(), smoothed)
    write_origin(csv, command, inputs)
    write_text(csv, table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    write_bytes(png, figure_png(_draw_curve(table, suggestion)))
    if suggestion is None:
        raise ExperimentError(
            f"{experiment.name}: no learning rate from {LOWEST:g} to {HIGHEST:g} lowers the loss within {steps} steps: "
            f"look at {png}, and at the photographs and grades"
        )
    return RateSearch(table, suggestion)


def smooth_losses(losses: Sequence[float]) -> NDArray[np.float64]:
    """Computes the exponential moving average of losses (N,), corrected for its start; float64 (N,)."""
    averages, average = [], 0.0
    for step, loss in enumerate(losses, 1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        averages.append(average / (1 - SMOOTHING**step))
    return np.array(averages)


def suggest_rate(rates: NDArray[np.float64], smoothed: NDArray[np.float64]) -> float | None:
    """Suggests a rate to train with: a tenth of the rate with the lowest loss, beyond which training diverges.

    Args:
        rates: Ascending rates (N,).
        smoothed: Smoothed losses (N,) there.

    Returns:
        The rate, to two digits; ``None`` where the loss never falls by a twentieth (batches differ by as much).
    """
    first = len(smoothed) // 5  # rates so low that they move nothing: the loss that training starts with
    if first == 0:
        return None
    lowest = first + int(np.argmin(smoothed[first:]))
    if not smoothed[lowest] < 0.95 * smoothed[:first].mean():
        return None
    return float(f"{rates[lowest] / BELOW_THE_LOWEST:.1e}")


class _RisingRate(pl.Callback):
    """Sets the rates, notes the losses, and stops where they diverge."""

    def __init__(self, rates: NDArray[np.float64], on_step: Callable[[], None]) -> None:
        self.rates, self.on_step = rates, on_step
        self.losses: list[float] = []
        self._shares: list[float] = []
        self._batches: list[float] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        groups = trainer.optimizers[0].param_groups
        head = groups[-1]["lr"]
        self._shares = [group["lr"] / head for group in groups]

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        for group, share in zip(trainer.optimizers[0].param_groups, self._shares, strict=True):
            group["lr"] = self.rates[len(self.losses)] * share

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._batches.append(float(outputs["loss"]) * trainer.accumulate_grad_batches)
        if trainer.global_step == len(self.losses):
            return  # more batches belong to this step
        loss = float(np.mean(self._batches))
        self._batches = []
        if not math.isfinite(loss):
            trainer.should_stop = True
            return
        self.losses.append(loss)
        self.on_step()
        smoothed = smooth_losses(self.losses)
        trainer.should_stop = bool(smoothed[-1] > DIVERGED * smoothed.min())


def _draw_curve(table: pd.DataFrame, suggestion: float | None) -> Figure:
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.semilogx(table["learning_rate"], table["loss"], color="#8a8f98", linewidth=0.8, label="loss of a step")
    axes.semilogx(table["learning_rate"], table["smoothed_loss"], color="#20639b", linewidth=2, label="smoothed")
    if suggestion is not None:
        axes.axvline(suggestion, color="black", linewidth=0.8, linestyle=":", label=f"suggested: {suggestion:g}")
    axes.set(xlabel="learning rate", ylabel="training loss", ylim=(0, 1.5 * float(table["smoothed_loss"].iloc[0])))
    axes.grid(alpha=0.2)
    axes.legend(frameon=False)
    return figure

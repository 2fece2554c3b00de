"""The learning-rate range test: a few steps at rising rates show which are too low, and where training breaks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import lightning.pytorch as pl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from retinagrade.errors import ExperimentError
from retinagrade.evaluation.report.plots import figure_png
from retinagrade.experiments.experiment import Experiment
from retinagrade.files import sha256, write_bytes, write_text
from retinagrade.manifest import Manifest
from retinagrade.runs.run import RATE_FILES, Run
from retinagrade.training.devices import loader_workers
from retinagrade.training.failures import clear_training_errors
from retinagrade.training.loading import training_loader
from retinagrade.training.train import complete_experiment, find_start_run, initial_module, make_trainer

LOWEST: Final = 1e-6
HIGHEST: Final = 10.0
STEPS: Final = 100
DIVERGED: Final = 4.0
"""How many times the lowest smoothed loss is called divergence."""
SMOOTHING: Final = 0.9
"""Weight of the past in the smoothed loss."""
BELOW_THE_LOWEST: Final = 10.0
"""The suggestion is this many times lower than the rate of the lowest loss, where training is about to break."""


@dataclass(frozen=True)
class RateSearch:
    """What a range test found.

    Attributes:
        table: Columns ``learning_rate``, ``loss``, ``smoothed_loss``, one row a step.
        suggestion: The rate to train with, or the peak of ``one-cycle``.
    """

    table: pd.DataFrame
    suggestion: float


def find_learning_rate(
    experiment: Experiment,
    prepared: Path,
    out: Path,
    *,
    steps: int = STEPS,
    workers: int | None = None,
    start: Path | None = None,
) -> RateSearch:
    """Trains for some steps at rates that rise from :data:`LOWEST` to :data:`HIGHEST`, and keeps nothing of it.

    Optimiser, batches, precision and clipping are the experiment's; a backbone with a rate of its own keeps its share
    of the head's. (Lightning's ``Tuner`` gives all parts of a network one rate.)

    Source: L. N. Smith, "Cyclical learning rates for training neural networks", WACV 2017, section 3.3.

    Args:
        experiment: What is to be trained.
        prepared: A prepared set with a split ``train``.
        out: The run's folder, for ``learning_rate.csv`` and ``learning_rate.png``; training there is still possible.
        steps: Steps of the optimiser.
        workers: As for :func:`~retinagrade.training.train.train`.
        start: Likewise.

    Returns:
        Rates, losses and the suggestion.

    Raises:
        ExperimentError: No rate lowers the loss; or as for :func:`~retinagrade.training.train.train`.
    """
    manifest_file = prepared / "manifest.csv"
    training = Manifest.read(manifest_file).graded().split("train")
    start_run = find_start_run(experiment, out, start, sha256(manifest_file))
    settings = experiment.training.model_copy(update={"schedule": "constant"})
    constant = complete_experiment(experiment, Run(out), start_run).model_copy(update={"training": settings})
    module = initial_module(constant, training, start_run)
    sweep = _Sweep(np.geomspace(LOWEST, HIGHEST, steps))
    trainer = make_trainer(settings, out, [sweep], trial_steps=steps)
    loader = training_loader(training, constant, loader_workers() if workers is None else workers)
    with clear_training_errors(experiment, out):
        trainer.fit(module, loader)
    smoothed = smooth_losses(sweep.losses)
    table = pd.DataFrame(
        {"learning_rate": sweep.rates[: len(smoothed)], "loss": sweep.losses, "smoothed_loss": smoothed}
    )
    suggestion = suggest_rate(table["learning_rate"].to_numpy(), smoothed)
    csv, png = (out / name for name in RATE_FILES)
    write_text(csv, table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    write_bytes(png, figure_png(_curve(table, suggestion)))
    if suggestion is None:
        raise ExperimentError(
            f"{experiment.name}: no learning rate from {LOWEST:g} to {HIGHEST:g} lowers the loss within {steps} steps: "
            f"look at {png}, and at the photographs and grades"
        )
    return RateSearch(table, suggestion)


def smooth_losses(losses: list[float] | np.ndarray) -> np.ndarray:
    """The exponential moving average of losses (N,), without the pull of its start; float64 (N,)."""
    averages, average = [], 0.0
    for step, loss in enumerate(losses, 1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        averages.append(average / (1 - SMOOTHING**step))
    return np.array(averages)


def suggest_rate(rates: np.ndarray, smoothed: np.ndarray) -> float | None:
    """The rate to train with: a tenth of the one with the lowest loss, beyond which training breaks.

    Args:
        rates: Ascending rates (N,).
        smoothed: Smoothed losses (N,) there.

    Returns:
        The rate, to two digits; ``None`` where the loss never falls by a twentieth, which is what batches differ by.
    """
    first = len(smoothed) // 5  # rates so low that they move nothing: the loss that training starts with
    if first == 0:
        return None
    lowest = first + int(np.argmin(smoothed[first:]))
    if not smoothed[lowest] < 0.95 * smoothed[:first].mean():
        return None
    return float(f"{rates[lowest] / BELOW_THE_LOWEST:.1e}")


class _Sweep(pl.Callback):
    """Sets the rates, notes the losses, and stops where they diverge."""

    def __init__(self, rates: np.ndarray) -> None:
        self.rates = rates
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
        smoothed = smooth_losses(self.losses)
        trainer.should_stop = bool(smoothed[-1] > DIVERGED * smoothed.min())


def _curve(table: pd.DataFrame, suggestion: float | None) -> Figure:
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

"""Callbacks of a run: its history, its checkpoints and its progress."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import lightning.pytorch as pl
import pandas as pd
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from retinagrade.execution.progress import Progress
from retinagrade.experiments.experiment import Experiment
from retinagrade.storage.files import atomic_path, write_text
from retinagrade.training.averaging import AveragedWeights
from retinagrade.training.failures import FiniteLossCheck
from retinagrade.training.loggers import EpochLogger

METRIC_NAMES: Final = {
    "train_loss": "training loss",
    "val_loss": "validation loss",
    "val_accuracy": "accuracy",
    "val_qwk": "QWK",
    "val_average_precision": "average precision of lesions",
}
"""Names of an epoch's metrics for people."""


class History(pl.Callback):
    """Writes ``history.csv`` after every epoch; checkpoints keep its rows, so that a resumed file has no gap."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        """Args: ``path`` of the CSV file, and the ``columns`` of the validation's metrics."""
        self.path = path
        self.columns = ["epoch", "train_loss", "val_loss", *columns, "learning_rate", "seconds"]
        self.rows: list[dict[str, float]] = []
        self._started = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock of the first epoch; Lightning doesn't report the start of a resumed epoch."""
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Appends the epoch and rewrites the file."""
        row: dict[str, float] = {
            "epoch": trainer.current_epoch,
            **_epoch_metrics(trainer),
            "learning_rate": max(float(group["lr"]) for group in trainer.optimizers[0].param_groups),
            "seconds": round(time.monotonic() - self._started, 1),
        }
        self._started = time.monotonic()
        self.rows.append(row)
        if trainer.is_global_zero:
            table = pd.DataFrame(self.rows, columns=self.columns)
            write_text(self.path, table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))

    def state_dict(self) -> dict[str, Any]:
        """Returns the rows so far, for the checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the rows from a checkpoint."""
        self.rows = list(state_dict["rows"])


class ProgressReport(pl.Callback):
    """Reports the steps of a training, and after every epoch its metrics."""

    def __init__(self, progress: Progress) -> None:
        """Args: ``progress`` to report to."""
        self.progress = progress

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reports the epochs that an earlier process trained."""
        self._report(trainer, trainer.current_epoch * int(trainer.num_training_batches))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Reports a batch."""
        self._report(trainer, trainer.current_epoch * int(trainer.num_training_batches) + batch_idx + 1)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reports an epoch's metrics."""
        metrics = _epoch_metrics(trainer)
        named = [f"{name} {metrics[key]:.3f}" for key, name in METRIC_NAMES.items() if key in metrics]
        self.progress(f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}: {', '.join(named)}", 0, None)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reports the end of the training, which may come before the last epoch."""
        batches = trainer.current_epoch * int(trainer.num_training_batches)
        if trainer.current_epoch != trainer.max_epochs:
            self.progress("training batches", batches, batches)

    def _report(self, trainer: pl.Trainer, batches: int) -> None:
        assert trainer.max_epochs is not None
        total = trainer.max_epochs * int(trainer.num_training_batches)
        self.progress("training batches", batches, total)


def _epoch_metrics(trainer: pl.Trainer) -> dict[str, float]:
    """Returns the metrics of this epoch by name; Lightning keeps those of an earlier validation."""
    every = trainer.check_val_every_n_epoch or 1
    is_validated = (trainer.current_epoch + 1) % every == 0
    metrics = trainer.callback_metrics
    return {
        name: float(metrics[name])
        for name in METRIC_NAMES
        if name in metrics and (is_validated or not name.startswith("val_"))
    }


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes each checkpoint to a temporary file beside it and renames that: a kill can't leave half a checkpoint.

    Lightning writes to memory and to the system's temporary folder, from which a move to another file system is a copy.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Saves a checkpoint atomically."""
        with atomic_path(Path(path)) as temporary, temporary.open("wb") as stream:
            try:
                torch.save(checkpoint, stream)  # into a file that has a name, torch would write the name as well
            except RuntimeError as error:  # torch hides the error of the disk behind one of its own
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise


def training_callbacks(experiment: Experiment, folder: Path, leads: bool = True) -> list[pl.Callback]:
    """Makes the callbacks for history, logger, early stopping, and the checkpoints ``best.ckpt`` and ``last.ckpt``.

    A loss that is not finite stops the training before any of them records it. Lightning runs checkpoint callbacks
    after all others and in this order, so ``last.ckpt`` contains the epoch's history, patience and best checkpoint.

    Args:
        experiment: The experiment; ``training.keep`` selects the epoch of ``best.ckpt``.
        folder: Folder of the run.
        leads: True for the process that logs; False for the others of a training on several devices.
    """
    checkpoint = partial(
        ModelCheckpoint, folder / "checkpoints", save_on_train_epoch_end=True, enable_version_counter=False
    )
    settings = experiment.training
    best = settings.keep == "best"
    patience = settings.patience if best else None
    monitor, mode = ("val_loss", "min") if best else ("epoch", "max")
    metrics = ("val_average_precision",) if experiment.outlines_lesions else ("val_accuracy", "val_qwk")
    history = History(folder / "history.csv", metrics)
    return [
        FiniteLossCheck(folder),
        *([] if settings.ema is None else [AveragedWeights(settings.ema)]),
        history,
        *([] if settings.logger == "none" or not leads else [EpochLogger(experiment, folder / "logs", history)]),
        *([] if patience is None else [EarlyStopping("val_loss", patience=patience, check_on_train_epoch_end=True)]),
        checkpoint(filename="best", monitor=monitor, mode=mode, save_weights_only=True),
        checkpoint(filename="last"),
    ]

"""Loggers beside a run's own ``history.csv``: TensorBoard, MLflow or Weights & Biases, through Lightning's."""

from __future__ import annotations

import json
import math
import os
import uuid
import warnings
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import lightning.pytorch as pl
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from retinagrade.errors import ExperimentError
from retinagrade.experiments.experiment import Experiment
from retinagrade.files import write_json

if TYPE_CHECKING:
    from retinagrade.training.callbacks import History

Name = Literal["tensorboard", "mlflow", "wandb", "none"]

_SERVER: Final = "MLFLOW_TRACKING_URI"


@dataclass
class _State:
    """What a logger has been told, in ``logs/state.json``: its name, its run's id, and the number of epochs."""

    logger: Name
    id: str | None = None
    epochs: int = 0


def require_logger(name: Name) -> None:
    """Makes sure that a logger's package is there, before anything is written.

    Raises:
        ExperimentError: It is not; the message says what to install.
    """
    if name == "none":
        return
    needed: list[str] = [name]
    if name == "mlflow" and not os.environ.get(_SERVER):
        needed.append("sqlalchemy")  # mlflow-skinny, which lacks it, can only talk to a server
    if any(find_spec(package) is None for package in needed):
        raise ExperimentError(
            f"training.logger: {name} needs a package that is not installed: pip install {name}, or log elsewhere with "
            "--set training.logger=tensorboard, or =none"
        )


class EpochLogger(pl.Callback):
    """Tells a logger each epoch's figures under the epoch's number, and never the same epoch twice.

    The logger is not the trainer's: Lightning logs half of an epoch before and half of it after ``last.ckpt`` is
    written, so that a kill there would repeat the one or lose the other. Here an epoch is told whole before the
    checkpoint; one that a resumed run repeats, to the same figures, is left out. A logger that fails on the way, such
    as a server that is gone, is told later and never stops a training.
    """

    def __init__(self, experiment: Experiment, folder: Path, history: History) -> None:
        """Args: ``experiment`` that says which logger, ``folder`` of the logs, ``history`` that has the figures."""
        self.experiment, self.folder, self.history = experiment, folder, history
        self._logger: Logger | None = None
        self._state = _State(experiment.training.logger)

    @property
    def _state_file(self) -> Path:
        return self.folder / "state.json"

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Opens the log, or goes on with it."""
        if self._state_file.is_file():
            self._state = _State(**json.loads(self._state_file.read_text(encoding="utf-8")))
        try:
            self._logger = self._open()
            if self._state.epochs == 0:
                self._logger.log_hyperparams(self.experiment.model_dump(mode="json"))
        except Exception as error:  # whatever a logger raises
            raise ExperimentError(
                f"training.logger: {self._state.logger} can't be opened ({type(error).__name__}: {error}): set it up, "
                "or train with --set training.logger=none"
            ) from error
        write_json(self._state_file, asdict(self._state))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tells the figures of this epoch, and of those that could not be told before; undefined ones are left out."""
        if self._logger is None:
            return
        try:
            for row in self.history.rows[self._state.epochs :]:
                figures = {name: value for name, value in row.items() if name != "epoch" and math.isfinite(value)}
                self._logger.log_metrics(figures, int(row["epoch"]))
            self._logger.save()
        except Exception as error:
            self._warn(error)
            return
        self._state.epochs = max(self._state.epochs, len(self.history.rows))
        write_json(self._state_file, asdict(self._state))

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Closes the log of a training that failed or was stopped."""
        self._close("failed")

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Closes the log."""
        self._close("success")

    def _open(self) -> Logger:
        match self._state.logger:
            case "mlflow":
                # A tracking server that the environment names is what its owner wants; else all stays in the run.
                self.folder.mkdir(parents=True, exist_ok=True)
                server = os.environ.get(_SERVER)
                mlflow = MLFlowLogger(
                    "retinagrade",
                    self.experiment.name,
                    server or f"sqlite:///{self.folder.resolve()}/mlflow.db",
                    artifact_location=None if server else (self.folder.resolve() / "artifacts").as_uri(),
                    run_id=self._state.id,
                    synchronous=True,
                )
                self._state.id = mlflow.run_id
                return mlflow
            case "wandb":
                self._state.id = self._state.id or uuid.uuid4().hex[:8]
                self.folder.mkdir(parents=True, exist_ok=True)
                return WandbLogger(
                    self.experiment.name, self.folder, id=self._state.id, project="retinagrade", resume="allow"
                )
            case _:
                # What an earlier process wrote of epochs from here on doesn't count.
                purge = self._state.epochs or None
                return TensorBoardLogger(
                    self.folder.parent, "", self.folder.name, default_hp_metric=False, purge_step=purge
                )

    def _close(self, status: str) -> None:
        if self._logger is None:
            return
        try:
            self._logger.finalize(status)
            if isinstance(self._logger, WandbLogger):
                self._logger.experiment.finish()  # else the next training in this process goes on with this one's log
        except Exception as error:
            self._warn(error)
        self._logger = None

    def _warn(self, error: Exception) -> None:
        warnings.warn(
            f"training.logger: {self._state.logger} could not be told ({type(error).__name__}: {error}); training goes "
            "on, and history.csv has everything",
            stacklevel=2,
        )

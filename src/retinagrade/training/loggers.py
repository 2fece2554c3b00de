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
from retinagrade.storage.files import write_json

if TYPE_CHECKING:
    from retinagrade.training.callbacks import History

Name = Literal["tensorboard", "mlflow", "wandb", "none"]

_SERVER: Final = "MLFLOW_TRACKING_URI"


@dataclass
class _State:
    """State of a log, in ``logs/state.json``: the logger's name, the id of its run, and the number of logged epochs."""

    logger: Name
    id: str | None = None
    epochs: int = 0


def require_logger(name: Name) -> None:
    """Checks that a logger's package is installed.

    Raises:
        ExperimentError: It is missing; the message names the package to install.
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
    """Logs each epoch's metrics under the epoch's number, and never the same epoch twice.

    The logger doesn't belong to the trainer: Lightning logs half of an epoch before and half of it after ``last.ckpt``
    is written, so that a kill in between would repeat or lose a part. Here an epoch is logged whole before the
    checkpoint; an epoch that a resumed run repeats, with the same metrics, is not logged again. A logger that fails
    during training, such as a server that is down, gets the epochs later and never stops a training.
    """

    def __init__(self, experiment: Experiment, folder: Path, history: History) -> None:
        """Args: ``experiment`` that selects the logger, ``folder`` of the logs, ``history`` with the metrics."""
        self.experiment, self.folder, self.history = experiment, folder, history
        self._logger: Logger | None = None
        self._state = _State(experiment.training.logger)

    @property
    def _state_file(self) -> Path:
        return self.folder / "state.json"

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Opens a new log, or the log that an earlier process began."""
        if self._state_file.is_file():
            self._state = _State(**json.loads(self._state_file.read_text(encoding="utf-8")))
        try:
            self._logger = self._open()
            if self._state.epochs == 0:
                self._logger.log_hyperparams(self.experiment.model_dump(mode="json"))
        except Exception as error:  # loggers raise errors of any type
            raise ExperimentError(
                f"training.logger: {self._state.logger} can't be opened ({type(error).__name__}: {error}): set it up, "
                "or train with --set training.logger=none"
            ) from error
        write_json(self._state_file, asdict(self._state))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Logs this epoch and those that could not be logged before; undefined metrics are left out."""
        if self._logger is None:
            return
        try:
            for row in self.history.rows[self._state.epochs :]:
                metrics = {name: value for name, value in row.items() if name != "epoch" and math.isfinite(value)}
                self._logger.log_metrics(metrics, int(row["epoch"]))
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
                # A tracking server named in the environment has priority; without one, the log is a file in the run.
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
                # The log of an earlier process beyond these epochs is discarded.
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
                self._logger.experiment.finish()  # otherwise the next training in this process would continue this log
        except Exception as error:
            self._warn(error)
        self._logger = None

    def _warn(self, error: Exception) -> None:
        warnings.warn(
            f"training.logger: {self._state.logger} could not log ({type(error).__name__}: {error}); training "
            "continues, and history.csv has all metrics",
            stacklevel=2,
        )

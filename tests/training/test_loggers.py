"""Loggers: each epoch is logged once, also after an interruption, and a missing package is an error at the start."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightning.pytorch.loggers import TensorBoardLogger

from retinagrade.errors import ExperimentError
from retinagrade.runs.run import Run
from retinagrade.training.callbacks import AtomicCheckpointIO
from retinagrade.training.train import train
from tests.training.tiny_experiments import tiny

FIGURES = ("train_loss", "val_loss", "val_accuracy", "val_qwk", "learning_rate")


def cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the third epoch end without ``last.ckpt``, as a kill between its logs and its checkpoint would."""
    whole = AtomicCheckpointIO.save_checkpoint

    def save(io: AtomicCheckpointIO, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if checkpoint["epoch"] == 2 and Path(path).name == "last.ckpt":
            raise OSError("cut off")
        whole(io, checkpoint, path, storage_options)

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", save)


def trained_in_two_parts(logger: str, prepared: Path, out: Path) -> Run:
    experiment = tiny(f"training.logger={logger}")
    with pytest.MonkeyPatch.context() as monkeypatch:
        cut_off(monkeypatch)
        with pytest.raises(OSError, match="cut off"):
            train(prepared, experiment, out)
    return train(prepared, experiment, out)


def test_tensorboard_has_every_epoch_once_although_one_was_repeated(prepared: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = trained_in_two_parts("tensorboard", prepared, tmp_path / "run")
    logged = EventAccumulator(str(run.folder / "logs")).Reload()
    history = run.history()
    assert set(FIGURES) <= set(logged.Tags()["scalars"])
    for name in FIGURES:
        # Two logs of one process begun in one second are read in the order of "9" and "10" at the end of their names.
        events = sorted(logged.Scalars(name), key=lambda event: event.step)
        assert [event.step for event in events] == [0, 1, 2, 3]
        np.testing.assert_allclose([event.value for event in events], history[name], rtol=1e-4)
    assert "learning_rate: 0.001" in (run.folder / "logs" / "hparams.yaml").read_text(encoding="utf-8")


def test_mlflow_has_every_epoch_once_in_one_run(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sqlalchemy")
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    run = trained_in_two_parts("mlflow", prepared, tmp_path / "run")
    client = mlflow.tracking.MlflowClient(f"sqlite:///{run.folder}/logs/mlflow.db")
    (there,) = client.search_runs([client.get_experiment_by_name("retinagrade").experiment_id])
    assert there.info.status == "FINISHED"
    for name in FIGURES:
        assert [metric.step for metric in client.get_metric_history(there.info.run_id, name)] == [0, 1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["run"], "something was written outside the run"


def test_wandb_has_every_epoch_once_in_one_run(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = trained_in_two_parts("wandb", prepared, tmp_path / "run")
    parts = sorted((run.folder / "logs" / "wandb").glob("offline-run-*"))
    assert len(parts) == 2
    assert len({part.name.rsplit("-", 1)[1] for part in parts}) == 1
    assert wandb.run is None


def test_a_logger_that_fails_for_an_epoch_does_not_stop_training_and_logs_it_later(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    whole = TensorBoardLogger.log_metrics

    def log_metrics(logger: TensorBoardLogger, metrics: Any, step: int | None = None) -> None:
        if step == 1 and not (tmp_path / "failed").exists():
            (tmp_path / "failed").touch()
            raise ConnectionError("no server")
        whole(logger, metrics, step)

    monkeypatch.setattr(TensorBoardLogger, "log_metrics", log_metrics)
    with pytest.warns(UserWarning, match="tensorboard could not log .*no server"):
        run = train(prepared, tiny(), tmp_path / "run")
    logged = EventAccumulator(str(run.folder / "logs")).Reload()
    assert [event.step for event in logged.Scalars("val_loss")] == [0, 1, 2, 3]
    assert len(run.history()) == 4


def test_without_a_logger_there_are_no_logs_and_the_same_history(prepared: Path, tmp_path: Path) -> None:
    quiet = train(prepared, tiny("training.logger=none", "training.epochs=2"), tmp_path / "quiet")
    assert not (quiet.folder / "logs").exists()
    assert len(quiet.history()) == 2


@pytest.mark.parametrize("logger", ["mlflow", "wandb"])
def test_a_missing_package_is_named_before_anything_is_written(logger: str, prepared: Path, tmp_path: Path) -> None:
    if find_spec(logger) is not None:
        pytest.skip(f"{logger} is installed")
    with pytest.raises(ExperimentError, match=f"training.logger: {logger} .*pip install {logger}"):
        train(prepared, tiny(f"training.logger={logger}"), tmp_path / "run")
    assert not (tmp_path / "run").exists()

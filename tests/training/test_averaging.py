"""Averaged weights: validation and checkpoint use the average, and a killed training continues exactly."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import pytest
import torch

from retinagrade.evaluation.predictions import read_predictions
from retinagrade.manifest import Manifest
from retinagrade.models.network import build_network
from retinagrade.runs.run import Run
from retinagrade.training.averaging import AveragedWeights
from retinagrade.training.loading import evaluation_loader, training_loader
from retinagrade.training.module import GradingModule
from retinagrade.training.train import train
from tests.training.interruption import interrupted
from tests.training.tiny_experiments import TINY, comparable, tiny

AVERAGED = ["training.ema=0.9", "training.schedule=one-cycle", "training.accumulate=2", "training.epochs=5"]


@pytest.fixture(scope="module")
def run(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(prepared, tiny(*AVERAGED), tmp_path_factory.mktemp("runs") / "averaged")


def test_logged_metrics_are_those_of_the_averaged_weights_in_the_kept_checkpoint(run: Run) -> None:
    best = run.finished_record().kept
    predictions = read_predictions(run.predictions_file("val"))
    grades = predictions["grade"].to_numpy(dtype=int)
    probabilities = predictions[["p0", "p1", "p2", "p3", "p4"]].to_numpy()
    assert -np.log(probabilities[np.arange(len(grades)), grades]).mean() == pytest.approx(best.val_loss, rel=1e-4)
    assert (probabilities.argmax(1) == grades).mean() == pytest.approx(best.val_accuracy, abs=1e-5)
    last = torch.load(run.last_checkpoint, weights_only=True)
    other = last["callbacks"]["AveragedWeights"]["other"]
    assert last["callbacks"]["AveragedWeights"]["swapped"]
    name = "head.4.weight"
    assert not torch.equal(last["state_dict"][f"network.{name}"], other[f"module.{name}"])


def test_averaging_does_not_change_the_training_itself(run: Run, prepared: Path, tmp_path: Path) -> None:
    plain = train(prepared, tiny(*AVERAGED, "training.ema=null"), tmp_path / "plain")
    np.testing.assert_allclose(plain.history()["train_loss"], run.history()["train_loss"], rtol=1e-5)
    assert not np.allclose(plain.history()["val_loss"], run.history()["val_loss"], rtol=1e-5)


def test_kill_9_and_the_same_command_again_give_the_same_history_to_the_last_digit(
    run: Run, prepared: Path, tmp_path: Path
) -> None:
    killed, *_ = interrupted(tmp_path / "killed", prepared, [*TINY, *AVERAGED], signal.SIGKILL)
    resumed = train(prepared, tiny(*AVERAGED), killed.folder)
    pd.testing.assert_frame_equal(comparable(resumed), comparable(run), check_exact=True)
    assert resumed.predictions_file("val").read_bytes() == run.predictions_file("val").read_bytes()


class Recorder(pl.Callback):
    """Notes the trained weights after every step of the optimiser, before they are averaged."""

    def __init__(self) -> None:
        self.weights: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if trainer.global_step > len(self.weights):
            self.weights.append(pl_module.state_dict()["network.head.4.weight"].clone())


def test_the_average_is_the_formula(prepared: Path, tmp_path: Path) -> None:
    experiment = tiny("training.accumulate=2", "training.balance=8")
    manifest = Manifest.read(prepared / "manifest.csv")
    module = GradingModule(build_network(experiment.network), experiment)
    recorder, averaged = Recorder(), AveragedWeights(0.4)
    pl.Trainer(
        max_epochs=3, accelerator="cpu", accumulate_grad_batches=2, callbacks=[recorder, averaged], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    ).fit(
        module,
        training_loader(manifest.split("train"), experiment, 0),
        evaluation_loader(manifest.split("val"), experiment, 0),
    )  # fmt: skip
    assert len(recorder.weights) == 3 * 3
    average = recorder.weights[0].double()
    decays = [min(0.4, (1 + n) / (10 + n)) for n in range(1, len(recorder.weights))]
    assert decays[0] == pytest.approx(2 / 11)
    assert decays[-1] == 0.4
    for decay, weights in zip(decays, recorder.weights[1:], strict=True):
        average = decay * average + (1 - decay) * weights.double()
    torch.testing.assert_close(module.state_dict()["network.head.4.weight"].double(), average, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(averaged.state_dict()["other"]["module.head.4.weight"], recorder.weights[-1])

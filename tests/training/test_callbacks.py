"""Progress of a training: its steps, and each epoch's metrics."""

from __future__ import annotations

from pathlib import Path

import pytest
from lightning.pytorch.callbacks import EarlyStopping

from retinagrade.training.callbacks import training_callbacks
from retinagrade.training.train import train
from tests.training.tiny_experiments import tiny

Report = tuple[str, int, int | None]


def test_progress_has_rare_grades_every_step_and_every_epochs_metrics(prepared: Path, tmp_path: Path) -> None:
    reports: list[Report] = []

    def progress(stage: str, done: int, total: int | None) -> None:
        reports.append((stage, done, total))

    run = train(prepared, tiny("training.epochs=2"), tmp_path / "run", progress=progress)
    steps = [(done, total) for stage, done, total in reports if stage == "training batches"]
    total = steps[-1][1]
    assert total is not None
    assert steps == [(step, total) for step in range(total + 1)]
    assert reports[0][0].startswith("training.balance=6 draws 6 photographs")
    epochs = [stage for stage, _, _ in reports if stage.startswith("epoch ")]
    history = run.history()
    assert [line.split(":")[0] for line in epochs] == ["epoch 1 of 2", "epoch 2 of 2"]
    for line, loss in zip(epochs, history["val_loss"], strict=True):
        assert f"validation loss {loss:.3f}" in line
    validation = run.finished_record().data.photographs["val"]
    assert ("predicting photographs", validation, validation) in reports


def test_a_training_that_stops_early_ends_its_progress(prepared: Path, tmp_path: Path) -> None:
    reports: list[Report] = []
    still = tiny("training.learning_rate=1e-12", "training.patience=1", "training.epochs=30")
    train(prepared, still, tmp_path / "still", progress=lambda *report: reports.append(report))
    steps = [(done, total) for stage, done, total in reports if stage == "training batches"]
    assert steps[-1][0] == steps[-1][1] == steps[-2][0]


@pytest.mark.parametrize(("patience", "stops"), [("null", False), ("3", True)])
def test_without_patience_all_epochs_are_trained(patience: str, stops: bool, tmp_path: Path) -> None:
    callbacks = training_callbacks(tiny(f"training.patience={patience}"), tmp_path)
    assert any(isinstance(callback, EarlyStopping) for callback in callbacks) == stops

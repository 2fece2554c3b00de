"""Steps of the optimiser: accumulated batches equal one large batch, and frozen backbones give their features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from retinagrade.experiments.experiment import load_experiment
from retinagrade.models.network import build_network
from retinagrade.training.loading import Batch
from retinagrade.training.module import GradingModule
from retinagrade.training.train import train
from tests.training.tiny_experiments import tiny


@pytest.mark.parametrize("schedule", ["constant", "one-cycle"])
def test_accumulated_batches_are_one_large_batch(schedule: str, prepared: Path, tmp_path: Path) -> None:
    same = [
        "network.feature_dropout=0",
        "network.dense_dropout=0",
        "training.balance=8",
        "training.momentum=0.9",
        "training.optimizer=sgd",
        "training.precision=32",
    ]
    same += [f"training.schedule={schedule}", "training.learning_rate=0.05"]
    large = train(prepared, tiny(*same, "training.batch_size=20"), tmp_path / "large")
    small = train(prepared, tiny(*same, "training.batch_size=10", "training.accumulate=2"), tmp_path / "small")
    expected, got = (torch.load(run.last_checkpoint, weights_only=True) for run in (large, small))
    assert got["global_step"] == expected["global_step"] == 4 * 2
    for name, tensor in expected["state_dict"].items():
        torch.testing.assert_close(got["state_dict"][name], tensor, rtol=1e-4, atol=1e-5)
    for column in ("train_loss", "val_loss", "learning_rate"):
        np.testing.assert_allclose(small.history()[column], large.history()[column], rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(("precision", "tolerance"), [("32", 1e-4), ("bf16", 0.1), ("16", 0.1)])
def test_a_step_with_a_frozen_backbone_is_that_of_the_whole_network(precision: str, tolerance: float) -> None:
    torch.manual_seed(0)
    small = ["network.backbone=lcnet_050", "network.weights=none", "network.image_size=64", "network.dense=[16]"]
    same = ["network.dense_dropout=0", f"training.precision={precision}"]
    experiment = load_experiment("mobilenetv2-2", [*small, *same])
    network = build_network(experiment.network)
    side = experiment.network.image_size
    photographs = torch.randint(0, 256, (3, 3, side, side), dtype=torch.uint8)
    batch: Batch = {"photographs": photographs, "grades": torch.tensor([0, 2, 4]), "image_ids": ["a", "b", "c"]}
    module = GradingModule(network, experiment)
    names = set(module.state_dict())
    module.on_fit_start()
    for _ in range(2):
        loss = module.training_step(batch)
        expected = torch.nn.functional.cross_entropy(network(photographs), batch["grades"])
        torch.testing.assert_close(loss, expected, rtol=tolerance, atol=tolerance)
        with torch.no_grad():  # as if other weights were loaded between two trainings
            for parameter in network.backbone.parameters():
                parameter.mul_(1.3)
        module.on_fit_start()
    loss.backward()  # type: ignore[no-untyped-call]
    trained = [parameter for parameter in network.parameters() if parameter.grad is not None]
    assert {id(each) for each in trained} == {id(each) for each in network.head.parameters()}
    assert set(module.state_dict()) == names

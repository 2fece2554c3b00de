"""Steps of the optimiser: accumulated batches equal one large batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

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

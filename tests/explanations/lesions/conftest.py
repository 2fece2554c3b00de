"""A trained run for tests of lesion agreement."""

from __future__ import annotations

from pathlib import Path

import pytest

from retinagrade.runs.run import Run
from retinagrade.training.train import train
from tests.training.tiny_experiments import tiny


@pytest.fixture(scope="package")
def trained(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of one epoch on the synthetic photographs."""
    return train(prepared, tiny("training.epochs=1"), tmp_path_factory.mktemp("runs") / "tiny")

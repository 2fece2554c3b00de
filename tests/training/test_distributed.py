"""Several devices: the shares of all processes are the batches of one process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import BatchSampler

from retinagrade.errors import ExperimentError, UsageError
from retinagrade.training import train as train_module
from retinagrade.training.distributed import ONE_DEVICE, Devices
from retinagrade.training.failures import clear_training_errors
from retinagrade.training.launch import launch
from retinagrade.training.loading import EpochSampler
from tests.training.tiny_experiments import tiny


@dataclass(frozen=True)
class Process(Devices):
    """One of several on this machine, without the others."""

    place: int = 0

    @property
    def rank(self) -> int:
        return self.place


def batches_of(devices: Devices, order: EpochSampler, batch_size: int) -> list[list[int]]:
    """The places of the photographs of every batch that a process is given in epoch 3."""
    arguments = devices.training_batches(order, batch_size)
    arguments["sampler"].set_epoch(3)
    batches: Iterable[list[Any]] = BatchSampler(arguments["sampler"], arguments["batch_size"], arguments["drop_last"])
    return [[draw.position for draw in batch] for batch in batches]


@given(count=st.integers(1, 4), share=st.integers(1, 5), photographs=st.integers(0, 60), balance=st.booleans())
def test_the_shares_of_all_are_the_batches_of_one(count: int, share: int, photographs: int, balance: bool) -> None:
    batch_size = count * share
    grades = np.arange(batch_size + photographs) % 5
    order = EpochSampler(grades, "square-root" if balance else None, seed=1)
    alone = batches_of(ONE_DEVICE, order, batch_size)
    shares = [batches_of(Process(count, place=place), order, batch_size) for place in range(count)]
    assert [sorted(chain(*parts)) for parts in zip(*shares, strict=True)] == [
        sorted(batch) for batch in alone if len(batch) == batch_size
    ]


@given(count=st.integers(2, 5), more=st.integers(0, 40))
def test_evaluated_photographs_are_divided_without_repetition(count: int, more: int) -> None:
    photographs = count + more
    seen: list[int] = []
    for place in range(count):
        share = Process(count, place=place).evaluation_order(range(photographs))
        rows = list(share)
        assert len(rows) == len(share)
        seen += rows
    assert sorted(seen) == list(range(photographs))


def test_photographs_that_can_not_be_divided_are_an_error(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"batch_size=8 can't be divided among 3 devices: .*=9"):
        train_module.train(prepared, tiny(), tmp_path / "run", devices=Devices(3))
    assert not (tmp_path / "run").exists()
    with pytest.raises(ExperimentError, match="an epoch of 5 photographs is less than a batch of 8"):
        Devices(2).training_batches(EpochSampler(np.zeros(5, int), None, 0), 8)
    with pytest.raises(ExperimentError, match=r"too few validation photographs \(1\) for 2 devices"):
        Devices(2).evaluation_order(range(1))
    with pytest.raises(UsageError, match="torchrun or srun"):
        launch(Devices(2, nodes=2), [])


def test_a_lost_connection_is_a_clear_error(tmp_path: Path) -> None:
    for error in (dist.DistBackendError("NCCL error"), RuntimeError("[gloo/transport/tcp/pair.cc:545] Read error")):
        with (
            pytest.raises(ExperimentError, match="another process of this training has ended"),
            clear_training_errors(tiny(), tmp_path),
        ):
            raise error
    with pytest.raises(RuntimeError, match="mat1"), clear_training_errors(tiny(), tmp_path):
        raise RuntimeError("mat1 and mat2")

"""Several devices: the shares of all processes are what one process is given, and batch-norm sees all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from torch.utils.data import BatchSampler

from retinagrade.errors import ExperimentError, UsageError
from retinagrade.models.inference import inference_copy
from retinagrade.models.network import Network, build_network
from retinagrade.models.settings import NetworkSettings
from retinagrade.training import train as train_module
from retinagrade.training.batch_norm import SynchronisedBatchNorm, convert_batch_norm
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
def test_what_is_evaluated_is_shared_out_once(count: int, more: int) -> None:
    photographs = count + more
    seen: list[int] = []
    for place in range(count):
        share = Process(count, place=place).evaluation_order(range(photographs))
        rows = list(share)
        assert len(rows) == len(share)
        seen += rows
    assert sorted(seen) == list(range(photographs))


def test_what_can_not_be_shared_out_is_told(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"batch_size=8 can't be divided among 3 devices: .*=9"):
        train_module.train(prepared, tiny(), tmp_path / "run", devices=Devices(3))
    assert not (tmp_path / "run").exists()
    with pytest.raises(ExperimentError, match="an epoch of 5 photographs is less than a batch of 8"):
        Devices(2).training_batches(EpochSampler(np.zeros(5, int), None, 0), 8)
    with pytest.raises(ExperimentError, match=r"too few validation photographs \(1\) for 2 devices"):
        Devices(2).evaluation_order(range(1))
    with pytest.raises(UsageError, match="torchrun or srun"):
        launch(Devices(2, nodes=2), [])


def test_a_lost_connection_is_told(tmp_path: Path) -> None:
    for error in (dist.DistBackendError("NCCL error"), RuntimeError("[gloo/transport/tcp/pair.cc:545] Read error")):
        with (
            pytest.raises(ExperimentError, match="another process of this training has ended"),
            clear_training_errors(tiny(), tmp_path),
        ):
            raise error
    with pytest.raises(RuntimeError, match="mat1"), clear_training_errors(tiny(), tmp_path):
        raise RuntimeError("mat1 and mat2")


def small_network() -> Network:
    torch.manual_seed(0)
    settings = {"backbone": "lcnet_050", "pooling": "gap", "image_size": 64, "scratch": None, "dense": ()}
    settings |= {"feature_dropout": 0.0, "dense_dropout": 0.0}
    return build_network(tiny().network.model_copy(update=settings)).train()


def loss_and_gradients(network: Network, rows: slice) -> None:
    photographs = torch.randint(0, 255, (8, 3, 64, 64), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    raw = network(photographs[rows])
    torch.nn.functional.cross_entropy(raw, torch.arange(8)[rows] % 5).backward()  # type: ignore[no-untyped-call]


def _half(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    network = small_network()
    with SynchronisedBatchNorm():
        loss_and_gradients(network, slice(rank, None, 2))
    for parameter in network.parameters():
        dist.all_reduce(cast("Tensor", parameter.grad))
    if rank == 0:
        gradients = [cast("Tensor", parameter.grad) / 2 for parameter in network.parameters()]
        torch.save((gradients, dict(network.named_buffers())), f"{folder}/found.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_batch_norm_of_two_halves_is_that_of_the_whole(tmp_path: Path) -> None:
    spawn(_half, (str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]
    gradients, buffers = torch.load(tmp_path / "found.pt")
    whole = small_network()
    loss_and_gradients(whole, slice(None))
    for parameter, gradient in zip(whole.parameters(), gradients, strict=True):
        expected = cast("Tensor", parameter.grad)
        assert (gradient - expected).norm() <= 1e-3 * expected.norm() + 1e-7
    for name, buffer in whole.named_buffers():
        torch.testing.assert_close(buffers[name], buffer, rtol=1e-4, atol=1e-6)


def frozen_settings() -> NetworkSettings:
    """MobileNetV2 frozen up to its second block, with a head on several stages that has batch-norm of its own."""
    settings = {"backbone": "mobilenetv2_100", "trained_from": "block_1", "stages": (3, 4), "scratch": None}
    return tiny().network.model_copy(update={**settings, "pooling": "gap", "image_size": 64})


def batch_norms(network: Network) -> list[torch.nn.Module]:
    return [m for m in network.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]


def test_converted_batch_norm_keeps_checkpoints_frozen_layers_and_outputs() -> None:
    settings = frozen_settings()
    torch.manual_seed(0)
    plain = build_network(settings).train()
    converted = build_network(settings).train()
    converted.load_state_dict(plain.state_dict())
    convert_batch_norm(converted, settings)
    assert all(isinstance(module, torch.nn.SyncBatchNorm) for module in batch_norms(converted))
    # Checkpoints of either kind load into the other, and an optimiser sees the same parameters in the same order.
    assert list(converted.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(converted.state_dict())
    trained = [name for name, parameter in plain.named_parameters() if parameter.requires_grad]
    assert [name for name, parameter in converted.named_parameters() if parameter.requires_grad] == trained
    modes = [module.training for module in batch_norms(plain)]
    assert [module.training for module in batch_norms(converted)] == modes
    assert {True, False} == set(modes)
    converted.eval().train()
    assert [module.training for module in batch_norms(converted)] == modes
    photographs = torch.randint(0, 255, (4, 3, 64, 64), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    with torch.no_grad():
        assert torch.equal(converted.eval()(photographs), plain.eval()(photographs))
        # Validation folds the converted layers like all others.
        ready = inference_copy(converted, torch.float32, 64)
        assert not any(isinstance(module, torch.nn.SyncBatchNorm) for module in ready.backbone.modules())
        torch.testing.assert_close(ready(photographs), plain(photographs), rtol=1e-3, atol=1e-4)


def test_torch_s_synchronised_batch_norm_runs_on_gpus_alone(tmp_path: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        layer = torch.nn.SyncBatchNorm(3).train()
        with pytest.raises(ValueError, match="on GPU"):
            layer(torch.zeros(2, 3, 4, 4))
        plain = torch.nn.BatchNorm2d(3).train()
        maps = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        with SynchronisedBatchNorm():
            ours = plain(maps)
        torch.testing.assert_close(ours, torch.nn.BatchNorm2d(3).train()(maps))
    finally:
        dist.destroy_process_group()

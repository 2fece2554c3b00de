"""Synchronised batch-norm: two halves of a batch equal the whole, and converted layers keep everything else."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from retinagrade.models.inference import inference_copy
from retinagrade.models.network import Network, build_network
from retinagrade.models.settings import NetworkSettings
from retinagrade.training.batch_norm import SynchronisedBatchNorm, convert_batch_norm
from tests.training.tiny_experiments import tiny


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
def test_batch_norm_of_two_halves_equals_that_of_the_whole_batch(tmp_path: Path) -> None:
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

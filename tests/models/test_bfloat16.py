"""Ways around slow kernels change the time only."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retinagrade.models.bfloat16 import avoid_slow_kernels
from retinagrade.models.network import Network, build_network
from retinagrade.models.settings import NetworkSettings

BACKBONES = ["mobilenetv2_100", "tf_efficientnet_lite0"]


@pytest.fixture(params=BACKBONES)
def pair(request: pytest.FixtureRequest) -> tuple[Network, Network]:
    torch.manual_seed(0)
    settings = NetworkSettings(backbone=request.param, weights="none", image_size=64, pooling="gap")
    network = build_network(settings)
    detouring = deepcopy(network)
    avoid_slow_kernels(detouring)
    return network, detouring


def gradients(network: Network, enabled: bool) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    photographs = torch.randint(0, 256, (8, 3, 64, 64), generator=generator, dtype=torch.uint8)
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        logits = network(photographs)
    F.cross_entropy(logits.float(), torch.arange(8) % 5).backward()  # type: ignore[no-untyped-call]
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters() if parameter.grad is not None])


def test_in_float32_every_bit_is_the_same(pair: tuple[Network, Network]) -> None:
    plain, detouring = (gradients(network, enabled=False) for network in pair)
    assert torch.equal(plain, detouring)


def test_in_bfloat16_gradients_are_as_near_to_float32_as_without(pair: tuple[Network, Network]) -> None:
    exact = gradients(deepcopy(pair[0]), enabled=False)
    plain, detouring = (gradients(network, enabled=True) for network in pair)
    error = (plain - exact).norm() / exact.norm()
    assert not torch.equal(plain, detouring)
    assert (detouring - exact).norm() / exact.norm() < 1.2 * error


def test_names_of_tensors_stay(pair: tuple[Network, Network]) -> None:
    plain, detouring = pair
    assert list(plain.state_dict()) == list(detouring.state_dict())
    plain.load_state_dict(detouring.state_dict())
    assert any(isinstance(module, nn.Conv2d) and type(module) is not nn.Conv2d for module in detouring.modules())

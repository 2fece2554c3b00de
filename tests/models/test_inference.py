"""An inference copy predicts the same as its network."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from retinagrade.models.inference import _PairMaximum, inference_copy
from retinagrade.models.network import Network, build_network
from retinagrade.models.settings import NetworkSettings, Scaling, ScratchSettings
from retinagrade.models.winograd import WinogradConvolution

SIZE = 96
FAMILIES = ["vgg16", "mobilenetv2_100", "resnet50", "inception_v3", "tf_efficientnet_b0", "tf_efficientnet_lite0"]
OTHERS = ["densenet121", "resnetv2_50", "convnext_atto"]
"""Batch-norm before convolutions, convolutions read twice or standardised, no batch-norm."""


def photographs(count: int) -> Tensor:
    noise = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (count, SIZE, SIZE, 3), dtype=torch.uint8, generator=noise)
    return pixels.permute(0, 3, 1, 2)


def settle(network: Network) -> Network:
    """Batch-norm with statistics of its own input and weights of all signs, as training leaves it."""
    torch.manual_seed(2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            module.reset_running_stats()
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias, 0, 0.3)
            module.train()
    with torch.no_grad():
        network(photographs(8))
    return network.eval()


@pytest.fixture(scope="module", params=FAMILIES + OTHERS)
def network(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(0)
    return settle(
        build_network(NetworkSettings(backbone=request.param, weights="none", image_size=SIZE, pooling="gap"))
    )


def difference(network: Network, copy: Network) -> float:
    """Largest difference of raw outputs, by their spread."""
    with torch.inference_mode():
        expected, given = network(photographs(4)), copy(photographs(4))
    assert given.dtype == torch.float32
    return float((given - expected).abs().max() / expected.std())


def norms(network: Network) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_in_float32_only_rounding_differs(network: Network) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    copy = inference_copy(network, torch.float32, SIZE)
    assert difference(network, copy) < 5e-3  # random weights enlarge rounding: up to 1.5e-3 on one processor
    assert not any(tensor.requires_grad for tensor in copy.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_bfloat16_is_as_near_to_float32_as_autocast(network: Network) -> None:
    copy = inference_copy(network, torch.bfloat16, SIZE)
    with torch.inference_mode():
        exact, given = network(photographs(4)), copy(photographs(4))
        with torch.autocast("cpu", torch.bfloat16):
            autocast = network(photographs(4)).float()
    assert copy.dtype == torch.bfloat16
    assert 0 < (given - exact).norm() < 1.5 * (autocast - exact).norm()


@pytest.mark.parametrize("name", FAMILIES)
def test_no_batch_norm_is_left_in_the_reports_families(name: str) -> None:
    network = build_network(NetworkSettings(backbone=name, weights="none", image_size=SIZE, pooling="gap"))
    assert norms(inference_copy(network, torch.float32, SIZE)) == 0
    assert network.training


def test_a_copy_can_be_copied(network: Network) -> None:
    once = inference_copy(network, torch.bfloat16, SIZE)
    assert difference(once, inference_copy(once, torch.bfloat16, SIZE)) == 0


def test_activations_are_computed_with_their_convolutions() -> None:
    settings = NetworkSettings(backbone="vgg16", weights="none", image_size=SIZE, pooling="gap")
    network = settle(build_network(settings))
    ready = inference_copy(network, torch.float32, SIZE)
    alone = [module for module in ready.backbone.children() if isinstance(module, nn.ReLU)]
    assert not alone
    assert difference(network, ready) < 1e-4


@pytest.mark.parametrize(("dtype", "some"), [(torch.float32, True), (torch.bfloat16, False)])
def test_only_float32_multiplies_less(dtype: torch.dtype, some: bool) -> None:
    network = build_network(NetworkSettings(backbone="vgg16", weights="none", image_size=SIZE, pooling="gap"))
    ready = inference_copy(network, dtype, SIZE)
    assert any(isinstance(module, WinogradConvolution) for module in ready.modules()) == some


class Adding(nn.Module):
    """Convolutions whose activations also read what was added in place, or are needed twice."""

    def __init__(self, again: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.shared, self.last = nn.ReLU(), nn.ReLU6()
        self.again = again

    def forward(self, pixels: Tensor) -> Tensor:
        maps: Tensor = self.shared(self.first(pixels))
        added: Tensor = self.second(maps)
        if self.again:
            return self.shared(added)  # type: ignore[no-any-return]
        added += maps
        return self.last(added)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("again", "left"), [(True, 2), (False, 1)])
def test_an_activation_stays_where_it_reads_more_than_one_convolution(again: bool, left: int) -> None:
    scaling = Scaling(mean=(0.0,) * 3, std=(255.0,) * 3)
    pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = Network(Adding(again), pooling, nn.Linear(8, 5), scaling).eval()
    ready = inference_copy(network, torch.float32, SIZE)
    assert difference(network, ready) < 1e-5
    assert sum(isinstance(module, nn.ReLU | nn.ReLU6) for module in ready.backbone.modules()) == left


@given(height=st.integers(2, 9), width=st.integers(2, 9), dtype=st.sampled_from([torch.float32, torch.bfloat16]))
def test_pairs_are_pooled_to_the_bit(height: int, width: int, dtype: torch.dtype) -> None:
    maps = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(height * width)).to(dtype)
    maps[0, 0, 0, 0] = torch.nan
    maps = maps.to(memory_format=torch.channels_last)
    pooled = _PairMaximum()(maps)
    torch.testing.assert_close(pooled, nn.functional.max_pool2d(maps, 2), rtol=0, atol=0, equal_nan=True)
    assert pooled.is_contiguous(memory_format=torch.channels_last)


def test_a_copy_pools_pairs_without_their_places_and_other_windows_as_before() -> None:
    pools = nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(2), nn.MaxPool2d(3))
    pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = Network(pools, pooling, nn.Linear(8, 5), Scaling(mean=(0.0,) * 3, std=(255.0,) * 3)).eval()
    copy = inference_copy(network, torch.float32, SIZE)
    left = [module.kernel_size for module in copy.modules() if isinstance(module, nn.MaxPool2d)]
    assert left == [3]
    assert difference(network, copy) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_the_cnn_from_scratch_predicts_the_same_in_groups(dtype: torch.dtype, count: int) -> None:
    torch.manual_seed(0)
    scratch = ScratchSettings(filters=(4, 8, 8), kernel=2, pools=(2, 3, 2))
    network = build_network(
        NetworkSettings(backbone="scratch", scratch=scratch, weights="none", image_size=SIZE, pooling="flatten")
    ).eval()
    copy = inference_copy(network, dtype, SIZE)
    assert type(copy.backbone) is not type(network.backbone)
    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    with torch.inference_mode():
        expected, given = network(photographs(count)), copy(photographs(count))
        torch.testing.assert_close(given, expected, rtol=tolerance, atol=tolerance)
        nn.init.constant_(next(network.backbone.parameters()), float("nan"))
        assert inference_copy(network, dtype, SIZE)(photographs(1)).isnan().all()


def test_a_network_with_nan_weights_predicts_nan() -> None:
    settings = NetworkSettings(backbone="vgg16", weights="none", image_size=SIZE, pooling="gap")
    network = build_network(settings)
    nn.init.constant_(next(network.backbone.parameters()), float("nan"))
    with torch.inference_mode():  # oneDNN's ReLU makes 0 of not-a-number
        assert inference_copy(network, torch.float32, SIZE)(photographs(1)).isnan().all()


OLD_PROCESSOR = """
import torch
from retinagrade.models.inference import inference_copy
from retinagrade.models.network import build_network
from retinagrade.models.settings import NetworkSettings
for name in ("vgg16", "mobilenetv2_100"):
    network = build_network(NetworkSettings(backbone=name, weights="none", image_size=64, pooling="gap"))
    for dtype in (torch.float32, torch.bfloat16):
        with torch.inference_mode():
            raw = inference_copy(network, dtype, 64)(torch.zeros(2, 3, 64, 64, dtype=torch.uint8))
        assert raw.isfinite().all()
"""


def test_an_old_processor_computes_half_precision_too() -> None:
    old = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", OLD_PROCESSOR], env=old, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Skipping(nn.Module):
    """A convolution whose output is needed without the batch-norm as well."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, pixels: Tensor) -> Tensor:
        maps: Tensor = self.conv(pixels)
        return self.norm(maps) + maps  # type: ignore[no-any-return]


def test_a_batch_norm_stays_where_something_else_reads_the_convolution() -> None:
    scaling = Scaling(mean=(0.0,) * 3, std=(255.0,) * 3)
    pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = settle(Network(Skipping(), pooling, nn.Linear(8, 5), scaling))
    copy = inference_copy(network, torch.float32, SIZE)
    assert norms(copy) == 1
    assert difference(network, copy) == 0

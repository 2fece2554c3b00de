"""Networks that outline lesions."""

from __future__ import annotations

import pytest
import torch

from retinagrade.errors import ExperimentError
from retinagrade.models.lesion_network import build_lesion_network
from retinagrade.models.network import count_parameters
from retinagrade.models.settings import NetworkSettings
from retinagrade.models.summary import summarise_network

SETTINGS = NetworkSettings(
    backbone="tinynet_e",
    weights="none",
    image_size=64,
    stages=(0, 1, 2),
    output="lesions",
    lesions=("microaneurysms", "optic_disc"),
    decoder=(32, 16, 8),
)


@pytest.mark.parametrize(
    ("height", "width", "decoder", "factor"),
    [(64, 64, (32, 16, 8), 1), (48, 80, (32, 16, 8), 1), (48, 80, (32, 16), 2), (48, 80, (32,), 4)],
)
def test_maps_halve_with_each_block_that_the_decoder_lacks(
    height: int, width: int, decoder: tuple[int, ...], factor: int
) -> None:
    network = build_lesion_network(SETTINGS.model_copy(update={"decoder": decoder})).eval()
    photographs = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8)
    with torch.no_grad():
        maps = network(photographs)
    assert maps.shape == (2, 2, height // factor, width // factor)
    assert maps.dtype == torch.float32
    assert maps.sigmoid().mean() < 0.1  # lesions are rare
    assert network.stride == 8


def test_every_part_learns() -> None:
    network = build_lesion_network(SETTINGS)
    network(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)).square().mean().backward()
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert without == []


@pytest.mark.parametrize(
    "change",
    [
        {"lesions": ()},
        {"decoder": (32, 16, 8, 4)},
        {"decoder": ()},
        {"stages": (1, 2, 3)},
        {"stages": None},
        {"image_size": 60},
        {"dense": (8,)},
        {"lesions": ("optic_disc", "optic_disc")},
        {"output": "softmax"},
    ],
)
def test_inconsistent_settings_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"lesions|decoder|stages|dense|image_size"):
        NetworkSettings.model_validate(SETTINGS.model_dump() | change)


def test_a_backbone_without_halving_maps_is_refused() -> None:
    settings = SETTINGS.model_copy(update={"backbone": "vit_tiny_patch16_224", "arguments": {"dynamic_img_size": True}})
    with pytest.raises(ExperimentError):
        build_lesion_network(settings)


def test_the_summary_counts_every_parameter() -> None:
    network = build_lesion_network(SETTINGS)
    rows = summarise_network(network, SETTINGS)
    assert sum(row.total for row in rows) == count_parameters(network)[0]

"""First convolutions that read finer photographs."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

from retinagrade.errors import ExperimentError
from retinagrade.models.fine_stem import refine_stem
from retinagrade.models.lesion_network import build_lesion_network
from retinagrade.models.network import count_parameters
from retinagrade.models.settings import FineStemSettings, NetworkSettings
from retinagrade.models.summary import summarise_network

SETTINGS = NetworkSettings(
    backbone="tinynet_e",
    weights="none",
    image_size=96,
    stages=(0, 1, 2),
    output="lesions",
    lesions=("microaneurysms", "optic_disc"),
    decoder=(16, 8),
    fine_stem=FineStemSettings(stride=3),
)


@pytest.mark.parametrize("stride", [2, 3, 4, 5])
@pytest.mark.parametrize("backbone", ["tf_efficientnet_lite0", "tinynet_e", "resnet18", "mobilenetv3_small_050"])
def test_a_photograph_without_detail_gets_the_same_maps(backbone: str, stride: int) -> None:
    """Blocks of 2 × 2 pixels are blocks of 3 × 3 pixels in a photograph with 1.5 times the side, and so on."""
    model = timm.create_model(backbone, num_classes=0).eval()
    config: Any = model.pretrained_cfg
    name = str(config["first_conv"])
    blocks = torch.rand(1, 3, 12, 12)
    usual = blocks.repeat_interleave(2, 2).repeat_interleave(2, 3)
    fine = blocks.repeat_interleave(stride, 2).repeat_interleave(stride, 3)
    with torch.no_grad():
        before = model.get_submodule(name)(usual)
        refine_stem(model, stride)
        after = model.get_submodule(name)(fine)
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("stride", "split", "side"), [(3, 2, 64), (4, 2, 48), (3, 1, 32), (2, 2, 96)])
def test_maps_have_the_side_of_the_split(stride: int, split: int, side: int) -> None:
    network = build_lesion_network(
        SETTINGS.model_copy(update={"fine_stem": FineStemSettings(stride=stride, split=split)})
    ).eval()
    assert network.stride == 4 * stride
    with torch.no_grad():
        maps = network(torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8))
    assert maps.shape == (2, 2, side, side)
    assert maps.sigmoid().mean() < 0.1  # lesions are rare


def test_every_part_of_a_fine_network_learns() -> None:
    network = build_lesion_network(SETTINGS)
    network(torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)).square().mean().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    assert sum(row.total for row in summarise_network(network, SETTINGS)) == count_parameters(network)[0]


def test_a_backbone_without_a_halving_first_layer_is_refused() -> None:
    with pytest.raises(ExperimentError):
        refine_stem(timm.create_model("convnext_atto", num_classes=0), 3)  # its first layer takes patches of 4 × 4
    with pytest.raises(ExperimentError):
        refine_stem(nn.Conv2d(3, 8, 3, 2), 3)
    with pytest.raises(ExperimentError):
        refine_stem(timm.create_model("resnetv2_50x1_bit", num_classes=0), 4)  # its convolutions change their weights


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": 92},
        {"decoder": (16, 8, 8)},
        {"decoder": (16,)},
        {"fine_stem": {"stride": 1}},
        {"fine_stem": {"stride": 3, "split": 4}},
        {"output": "softmax"},
    ],
)
def test_inconsistent_fine_settings_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"image_size|decoder|stride|lesions"):
        NetworkSettings.model_validate(SETTINGS.model_dump() | change)

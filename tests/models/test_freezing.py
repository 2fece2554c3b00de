"""Freezing by the report's layer names: the frozen modules, and the error of an unknown name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from retinagrade.errors import ExperimentError
from retinagrade.models.freezing import LAYERS, backbone_layer_modules, frozen_modules
from retinagrade.models.network import build_network
from retinagrade.models.settings import NetworkSettings


def settings(backbone: str, trained_from: str) -> NetworkSettings:
    return NetworkSettings(
        backbone=backbone, weights="none", image_size=64, pooling="gap", dense=(8,), trained_from=trained_from
    )


@pytest.mark.parametrize("name", LAYERS)
def test_the_table_names_every_weight_of_a_backbone_once_and_in_order(name: str) -> None:
    backbone = build_network(settings(name, "all")).backbone
    modules = [module for modules in LAYERS[name].values() for module in modules]
    listed = [
        f"{module}.{tensor}" for module in modules for tensor, _ in backbone.get_submodule(module).named_parameters()
    ]
    assert listed == [tensor for tensor, _ in backbone.named_parameters()]


def test_the_table_locates_the_mobilenet_blocks_of_keras() -> None:
    backbone = build_network(settings("mobilenetv2_100", "all")).backbone
    last = backbone.get_submodule(*LAYERS["mobilenetv2_100"]["block_16"])
    assert [tuple(m.weight.shape) for m in last.modules() if isinstance(m, nn.Conv2d)] == [
        (960, 160, 1, 1), (960, 1, 3, 3), (320, 960, 1, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("mobilenetv2_100", "block_16"),
        ("vgg16", "block5_conv1"),
        ("resnet50", "layer4"),
        ("efficientnet_b0", "blocks.6"),
    ],
)
def test_frozen_layers_stay_and_the_rest_is_trained(name: str, layer: str) -> None:
    network = build_network(settings(name, layer)).train()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1.0)
    pixels = torch.randint(0, 256, (4, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    network(pixels).square().sum().backward()
    optimizer.step()
    layers = backbone_layer_modules(network.backbone, name)
    first = list(layers).index(layer)
    moved = {key for key, tensor in network.state_dict().items() if not torch.equal(tensor, before[key])}
    for index, modules in enumerate(layers.values()):
        tensors = {
            f"backbone.{module}.{key}"
            for module in modules
            for key in network.backbone.get_submodule(module).state_dict()
        }
        assert bool(tensors & moved) == (index >= first)


def test_an_unknown_layer_lists_the_layers() -> None:
    with pytest.raises(ExperimentError, match=r"no layer 'block_17': all, none, or one of Conv1, block_0, .*block_16"):
        build_network(settings("mobilenetv2_100", "block_17"))


def test_all_and_none() -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 4, 1))
    assert frozen_modules(backbone, "any", "all") == []
    assert frozen_modules(backbone, "any", "none") == [backbone]

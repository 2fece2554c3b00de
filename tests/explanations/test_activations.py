"""Activations: every layer is there, with its own numbers."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import LayerActivation
from PIL import Image
from torch import nn

from retinagrade.explanations.activations import SHOWN, draw_layer, layer_maps
from tests.explanations.networks import FAMILIES, network, photographs


@pytest.mark.parametrize("family", FAMILIES)
def test_every_convolution_and_pooling_layer_of_every_family_has_maps(family: str) -> None:
    explained = network(**FAMILIES[family])
    layers = layer_maps(explained, photographs(1))
    names = [layer.name for layer in layers]
    convolutions = [name for name, module in explained.backbone.named_modules() if isinstance(module, nn.Conv2d)]
    left_out = set(convolutions) - set(names)
    assert all(".se." in name for name in left_out) or family == "inceptionv3"  # of one pixel in 96 px
    assert len(set(names)) == len(names)
    pools = {"scratch": 2, "vgg16": 5, "resnet50": 1, "inceptionv3": 13, "hybrid": 8}.get(family, 0)
    assert sum(layer.kind == "pooling" for layer in layers) <= pools
    assert (sum(layer.kind == "pooling" for layer in layers) > 0) == (pools > 0)


def test_blocks_of_transformers_have_the_maps_of_their_patches() -> None:
    explained = network(**FAMILIES["vit"])
    layers = {layer.name: layer for layer in layer_maps(explained, photographs(1))}
    assert [name for name, layer in layers.items() if layer.kind == "block"] == [f"blocks.{n}" for n in range(6)]
    model: Any = explained.backbone
    with torch.no_grad():
        last = model.forward_intermediates(
            (photographs(1) - explained.mean) / explained.std, indices=[5], intermediates_only=True
        )[0]
    layer = layers["blocks.5"]
    torch.testing.assert_close(torch.from_numpy(layer.maps), last[0, layer.order.tolist()], rtol=1e-4, atol=1e-5)


def test_maps_equal_captum_and_are_ordered_by_activity() -> None:
    explained = network(**FAMILIES["vgg16"])
    layers = {layer.name: layer for layer in layer_maps(explained, photographs(1))}
    for name in ("0", "14", "28"):  # ReLU after them works in place
        layer = layers[name]
        expected = LayerActivation(explained, explained.backbone.get_submodule(name)).attribute(photographs(1))
        assert isinstance(expected, torch.Tensor)
        assert layer.channels == expected.shape[1]
        torch.testing.assert_close(torch.from_numpy(layer.maps), expected[0, layer.order].detach())
        activity = expected[0].abs().mean((1, 2))
        assert layer.order.tolist() == activity.argsort(descending=True)[:SHOWN].tolist()


def test_pictures_have_a_palette_even_if_a_layer_is_0_everywhere() -> None:
    layer = layer_maps(network(**FAMILIES["scratch"]), photographs(1))[0]
    picture = Image.open(io.BytesIO(draw_layer(layer)))
    assert picture.mode == "P"
    assert picture.width > 800
    dead = type(layer)(layer.name, layer.kind, 4, np.arange(4), np.zeros((4, 5, 5), np.float32))
    assert draw_layer(dead).startswith(b"\x89PNG")

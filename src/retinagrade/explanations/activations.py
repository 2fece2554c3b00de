"""Activations: the feature maps of every convolution, pooling layer and block of tokens, the most active first."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from retinagrade.errors import ExperimentError
from retinagrade.explanations.layers import evaluation_mode
from retinagrade.images.own_pictures import mark_png
from retinagrade.models.network import Network
from retinagrade.models.token_maps import as_maps

SHOWN: Final = 32
"""Largest number of channels in a picture."""
_COLUMNS: Final = 8
_TILE: Final = 96
_GAP: Final = 22
"""Pixels between tiles, for the channel's number."""
_BLOCK: Final = re.compile(r"(^|\.)blocks\.\d+$")
_POOLING: Final = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d)


@dataclass(frozen=True)
class LayerMaps:
    """Feature maps of one layer, for one photograph.

    Attributes:
        name: Name of the layer in the backbone.
        kind: ``convolution``, ``pooling``, or ``block`` of a transformer.
        channels: Number of its channels.
        order: Numbers (k,) of the channels with the largest mean absolute value, counted from 0, in that order.
        maps: Feature maps (k, h, w) of these channels.
    """

    name: str
    kind: str
    channels: int
    order: NDArray[np.int64]
    maps: NDArray[np.float32]


@torch.no_grad()
def layer_maps(network: Network, photograph: Tensor) -> list[LayerMaps]:
    """Computes the feature maps of every convolution, pooling layer and block of a transformer, as they are computed.

    Maps of a single pixel, as within squeeze-and-excitation and after global pooling, are left out.

    Args:
        network: A network; it is used in evaluation mode.
        photograph: RGB pixels (1, 3, S, S), uint8.

    Returns:
        One entry per layer; a layer that is computed several times has as many entries.
    """
    layers: list[LayerMaps] = []
    hooks = []
    for name, module in network.backbone.named_modules():
        if (kind := _kind(name, module)) is not None:

            def record(_: nn.Module, __: object, output: Tensor, name: str = name, kind: str = kind) -> None:
                try:
                    maps = as_maps(output, network.backbone) if kind == "block" else output
                except ExperimentError:
                    return  # the block's output has no places
                if maps.shape[2:].numel() > 1:
                    layers.append(_most_active(name, kind, maps))

            hooks.append(module.register_forward_hook(record))
    try:
        with evaluation_mode(network):
            network(photograph.to(network.mean.device))
    finally:
        for hook in hooks:
            hook.remove()
    return layers


def _kind(name: str, module: nn.Module) -> str | None:
    if isinstance(module, _POOLING):
        return "pooling"
    if isinstance(module, nn.Conv2d):
        return "convolution"
    # A block of tokens consists of attention, or another mixture of tokens, and has no convolution.
    without = any(module.children()) and not any(isinstance(part, nn.Conv2d) for part in module.modules())
    return "block" if without and _BLOCK.search(name) else None


def _most_active(name: str, kind: str, output: Tensor) -> LayerMaps:
    maps = output[0].float()
    order = maps.abs().mean((1, 2)).argsort(descending=True, stable=True)[:SHOWN]
    return LayerMaps(name, kind, len(maps), order.cpu().numpy(), maps[order].cpu().numpy())  # indexing copies


def draw_layer(layer: LayerMaps) -> bytes:
    """Draws the maps of one layer as a picture: one tile per channel, with its number, and one colour scale for all.

    Non-negative values are drawn in viridis, values of both signs in two colours with white at 0; both are readable
    with any colour vision. The scale ends at the 99th percentile of the absolute values.

    Args:
        layer: The feature maps.

    Returns:
        A PNG.
    """
    signed = bool(layer.maps.min() < 0)
    end = float(np.quantile(np.abs(layer.maps), 0.99)) or float(np.abs(layer.maps).max()) or 1.0
    rows = -(-len(layer.maps) // _COLUMNS)
    sheet = np.full((rows * (_TILE + _GAP), _COLUMNS * (_TILE + 4)), np.nan, np.float32)
    figure = Figure(figsize=(9.2, 0.7 + rows * 1.18), layout="constrained")
    axes = figure.subplots()
    for number, (channel, feature_map) in enumerate(zip(layer.order, layer.maps, strict=True)):
        top, left = number // _COLUMNS * (_TILE + _GAP) + _GAP, number % _COLUMNS * (_TILE + 4)
        shrinks = feature_map.shape[0] > _TILE
        tile = cv2.resize(feature_map, (_TILE, _TILE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST)
        sheet[top : top + _TILE, left : left + _TILE] = tile
        axes.text(left, top - 5, str(channel), fontsize=7)
    colours, start = ("PuOr", -end) if signed else ("viridis", 0.0)
    image = axes.imshow(sheet, colours, vmin=start, vmax=end, interpolation="nearest")
    axes.axis("off")
    side = " × ".join(map(str, layer.maps.shape[1:]))
    title = f"{layer.name} ({layer.kind}): {len(layer.maps)} of {layer.channels} channels, {side}"
    axes.set_title(title, fontsize=9, loc="left")
    bar = figure.colorbar(image, ax=axes, shrink=0.9, pad=0.01, extend="both" if signed else "max")
    bar.ax.tick_params(labelsize=7)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100, metadata={"Software": None})
    # A page shows up to a hundred pictures: a palette halves their size without a visible loss.
    small = io.BytesIO()
    Image.open(stream).convert("RGB").quantize(256, Image.Quantize.MEDIANCUT).save(small, "PNG", optimize=True)
    return mark_png(small.getvalue())

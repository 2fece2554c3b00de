"""Activations: what every convolution and pooling layer of a network gives for one photograph, most active first."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from retinagrade.explain.layers import evaluation_mode
from retinagrade.models.network import Network

SHOWN: Final = 32
"""Channels in a picture, at most."""
_COLUMNS: Final = 8
_TILE: Final = 96
_GAP: Final = 22
"""Pixels between tiles, where the channel's number stands."""
_POOLING: Final = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d)


@dataclass(frozen=True)
class LayerMaps:
    """Feature maps of one layer, for one photograph.

    Attributes:
        name: Where the layer is in the backbone.
        kind: ``convolution`` or ``pooling``.
        channels: How many it has.
        order: Numbers (k,) of its most active channels, counted from 0, the most active first: by the mean of the
            maps' absolute values.
        maps: The maps (k, h, w) of these, float32, as the layer gives them.
    """

    name: str
    kind: str
    channels: int
    order: np.ndarray
    maps: np.ndarray


@torch.no_grad()
def layer_maps(network: Network, photograph: Tensor) -> list[LayerMaps]:
    """Feature maps of every convolution and pooling layer of a network, in the order in which they are computed.

    Maps of a single pixel, as within squeeze-and-excitation and after the average over all places, are no pictures and
    are left out.

    Args:
        network: A network; it is taken in evaluation mode.
        photograph: RGB pixels (1, 3, S, S), uint8.

    Returns:
        One entry a layer; of a layer that is used several times, one a use.
    """
    found: list[LayerMaps] = []
    hooks = []
    for name, module in network.backbone.named_modules():
        if isinstance(module, (nn.Conv2d, *_POOLING)):

            def note(module: nn.Module, _: object, output: Tensor, name: str = name) -> None:
                if output.shape[2:].numel() > 1:
                    found.append(
                        _most_active(name, "pooling" if isinstance(module, _POOLING) else "convolution", output)
                    )

            hooks.append(module.register_forward_hook(note))
    try:
        with evaluation_mode(network):
            network(photograph.to(network.mean.device))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _most_active(name: str, kind: str, output: Tensor) -> LayerMaps:
    maps = output[0].float()
    order = maps.abs().mean((1, 2)).argsort(descending=True, stable=True)[:SHOWN]
    return LayerMaps(name, kind, len(maps), order.cpu().numpy(), maps[order].cpu().numpy())  # indexing copies


def layer_picture(layer: LayerMaps) -> bytes:
    """The maps of one layer as one picture: a tile a channel under its number, and a scale that all share.

    Values from 0 on are drawn in viridis, those of both signs in two colours with white at 0; both can be read with any
    colour vision. The scale ends where all but a hundredth of the values lie.

    Args:
        layer: The maps.

    Returns:
        A PNG.
    """
    signed = bool(layer.maps.min() < 0)
    end = float(np.quantile(np.abs(layer.maps), 0.99)) or float(np.abs(layer.maps).max()) or 1.0
    rows = -(-len(layer.maps) // _COLUMNS)
    sheet = np.full((rows * (_TILE + _GAP), _COLUMNS * (_TILE + 4)), np.nan, np.float32)
    figure = Figure(figsize=(9.2, 0.7 + rows * 1.18), layout="constrained")
    axes = figure.subplots()
    for place, (channel, one) in enumerate(zip(layer.order, layer.maps, strict=True)):
        top, left = place // _COLUMNS * (_TILE + _GAP) + _GAP, place % _COLUMNS * (_TILE + 4)
        shrinks = one.shape[0] > _TILE
        tile = cv2.resize(one, (_TILE, _TILE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST)
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
    # A page shows up to a hundred of these: a palette halves it and takes nothing that eyes miss.
    small = io.BytesIO()
    Image.open(stream).convert("RGB").quantize(256, Image.Quantize.MEDIANCUT).save(small, "PNG", optimize=True)
    return small.getvalue()

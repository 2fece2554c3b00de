"""The feature maps from which class activation maps are made, and gradients of scores with respect to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from retinagrade.errors import ExperimentError
from retinagrade.explanations.scores import Target, scores
from retinagrade.models.network import Network, feature_maps, scale_pixels
from retinagrade.models.scratch import ScratchCNN
from retinagrade.models.settings import NetworkSettings
from retinagrade.models.summary import backbone_layers
from retinagrade.models.token_maps import as_maps, with_maps


@contextmanager
def evaluation_mode(network: Network) -> Iterator[None]:
    """Puts a network into evaluation mode within a ``with`` block."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)


def maps_and_scores(
    network: Network, photographs: Tensor, targets: Sequence[Target], layer: nn.Module | None = None
) -> tuple[list[Tensor], Tensor]:
    """Computes feature maps, and scores that depend on them, by a network in evaluation mode.

    By default, the maps are the last ones with positions: the input of the global pooling or flattening, one per stage
    if ``network.stages`` are set. Those of a vision transformer are the last tokens of its patches. If a chain of
    convolutions ends with max-pooling (VGG16, the CNNs from scratch), they are the input of that pooling after its
    ReLU, as fine as the last convolution, as is usual.

    The backbone runs once and without gradients. Each target only needs a backward pass through the head.

    Args:
        network: A network.
        photographs: RGB pixels (N, 3, S, S), uint8.
        targets: T targets.
        layer: A module of the backbone whose output is used instead: feature maps, or the tokens of patches.

    Returns:
        Feature maps (N, C, h, w), one or one per stage, with ``requires_grad``; and scores (N, T), float64, that depend
        on them.

    Raises:
        ExperimentError: The output of ``layer`` is not feature maps.
    """
    if layer is not None:
        return _maps_of_layer(network, photographs, targets, layer)
    convolutions, pooling = without_last_pooling(network.backbone)
    with torch.no_grad():
        pixels = scale_pixels(photographs, network.mean, network.std).to(network.dtype)
        maps = feature_maps(convolutions, pixels, network.stages)
    leaves = [stage.requires_grad_() for stage in (maps if isinstance(maps, list) else [maps])]
    raw = network.head(network.pooling(leaves if isinstance(maps, list) else pooling(leaves[0])))
    return leaves, scores(network.output, raw, targets)


def gradients(maps: Sequence[Tensor], values: Tensor) -> list[Tensor]:
    """Computes the gradients of every score with respect to every feature map.

    Args:
        maps: Feature maps (N, C, h, w) that the scores depend on.
        values: Scores (N, T).

    Returns:
        Gradients (N, T, C, h, w) for each of the maps, with their dtype.
    """
    # A photograph's score only depends on its own maps, so the gradient of the sum holds all gradients.
    rows = [torch.autograd.grad(column.sum(), maps, retain_graph=True) for column in values.unbind(1)]
    return [torch.stack(by_target, dim=1) for by_target in zip(*rows, strict=True)]


def without_last_pooling(backbone: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Splits a backbone into its layers and the max-pooling at its end.

    ReLU is applied before max-pooling, whatever their order; the result is the same. A backbone that does not end with
    max-pooling is returned whole, with an identity.
    """
    chain = backbone.blocks if isinstance(backbone, ScratchCNN) else backbone
    if not isinstance(chain, nn.Sequential):
        return backbone, nn.Identity()
    pools: list[nn.Module] = []
    for layer in chain:
        pools = [] if isinstance(layer, nn.Conv2d) else pools + [layer] * isinstance(layer, nn.MaxPool2d)
    return nn.Sequential(*(layer for layer in chain if layer not in pools)), nn.Sequential(*pools)


def find_layer(network: Network, settings: NetworkSettings, name: str) -> nn.Module:
    """Finds a layer of a network's backbone by the name that ``retinagrade experiments show`` prints.

    Args:
        network: The network.
        settings: The settings of the network.
        name: Name of the layer. If several modules form the layer, the last one is returned.

    Raises:
        ExperimentError: There is no layer with this name; the message lists all names.
    """
    layers = backbone_layers(network, settings)
    if name not in layers:
        raise ExperimentError(f"{settings.backbone} has no layer {name!r}: one of {', '.join(layers)}")
    return layers[name][-1]


def _maps_of_layer(
    network: Network, photographs: Tensor, targets: Sequence[Target], layer: nn.Module
) -> tuple[list[Tensor], Tensor]:
    leaves: list[Tensor] = []

    def cut(_: nn.Module, __: object, output: Any) -> Tensor:
        try:
            maps = as_maps(output, network.backbone)
        except ExperimentError as error:
            raise ExperimentError(f"this layer can't be explained, because {error}: choose another one") from error
        leaves.append(maps.detach().requires_grad_())
        return with_maps(output, leaves[-1], network.backbone).clone()  # later layers may change it in place

    hook = layer.register_forward_hook(cut)
    try:
        with torch.enable_grad():
            raw = network(photographs)
    finally:
        hook.remove()
    if len(leaves) != 1:
        raise ExperimentError(f"this layer is computed {len(leaves)} times: choose a different one")
    return leaves, scores(network.output, raw, targets)

"""Maps of heat: one function for every method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from retinagrade.errors import UsageError
from retinagrade.explain.attribution import integrated_gradients, occlusion
from retinagrade.explain.cam import CAMS, combine_layers
from retinagrade.explain.layers import evaluation_mode, gradients, maps_and_scores
from retinagrade.explain.scores import Target
from retinagrade.models.network import Network

_BY_PIXELS: Final = {"integrated-gradients": integrated_gradients, "occlusion": occlusion}

METHODS: Final = (*CAMS, *_BY_PIXELS)
"""What :func:`saliency_maps` knows."""


def saliency_maps(
    network: Network,
    photographs: Tensor,
    method: str,
    targets: Sequence[Target],
    layer: nn.Module | None = None,
) -> Tensor:
    """Where in photographs a network's score of some targets is sensitive.

    A map of heat is no evidence of reasoning: it says what the score depends on near this photograph, not why, nor that
    it should.

    Args:
        network: A network, in either mode and frozen or not; it is left as it is, and is taken in evaluation mode.
        photographs: RGB pixels (N, 3, S, S), uint8, at the network's input size.
        method: One of :data:`METHODS`.
        targets: T grades 0 to 4, or ``"referable"``; :func:`~retinagrade.explain.scores.scores` has the score of each.
        layer: A module of the backbone whose output a class activation map is made of; by default what
            :func:`~retinagrade.explain.layers.maps_and_scores` chooses.

    Returns:
        Heat (N, T, h, w), float32, 0 where nothing speaks for the target. Class activation maps are as coarse as the
        layer and lie over the whole photograph; the others have h = w = S.

    Raises:
        UsageError: Unknown method, or a layer for one that has none.
        ExperimentError: The layer gives no feature maps.
    """
    if method not in METHODS:
        raise UsageError(f"no method {method!r} of explaining: {', '.join(METHODS)}")
    if layer is not None and method not in CAMS:
        raise UsageError(f"{method} works on pixels and has no layer: {', '.join(CAMS)} have")
    photographs = photographs.to(network.mean.device, memory_format=torch.channels_last)
    with evaluation_mode(network), torch.inference_mode(mode=False), torch.enable_grad():
        if method in _BY_PIXELS:
            heat = _BY_PIXELS[method](network, photographs, targets)
        else:
            maps, of = maps_and_scores(network, photographs, targets, layer)
            slopes = gradients(maps, of)
            cam = CAMS[method]
            heat = combine_layers(
                [cam(one.detach().unsqueeze(1), slope) for one, slope in zip(maps, slopes, strict=True)]
            )
    return heat.clamp(min=0).float().cpu()

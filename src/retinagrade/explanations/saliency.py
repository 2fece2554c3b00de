"""Saliency maps, with one function for all methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from retinagrade.errors import UsageError
from retinagrade.explanations.attribution import integrated_gradients, occlusion
from retinagrade.explanations.cam import CAMS, combine_layers
from retinagrade.explanations.layers import evaluation_mode, gradients, maps_and_scores
from retinagrade.explanations.rollout import attention_rollout
from retinagrade.explanations.scores import Target
from retinagrade.models.network import Network

_WHOLE_METHODS: Final = {
    "attention-rollout": attention_rollout,
    "integrated-gradients": integrated_gradients,
    "occlusion": occlusion,
}
"""Methods that look at the whole network, by name."""

METHODS: Final = (*CAMS, *_WHOLE_METHODS)
"""Names of the methods of :func:`saliency_maps`."""


def saliency_maps(
    network: Network,
    photographs: Tensor,
    method: str,
    targets: Sequence[Target],
    layer: nn.Module | None = None,
) -> Tensor:
    """Computes saliency maps: the places in photographs to which a network's scores are sensitive.

    A saliency map is no evidence of reasoning. It shows where the score depends on this photograph, not why, nor
    whether it should.

    Args:
        network: A network; it is used in evaluation mode and not modified.
        photographs: RGB pixels (N, 3, S, S), uint8, at the network's input size.
        method: One of :data:`METHODS`.
        targets: T targets, each a grade 0 to 4 or ``"referable"``; see :func:`~retinagrade.explanations.scores.scores`.
        layer: A module of the backbone whose output is used for a class activation map; by default, the last feature
            maps, see :func:`~retinagrade.explanations.layers.maps_and_scores`.

    Returns:
        Saliency maps (N, T, h, w), float32, at least 0, which cover the whole photograph. Class activation maps have
        the size of the layer, and ``attention-rollout`` has a value for each patch; all other maps have h = w = S.

    Raises:
        UsageError: The method is unknown, or a layer was given for a method without one.
        ExperimentError: The output of the layer is not feature maps, or the method is ``attention-rollout`` and the
            backbone no plain vision transformer.
    """
    if method not in METHODS:
        raise UsageError(f"unknown method {method!r}: choose one of {', '.join(METHODS)}")
    if layer is not None and method not in CAMS:
        raise UsageError(f"{method} uses no single layer; methods with a layer: {', '.join(CAMS)}")
    photographs = photographs.to(network.mean.device, memory_format=torch.channels_last)
    with evaluation_mode(network), torch.inference_mode(mode=False), torch.enable_grad():
        if method in _WHOLE_METHODS:
            saliency = _WHOLE_METHODS[method](network, photographs, targets)
        else:
            maps, values = maps_and_scores(network, photographs, targets, layer)
            slopes, cam = gradients(maps, values), CAMS[method]
            stages = [cam(stage.detach().unsqueeze(1), slope) for stage, slope in zip(maps, slopes, strict=True)]
            saliency = combine_layers(stages)
    return saliency.clamp(min=0).float().cpu()

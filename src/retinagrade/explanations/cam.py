"""Class activation maps: four ways to weight feature maps by the gradients of a score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch import Tensor
from torch.nn import functional as F


def gradcam(maps: Tensor, gradients: Tensor) -> Tensor:
    """Computes Grad-CAM: each feature map is weighted by the mean of its gradients.

    Source: R. R. Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization",
    ICCV 2017.

    Args:
        maps: Feature maps (…, C, h, w), float.
        gradients: Gradients of the score with respect to them, broadcastable to the same shape.

    Returns:
        Saliency (…, h, w), of either sign.
    """
    return (gradients.mean((-2, -1), keepdim=True) * maps).sum(-3)


def gradcam_plus_plus(maps: Tensor, gradients: Tensor) -> Tensor:
    """Computes Grad-CAM++: positive gradients are averaged with weights by which many lesions count as much as one.

    The paper's score is the exponential of this one. Its derivatives are powers of the gradient times a positive number
    that is the same for all maps and is left out.

    Source: A. Chattopadhay et al., "Grad-CAM++: generalized gradient-based visual explanations for deep convolutional
    networks", WACV 2018, equations 10 and 19. Arguments and result as for :func:`gradcam`.
    """
    squares = gradients.square()
    divisor = 2 * squares + maps.sum((-2, -1), keepdim=True) * squares * gradients
    weights = (squares / divisor.where(divisor != 0, 1)) * gradients.clamp(min=0)
    return (weights.sum((-2, -1), keepdim=True) * maps).sum(-3)


def hirescam(maps: Tensor, gradients: Tensor) -> Tensor:
    """Computes HiResCAM: each value is weighted by its own gradient, the layer's exact contribution for linear heads.

    Source: R. L. Draelos and L. Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional
    neural networks", 2020, arXiv:2011.08891. Arguments and result as for :func:`gradcam`.
    """
    return (gradients * maps).sum(-3)


def layercam(maps: Tensor, gradients: Tensor) -> Tensor:
    """Computes LayerCAM: each value is weighted by the positive part of its own gradient; meant for early, fine layers.

    Source: P.-T. Jiang et al., "LayerCAM: exploring hierarchical class activation maps for localization", IEEE
    Transactions on Image Processing 30, 2021. Arguments and result as for :func:`gradcam`.
    """
    return (gradients.clamp(min=0) * maps).sum(-3)


CAMS: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "gradcam": gradcam,
    "gradcam++": gradcam_plus_plus,
    "hirescam": hirescam,
    "layercam": layercam,
}
"""The four methods by name."""


def combine_layers(stages: list[Tensor]) -> Tensor:
    """Combines the saliency maps of several layers: each is enlarged to the finest, weighted by its size, and added up.

    Average pooling distributes a stage's part of the score over all of its pixels, and a coarse stage has fewer of
    them. With the number of pixels as weight, the saliency of each stage is proportional to its part of the score.

    Args:
        stages: Saliency (N, T, hᵢ, wᵢ) of each layer, float.

    Returns:
        Saliency (N, T, h, w) at the size of the finest layer.
    """
    if len(stages) == 1:
        return stages[0]
    finest = max((stage.shape[-2:] for stage in stages), key=lambda size: size[0] * size[1])
    whole = finest[0] * finest[1]
    enlarged = [
        F.interpolate(stage, tuple(finest), mode="bilinear", align_corners=False)
        * (stage.shape[-2] * stage.shape[-1] / whole)
        for stage in stages
    ]
    return sum(enlarged[1:], start=enlarged[0])

"""Class activation maps: four ways to weigh feature maps by the gradients of a score; pure functions of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch import Tensor
from torch.nn import functional as F


def gradcam(maps: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM: every map by the mean of its gradients.

    Source: R. R. Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization",
    ICCV 2017.

    Args:
        maps: Feature maps (…, C, h, w), float.
        gradients: Of the score by them, broadcastable to the same shape.

    Returns:
        Heat (…, h, w) before the negative part is cut off.
    """
    return (gradients.mean((-2, -1), keepdim=True) * maps).sum(-3)


def gradcam_plus_plus(maps: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM++: means of the positive gradients, weighted so that several lesions count like one.

    The paper's score is the exponential of ours, whose derivatives are powers of the gradient times a positive number
    that all maps share; that number is left out.

    Source: A. Chattopadhay et al., "Grad-CAM++: generalized gradient-based visual explanations for deep convolutional
    networks", WACV 2018, equations 10 and 19. Arguments and result as for :func:`gradcam`.
    """
    squares = gradients.square()
    divisor = 2 * squares + maps.sum((-2, -1), keepdim=True) * squares * gradients
    weights = (squares / divisor.where(divisor != 0, 1)) * gradients.clamp(min=0)
    return (weights.sum((-2, -1), keepdim=True) * maps).sum(-3)


def hirescam(maps: Tensor, gradients: Tensor) -> Tensor:
    """HiResCAM: every value by its own gradient, so the sum is what the layer adds to the score where heads are linear.

    Source: R. L. Draelos and L. Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional
    neural networks", 2020, arXiv:2011.08891. Arguments and result as for :func:`gradcam`.
    """
    return (gradients * maps).sum(-3)


def layercam(maps: Tensor, gradients: Tensor) -> Tensor:
    """LayerCAM: every value by the positive part of its own gradient, made for early layers with fine maps.

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
"""The four by name."""


def combine_layers(stages: list[Tensor]) -> Tensor:
    """Heat of several layers as one map: each enlarged to the finest, weighted by its number of pixels, and added up.

    A stage that is averaged spreads its part of the score over all its pixels, of which a coarse one has fewer; by this
    weight every stage counts for as much heat as it adds to the score.

    Args:
        stages: Heat (N, T, hᵢ, wᵢ) of each, float.

    Returns:
        Heat (N, T, h, w) of the finest; one alone comes as it is.
    """
    if len(stages) == 1:
        return stages[0]
    finest = max((heat.shape[-2:] for heat in stages), key=lambda size: size[0] * size[1])
    whole = finest[0] * finest[1]
    enlarged = [
        F.interpolate(heat, tuple(finest), mode="bilinear", align_corners=False)
        * (heat.shape[-2] * heat.shape[-1] / whole)
        for heat in stages
    ]
    return sum(enlarged[1:], start=enlarged[0])

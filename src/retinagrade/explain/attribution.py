"""Explanations by pixels, through Captum: what a photograph adds to the score of a copy of it without detail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from captum.attr import IntegratedGradients, Occlusion
from torch import Tensor
from torch.nn import functional as F

from retinagrade.explain.scores import Target, scores
from retinagrade.models.network import Network

STEPS: Final = 32
"""Points on the way of integrated gradients, by the Gauss-Legendre rule."""
CELLS: Final = 8
"""Windows of occlusion, and what a copy without detail has left, by side: in 224 px, 28."""
_DARK: Final = 12
"""Brightest channel, in grey levels, of what lies outside the field of view."""


def without_detail(photographs: Tensor) -> Tensor:
    """Photographs with their colours and illumination but without lesions, vessels and disc: averages of large cells.

    The usual black picture would call dark lesions nothing, as they are nearly black, and all healthy retina something.
    What is outside the field of view stays as it is, and doesn't darken its edge.

    Args:
        photographs: RGB pixels (N, 3, S, S), 0 to 255, uint8 or floating.

    Returns:
        RGB pixels (N, 3, S, S), 0 to 255, float32.
    """
    pixels = photographs.float()
    lit = (pixels.amax(1, keepdim=True) > _DARK).float()

    def smooth(values: Tensor) -> Tensor:
        cells = F.adaptive_avg_pool2d(values, CELLS)
        return F.interpolate(cells, values.shape[2:], mode="bilinear", align_corners=False)

    return torch.where(lit > 0, smooth(pixels * lit) / smooth(lit).clamp(min=1e-3), pixels)


def integrated_gradients(network: Network, photographs: Tensor, targets: Sequence[Target]) -> Tensor:
    """Integrated gradients from :func:`without_detail` to the photograph; a pixel's three channels are added up.

    They are complete: the values of all pixels add up to the difference of the two scores.

    Source: M. Sundararajan, A. Taly and Q. Yan, "Axiomatic attribution for deep networks", ICML 2017.

    Args:
        network: A network in evaluation mode.
        photographs: RGB pixels (N, 3, S, S), uint8.
        targets: T targets.

    Returns:
        Values (N, T, S, S), float32, of either sign.
    """
    method = IntegratedGradients(lambda pixels: scores(network.output, network(pixels), targets))
    rows = []
    for pixels in photographs.float():  # all steps of one photograph are one batch
        photograph = pixels[None]
        baseline = without_detail(photograph)
        rows.append(
            [
                method.attribute(photograph, baseline, target=place, n_steps=STEPS).detach().sum(1)
                for place in range(len(targets))
            ]
        )
    return torch.stack([torch.cat(row) for row in rows]).float()


def occlusion(network: Network, photographs: Tensor, targets: Sequence[Target]) -> Tensor:
    """How much the score falls when a window shows the copy :func:`without_detail`, the mean over overlapping windows.

    Source: M. D. Zeiler and R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014.

    Args:
        network: A network in evaluation mode.
        photographs: RGB pixels (N, 3, S, S), uint8.
        targets: T targets.

    Returns:
        Values (N, T, S, S), float32, of either sign.
    """
    count, _, side, _ = photographs.shape
    # Captum takes the scores of all photographs and targets for outputs of one function, and so computes all at once.
    method = Occlusion(lambda pixels: scores(network.output, network(pixels), targets))
    window = max(2, side // CELLS)
    values: Tensor = method.attribute(
        photographs.float(),
        sliding_window_shapes=(3, window, window),
        strides=(3, window // 2, window // 2),
        baselines=without_detail(photographs),
    )
    return values[:, 0].reshape(count, len(targets), side, side).float()

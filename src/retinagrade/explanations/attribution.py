"""Saliency by pixels, computed by Captum: differences of the score between a photograph and a copy without detail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from captum.attr import IntegratedGradients, Occlusion
from torch import Tensor
from torch.nn import functional as F

from retinagrade.explanations.scores import Target, scores
from retinagrade.models.network import Network

STEPS: Final = 32
"""Points on the path of integrated gradients, by the Gauss-Legendre rule."""
CELLS: Final = 8
"""Cells per side, for windows of occlusion and for the averages of the copy without detail: 28 px at 224 px."""
_DARK: Final = 12
"""Largest channel value of pixels outside the field of view."""


def without_detail(photographs: Tensor) -> Tensor:
    """Removes lesions, vessels and optic disc by averages over large cells; colours and illumination remain.

    The usual black baseline would give no saliency to dark lesions, which are nearly black, and some to healthy retina.
    Pixels outside the field of view are not changed and do not darken its edge.

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
    """Computes integrated gradients from :func:`without_detail` to the photograph, summed over the three channels.

    They are complete: the sum over all pixels is the difference of the two scores.

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
    for pixels in photographs.float():  # the steps of one photograph form one batch
        photograph = pixels[None]
        baseline = without_detail(photograph)
        rows.append(
            [
                method.attribute(photograph, baseline, target=index, n_steps=STEPS).detach().sum(1)
                for index in range(len(targets))
            ]
        )
    return torch.stack([torch.cat(row) for row in rows]).float()


def occlusion(network: Network, photographs: Tensor, targets: Sequence[Target]) -> Tensor:
    """Computes the decrease of the score if a window is replaced by :func:`without_detail`, averaged over windows.

    Source: M. D. Zeiler and R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014.

    Args:
        network: A network in evaluation mode.
        photographs: RGB pixels (N, 3, S, S), uint8.
        targets: T targets.

    Returns:
        Values (N, T, S, S), float32, of either sign.
    """
    count, _, side, _ = photographs.shape
    # Captum treats the scores of all photographs and targets as outputs of one function and computes them together.
    method = Occlusion(lambda pixels: scores(network.output, network(pixels), targets))
    window = max(2, side // CELLS)
    values: Tensor = method.attribute(
        photographs.float(),
        sliding_window_shapes=(3, window, window),
        strides=(3, window // 2, window // 2),
        baselines=without_detail(photographs),
    )
    return values[:, 0].reshape(count, len(targets), side, side).float()

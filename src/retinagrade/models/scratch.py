"""The report's CNN from scratch: blocks of convolution, ReLU and max-pooling (report, chapter 4)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from retinagrade.models.settings import ScratchSettings


class ScratchCNN(nn.Module):
    """Blocks of a convolution (valid padding, stride 1), ReLU and max-pooling.

    ReLU comes after max-pooling, where at most a quarter of the numbers is left. The order doesn't change the result or
    the gradients, as clipping preserves which number is the largest.
    """

    def __init__(self, settings: ScratchSettings) -> None:
        """Makes the blocks with the initial values of Keras, which the report used: Glorot uniform, biases zero."""
        super().__init__()
        blocks: list[nn.Module] = []
        channels = (3, *settings.filters)
        for (inputs, outputs), pool in zip(pairwise(channels), settings.pools, strict=True):
            blocks += [nn.Conv2d(inputs, outputs, settings.kernel), nn.MaxPool2d(pool), nn.ReLU()]
        self.blocks = nn.Sequential(*blocks)
        initialise_glorot(self)

    def forward(self, pixels: Tensor) -> Tensor:
        """Computes feature maps (N, C, h, w) of scaled pixels (N, 3, H, W)."""
        features: Tensor = self.blocks(pixels)
        return features


def initialise_glorot(module: nn.Module) -> None:
    """Sets every convolution and dense layer to Glorot-uniform weights and zero biases, the default of Keras.

    Source: X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    AISTATS 2010.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

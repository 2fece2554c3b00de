"""One small network of every family, without training: their outputs mean nothing, but all formulas must hold."""

from __future__ import annotations

from typing import Any

import torch

from retinagrade.models.network import Network, build_network
from retinagrade.models.settings import NetworkSettings, ScratchSettings

SIDE = 96

BLOCKS = ScratchSettings(filters=(4, 8), kernel=3, pools=(2, 3))

FAMILIES: dict[str, dict[str, Any]] = {
    "scratch": {"backbone": "scratch", "scratch": BLOCKS, "pooling": "flatten", "dense": (16,)},
    "vgg16": {"backbone": "vgg16", "pooling": "flatten", "dense": (16,), "trained_from": "none"},
    "mobilenetv2": {"backbone": "mobilenetv2_100", "pooling": "gap", "dense": (16, 16), "trained_from": "block_1"},
    "resnet50": {"backbone": "resnet50", "pooling": "gap", "feature_dropout": 0.2},
    "inceptionv3": {"backbone": "inception_v3", "pooling": "gap"},
    "efficientnet": {"backbone": "efficientnet_b0", "pooling": "gap", "output": "ordinal"},
    "lite0": {"backbone": "tf_efficientnet_lite0", "pooling": "gap", "output": "regression"},
    "vit": {"backbone": "test_vit"},
    "swin": {"backbone": "swin_tiny_patch4_window7_224", "arguments": {"embed_dim": 24}},
    "convnext": {"backbone": "test_convnext", "output": "ordinal"},
    "hybrid": {"backbone": "test_coatnet", "dense": (16,)},
    "stages": {"backbone": "tf_efficientnet_lite0", "pooling": "gap", "stages": (2, 3), "trained_from": "none"},
}


def network(**settings: Any) -> Network:
    """A network with random weights, the same each time."""
    torch.manual_seed(0)
    return build_network(NetworkSettings(weights="none", image_size=SIDE, **settings)).eval()


def photographs(count: int = 2, side: int = SIDE) -> torch.Tensor:
    """Noise (count, 3, side, side), uint8."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)

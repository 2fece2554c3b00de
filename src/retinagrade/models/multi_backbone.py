"""Several backbones side by side, for the same photographs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class MultiBackbone(nn.ModuleDict):
    """Backbones by name, called like a timm model for the maps of its stages; their maps are joined in order."""

    def __init__(self, backbones: Mapping[str, nn.Module]) -> None:
        """Args: ``backbones`` by the names of their architectures."""
        super().__init__({name.replace(".", "_"): backbone for name, backbone in backbones.items()})

    def forward_intermediates(self, pixels: Tensor, **arguments: Any) -> list[Tensor]:
        """Computes the maps of the stages that ``arguments`` name, of the first backbone, then of the next."""
        models: list[Any] = list(self.values())  # timm's own method
        return [maps for model in models for maps in model.forward_intermediates(pixels, **arguments)]

"""The one factory of networks: uint8 photographs in, one logit a grade out."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from retinagrade.errors import ExperimentError
from retinagrade.models.heads import make_head
from retinagrade.models.scratch import ScratchCNN
from retinagrade.models.settings import NetworkSettings
from retinagrade.models.weights import UNIT, Scaling, timm_backbone


class Network(nn.Module):
    """Input scaling, backbone and head in one module, so that nobody can feed it wrongly scaled pixels."""

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, head: nn.Module, scaling: Scaling, *, frozen: bool) -> None:
        """Joins the parts; see :func:`build_network`."""
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.frozen = frozen
        backbone.requires_grad_(not frozen)
        for name, values in (("mean", scaling.mean), ("std", scaling.std)):
            # A setting, not something learnt: kept out of the checkpoint's tensors and of parameter counts.
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, photographs: Tensor) -> Tensor:
        """Grades a batch.

        Args:
            photographs: RGB pixels (N, 3, S, S), 0 to 255, uint8 or floating.

        Returns:
            Logits (N, 5), float.
        """
        pixels = (photographs.float() - self.mean) / self.std
        logits: Tensor = self.head(self.backbone(pixels))
        return logits

    def train(self, mode: bool = True) -> Self:
        """Switches dropout and batch-norm; a frozen backbone always stays in inference mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self


def build_network(settings: NetworkSettings) -> Network:
    """Builds a network as an experiment states it.

    Args:
        settings: Backbone, head, weights and image size.

    Returns:
        The network on the CPU in channels-last layout, in training mode.

    Raises:
        ExperimentError: Unknown backbone, weights that can't be had, or photographs too small for the backbone.
    """
    backbone: nn.Module
    if settings.scratch is not None:
        backbone, scaling = ScratchCNN(settings.scratch), UNIT
    else:
        backbone, scaling = timm_backbone(settings.backbone, settings.weights)
    channels, height, width = _feature_shape(backbone, settings)
    network = Network(backbone, make_head(settings, channels, height, width), scaling, frozen=settings.frozen)
    return network.to(memory_format=torch.channels_last).train()


@torch.no_grad()
def _feature_shape(backbone: nn.Module, settings: NetworkSettings) -> tuple[int, int, int]:
    backbone.eval()  # a trial run must not move batch-norm's running statistics
    try:
        features = backbone(torch.zeros(1, 3, settings.image_size, settings.image_size))
    except RuntimeError as error:
        raise ExperimentError(
            f"{settings.backbone} can't take photographs of {settings.image_size} px ({error}): "
            "raise network.image_size"
        ) from error
    if features.ndim != 4:
        raise ExperimentError(f"{settings.backbone} gives no feature maps (its output is {features.ndim}-dimensional)")
    _, channels, height, width = features.shape
    return channels, height, width


def count_parameters(network: nn.Module) -> tuple[int, int]:
    """Counts parameters as Keras does: batch-norm's running statistics are parameters that are not trainable.

    Args:
        network: Any module.

    Returns:
        Total and trainable parameters.

    Example:
        >>> count_parameters(nn.BatchNorm2d(8))
        (32, 16)
    """
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    fixed = sum(p.numel() for p in network.parameters() if not p.requires_grad)
    statistics = sum(
        buffer.numel() for name, buffer in network.named_buffers() if name.endswith(("running_mean", "running_var"))
    )
    return trainable + fixed + statistics, trainable

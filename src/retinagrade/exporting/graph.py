"""The graph of a grader file: photographs in, probabilities and a saliency map of each grade out, without autograd."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from retinagrade.evaluation.fitting.probability_calibration import PROBABILITY_FLOOR
from retinagrade.explanations.cam import combine_layers
from retinagrade.explanations.layers import without_last_pooling
from retinagrade.exporting.score_gradients import probabilities_and_slopes
from retinagrade.images.prepare import resize_to_input
from retinagrade.models.heads import Heads
from retinagrade.models.network import Network, feature_maps
from retinagrade.training.predict import FLIPS


class NetworkGraph(nn.Module):
    """A network that also computes saliency maps."""

    def __init__(self, network: Network) -> None:
        """Takes a ``network`` in evaluation mode."""
        super().__init__()
        self.network = network
        self.convolutions, self.last_pooling = without_last_pooling(network.backbone)

    def forward(self, photographs: Tensor) -> tuple[Tensor, Tensor]:
        """Computes probabilities and saliency maps.

        The saliency map of a grade is Grad-CAM (R. R. Selvaraju et al., ICCV 2017) of its score
        (:func:`~retinagrade.explanations.scores.scores`), equal to the map of
        :func:`~retinagrade.explanations.saliency.saliency_maps`. The gradient of a score with respect to the features
        is a product of the head's weights, some of which ReLUs set to 0. Grad-CAM only needs the mean of a gradient
        over a feature map. This mean does not depend on how average pooling or max-pooling distributes the gradient
        over the pixels of the map.

        Args:
            photographs: RGB pixels (N, S, S, 3), uint8.

        Returns:
            Probabilities (N, 5), float32, and saliency maps (N, 5, h, w), float32, at least 0.
        """
        network = self.network
        pixels = (photographs.permute(0, 3, 1, 2).float() - network.mean) / network.std
        maps = feature_maps(self.convolutions, pixels, network.stages)
        if isinstance(maps, list):
            stages, pooled, features = maps, maps, network.pooling(maps)
        else:
            last = self.last_pooling(maps)
            stages, pooled, features = [maps], [last], network.pooling(last)
        raw, traces = _apply_heads(network.head, features)
        probabilities, slopes = probabilities_and_slopes(network.output, raw)
        gradients = _backpropagate(traces, slopes)
        channels = [stage.shape[1] for stage in pooled]
        positions = gradients.shape[2] // sum(channels)  # of a flattened map; 1 of an average
        parts = torch.split(gradients, [count * positions for count in channels], dim=2)
        saliency = [_gradcam(part, stage, positions) for part, stage in zip(parts, stages, strict=True)]
        return probabilities, combine_layers(saliency).clamp(min=0)


class FlippedGraph(nn.Module):
    """The mean over four mirrored views of a photograph, as ``predict --tta`` computes it."""

    def __init__(self, graph: nn.Module) -> None:
        """Takes the ``graph`` of one view."""
        super().__init__()
        self.inner = graph

    def forward(self, photographs: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the outputs of :meth:`NetworkGraph.forward`; saliency maps are mirrored back before the mean."""
        # FLIPS counts axes from the end of (N, 3, S, S); in (N, S, S, 3), rows and columns come one place earlier.
        views = torch.cat([photographs.flip([axis - 1 for axis in axes]) for axes in FLIPS])
        probabilities, saliency = self.inner(views)
        count = photographs.shape[0]
        maps = saliency.reshape(len(FLIPS), count, *saliency.shape[1:])
        mirrored_back = [maps[number].flip(axes) for number, axes in enumerate(FLIPS)]
        return probabilities.reshape(len(FLIPS), count, -1).mean(0), torch.stack(mirrored_back).mean(0)


class ResizedGraph(nn.Module):
    """A network whose input is smaller than the file's, as members of an ensemble may be."""

    weights: Tensor

    def __init__(self, graph: nn.Module, size: int, image_size: int) -> None:
        """Takes the ``graph`` of photographs of ``image_size``, which are made from photographs of ``size``."""
        super().__init__()
        self.inner = graph
        rows = np.eye(size, dtype=np.float32)[:, :, None].repeat(size, axis=2)  # each photograph has one white row
        weights = np.stack([resize_to_input(photograph, image_size)[:, 0] for photograph in rows], axis=1)
        self.register_buffer("weights", torch.from_numpy(weights), persistent=False)
        # OpenCV rounds halves up for this factor, and to even numbers for all others.
        self.rounds_halves_up = size == 2 * image_size

    def forward(self, photographs: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the outputs of the inner graph from :func:`retinagrade.images.prepare.resize_to_input`'s pixels."""
        pixels = self.weights @ photographs.permute(0, 3, 1, 2).float() @ self.weights.T
        pixels = (pixels + 0.5).floor() if self.rounds_halves_up else pixels.round()
        probabilities, saliency = self.inner(pixels.clamp(0, 255).permute(0, 2, 3, 1))
        return probabilities, saliency


class CalibratedGraph(nn.Module):
    """A graph with probabilities calibrated by a softmax temperature."""

    def __init__(self, graph: nn.Module, temperature: float) -> None:
        """Takes a ``graph`` and the ``temperature``."""
        super().__init__()
        self.inner, self.temperature = graph, temperature

    def forward(self, photographs: Tensor) -> tuple[Tensor, Tensor]:
        """Computes calibrated probabilities and saliency maps; shapes as in :meth:`NetworkGraph.forward`."""
        probabilities, saliency = self.inner(photographs)
        return (probabilities.clamp(min=PROBABILITY_FLOOR).log() / self.temperature).softmax(1), saliency


_Trace = list[tuple[nn.Module, Tensor]]
"""The layers of a head, each with its input."""


def _apply_heads(head: nn.Module, features: Tensor) -> tuple[Tensor, list[_Trace]]:
    """Raw outputs, and the trace of every head."""
    if isinstance(head, Heads):
        parts = torch.split(features, head.widths, dim=1)
        results = [_apply_head(one, part) for one, part in zip(head, parts, strict=True)]
    else:
        results = [_apply_head(head, features)]
    return torch.cat([raw for raw, _ in results], dim=1), [trace for _, trace in results]


def _apply_head(head: nn.Module, values: Tensor) -> tuple[Tensor, _Trace]:
    assert isinstance(head, nn.Sequential)
    trace = []
    for layer in head:
        trace.append((layer, values))
        values = layer(values)
    return values, trace


def _backpropagate(traces: Sequence[_Trace], slopes: Tensor) -> Tensor:
    """Gradients (N, 5, F) with respect to the features, from slopes (N, 5, units) with respect to the raw outputs."""
    units = [next(layer.out_features for layer, _ in trace[::-1] if isinstance(layer, nn.Linear)) for trace in traces]
    parts = []
    for trace, gradient in zip(traces, torch.split(slopes, units, dim=2), strict=True):
        for layer, values in reversed(trace):
            if isinstance(layer, nn.Linear):
                gradient = gradient @ layer.weight
            elif isinstance(layer, nn.ReLU):
                gradient = gradient * (values > 0).float()[:, None]
            elif isinstance(layer, nn.BatchNorm1d):
                assert layer.running_var is not None
                assert not layer.affine
                gradient = gradient / (layer.running_var + layer.eps).sqrt()
            else:
                assert isinstance(layer, nn.Dropout), f"no gradient rule for {layer}"
        parts.append(gradient)
    return torch.cat(parts, dim=2)


def _gradcam(gradients: Tensor, maps: Tensor, positions: int) -> Tensor:
    """Grad-CAM (N, 5, h, w) of feature maps (N, C, h, w) with gradients (N, 5, C · positions)."""
    channels, height, width = maps.shape[1:]
    weights = gradients.reshape(-1, gradients.shape[1], channels, positions).sum(3) / (height * width)
    return (weights @ maps.flatten(2)).reshape(-1, gradients.shape[1], height, width)

"""Saliency maps of photographs, computed by the networks of several runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from retinagrade.errors import UsageError
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.explanations.inputs import PreparedInput
from retinagrade.explanations.layers import find_layer
from retinagrade.explanations.overlay import draw_overlay, scale_maximum, smooth_for_display
from retinagrade.explanations.saliency import saliency_maps
from retinagrade.explanations.scores import TARGETS, Target
from retinagrade.explanations.style import DrawingStyle
from retinagrade.grades import REFERABLE, Grade
from retinagrade.models.network import Network
from retinagrade.runs.run import Run
from retinagrade.training.checkpoints import load_network

_BATCH: Final = 16


@dataclass(frozen=True)
class DrawnSaliency:
    """A saliency map drawn on a photograph.

    Attributes:
        overlay: The photograph under the coloured map (H, W, 3), RGB.
        saliency: The map at the photograph's resolution (H, W).
        maximum: Saliency at the end of the colour scale.
    """

    overlay: NDArray[np.uint8]
    saliency: NDArray[np.float32]
    maximum: float


@dataclass(frozen=True)
class PhotographExplanation:
    """Probabilities and saliency maps of one photograph by one network.

    Attributes:
        network: Name of the network's run.
        photograph: The photograph, prepared for the network.
        probabilities: Probabilities of the grades (5,).
        saliency: Saliency maps (T, h, w) of :data:`~retinagrade.explanations.scores.TARGETS`.
    """

    network: str
    photograph: PreparedInput
    probabilities: NDArray[np.float64]
    saliency: NDArray[np.float32]

    @property
    def predicted(self) -> Grade:
        """The most probable grade."""
        return Grade(int(self.probabilities.argmax()))

    @property
    def referable(self) -> float:
        """Probability of referable retinopathy, 0 to 1."""
        return float(self.probabilities[REFERABLE:].sum())

    def map_of(self, target: Target) -> NDArray[np.float32]:
        """Returns the saliency map (h, w) of a target."""
        saliency: NDArray[np.float32] = self.saliency[TARGETS.index(target)]
        return saliency

    def draw(self, photograph: NDArray[np.uint8], target: Target, style: DrawingStyle) -> DrawnSaliency:
        """Draws the saliency map of a target on the photograph.

        Args:
            photograph: RGB pixels (H, W, 3) of the photograph, at any scale.
            target: The target.
            style: The colours.
        """
        saliency = smooth_for_display(self.map_of(target))
        maximum = scale_maximum(saliency)
        height, width = photograph.shape[:2]
        placement = self.photograph.placement.enlarged(width / self.photograph.width)
        projected = placement.project(saliency, height, width)
        return DrawnSaliency(draw_overlay(photograph, projected, maximum, style), projected, maximum)


def explain_photographs(
    inputs: Mapping[str, Mapping[str, PreparedInput]],
    runs: Mapping[str, Run],
    method: str,
    layer: str | None = None,
    progress: Progress | None = None,
) -> dict[str, list[PhotographExplanation]]:
    """Computes saliency maps of photographs.

    Args:
        inputs: Photographs by name and run, as :func:`~retinagrade.explanations.inputs.prepare_inputs` returns them.
        runs: Trained runs by name.
        method: One of :data:`~retinagrade.explanations.saliency.METHODS`.
        layer: The layer of a class activation map; only for a single run.
        progress: Receives reports of progress; ``None`` for none.

    Returns:
        One explanation per run, by name of the photograph.

    Raises:
        UsageError: The method is unknown, or a layer was given for several runs.
        ExperimentError: The layer does not exist, or a run can't be read.
    """
    if layer is not None and len(runs) > 1:
        raise UsageError("layers have different names in different networks: explain one run at a time to name a layer")
    explanations: dict[str, list[PhotographExplanation]] = {name: [] for name in inputs}
    for run_name, run in runs.items():
        of_run = {name: by_run[run_name] for name, by_run in inputs.items()}
        step = begin_stage(progress, f"explaining by {run_name}", len(of_run))
        for name, explanation in _explain_by_run(run, run_name, of_run, method, layer):
            explanations[name].append(explanation)
            step()
    return explanations


def _explain_by_run(
    run: Run, run_name: str, inputs: Mapping[str, PreparedInput], method: str, layer: str | None
) -> Iterator[tuple[str, PhotographExplanation]]:
    settings = run.experiment().network
    network = load_network(run).to("cuda" if torch.cuda.is_available() else "cpu")
    module = None if layer is None else find_layer(network, settings, layer)
    names = list(inputs)
    for start in range(0, len(names), _BATCH):
        batch = names[start : start + _BATCH]
        photographs = torch.cat([inputs[name].input(settings.image_size) for name in batch])
        saliency = saliency_maps(network, photographs, method, TARGETS, module)
        probabilities = _probabilities(network, photographs)
        for place, name in enumerate(batch):
            yield name, PhotographExplanation(run_name, inputs[name], probabilities[place], saliency[place].numpy())


@torch.inference_mode()
def _probabilities(network: Network, photographs: torch.Tensor) -> NDArray[np.float64]:
    raw = network(photographs.to(network.mean.device, memory_format=torch.channels_last))
    probabilities: NDArray[np.float64] = network.output.probabilities(raw).cpu().numpy()
    return probabilities

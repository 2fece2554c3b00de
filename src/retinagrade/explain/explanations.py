"""Views: what every network makes of every photograph that is asked about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from retinagrade.errors import ImageError, UsageError
from retinagrade.execution.progress_bar import progress_bar
from retinagrade.explain.inputs import PreparedInput, RunInputs, unique_names
from retinagrade.explain.layers import find_layer
from retinagrade.explain.saliency import saliency_maps
from retinagrade.explain.overlay import overlay_map, project_map, scale_end, smooth_for_display
from retinagrade.explain.scores import TARGETS, Target
from retinagrade.files import short_names
from retinagrade.grades import REFERABLE, Grade
from retinagrade.models.network import Network
from retinagrade.runs.run import Run
from retinagrade.training.checkpoints import load_network

_BATCH: Final = 16


@dataclass(frozen=True)
class PhotographExplanation:
    """What one network makes of one photograph.

    Attributes:
        network: The network's name.
        seen: The photograph, as the network is given it.
        probabilities: Of the grades (5,), float64.
        heat: Maps (T, h, w), float32, of :data:`~retinagrade.explain.scores.TARGETS`.
    """

    network: str
    seen: PreparedInput
    probabilities: np.ndarray
    heat: np.ndarray

    @property
    def given(self) -> Grade:
        """The most probable grade."""
        return Grade(int(self.probabilities.argmax()))

    @property
    def referable(self) -> float:
        """The probability of referable retinopathy, 0 to 1."""
        return float(self.probabilities[REFERABLE:].sum())

    def map_of(self, target: Target) -> np.ndarray:
        """The map (h, w) of one target."""
        heat: np.ndarray = self.heat[TARGETS.index(target)]
        return heat

    def drawn_on(self, photograph: np.ndarray, target: Target) -> tuple[np.ndarray, np.ndarray, float]:
        """Draws the heat of a target.

        Args:
            photograph: RGB pixels (H, W, 3), uint8, at any scale.
            target: The target.

        Returns:
            The photograph under its heat (H, W, 3), uint8; the heat at its resolution (H, W), float32; and where the
            scale of both ends.
        """
        heat = smooth_for_display(self.map_of(target))
        end = scale_end(heat)
        over = project_map(heat, self.seen.place, photograph.shape[0], photograph.shape[1])
        return overlay_map(photograph, over, end), over, end


def prepare_inputs(
    runs: Sequence[Run], words: Sequence[str], scratch: Path
) -> tuple[dict[str, list[PreparedInput]], dict[str, str]]:
    """Finds photographs, and prepares those that are files.

    Args:
        runs: Trained runs, each with its own way of preparing.
        words: Files, or ids of the runs' prepared sets.
        scratch: An empty folder that lives as long as the result is used.

    Returns:
        Photographs by name, once a run; and words that can't be used by every run, with the reason.

    Raises:
        ImageError: None can be used.
    """
    sights = [RunInputs(run, scratch / str(place)) for place, run in enumerate(runs)]
    seen: dict[str, list[PreparedInput]] = {}
    failed: dict[str, str] = {}
    for name, word in unique_names(words).items():
        try:
            seen[name] = [sight.see(name, word) for sight in sights]
        except ImageError as error:
            failed[word] = str(error)
    if not seen:
        raise ImageError(f"no photograph could be used; the first: {next(iter(failed.values()))}")
    return seen, failed


def explain_photographs(
    runs: Sequence[Run], seen: dict[str, list[PreparedInput]], method: str, layer: str | None = None
) -> dict[str, list[PhotographExplanation]]:
    """Explains photographs, in batches.

    Args:
        runs: Trained runs.
        seen: As :func:`prepare_inputs` gives it.
        method: One of :data:`~retinagrade.explain.saliency.METHODS`.
        layer: The layer of a class activation map, for one run.

    Returns:
        By photograph, once a run.

    Raises:
        UsageError: Unknown method; a layer for several runs.
        ExperimentError: No such layer, or a folder that is no run.
    """
    if layer is not None and len(runs) > 1:
        raise UsageError("a layer is one of one network: explain the runs one by one")
    views: dict[str, list[PhotographExplanation]] = {name: [] for name in seen}
    for place, (network_name, run) in enumerate(zip(short_names([run.folder for run in runs]), runs, strict=True)):
        given = {name: of_runs[place] for name, of_runs in seen.items()}
        for name, view in _of_run(run, network_name, given, method, layer):
            views[name].append(view)
    return views


def _of_run(
    run: Run, network_name: str, given: dict[str, PreparedInput], method: str, layer: str | None
) -> Iterator[tuple[str, PhotographExplanation]]:
    settings = run.experiment().network
    network = load_network(run).to("cuda" if torch.cuda.is_available() else "cpu")
    module = None if layer is None else find_layer(network, settings, layer)
    names = list(given)
    with progress_bar(f"explaining by {network_name}", len(names)) as step:
        for start in range(0, len(names), _BATCH):
            batch = names[start : start + _BATCH]
            photographs = torch.cat([given[name].input(settings.image_size) for name in batch])
            heat = saliency_maps(network, photographs, method, TARGETS, module)
            probabilities = _probabilities(network, photographs)
            for place, name in enumerate(batch):
                yield name, PhotographExplanation(network_name, given[name], probabilities[place], heat[place].numpy())
                step()


@torch.inference_mode()
def _probabilities(network: Network, photographs: torch.Tensor) -> np.ndarray:
    raw = network(photographs.to(network.mean.device, memory_format=torch.channels_last))
    probabilities: np.ndarray = network.output.probabilities(raw).cpu().numpy()
    return probabilities

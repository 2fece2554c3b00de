"""Lesion maps of whole photographs, and their counts."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from retinagrade.evaluation.lesion_metrics import LesionCounts
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.experiments.experiment import Experiment
from retinagrade.manifest import Manifest
from retinagrade.models.lesion_network import LesionNetwork
from retinagrade.training.devices import keep_freed_memory
from retinagrade.training.lesions.counting import count_batch
from retinagrade.training.lesions.crops import whole_loader


@torch.inference_mode()
def lesion_logits(network: LesionNetwork, photographs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Computes the logits of the lesion maps of photographs, in float32.

    Args:
        network: A trained network, in evaluation mode.
        photographs: RGB pixels (N, H, W, 3), uint8, prepared and black outside the field of view. H and W are multiples
            of the network's stride.

    Returns:
        Logits (N, kinds, h, w), float32, see :meth:`LesionNetwork.forward`.
    """
    device = network.mean.device
    pixels = torch.from_numpy(photographs).permute(0, 3, 1, 2).to(device)
    logits: NDArray[np.float32] = network(pixels).cpu().numpy()
    return logits


def count_photographs(
    network: LesionNetwork, manifest: Manifest, experiment: Experiment, workers: int, progress: Progress | None
) -> dict[str, dict[str, LesionCounts]]:
    """Counts the pixels and lesions of all outlined photographs.

    Args:
        network: A trained network, in evaluation mode.
        manifest: Photographs of a prepared set with masks.
        experiment: The experiment of the network.
        workers: Processes that load photographs.
        progress: Receives the number of photographs.

    Returns:
        Counts by ``image_id`` and kind of lesion.
    """
    keep_freed_memory()
    network = network.to("cuda" if torch.cuda.is_available() else "cpu")
    loader = whole_loader(manifest, experiment, workers)
    step = begin_stage(progress, "outlining lesions", len(loader))
    counts: dict[str, dict[str, LesionCounts]] = {}
    for batch in loader:
        logits = torch.from_numpy(lesion_logits(network, batch["photographs"].permute(0, 2, 3, 1).numpy()))
        counts |= dict(count_batch(logits.sigmoid(), network.lesions, batch))
        step()
    return counts

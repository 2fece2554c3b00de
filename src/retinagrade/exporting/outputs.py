"""Outputs of an exportable run in two ways: as the graph that becomes the file, and by its networks as a reference."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from retinagrade.ensembles.combination import combine_members
from retinagrade.evaluation.fitting.probability_calibration import Temperature, calibrate_probabilities
from retinagrade.explanations.saliency import saliency_maps
from retinagrade.exporting.ensemble_graph import EnsembleGraph, combine_saliency
from retinagrade.exporting.exportable import EnsembleNetworks, Exportable, Networks, OutliningNetwork
from retinagrade.exporting.graph import CalibratedGraph, FlippedGraph, NetworkGraph, ResizedGraph
from retinagrade.exporting.verification import GradeOutputs
from retinagrade.images.prepare import resize_to_input
from retinagrade.training.predict import FLIPS

GRADES: Final = (0, 1, 2, 3, 4)


def build_graph(exportable: Exportable) -> CalibratedGraph:
    """Builds the graph of the file, from photographs (N, S, S, 3) to calibrated probabilities and saliency maps."""
    assert not isinstance(exportable.networks, OutliningNetwork)
    graph = _network_graph(exportable.networks, exportable.image_size, exportable.tta)
    return CalibratedGraph(graph, exportable.temperature).eval()


def _network_graph(networks: Networks, size: int, tta: bool) -> nn.Module:
    if isinstance(networks, EnsembleNetworks):
        members = [_network_graph(member, size, tta) for member in networks.members]
        return EnsembleGraph(members, networks.combination, networks.saliency_weights)
    network = NetworkGraph(networks.network)
    graph = FlippedGraph(network) if tta else network
    return graph if networks.image_size == size else ResizedGraph(graph, size, networks.image_size)


def reference_outputs(exportable: Exportable, photographs: NDArray[np.uint8]) -> GradeOutputs:
    """Computes outputs by the networks themselves, as ``predict`` and ``ensemble`` do, with Grad-CAM by autograd.

    Args:
        exportable: The exported run.
        photographs: Prepared photographs (N, S, S, 3), at the size of the prepared set.

    Returns:
        Calibrated probabilities (N, 5), float64, and saliency maps (N, 5, h, w), float32.
    """
    assert not isinstance(exportable.networks, OutliningNetwork)
    probabilities, saliency = _network_outputs(exportable.networks, photographs, exportable.tta)
    return calibrate_probabilities(Temperature(temperature=exportable.temperature), probabilities), saliency.numpy()


def _network_outputs(
    networks: Networks, photographs: NDArray[np.uint8], tta: bool
) -> tuple[NDArray[np.float64], torch.Tensor]:
    """Probabilities (N, 5) before calibration, and saliency maps (N, 5, h, w)."""
    if isinstance(networks, EnsembleNetworks):
        outputs = [_network_outputs(member, photographs, tta) for member in networks.members]
        stacked = np.stack([probabilities for probabilities, _ in outputs], axis=1)
        maps = combine_saliency([saliency for _, saliency in outputs], networks.saliency_weights)
        return combine_members(networks.combination, stacked), maps
    squares = np.stack([resize_to_input(photograph, networks.image_size) for photograph in photographs])
    pixels = torch.from_numpy(squares).permute(0, 3, 1, 2)
    views, maps_of_views = [], []
    for axes in FLIPS if tta else FLIPS[:1]:
        view = pixels.flip(axes)
        with torch.no_grad():
            views.append(networks.network.output.probabilities(networks.network(view)))
        maps_of_views.append(saliency_maps(networks.network, view, "gradcam", GRADES).flip(axes))
    return torch.stack(views).mean(0).numpy(), torch.stack(maps_of_views).mean(0)

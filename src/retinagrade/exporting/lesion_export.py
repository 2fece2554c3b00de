"""Export of a network that outlines lesions, with the grade model that reads its maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from retinagrade.errors import GraderFileError
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.exporting.exportable import Exportable, OutliningNetwork
from retinagrade.exporting.onnx_file import open_model, to_onnx
from retinagrade.grader.lesions import read_lesions
from retinagrade.grader.metadata import LesionMetadata, Verification
from retinagrade.grader.sessions import LESIONS
from retinagrade.lesion_maps.calibration import MapCalibration
from retinagrade.lesion_maps.mapped import map_photograph
from retinagrade.lesion_maps.outline import blacken_outside
from retinagrade.models.lesion_network import LesionNetwork
from retinagrade.training.lesions.predict import lesion_logits
from retinagrade.training.loading import PhotographDataset

COMPARED: Final = 6
"""Photographs on which the file and the network are compared, at most. A whole photograph takes seconds."""
MAX_MAP_DIFFERENCE: Final = 0.02
"""Largest permitted difference of a pixel of a lesion map. Maps are stored in 256 steps."""


class LesionGraph(nn.Module):
    """A network that outlines lesions, from photographs as they are stored to maps as they are stored."""

    scales: Tensor
    biases: Tensor

    def __init__(self, network: LesionNetwork, calibration: MapCalibration) -> None:
        """Takes a ``network`` in evaluation mode, and the ``calibration`` of its maps."""
        super().__init__()
        self.network = network
        for name, values in (("scales", calibration.scales), ("biases", calibration.biases)):
            self.register_buffer(name, torch.tensor(values).view(1, -1, 1, 1), persistent=False)

    def forward(self, photographs: Tensor) -> Tensor:
        """Computes maps (N, K, S / F, S / F), uint8, of photographs (N, S, S, 3), uint8; F as in the network."""
        logits = self.network(photographs.permute(0, 3, 1, 2).float())
        maps = (logits * self.scales + self.biases).sigmoid()
        bytes_of_maps: Tensor = (maps * 255).round().to(torch.uint8)
        return bytes_of_maps


def build_lesion_model(
    exportable: Exportable,
    outlining: OutliningNetwork,
    file: Path,
    progress: Progress | None,
) -> tuple[onnx.ModelProto, Verification]:
    """Builds the graph of a network that outlines lesions in float32, and compares it with the network.

    Args:
        exportable: The exported run.
        outlining: Its network and its grade model.
        file: The grader file, for error messages.
        progress: Receives the stages.

    Raises:
        GraderFileError: The maps differ too much.
    """
    calibration = outlining.lesions.model.maps
    begin_stage(progress, "building the graph")
    photographs = PhotographDataset(exportable.comparison, exportable.image_size)
    rows = np.unique(np.linspace(0, len(photographs) - 1, COMPARED).round().astype(int))
    inputs = [blacken_outside(photographs[int(row)][0])[0] for row in rows]
    model = to_onnx(LesionGraph(outlining.network, calibration).eval(), np.stack(inputs[:2]), [LESIONS])
    begin_stage(progress, "comparing the graph with the network")
    compute = open_model(model, file)
    of_file = [compute(each[None])[LESIONS][0] for each in inputs]
    of_network = [calibration.maps(lesion_logits(outlining.network, each[None])[0]) for each in inputs]
    verification = _measure(inputs, of_file, of_network, outlining.lesions, exportable.temperature)
    difference = verification.max_map_difference
    if difference is None or difference > MAX_MAP_DIFFERENCE:
        raise GraderFileError(
            f"the exported graph does not agree with the network on {len(inputs)} photographs: pixels of lesion maps "
            f"differ by up to {difference:.3f} (permitted: {MAX_MAP_DIFFERENCE}). No file was written"
        )
    return model, verification


def _measure(
    photographs: Sequence[NDArray[np.uint8]],
    of_file: Sequence[NDArray[np.uint8]],
    of_network: Sequence[NDArray[np.uint8]],
    lesions: LesionMetadata,
    temperature: float,
) -> Verification:
    differences, probabilities = [], []
    for photograph, first, second in zip(photographs, of_file, of_network, strict=True):
        differences.append(float(np.abs(first.astype(int) - second.astype(int)).max()) / 255)
        mapped = [map_photograph(photograph, maps, lesions.kinds) for maps in (first, second)]
        read = [read_lesions(each, lesions, temperature)[0] for each in mapped]
        probabilities.append(float(np.abs(read[0] - read[1]).max()))
    return Verification(
        photographs=len(photographs),
        max_probability_difference=max(probabilities),
        max_map_difference=max(differences),
    )

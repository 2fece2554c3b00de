"""Export of a trained gate as one ONNX file, which is compared with the network before it is written."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from retinagrade.arguments import check_arguments
from retinagrade.datasets.prepare_file import prepared_path
from retinagrade.datasets.prepared_set import prepared_digests, read_prepared
from retinagrade.errors import ExperimentError, GraderFileError, UsageError
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.exporting.onnx_file import to_onnx
from retinagrade.exporting.verification import MAX_PROBABILITY_DIFFERENCE
from retinagrade.gate.names import CENTRES, FAULTS, LANDMARKS, MODALITIES
from retinagrade.gate.session import KEY
from retinagrade.models.gate_network import OUTPUT_SIZES, FrozenFeatures, GateGraph
from retinagrade.storage.files import write_bytes
from retinagrade.storage.output_guard import Output, guard_outputs, path_from_folder
from retinagrade.training.gate.draw import inputs_of
from retinagrade.training.gate.run import GateRecord, GateRun

LICENCE: Final = "Apache-2.0; the trunk's weights are Apache-2.0 as well"
_VERIFIED: Final = 16
"""Photographs on which file and network are compared, at most; each also in darkness and blurred."""
_Inputs = dict[str, NDArray[np.uint8]]


@dataclass(frozen=True)
class ExportedGate:
    """A gate's file that was written.

    Attributes:
        file: The file.
        metadata: Its metadata.
        max_difference: Largest difference of a probability between the file and the network.
        photographs: Number of pictures that they were compared on.
    """

    file: Path
    metadata: dict[str, Any]
    max_difference: float
    photographs: int


@check_arguments()
def export_gate(
    run: GateRun | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ExportedGate:
    """Exports a trained gate as an ONNX file in float32.

    Args:
        run: A run of ``train_gate``, or its folder. Its prepared set must still exist.
        out: The file, ``.onnx``.
        overwrite: Whether to replace an existing file.
        progress: Receives the stages.

    Returns:
        The file, with the largest difference of a probability between file and network.

    Raises:
        ExperimentError: The folder is no run of the gate, or the gate left families out.
        GraderFileError: File and network differ too much.
        UsageError: ``out`` has another suffix, exists, or lies in the run.
    """
    gate, file = GateRun(Path(run)), Path(out)
    if file.suffix != ".onnx":
        raise UsageError(f"{file}: the file of a gate must end with .onnx")
    record = gate.record()
    if record.settings.leave_out:
        left_out = ", ".join(record.settings.leave_out)
        raise ExperimentError(f"{gate.folder} left {left_out} out as a test: train the gate on all families")
    guard_outputs([Output(file, False)], [gate.folder], overwrite)
    graph = GateGraph(FrozenFeatures(), gate.heads()).eval()
    begin_stage(progress, "building the graph")
    inputs = _example_inputs(gate, record)
    model = to_onnx(graph, {name: each[:2] for name, each in inputs.items()}, list(OUTPUT_SIZES))
    metadata = _metadata(gate, record)
    onnx.helper.set_model_props(model, {KEY: json.dumps(metadata)})
    begin_stage(progress, "comparing the graph with the network")
    content = model.SerializeToString()
    difference = _difference(graph, content, inputs)
    count = len(inputs["frame"])
    if not difference <= MAX_PROBABILITY_DIFFERENCE:
        raise GraderFileError(
            f"the exported graph does not agree with the network on {count} pictures: probabilities differ by up to "
            f"{difference:.2g} (permitted: {MAX_PROBABILITY_DIFFERENCE:g}). No file was written"
        )
    write_bytes(file, content)
    return ExportedGate(file, metadata, difference, count)


def _example_inputs(gate: GateRun, record: GateRecord) -> _Inputs:
    """Makes the inputs of photographs of the run, each as it is, dark, and blurred."""
    prepared = path_from_folder(record.data.prepared, gate.folder)
    digests = prepared_digests(prepared)
    ids = [*record.data.photographs, *record.data.held_out]
    chosen = [ids[int(row)] for row in np.unique(np.linspace(0, len(ids) - 1, _VERIFIED).round())]
    frames, squares = [], []
    for image_id in chosen:
        photograph = read_prepared(prepared_path(prepared, image_id), digests[image_id])
        for pixels in (photograph, photograph // 6, photograph[::8, ::8]):
            frame, square = inputs_of(np.ascontiguousarray(pixels))
            frames.append(frame)
            squares.append(square)
    return {"frame": np.stack(frames), "square": np.stack(squares)}


@torch.no_grad()
def _difference(graph: GateGraph, content: bytes, inputs: _Inputs) -> float:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    of_file = session.run(list(OUTPUT_SIZES), inputs)
    of_network = graph(*(torch.from_numpy(each) for each in inputs.values()))
    pairs = zip(of_file, of_network, strict=True)
    return max(float(np.abs(first - second.numpy()).max()) for first, second in pairs)


def _metadata(gate: GateRun, record: GateRecord) -> dict[str, Any]:
    data = record.data
    return {
        "modality": MODALITIES,
        "reasons": FAULTS,
        "visible": LANDMARKS,
        "centre": CENTRES,
        "data": (
            f"{len(data.photographs) + len(data.held_out)} prepared photographs as made-up cameras took them, with "
            f"made-up faults; synthetic photographs; {sum(data.origins.values())} pictures without a fundus of "
            f"{len(data.origins)} packages; drawn pictures. {record.settings.pictures} pictures to learn from and the "
            "held-out ones, on which an equal gate was judged before."
        ),
        "trained": record.finished[:10],
        "metrics": gate.metrics(),
        "licence": LICENCE,
    }

"""What computes a graph: ONNX Runtime; or OpenVINO, faster and less exact."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from retinagrade.errors import GraderFileError, UsageError
from retinagrade.execution.local import processors


@dataclass(frozen=True)
class Session:
    """A graph, ready to compute.

    Attributes:
        network: Photographs (N, S, S, 3), uint8, to probabilities (N, 5) and saliency (N, 5, h, w), float32.
        properties: What the file says of itself, by key.
        side: S; ``None`` where the graph takes or gives something else.
    """

    network: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    properties: dict[str, str]
    side: int | None


def onnx_runtime(file: Path) -> Session:
    """A graph in float32, by ONNX Runtime, as ``export`` has proven it.

    Raises:
        ArtefactError: Not a readable ONNX file.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own have no common base
        raise GraderFileError(f"{file} is not a readable ONNX file: {' '.join(str(error).split())}") from error

    def network(photographs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probabilities, saliency = session.run(None, {"photographs": photographs})
        return probabilities, saliency

    inputs, outputs = session.get_inputs(), [one.name for one in session.get_outputs()]
    side = inputs[0].shape[1]
    known = [(one.name, one.type, one.shape[1:]) for one in inputs] == [
        ("photographs", "tensor(uint8)", [side, side, 3])
    ] and outputs == ["probabilities", "saliency"]
    return Session(network, session.get_modelmeta().custom_metadata_map, side if known else None)


def openvino(file: Path, engine: Session) -> Session:
    """The same graph in bfloat16, by OpenVINO.

    Args:
        file: The file.
        engine: The same by ONNX Runtime, for what the file says of itself.

    Raises:
        UsageError: It isn't installed, or the processor has no bfloat16.
    """
    try:
        import openvino as ov
    except ModuleNotFoundError as error:
        raise UsageError("--fast computes by OpenVINO: pip install 'retinagrade[openvino]'") from error
    core = ov.Core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UsageError("--fast computes in bfloat16, which this processor doesn't have: leave it out")
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16",
        "INFERENCE_NUM_THREADS": _threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = core.compile_model(core.read_model(file), "CPU", settings)

    def network(photographs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = compiled([photographs])
        return np.array(found["probabilities"]), np.array(found["saliency"])

    return Session(network, engine.properties, engine.side)


def _threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS", processors()))

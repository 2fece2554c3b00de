"""Sessions that compute a graph: ONNX Runtime, or OpenVINO, which is faster and less exact."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from retinagrade.errors import GraderFileError, UsageError
from retinagrade.execution.half_precision import compile_graph, import_openvino, openvino_core
from retinagrade.execution.local import processors
from retinagrade.grades import N_GRADES
from retinagrade.storage.environment import environment_number

Outputs = dict[str, NDArray[Any]]
"""Outputs of a graph by name."""
LESIONS: Final = "lesions"
"""Output of a graph that outlines lesions."""
BATCH_DIMENSION: Final = "N"
"""Name that exported graphs give to the number of photographs."""


@dataclass(frozen=True)
class Session:
    """A graph that is ready to compute.

    Attributes:
        network: Maps photographs (N, S, S, 3), uint8, to the outputs by name: ``probabilities`` (N, 5) and ``saliency``
            (N, 5, h, w), float32; or ``lesions`` (N, K, s, s), uint8, with s that divides S.
        properties: Metadata properties of the file.
        side: S; ``None`` where the graph has other inputs or outputs.
        kinds: K, the number of lesion maps; 0 for a graph that computes probabilities.
    """

    network: Callable[[NDArray[np.uint8]], Outputs]
    properties: dict[str, str]
    side: int | None
    kinds: int = 0


def onnx_runtime(model: bytes, file: Path) -> Session:
    """Opens a graph with ONNX Runtime, in float32. ``export`` verifies a file in the same way.

    Args:
        model: Content of the ONNX file.
        file: Its path, for error messages.

    Raises:
        GraderFileError: The file is not readable ONNX.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.log_severity_level = 3
    # A plan of all memory, beside the memory itself: 340 MB more for lesion maps of 1,024 px, and no faster.
    options.enable_mem_pattern = False
    options.add_free_dimension_override_by_name(BATCH_DIMENSION, 1)
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the exceptions of ONNX Runtime have no common base
        raise GraderFileError(f"{file} is not a readable ONNX file: {' '.join(str(error).split())}") from error

    def compute(photograph: NDArray[np.uint8]) -> Outputs:
        try:
            results = dict(zip(names, session.run(None, {"photographs": photograph}), strict=True))
        except Exception as error:
            reason = " ".join(str(error).split())
            raise GraderFileError(f"{file}: its graph can't be computed ({reason}): export the run again") from error
        if any(len(result) != 1 for result in results.values()):
            raise GraderFileError(f"{file}: its graph does not give one result per photograph: export the run again")
        return results

    inputs, outputs = session.get_inputs(), session.get_outputs()
    names = [each.name for each in outputs]
    side = inputs[0].shape[1] if inputs and len(inputs[0].shape) == 4 else None
    takes_photographs = [(each.name, each.type, each.shape[1:]) for each in inputs] == [
        ("photographs", "tensor(uint8)", [side, side, 3])
    ]
    shapes = [(each.name, each.shape[1:2]) for each in outputs]
    kinds = outputs[0].shape[1] if names == [LESIONS] and _divides(outputs[0].shape[2:], side) else 0
    is_grader = kinds or shapes == [("probabilities", [N_GRADES]), ("saliency", [N_GRADES])]
    properties = session.get_modelmeta().custom_metadata_map
    return Session(partial(_one_by_one, compute), properties, side if takes_photographs and is_grader else None, kinds)


def openvino(model: bytes, exact: Session) -> Session:
    """Opens a graph with OpenVINO, in bfloat16.

    Args:
        model: Content of the ONNX file.
        exact: The session of the same file in ONNX Runtime, which provides properties and side.

    Raises:
        UsageError: OpenVINO isn't installed, or the processor has no bfloat16.
        GraderFileError: OpenVINO can't compute the graph for one photograph.
    """
    try:
        import_openvino()
    except ModuleNotFoundError as error:
        raise UsageError("fast grading needs OpenVINO: pip install 'retinagrade[openvino]'") from error
    try:
        graph = openvino_core().read_model(io.BytesIO(model))
        shape = graph.input(0).get_partial_shape()
        shape[0] = 1
        graph.reshape(shape)
        compiled = compile_graph(graph, _threads())
    except Exception as error:  # the exceptions of OpenVINO have no common base
        reason = " ".join(str(error).split())
        raise GraderFileError(f"OpenVINO can't compute this graph ({reason}): grade without fast") from error
    if compiled is None:
        raise UsageError("fast grading computes in bfloat16, which this processor lacks: grade without it")

    def compute(photograph: NDArray[np.uint8]) -> Outputs:
        outputs = compiled([photograph])
        return {each.get_any_name(): np.array(outputs[each]) for each in compiled.outputs}

    return Session(partial(_one_by_one, compute), exact.properties, exact.side, exact.kinds)


def _one_by_one(compute: Callable[[NDArray[np.uint8]], Outputs], photographs: NDArray[np.uint8]) -> Outputs:
    """Computes one photograph at a time: engines plan a graph of a fixed size better, and no result depends on another.

    Args:
        compute: Maps one photograph (1, S, S, 3) to outputs by name.
        photographs: Photographs (N, S, S, 3), at least one.
    """
    outputs = [compute(photographs[row : row + 1]) for row in range(len(photographs))]
    if len(outputs) == 1:  # without a copy
        return outputs[0]
    return {name: np.concatenate([each[name] for each in outputs]) for name in outputs[0]}


def _divides(sides: list[int | str], side: int | None) -> bool:
    """Whether maps with these sides can be enlarged to the side of a photograph, by a whole number."""
    if side is None or len({*sides}) != 1 or not isinstance(sides[0], int):
        return False
    return sides[0] > 0 and side % sides[0] == 0


def _threads() -> int:
    return max(1, int(environment_number("OMP_NUM_THREADS", processors())))

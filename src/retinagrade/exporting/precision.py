"""Conversion of a model's weights from float32 to smaller number formats."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from retinagrade.storage.files import naming, scratch_folder

_SMALL: Final = 16384
"""Tensors with fewer elements are not converted. The kernels of the first layer and of depthwise convolutions cause
most of the error: with float16 kernels there, too, the probabilities of ``efficientnet-lite0`` changed by up to 0.02
instead of 0.001, for a file of 51 % instead of 52 % of the size (48 IDRiD photographs)."""
_MAX_ROUNDING_ERROR: Final = 1e-3
"""Largest permitted relative rounding error of a tensor; float16 has about 2e-4 within its range."""


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Converts the weights to float16; the graph casts them to float32 before use.

    ONNX Runtime and OpenVINO cast the weights once, when the file is opened. The graph still computes in float32, at
    the same speed, on any processor. A tensor whose values exceed the range of float16 stays in float32.

    Args:
        model: A float32 model; it is not modified.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    casts = []
    for tensor in changed.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _SMALL:
            continue
        weights, name = numpy_helper.to_array(tensor), tensor.name
        with np.errstate(over="ignore"):
            half = weights.astype(np.float16)
        if not np.linalg.norm(half - weights) <= _MAX_ROUNDING_ERROR * np.linalg.norm(weights):
            continue
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.float16"))
        casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *changed.graph.node]
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    return changed


def to_int8(model: onnx.ModelProto, batches: Iterator[NDArray[np.uint8]]) -> onnx.ModelProto:
    """Converts convolutions to 8-bit integer arithmetic, and all other weights to float16 by :func:`to_float16`.

    Weights have one scale per channel. The scales of activations are fixed from the value ranges on training
    photographs. Convolutions with small kernels are not converted: with them converted, too, ``efficientnet-lite0``
    changed the grade of 24 % instead of 1 % of 80 IDRiD photographs. The head and the saliency maps contain no
    convolutions and are not affected.

    Source: ONNX Runtime's ``quantize_static``, https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html

    Args:
        model: A float32 model; it is not modified.
        batches: Prepared training photographs (N, S, S, 3), uint8.
    """
    sizes = {tensor.name: np.prod(tensor.dims) for tensor in model.graph.initializer}
    small = [n.name for n in model.graph.node if n.op_type == "Conv" and sizes.get(n.input[1], 0) < _SMALL]
    with naming(Path(gettempdir())), scratch_folder() as folder:
        inferred, written = folder / "inferred.onnx", folder / "int8.onnx"
        quant_pre_process(model, inferred, skip_optimization=True, skip_symbolic_shape=True)
        quantize_static(
            inferred,
            written,
            _Batches(batches),
            op_types_to_quantize=["Conv", "Clip", "Relu"],
            nodes_to_exclude=small,
            per_channel=True,
        )
        return to_float16(onnx.load(written))


class _Batches(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime has no type annotations
    def __init__(self, batches: Iterator[NDArray[np.uint8]]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"photographs": batch}

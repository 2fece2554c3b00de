"""Smaller files: the weights of a float32 graph in fewer bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

_SMALL: Final = 16384
"""Tensors of fewer numbers stay as they are. Kernels of the first layer and of single channels make most of the error:
with them in float16, too, ``efficientnet-lite0`` changed its probabilities by up to 0.02 instead of 0.001, for a file
of 51 instead of 52 % (48 photographs of IDRiD)."""
_LOST: Final = 1e-3
"""Largest rounding error of a tensor by its own size; float16 makes about 2e-4 where its range is enough."""


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph whose weights are kept in float16, and cast to float32 before they are used.

    ONNX Runtime and OpenVINO cast them once, when the file is opened: the graph computes in float32 and as fast as
    before, on any processor. A tensor that float16's range is too narrow for stays in float32.

    Args:
        model: A float32 graph; it is left as it is.
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
        if not np.linalg.norm(half - weights) <= _LOST * np.linalg.norm(weights):
            continue
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.float16"))
        casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *changed.graph.node]
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    return changed


def to_int8(model: onnx.ModelProto, batches: Iterator[np.ndarray]) -> onnx.ModelProto:
    """A graph whose convolutions multiply whole numbers of 8 bits; all other weights are :func:`to_float16`.

    Weights have a scale for each channel; those of what goes between the convolutions are fixed by what training
    photographs make of them. Small kernels stay as they are: with them, too, ``efficientnet-lite0`` gave 24 instead
    of 1 % of 80 photographs of IDRiD another grade. So do head and evidence, which are no convolutions.

    Source: ONNX Runtime's ``quantize_static``, https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html

    Args:
        model: A float32 graph; it is left as it is.
        batches: Prepared training photographs (N, S, S, 3), uint8.
    """
    sizes = {tensor.name: np.prod(tensor.dims) for tensor in model.graph.initializer}
    small = [n.name for n in model.graph.node if n.op_type == "Conv" and sizes.get(n.input[1], 0) < _SMALL]
    with TemporaryDirectory() as folder:
        inferred, written = Path(folder) / "inferred.onnx", Path(folder) / "int8.onnx"
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


class _Batches(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime brings no types
    def __init__(self, batches: Iterator[np.ndarray]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"photographs": batch}

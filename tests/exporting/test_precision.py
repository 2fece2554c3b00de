"""Conversion to float16: the converted tensors and the results computed from them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from retinagrade.exporting.precision import to_float16

RNG = np.random.default_rng(0)


def matmul_model(weights: NDArray[np.floating]) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "matmul",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", weights.shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", weights.shape[1]])],
        [numpy_helper.from_array(weights.astype(np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model: onnx.ModelProto, x: NDArray[np.floating]) -> NDArray[np.floating]:
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs: NDArray[np.floating] = session.run(None, {"x": x})[0]
    return outputs


def test_float16_weights_are_rounded_and_multiplied_in_float32() -> None:
    weights, x = (RNG.normal(size=size).astype(np.float32) for size in ((200, 100), (3, 200)))
    model = matmul_model(weights)
    before, half = model.SerializeToString(), to_float16(model)
    assert model.SerializeToString() == before
    assert half.ByteSize() < 0.6 * model.ByteSize()
    np.testing.assert_allclose(run(half, x), x @ weights.astype(np.float16).astype(np.float32), rtol=1e-4, atol=1e-4)


def test_tensors_outside_the_range_of_float16_stay_in_float32() -> None:
    for scale in (1e6, 1e-7):  # beyond its range, and below its smallest numbers
        weights, x = scale * RNG.normal(size=(200, 100)), RNG.normal(size=(3, 200)).astype(np.float32)
        np.testing.assert_array_equal(run(to_float16(matmul_model(weights)), x), run(matmul_model(weights), x))
    small = matmul_model(RNG.normal(size=(40, 30)))
    assert to_float16(small) == small

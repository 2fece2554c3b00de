"""Fewer bits: which tensors are kept in them, what comes out, and that the file says what it changed."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from retinagrade.export.precision import to_float16

RNG = np.random.default_rng(0)


def products(weights: np.ndarray) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", weights.shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", weights.shape[1]])],
        [numpy_helper.from_array(weights.astype(np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"x": x})[0]
    return found


def test_halved_weights_are_rounded_and_multiplied_in_float32() -> None:
    weights, x = (RNG.normal(size=size).astype(np.float32) for size in ((200, 100), (3, 200)))
    model = products(weights)
    before, half = model.SerializeToString(), to_float16(model)
    assert model.SerializeToString() == before
    assert half.ByteSize() < 0.6 * model.ByteSize()
    np.testing.assert_allclose(run(half, x), x @ weights.astype(np.float16).astype(np.float32), rtol=1e-4, atol=1e-4)


def test_what_float16_cannot_hold_stays_in_float32() -> None:
    for scale in (1e6, 1e-7):  # beyond its range, and below its smallest numbers
        weights, x = scale * RNG.normal(size=(200, 100)), RNG.normal(size=(3, 200)).astype(np.float32)
        np.testing.assert_array_equal(run(to_float16(products(weights)), x), run(products(weights), x))
    small = products(RNG.normal(size=(40, 30)))
    assert to_float16(small) == small

"""The bfloat16 session is close to the float32 session, and explains why it isn't available."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from retinagrade.errors import UsageError
from retinagrade.exporting.graph import NetworkGraph
from retinagrade.exporting.onnx_file import to_onnx
from retinagrade.grader.sessions import onnx_runtime, openvino
from tests.explanations.networks import FAMILIES, network, photographs


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "g.onnx"
    example = photographs(2).permute(0, 2, 3, 1).contiguous().numpy()
    onnx.save(to_onnx(NetworkGraph(network(**FAMILIES["scratch"])).eval(), example), path)
    return path


def test_photographs_that_are_computed_one_by_one_give_what_a_batch_gives(file: Path) -> None:
    squares = photographs(5).permute(0, 2, 3, 1).contiguous().numpy()
    names = ["probabilities", "saliency"]
    together = onnxruntime.InferenceSession(file.read_bytes()).run(names, {"photographs": squares})
    one_by_one = onnx_runtime(file.read_bytes(), file).network(squares)
    assert sorted(one_by_one) == names
    for name, expected in zip(names, together, strict=True):
        np.testing.assert_allclose(one_by_one[name], expected, atol=1e-5 * float(np.abs(expected).max()))


def test_bfloat16_is_close_to_float32(file: Path) -> None:
    pytest.importorskip("openvino")
    exact = onnx_runtime(file.read_bytes(), file)
    try:
        fast = openvino(file.read_bytes(), exact)
    except UsageError as error:
        pytest.skip(str(error))
    squares = photographs(5).permute(0, 2, 3, 1).contiguous().numpy()
    probabilities, saliency = (exact.network(squares)[name] for name in ("probabilities", "saliency"))
    fast_probabilities, fast_saliency = (fast.network(squares)[name] for name in ("probabilities", "saliency"))
    assert fast.side == exact.side == squares.shape[1]
    assert fast_probabilities.dtype == fast_saliency.dtype == np.float32
    assert 0 < np.abs(fast_probabilities - probabilities).max() < 0.05
    assert np.corrcoef(saliency.ravel(), fast_saliency.ravel())[0, 1] > 0.99


def test_without_openvino_the_error_names_the_package_to_install(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UsageError, match=r"pip install 'retinagrade\[openvino\]'"):
        openvino(file.read_bytes(), onnx_runtime(file.read_bytes(), file))

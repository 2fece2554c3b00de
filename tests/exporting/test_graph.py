"""The graph and the exported file give the network's probabilities and Grad-CAM maps, for every family of networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from retinagrade.explanations.saliency import saliency_maps
from retinagrade.explanations.scores import Target, scores
from retinagrade.exporting.graph import FlippedGraph, NetworkGraph
from retinagrade.exporting.onnx_file import to_onnx
from retinagrade.exporting.score_gradients import probabilities_and_slopes
from retinagrade.grader.sessions import onnx_runtime
from retinagrade.models.cut_points import CutPoints
from retinagrade.models.outputs import SOFTMAX, MeanOutput, OrdinalOutput, Output, RegressionOutput
from tests.explanations.networks import BLOCKS, FAMILIES, network, photographs

GRADES: tuple[Target, ...] = (0, 1, 2, 3, 4)
OUTPUTS: list[Output] = [
    SOFTMAX,
    OrdinalOutput(),
    RegressionOutput(),
    RegressionOutput(CutPoints(cuts=(0.4, 1.6, 1.7, 3.2), sigma=0.05)),
    MeanOutput(SOFTMAX, 2),
    MeanOutput(OrdinalOutput(), 3),
]
SCRATCH = {"backbone": "scratch", "scratch": BLOCKS, "pooling": "flatten", "dense": (16,)}
JOINED = {
    "backbone": ("tf_efficientnet_lite0", "tf_efficientnet_lite1"),
    "pooling": "gap",
    "stages": (2, 3),
    "output": "ordinal",
}
ALL: dict[str, dict[str, Any]] = {
    **FAMILIES,
    "gap": {**SCRATCH, "pooling": "gap"},
    "ordinal": {**SCRATCH, "output": "ordinal"},
    "regression": {**SCRATCH, "output": "regression"},
    "joined": JOINED,
}


@pytest.mark.parametrize("output", OUTPUTS, ids=str)
def test_slopes_equal_those_of_autograd(output: Output) -> None:
    raw = 3 * torch.randn(200, output.units, generator=torch.Generator().manual_seed(0))
    leaf = raw.double().requires_grad_()
    score = scores(output, leaf, GRADES)
    expected = torch.stack([torch.autograd.grad(s.sum(), leaf, retain_graph=True)[0] for s in score.unbind(1)], 1)
    probabilities, slopes = probabilities_and_slopes(output, raw)
    np.testing.assert_allclose(probabilities, output.probabilities(raw), atol=2e-5)
    # Far tails are differences of large numbers in float32; a slope's sign and size matter, not its last digits.
    np.testing.assert_allclose(slopes, expected, rtol=0.02, atol=2e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("family", ALL)
def test_the_saliency_of_a_graph_is_gradcam(family: str) -> None:
    trained, pixels = network(**ALL[family]), photographs()
    with torch.no_grad():
        probabilities, saliency = NetworkGraph(trained)(pixels.permute(0, 2, 3, 1))
        expected = trained.output.probabilities(trained(pixels))
    expected_saliency = saliency_maps(trained, pixels, "gradcam", GRADES)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    np.testing.assert_allclose(saliency, expected_saliency, atol=1e-5 * float(expected_saliency.max()))
    assert expected_saliency.max() > 0


def test_saliency_maps_of_mirrored_views_are_mirrored_back() -> None:
    trained, pixels = network(**ALL["scratch"]), photographs()
    mean = [
        saliency_maps(trained, pixels.flip(axes), "gradcam", GRADES).flip(axes) for axes in ((), (-1,), (-2,), (-2, -1))
    ]
    with torch.no_grad():
        probabilities, saliency = FlippedGraph(NetworkGraph(trained))(pixels.permute(0, 2, 3, 1))
        views = torch.stack([trained(pixels.flip(axes)).softmax(1) for axes in ((), (-1,), (-2,), (-2, -1))])
    expected_saliency = torch.stack(mean).mean(0)
    np.testing.assert_allclose(probabilities, views.mean(0), atol=1e-6)
    np.testing.assert_allclose(saliency, expected_saliency, atol=1e-5 * float(expected_saliency.max()))


@pytest.mark.slow
@pytest.mark.parametrize("family", ALL)
def test_a_file_gives_the_outputs_of_its_network(family: str, tmp_path: Path) -> None:
    trained, pixels = network(**ALL[family]), photographs(3)
    squares = pixels.permute(0, 2, 3, 1).contiguous()
    model = to_onnx(NetworkGraph(trained).eval(), squares[:2].numpy()).SerializeToString()
    one_by_one = onnx_runtime(model, tmp_path / "g.onnx").network(squares.numpy())
    together = onnxruntime.InferenceSession(model).run(["probabilities", "saliency"], {"photographs": squares.numpy()})
    expected_saliency = saliency_maps(trained, pixels, "gradcam", GRADES)
    with torch.no_grad():
        expected = trained.output.probabilities(trained(pixels))
    for probabilities, saliency in ((one_by_one["probabilities"], one_by_one["saliency"]), together):
        np.testing.assert_allclose(probabilities, expected, atol=1e-4)
        np.testing.assert_allclose(saliency, expected_saliency, atol=1e-3 * float(expected_saliency.max()))

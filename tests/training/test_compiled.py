"""A network whose features OpenVINO computes predicts as well as one in bfloat16 by PyTorch."""

from __future__ import annotations

import sys

import pytest
import torch

from retinagrade.execution.half_precision import import_openvino
from retinagrade.models.inference import inference_copy
from retinagrade.training import compiled
from retinagrade.training.compiled import compiled_copy
from retinagrade.training.devices import weights_dtype
from tests.explanations.networks import FAMILIES, SIDE, network, photographs

BATCH = 5
FAST = ("scratch", "mobilenetv2", "vit")

pytest.importorskip("openvino")
needs_bfloat16 = pytest.mark.skipif(
    weights_dtype("auto") != torch.bfloat16 or torch.cuda.is_available(), reason="needs a processor with bfloat16"
)


@needs_bfloat16
@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=[pytest.mark.slow] if name not in FAST else []) for name in FAMILIES]
)
def test_raw_outputs_are_as_near_to_float32_as_those_of_pytorch(family: str) -> None:
    exact = network(**FAMILIES[family])
    before = {name: tensor.clone() for name, tensor in exact.state_dict().items()}
    copy = compiled_copy(exact, SIDE, BATCH)
    assert copy is not None
    batch = photographs(BATCH).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected, given = exact(batch), copy(batch)
        by_torch = inference_copy(exact, torch.bfloat16, SIDE)(batch)
        first = given.clone()
        copy(photographs(BATCH).flip(0))
    assert given.dtype == torch.float32
    assert 0 < (given - expected).norm() < 2 * (by_torch - expected).norm()
    assert torch.equal(given, first)  # the next batch leaves it alone
    assert not any(parameter.requires_grad for parameter in copy.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in exact.state_dict().items())


def test_without_openvino_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert compiled_copy(network(**FAMILIES["scratch"]), SIDE, BATCH) is None


def test_a_network_that_openvino_does_not_compute_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no conversion rule")

    monkeypatch.setattr(import_openvino(), "convert_model", refuse)
    assert compiled_copy(network(**FAMILIES["scratch"]), SIDE, BATCH) is None


@needs_bfloat16
def test_a_network_that_changes_too_much_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_TOLERANCE", 1e-9)
    assert compiled_copy(network(**FAMILIES["scratch"]), SIDE, BATCH) is None

"""Training of the gate, and its export, on few pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from typer.testing import CliRunner

from retinagrade.cli import app
from retinagrade.errors import ExperimentError, UsageError
from retinagrade.exporting.gate_export import export_gate
from retinagrade.gate.inputs import FRAME, SQUARE
from retinagrade.gate.session import KEY
from retinagrade.manifest import Manifest
from retinagrade.models.gate_network import OUTPUT_SIZES
from retinagrade.storage.files import write_json
from retinagrade.training.gate import features
from retinagrade.training.gate.metrics_record import GateMetrics
from retinagrade.training.gate.run import GateRecord, GateRun
from retinagrade.training.gate.train import train_gate
from tests.schemas import require_schema


@pytest.fixture(scope="module")
def trained(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> GateRun:
    """A gate that learnt from 24 pictures."""
    run = tmp_path_factory.mktemp("runs") / "gate"
    _write_landmarks(prepared, run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "CHUNK", 12)
        return train_gate(prepared, run, pictures=24)


def _write_landmarks(prepared: Path, run: Path) -> None:
    """Writes landmarks, so that no grader must find them."""
    ids = Manifest.read(prepared / "manifest.csv").table["image_id"]
    write_json(run / "landmarks.json", {str(each): {"disc": [0.6, 0.0], "fovea": [0.0, 0.1]} for each in ids})


def test_a_run_has_figures_a_page_and_a_record(trained: GateRun) -> None:
    record, figures = trained.record(), trained.metrics()
    assert trained.is_gate
    assert not set(record.data.photographs) & set(record.data.held_out)
    require_schema(GateMetrics, figures)
    require_schema(GateRecord, json.loads(trained.record_file.read_text()))
    assert figures["learnt_from"]["pictures"] == 24
    assert figures["held_out_pictures"]["pictures"] == 12
    assert figures["held_out_photographs"]["photographs"] == len(record.data.held_out)
    assert trained.page_file.read_bytes()[:4] == b"\x89PNG"


def test_the_same_call_trains_the_same_heads(trained: GateRun, prepared: Path, tmp_path: Path) -> None:
    _write_landmarks(prepared, tmp_path / "again")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "CHUNK", 12)
        again = train_gate(prepared, tmp_path / "again", pictures=24)
        finished = trained.record().finished
        train_gate(prepared, trained.folder, pictures=24)
    assert again.metrics() == trained.metrics()
    assert all(
        (one == two).all() for one, two in zip(again.heads().parameters(), trained.heads().parameters(), strict=True)
    )
    assert trained.record().finished == finished  # nothing was left to do


def test_a_family_that_was_left_out_is_not_learnt_and_not_exported(
    trained: GateRun, prepared: Path, tmp_path: Path
) -> None:
    _write_landmarks(prepared, tmp_path / "test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "CHUNK", 12)
        run = train_gate(prepared, tmp_path / "test", pictures=24, leave_out=["zoomed"])
    assert 0 < run.metrics()["learnt_from"]["pictures"] < 24
    with pytest.raises(ExperimentError):
        export_gate(run, tmp_path / "gate.onnx")
    with pytest.raises(UsageError):
        train_gate(prepared, tmp_path / "other", leave_out=["no such family"])


@pytest.mark.slow
def test_the_exported_file_follows_the_contract(trained: GateRun, tmp_path: Path) -> None:
    file = tmp_path / "gate.onnx"
    result = CliRunner().invoke(app, ["export", str(trained.folder), "--out", str(file)])
    assert result.exit_code == 0, result.output
    model = onnx.load(file)
    properties = {each.key: each.value for each in model.metadata_props}
    document = json.loads(properties[KEY])
    assert [len(document[name]) for name in ("modality", "reasons", "visible", "centre")] == [5, 8, 2, 3]
    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    for count in (1, 3):
        inputs = {"frame": np.zeros((count, FRAME, FRAME, 3), np.uint8)}
        outputs = session.run(None, {**inputs, "square": np.zeros((count, SQUARE, SQUARE, 3), np.uint8)})
        assert [each.shape for each in outputs] == [(count, size) for size in OUTPUT_SIZES.values()]
        assert all(each.dtype == np.float32 for each in outputs)
    refused = CliRunner().invoke(app, ["export", str(trained.folder), "--out", str(tmp_path / "b.onnx"), "--tta"])
    assert refused.exit_code != 0

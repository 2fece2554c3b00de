"""Export of a run: the file grades like the network, has complete metadata, and is refused if it disagrees."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

import retinagrade
from retinagrade.datasets.synthetic.patients import synthesize
from retinagrade.errors import ExperimentError, GraderFileError, UsageError
from retinagrade.evaluation.evaluate import evaluate_predictions
from retinagrade.evaluation.fitting.calibration import fit_calibration, load_calibration, save_calibration
from retinagrade.evaluation.fitting.probability_calibration import CalibrationMethodName
from retinagrade.evaluation.predictions import graded_predictions, read_predictions
from retinagrade.exporting import verification as module
from retinagrade.exporting.export import export
from retinagrade.gate.session import NETWORK_KEY, bundled_network, decode_network
from retinagrade.grader.metadata import KEY, AuthorStatements, Metadata
from retinagrade.grader.seal import sealed
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.images.prepare import resize_to_input
from retinagrade.images.read import read_photograph
from retinagrade.manifest import Manifest
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.run import Run
from retinagrade.training.cross_validate import cross_validate
from retinagrade.training.predict import predict
from retinagrade.training.train import train
from tests.cli.command_line import run as command
from tests.grader.graders import gate_network
from tests.training.tiny_experiments import tiny

SCHEMA = Path(__file__).parents[2] / "docs" / "grader.schema.json"


@pytest.fixture(scope="module")
def trained(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(prepared, tiny("training.epochs=2"), tmp_path_factory.mktemp("runs") / "exported")


@pytest.fixture(scope="module")
def file(trained: Run) -> Path:
    export(trained, trained.folder / "plain.onnx")
    return trained.folder / "plain.onnx"


def inputs(prepared: Path, table: pd.DataFrame, size: int) -> NDArray[np.uint8]:
    """Photographs of a table at the input size of a network."""
    files = [prepared / "photographs" / f"{name}.jpg" for name in table["image_id"]]
    return np.stack([resize_to_input(read_photograph(file), size) for file in files])


def test_photographs_are_graded_like_predict_grades_the_prepared_set(trained: Run, prepared: Path, file: Path) -> None:
    source = prepared.parent / "source"
    assert source.is_dir()
    table = read_predictions(predict(prepared, trained, split="all").file).set_index("image_id")
    record = json.loads((prepared / "prepare.json").read_text())
    paths = {one["image_id"]: source / one["source"] for one in record["photographs"]}
    grader = retinagrade.Grader.load(file)
    gradings = grader.grade(paths.values(), list(paths))
    assert [one.image_id for one in gradings] == list(paths)
    expected = table.loc[list(paths), list(PROBABILITY_COLUMNS)].to_numpy(dtype=float)
    np.testing.assert_allclose([one.probabilities or () for one in gradings], expected, atol=1e-5)
    assert all(one.predicted_grade == p.argmax() for one, p in zip(gradings, expected, strict=True) if one.gradable)
    assert all(one.needs_review for one in gradings if not one.gradable)
    assert all(one.referable is None for one in gradings)  # not calibrated
    array = np.array(Image.open(next(iter(paths.values()))).convert("RGB"))
    np.testing.assert_allclose(grader.grade([array])[0].probabilities or (), expected[0], atol=1e-5)


def test_the_file_holds_the_calibration(trained: Run, prepared: Path, tmp_path: Path) -> None:
    source = trained.predictions_file("val")
    fitted = fit_calibration(graded_predictions(read_predictions(source)), source)
    save_calibration(fitted, trained.calibration_file)
    try:
        exported = export(str(trained.folder), str(tmp_path / "g.onnx"))
    finally:
        trained.calibration_file.unlink()
    metadata = exported.metadata
    assert metadata.version in repr(exported)
    assert "accuracy" in exported._repr_html_()
    assert metadata.temperature == fitted.temperature.temperature
    assert fitted.referable is not None
    assert metadata.referable is not None
    assert metadata.referable.threshold == fitted.referable.threshold
    written = {p.key: p.value for p in onnx.load(tmp_path / "g.onnx").metadata_props}[KEY]
    assert Metadata.model_validate_json(written) == metadata.model_copy(update={"digest": ""})
    jsonschema.validate(json.loads(written), json.loads(SCHEMA.read_text()))
    assert exported.card == tmp_path / "g.md"
    card = exported.card.read_text()
    assert "not a medical device" in card
    assert f"{metadata.referable.threshold:.4g}" in card
    photograph = next((prepared / "photographs").iterdir())
    assert retinagrade.Grader.load(tmp_path / "g.onnx").grade([photograph])[0].error is None


@pytest.fixture(scope="module")
def folds(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    out = tmp_path_factory.mktemp("runs") / "folds"
    result = cross_validate(prepared, tiny("training.epochs=1", "training.keep=last"), out, 2)
    source = result.predictions_file
    save_calibration(
        fit_calibration(graded_predictions(read_predictions(source)), source), Run(result.folder).calibration_file
    )
    return result


@pytest.fixture(scope="module")
def on_everything(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    table = Manifest.read(prepared / "manifest.csv").table
    manifest = Manifest(table.assign(split=table["split"].replace("val", "train")), prepared)
    out = tmp_path_factory.mktemp("runs") / "everything"
    return train(prepared, tiny("training.epochs=1", "training.keep=last"), out, manifest=manifest)


def test_a_run_on_all_photographs_takes_calibration_and_metrics_from_its_folds(
    on_everything: Run, folds: CrossValidation, prepared: Path, tmp_path: Path
) -> None:
    statements = tmp_path / "statements.yaml"
    statements.write_text(
        "licence: Apache-2.0\ndata_source: Made up, CC0.\nlimitations: [Nobody has these eyes.]\n"
        "elsewhere: [{place: Elsewhere, photographs: 9, metrics: {referable_auc: {value: 0.75, interval: null}}}]\n"
    )
    out = tmp_path / "all.onnx"
    printed = command(
        "export", on_everything.folder, "--cross-validation", folds.folder, "--statements", statements, "--out", out
    )
    assert "with the network" in printed
    metadata, fitted = retinagrade.Grader.load(out).metadata, load_calibration(Run(folds.folder).calibration_file)
    assert metadata.temperature == fitted.temperature.temperature
    assert metadata.validation is None
    assert metadata.elsewhere[0].place in out.with_suffix(".md").read_text()
    measured = metadata.cross_validation
    assert measured is not None
    manifest = Manifest.read(prepared / "manifest.csv").table
    table = read_predictions(folds.predictions_file).merge(manifest[["image_id", "patient_id"]], on="image_id")
    expected = evaluate_predictions(table, findings=[])
    assert measured.photographs == len(table) == metadata.training_data.photographs["train"]
    assert measured.metrics["accuracy"].value == expected.metrics["accuracy"]
    around = expected.intervals["accuracy"]
    assert around is not None
    assert measured.metrics["accuracy"].interval == (around.low, around.high)
    card = out.with_suffix(".md").read_text()
    for statement in (
        "Licence: Apache-2.0",
        "Made up, CC0.",
        "Nobody has these eyes.",
        "Cross-validation",
        "do not describe this file",
    ):
        assert statement in card
    assert "epoch was chosen on these" not in card
    assert "0 val" not in card


def test_folds_of_a_different_experiment_or_different_photographs_are_refused(
    on_everything: Run, trained: Run, folds: CrossValidation, tmp_path: Path
) -> None:
    for run in (trained, on_everything):
        record = folds.finished_record()
        if run is on_everything:
            folds.write_record(record.model_copy(update={"status": "training"}))
        try:
            with pytest.raises(ExperimentError, match="not a finished cross-validation"):
                export(run, tmp_path / "g.onnx", cross_validation=folds)
        finally:
            folds.write_record(record)
    assert list(tmp_path.iterdir()) == []


def test_other_suffixes_are_refused(trained: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.onnx"):
        export(trained, tmp_path / "g.pt")


def test_statements_with_unknown_keys_are_refused(tmp_path: Path) -> None:
    statements = tmp_path / "statements.yaml"
    statements.write_text("license: MIT\n")
    with pytest.raises(GraderFileError, match="license"):
        AuthorStatements.read(statements)
    with pytest.raises(GraderFileError, match=r"absent\.yaml"):
        AuthorStatements.read(tmp_path / "absent.yaml")


def test_the_published_schema_is_the_schema_of_the_metadata() -> None:
    assert json.loads(SCHEMA.read_text()) == Metadata.model_json_schema()


def test_a_graph_that_disagrees_with_the_network_is_refused(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PROBABILITY_DIFFERENCE", -1.0)
    with pytest.raises(GraderFileError, match="does not agree with the network"):
        export(trained, tmp_path / "g.onnx")
    assert list(tmp_path.iterdir()) == []


def test_float16_records_the_change_of_metrics(
    trained: Run, prepared: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retinagrade.exporting.precision._SMALL", 256)  # a tiny network's tensors are tiny
    metadata = export(trained, tmp_path / "half.onnx", precision="float16").metadata
    assert (tmp_path / "half.onnx").stat().st_size < file.stat().st_size
    assert metadata.version.endswith("-float16")
    assert metadata.change_from_float32 is not None
    half = retinagrade.Grader.load(tmp_path / "half.onnx")
    assert half.metadata == metadata
    validation = read_predictions(trained.predictions_file("val"))
    assert metadata.change_from_float32.photographs == len(validation)
    probabilities = half.network(inputs(prepared, validation, metadata.image_size))["probabilities"]
    exact = validation[list(PROBABILITY_COLUMNS)].to_numpy(dtype=float)
    assert 1e-7 < np.abs(probabilities - exact).max() < 0.01
    changed = (probabilities.argmax(1) != exact.argmax(1)).mean()
    assert metadata.change_from_float32.metrics["share_of_changed_grades"].value == pytest.approx(changed)
    right = [(each.argmax(1) == validation["grade"]).mean() for each in (probabilities, exact)]
    assert metadata.change_from_float32.metrics["accuracy"].value == pytest.approx(right[0] - right[1])
    assert "minus those of the same file in float32" in (tmp_path / "half.md").read_text()


def test_tta_equals_tta_of_predict(trained: Run, prepared: Path, tmp_path: Path) -> None:
    table = read_predictions(predict(prepared, trained, split="val", tta=True).file)
    metadata = export(trained, tmp_path / "tta.onnx", tta=True).metadata
    assert metadata.tta
    assert metadata.version.endswith("-tta")
    probabilities = retinagrade.Grader.load(tmp_path / "tta.onnx").network(
        inputs(prepared, table, metadata.image_size)
    )["probabilities"]
    expected = table[list(PROBABILITY_COLUMNS)].to_numpy(dtype=float)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    plain = read_predictions(trained.predictions_file("val"))[list(PROBABILITY_COLUMNS)].to_numpy(dtype=float)
    assert np.abs(probabilities - plain).max() > 1e-4


@pytest.mark.parametrize(
    ("method", "tta", "message"),
    [
        ("isotonic", False, "is isotonic.*without --method"),
        ("temperature", True, "with --tta.*calibrate .*val-tta.csv"),
    ],
)
def test_a_calibration_that_does_not_fit_the_file_is_refused(
    trained: Run, tmp_path: Path, method: CalibrationMethodName, tta: bool, message: str
) -> None:
    source = trained.predictions_file("val")
    save_calibration(
        fit_calibration(graded_predictions(read_predictions(source)), source, method=method), trained.calibration_file
    )
    try:
        with pytest.raises(GraderFileError, match=message):
            export(trained, tmp_path / "g.onnx", tta=tta)
    finally:
        trained.calibration_file.unlink()
    assert list(tmp_path.iterdir()) == []


def test_int8_records_the_change_of_metrics(trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retinagrade.exporting.precision._SMALL", 256)
    metadata = export(trained, tmp_path / "int8.onnx", precision="int8").metadata
    operators = {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Cast"} <= operators
    assert metadata.precision == "int8"
    assert metadata.change_from_float32 is not None
    assert 1e-7 < metadata.verification.max_probability_difference < 0.2


def test_files_that_are_no_grader_files_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(GraderFileError, match="no such file"):
        retinagrade.Grader.load(tmp_path / "absent.onnx")
    (tmp_path / "text.onnx").write_text("nothing")
    with pytest.raises(GraderFileError, match="no grader file"):
        retinagrade.Grader.load(tmp_path / "text.onnx")
    (tmp_path / "text.onnx").write_bytes(sealed(b"nothing"))
    with pytest.raises(GraderFileError, match="not a readable ONNX file"):
        retinagrade.Grader.load(tmp_path / "text.onnx")
    model = onnx.load(file)
    del model.metadata_props[:]
    (tmp_path / "bare.onnx").write_bytes(sealed(model.SerializeToString()))
    with pytest.raises(GraderFileError, match="not a grader file"):
        retinagrade.Grader.load(tmp_path / "bare.onnx")


def test_a_file_grades_without_torch(file: Path, prepared: Path) -> None:
    program = """
import sys
from importlib.abc import MetaPathFinder
class Forbidden(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "pandas", "sklearn", "scipy", "matplotlib", "onnx", "timm"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Forbidden())
from retinagrade.cli import app
app(sys.argv[1:])
"""
    arguments = ["grade", str(prepared / "photographs"), "--model", str(file), "--json"]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert len(json.loads(done.stdout)) == 30


def test_grading_a_folder_continues_an_earlier_table(file: Path, tmp_path: Path) -> None:
    synthesize(tmp_path / "eyes", count=6, size=96, seed=1)
    folder, table = tmp_path / "photographs", tmp_path / "r.csv"
    folder.mkdir()
    for place, path in enumerate(sorted((tmp_path / "eyes").rglob("*.jpg"))):
        path.rename(folder / f"{place}.jpg")
    count = len(list(folder.iterdir()))
    (folder / "bad.jpg").write_bytes(b"nothing")
    call = ("grade", folder, "--model", file, "--out", table, "--saliency", tmp_path / "heat")
    printed = command(*call, code=1)
    assert f"{count + 1} photographs" in printed
    assert "1 error" in printed
    lines = table.read_text().splitlines()
    assert len(lines) == count + 2
    table.write_text("\n".join(lines[:4]) + "\nhalf a li")
    (folder / "bad.jpg").unlink()
    again = subprocess.run(
        [sys.executable, "-m", "retinagrade", *map(str, call)], capture_output=True, text=True, check=False
    )
    assert again.returncode in (0, 1), again.stderr
    assert "from an earlier call" in again.stdout
    assert len(table.read_text().splitlines()) == count + 1
    assert "no such file" in command("grade", tmp_path / "none", "--model", file, code=2)


def test_another_gate_takes_the_place_of_the_bundled_one(trained: Run, tmp_path: Path) -> None:
    (tmp_path / "gate.onnx").write_bytes(gate_network())
    exported = export(trained, tmp_path / "g.onnx", gate=tmp_path / "gate.onnx")
    held = {entry.key: entry.value for entry in onnx.load(exported.file).metadata_props}[NETWORK_KEY]
    assert decode_network(held, exported.file) == gate_network() != bundled_network()
    with pytest.raises(GraderFileError, match="gate"):
        export(trained, tmp_path / "other.onnx", gate=exported.file)
    assert not (tmp_path / "other.onnx").exists()

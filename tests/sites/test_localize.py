"""A site's own decisions: the same network under a new version, which remembers who set what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinagrade import Calibration, Grader, calibrate, evaluate, grade, localize
from retinagrade.errors import CalibrationError, GraderFileError, UsageError
from retinagrade.gate.settings import GateSettings
from retinagrade.grader.seal import read_sealed, without_seal
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.sites import local_file
from retinagrade.storage.onnx_properties import read_property, with_property
from tests.grader.conftest import eyes, grader_file
from tests.grader.graders import write_grader

__all__ = ["eyes", "grader_file"]


@pytest.fixture(scope="module")
def labels(eyes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grades that have something to do with the photographs."""
    ids = sorted(path.stem for path in eyes.iterdir())
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    pd.DataFrame({"image_id": ids, "grade": [index % 5 for index in range(len(ids))]}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def calibration(eyes: Path, grader_file: Path, labels: Path) -> Calibration:
    results = labels.with_name("results.csv")
    grade(eyes, model=grader_file, out=results)
    return calibrate(results, grades=labels, target=0.6, out=labels.with_name("calibration.json"))


def test_decisions_move_and_the_network_stays(
    eyes: Path, grader_file: Path, calibration: Calibration, labels: Path, tmp_path: Path
) -> None:
    local = localize(grader_file, tmp_path / "local.onnx", calibration=labels.with_name("calibration.json"))
    before, after = Grader.load(grader_file), Grader.load(local.file)
    assert after.metadata == local.metadata
    assert after.metadata.version.startswith(f"{before.metadata.version}-local-")
    assert after.metadata.digest != before.metadata.digest
    assert calibration.referable is not None
    assert after.metadata.referable is not None
    assert after.metadata.referable.threshold == calibration.referable.threshold
    assert after.metadata.oedema == before.metadata.oedema
    (change,) = after.metadata.history
    assert {"referable", "site_temperature"} <= set(change.changed)
    assert (change.version, change.data) == (before.metadata.version, "12 photographs of results.csv")
    assert onnx.load(local.file).graph == onnx.load(grader_file).graph
    assert "results.csv" in local.card.read_text()
    old, new = before.grade([*sorted(eyes.iterdir())]), after.grade([*sorted(eyes.iterdir())])
    for first, second in zip(old, new, strict=True):
        expected = calibration.calibrate(np.array([first.probabilities]))[0]
        assert second.probabilities == pytest.approx(expected, abs=1e-6)
        referable = sum(second.probabilities[2:]) >= after.metadata.referable.threshold  # type: ignore[index]
        assert second.referable == referable


def test_the_same_change_at_another_time_continues_the_same_results(
    eyes: Path, grader_file: Path, calibration: Calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, results = tmp_path / "local.onnx", tmp_path / "results.csv"
    first = localize(grader_file, out, calibration=calibration)
    grade(eyes, model=out, out=results)
    monkeypatch.setattr(local_file, "utc_time", lambda: "2031-02-03T04:05:06+00:00")
    again = localize(grader_file, out, calibration=calibration)
    assert again.metadata.history[0].date != first.metadata.history[0].date
    assert again.metadata.digest == first.metadata.digest
    assert grade(eyes, model=out, out=results).new == []


def test_a_file_knows_the_photographs_that_chose_its_thresholds(
    eyes: Path, grader_file: Path, calibration: Calibration, labels: Path, tmp_path: Path
) -> None:
    local = localize(grader_file, tmp_path / "local.onnx", calibration=calibration).file
    (tmp_path / "photographs").mkdir()
    others = pd.DataFrame({"image_id": ["other"], "grade": [2]})
    known = pd.concat([pd.read_csv(labels), others])
    known.to_csv(tmp_path / "labels.csv", index=False)
    for photograph in eyes.iterdir():
        copy = tmp_path / "photographs" / photograph.name
        copy.write_bytes(photograph.read_bytes())
    first = sorted(eyes.glob("*.jpg"))[0]
    other = tmp_path / "photographs" / "other.jpg"
    other.write_bytes(first.read_bytes() + b" ")  # the same pixels in another file
    findings = {}
    for model in (grader_file, local):
        results = tmp_path / f"{model.stem}.csv"
        grade(tmp_path / "photographs", model=model, out=results)
        evaluation = evaluate(results, grades=tmp_path / "labels.csv")
        findings[model] = {finding.code: finding.message for finding in evaluation.findings}
    assert "fitted-on-evaluated" not in findings[grader_file]
    seen = pd.read_csv(tmp_path / "local.csv", index_col="image_id")["seen_before"]
    graded = pd.read_csv(labels.with_name("results.csv"), index_col="image_id")["gradable"]
    assert seen["other"] is np.nan
    assert (seen[graded.index].eq("fit") == graded).all()
    assert f"{graded.sum()} of the {graded.sum() + 1} photographs" in findings[local]["fitted-on-evaluated"]


def test_a_second_change_adds_to_the_first(
    grader_file: Path, calibration: Calibration, eyes: Path, tmp_path: Path
) -> None:
    once = localize(grader_file, tmp_path / "once.onnx", calibration=calibration)
    twice = localize(once.file, tmp_path / "twice.onnx", gate=GateSettings(reject_below=0.6, origin="a clinic"))
    assert [change.changed == ("gate",) for change in twice.metadata.history] == [False, True]
    assert twice.metadata.version.count("-local-") == 1
    assert twice.metadata.site_temperature == once.metadata.site_temperature
    assert Grader.load(twice.file).metadata.gate.reject_below == 0.6


def test_the_same_command_replaces_its_result_and_no_other(
    grader_file: Path, calibration: Calibration, tmp_path: Path
) -> None:
    out = tmp_path / "local.onnx"
    first = localize(grader_file, out, calibration=calibration)
    again = localize(grader_file, out, calibration=calibration)
    assert again.metadata.version == first.metadata.version
    with pytest.raises(UsageError, match="local"):
        localize(grader_file, out, gate=GateSettings(reject_below=0.6, origin="a clinic"))
    with pytest.raises(UsageError, match="local"):
        localize(out, out, calibration=calibration)
    assert Grader.load(out).metadata.version == first.metadata.version


def test_a_threshold_that_the_photographs_cannot_give_stays(
    grader_file: Path, labels: Path, calibration: Calibration, tmp_path: Path
) -> None:
    diseased = tmp_path / "diseased.csv"
    pd.read_csv(labels).assign(grade=3).to_csv(diseased, index=False)
    fitted = calibrate(labels.with_name("results.csv"), grades=diseased)
    assert fitted.referable is None
    local = localize(grader_file, tmp_path / "local.onnx", calibration=fitted)
    assert local.metadata.referable == Grader.load(grader_file).metadata.referable
    assert local.metadata.referable is not None
    assert "referable" not in local.metadata.undefined


def test_results_with_the_gate_off_serve_as_well(eyes: Path, grader_file: Path, labels: Path, tmp_path: Path) -> None:
    grade(eyes, model=grader_file, out=tmp_path / "off.csv", gate="off")
    fitted = calibrate(tmp_path / "off.csv", grades=labels)
    assert localize(grader_file, tmp_path / "local.onnx", calibration=fitted).metadata.history


def test_what_does_not_belong_together_is_refused(
    eyes: Path, grader_file: Path, calibration: Calibration, labels: Path, tmp_path: Path
) -> None:
    other = write_grader(tmp_path / "other.onnx", temperature=2.0)
    with pytest.raises(CalibrationError, match="another grader file"):
        localize(other, tmp_path / "local.onnx", calibration=calibration)
    table = pd.read_csv(labels).assign(**dict.fromkeys(PROBABILITY_COLUMNS, 0.2))
    table.to_csv(tmp_path / "foreign.csv", index=False)
    with pytest.raises(CalibrationError, match="results of `grade`"):
        localize(grader_file, tmp_path / "local.onnx", calibration=calibrate(tmp_path / "foreign.csv"))
    isotonic = calibrate(labels.with_name("results.csv"), grades=labels, method="isotonic")
    with pytest.raises(CalibrationError, match="isotonic"):
        localize(grader_file, tmp_path / "local.onnx", calibration=isotonic)
    with pytest.raises(UsageError, match="nothing to change"):
        localize(grader_file, tmp_path / "local.onnx")
    with pytest.raises(UsageError):
        localize(grader_file, grader_file, calibration=calibration)
    assert not (tmp_path / "local.onnx").exists()


@given(st.text(max_size=300), st.text(min_size=1, max_size=300))
def test_a_property_is_replaced_and_all_else_stays(value: str, other: str) -> None:
    model = onnx.ModelProto(ir_version=8, producer_name="p" * 200)
    onnx.helper.set_model_props(model, {"a": value, "b": other})
    content = with_property(with_property(model.SerializeToString(), "a", "between"), "a", other)
    read = onnx.load_from_string(content)
    assert {entry.key: entry.value for entry in read.metadata_props} == {"a": other, "b": other}
    assert [read_property(content, key) for key in ("a", "b", "c")] == [other, other, None]
    assert (read.ir_version, read.producer_name) == (8, "p" * 200)


def test_other_bytes_are_refused(grader_file: Path) -> None:
    content = without_seal(read_sealed(grader_file))
    for damaged in (content[:-3], b"\xff\xff\xff", b"\x0d1234"):
        with pytest.raises(GraderFileError):
            with_property(damaged, "a", "b")

"""The file of what was fitted: whole, read back to the digit, and clear about what it is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from retinagrade.errors import CalibrationError, JoinError
from retinagrade.evaluation.fitting.calibration import (
    Calibration,
    calibration_to_json,
    fit_calibration,
    load_calibration,
    save_calibration,
)
from retinagrade.evaluation.fitting.conformal import fit_conformal, prediction_sets
from retinagrade.evaluation.fitting.probability_calibration import (
    CalibrationMethodName,
    calibrate_probabilities,
    fit_temperature,
)
from retinagrade.evaluation.metrics import probability_from_grade
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.storage.files import sha256
from tests.evaluation.photographs import any_photographs, photographs, simulated


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "val.csv").write_text("anything")
    return tmp_path / "val.csv"


def test_what_is_read_back_decides_the_same(source: Path, tmp_path: Path) -> None:
    graded, others = simulated(300, temperature=1.8), simulated(200, seed=1, temperature=1.8)
    fitted = fit_calibration(graded, source)
    save_calibration(fitted, tmp_path / "calibration.json")
    again = load_calibration(tmp_path / "calibration.json")
    assert again == fitted
    assert again.source.sha256 == sha256(source)
    assert again.source.image_ids == tuple(graded.image_ids)
    assert again.source.photographs == 300
    assert again.warnings == []
    assert not again.undefined
    assert again.referable is not None
    assert again.referable.sensitivity >= 0.9
    before, after = fitted.calibrate(others.probabilities), again.calibrate(others.probabilities)
    assert np.array_equal(before, after)
    assert again.referable is not None
    one, other = (probability_from_grade(each, 2) >= again.referable.threshold for each in (before, after))
    assert np.array_equal(one, other)


def test_everything_is_fitted_on_the_calibrated_probabilities(source: Path) -> None:
    graded = simulated(300, temperature=1.8)
    graded = replace(graded, probabilities=calibrate_probabilities(None, graded.probabilities))
    temperature = fit_temperature(graded)
    calibrated = replace(graded, probabilities=calibrate_probabilities(temperature, graded.probabilities))
    fitted = fit_calibration(graded, source)
    assert fitted.temperature == temperature
    assert fitted.prediction_sets == fit_conformal(calibrated)
    assert fitted.review_share is not None
    assert fitted.review_share.reviewed <= 0.2
    raw = fit_calibration(graded, source, method="none")
    assert raw.prediction_sets == fit_conformal(graded)
    assert np.array_equal(raw.calibrate(graded.probabilities), calibrate_probabilities(None, graded.probabilities))
    isotonic = fit_calibration(graded, source, method="isotonic")
    assert np.array_equal(
        isotonic.calibrate(graded.probabilities), calibrate_probabilities(raw.isotonic, graded.probabilities)
    )


@pytest.mark.parametrize("method", ["temperature", "isotonic", "none"])
@given(graded=any_photographs())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_photographs_give_a_file(graded: GradedPredictions, method: CalibrationMethodName, source: Path) -> None:
    fitted = fit_calibration(graded, source, method=method)
    assert Calibration.model_validate_json(json.dumps(calibration_to_json(fitted), allow_nan=False)) == fitted
    parts = ("referable", "vision_threatening", "grade_cuts", "review_share", "review_error")
    assert {name for name in parts if getattr(fitted, name) is None} == set(parts) & set(fitted.undefined)
    sets = prediction_sets(fitted.prediction_sets, fitted.calibrate(graded.probabilities))
    assert sets[np.arange(len(graded)), graded.grades].mean() >= 0.9


def test_limits_hold_for_probabilities_as_they_will_be_applied(source: Path) -> None:
    near_one = np.array(
        [[0.1, 0.1, 0.15, 0.25, 0.4], [0.05, 0.15, 0.15, 0.3, 0.35], *[[0.05, 0.1, 0.1, 0.25, 0.5]] * 8]
    )
    graded = photographs(np.zeros(10, dtype=int), near_one)
    fitted = fit_calibration(graded, source, method="none")
    assert prediction_sets(fitted.prediction_sets, fitted.calibrate(graded.probabilities))[:, 0].all()


def test_what_cannot_be_fitted_has_a_reason(source: Path) -> None:
    few = photographs(np.array([0, 0, 1]), np.eye(5)[[0, 1, 1]])
    fitted = fit_calibration(few, source)
    assert fitted.referable is None
    assert "no photograph has grade 2 or worse" in fitted.undefined["referable"]
    assert "3 photographs are too few" in fitted.undefined["prediction_sets"]
    said = "\n".join(fitted.warnings)
    assert "vision-threatening: no photograph has grade 3 or worse" in said
    assert "conformal sets hold all grades" in said
    wrong = fit_calibration(photographs(np.arange(5), np.eye(5)[[4, 3, 1, 1, 0]]), source, rule="fda")
    assert "no temperature fits; the best one is at the end of the search range (20)" in "\n".join(wrong.warnings)
    assert "highest specificity" in "\n".join(wrong.warnings)
    alike = fit_calibration(
        photographs(np.arange(5).repeat(4), np.tile([0.24, 0.19, 0.19, 0.19, 0.19], (20, 1))), source
    )
    said = "\n".join(alike.warnings)
    assert "referable: a sensitivity of 1.000 with a specificity of 0.000 is no better than chance" in said
    assert "no cuts of the expected grade are better than chance" in said
    with pytest.raises(JoinError, match="no photograph has a grade"):
        fit_calibration(photographs(np.zeros(0, int), np.zeros((0, 5))), source)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": 1}, "schema_version: must be 5"),
        ({"extra": 1}, "extra: unknown key"),
        ({"temperature": {"temperature": "hot"}}, "temperature.temperature: write a valid number"),
        ({"referable": {"threshold": 0.5}}, "referable.from_grade: is missing"),
    ],
)
def test_errors_name_file_and_key(change: dict[str, object], said: str, source: Path, tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps({**calibration_to_json(fit_calibration(simulated(50), source)), **change}))
    with pytest.raises(CalibrationError, match=r"calibration\.json is not a calibration") as error:
        load_calibration(path)
    assert said in str(error.value)


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"absent\.json can't be read as a calibration"):
        load_calibration(tmp_path / "absent.json")
    (tmp_path / "cut.json").write_text("{")
    with pytest.raises(CalibrationError, match=r"cut\.json can't be read as a calibration"):
        load_calibration(tmp_path / "cut.json")

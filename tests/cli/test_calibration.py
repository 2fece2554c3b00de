"""``retinagrade calibrate``, in processes of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from retinagrade.evaluation.fitting.calibration import load_calibration
from retinagrade.storage.files import sha256
from tests.cli.command_line import run
from tests.evaluation.tables import predictions, some_grades


def test_a_runs_folder_is_calibrated_in_place(tmp_path: Path) -> None:
    table = tmp_path / "run" / "predictions" / "val.csv"
    table.parent.mkdir(parents=True)
    predictions(some_grades(300), skill=3).to_csv(table, index=False)
    printed = run("calibrate", tmp_path / "run")
    for said in ("as predicted", "temperature", "referable", "vision-threatening", "cross-validated", "mean size"):
        assert said in printed
    fitted = load_calibration(tmp_path / "run" / "calibration.json")
    assert fitted.source.sha256 == sha256(table)
    answer = json.loads(run("calibrate", tmp_path / "run", "--json", "--rule", "specificity", "--target", 0.8))
    assert answer["referable"]["specificity"] >= 0.8
    assert answer["warnings"] == []
    table.rename(table.with_name("test.csv"))
    assert "fitted on validation predictions" in run("calibrate", table.with_name("test.csv"), code=2)
    assert "has no predictions" in run("calibrate", tmp_path / "run", code=2)


def test_any_table_is_calibrated_and_written_where_it_is_told_to(tmp_path: Path) -> None:
    table = predictions(some_grades(200), skill=1)
    table.to_csv(tmp_path / "p.csv", index=False)
    assert "nothing was written" in run("calibrate", tmp_path / "p.csv")
    options = ("--out", tmp_path / "c.json", "--method", "isotonic", "--coverage", 0.8)
    assert "isotonic (used below)" in run("calibrate", tmp_path / "p.csv", *options)
    assert load_calibration(tmp_path / "c.json").prediction_sets.coverage == 0.8


def test_what_needs_attention_exits_with_1(tmp_path: Path) -> None:
    predictions(some_grades(200), skill=0).to_csv(tmp_path / "p.csv", index=False)
    assert "attention: referable: no threshold has" in run("calibrate", tmp_path / "p.csv", "--rule", "fda", code=1)
    predictions(np.array([0, 1, 0]), skill=2).to_csv(tmp_path / "few.csv", index=False)
    printed = run("calibrate", tmp_path / "few.csv", code=1)
    assert "no photograph has grade 2 or worse" in printed
    assert "too few for sets" in printed


def test_wrong_usage_is_one_clear_line_and_exit_2(tmp_path: Path) -> None:
    table = predictions(some_grades(20), skill=2)
    table.drop(columns="grade").to_csv(tmp_path / "p.csv", index=False)
    assert "no photograph has a grade" in run("calibrate", tmp_path / "p.csv", code=2)
    assert "leave the target out" in run("calibrate", tmp_path / "p.csv", "--rule", "fda", "--target", 0.9, code=2)
    assert "target=90" in run("calibrate", tmp_path / "p.csv", "--target", 90, code=2)
    assert "coverage=1" in run("calibrate", tmp_path / "p.csv", "--coverage", 1, code=2)
    assert "no such file" in run("calibrate", tmp_path / "absent.csv", code=2)

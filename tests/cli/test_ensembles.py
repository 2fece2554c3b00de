"""``retinagrade ensemble``, in processes of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from retinagrade.evaluation.predictions import write_predictions
from tests.cli.command_line import run
from tests.ensembles.simulated import prepared_set, simulated_run


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    manifest = prepared_set(tmp_path / "set", 300)
    return [
        simulated_run(tmp_path / name, manifest, skill, seed)
        for seed, (name, skill) in enumerate([("good", 2.0), ("fair", 1.0), ("bad", 0.2)])
    ]


def test_runs_are_combined_and_the_result_is_a_run(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "all"
    printed = run("ensemble", *runs, "--method", "majority", "--out", out, "--resamples", 200)
    assert "majority: validation accuracy decides a tie: bad 0." in printed
    for said in ("val: 60 photographs, out of fold", "test: 60 photographs, fitted on", "without bad", "good alone"):
        assert said in printed
    assert f"retinagrade evaluate {out}/predictions/test.csv" in printed
    table = pd.read_csv(out / "members.csv")
    assert len(table) == 2 * 7
    alone = table[(table["split"] == "test") & (table["network"] == "bad alone")].iloc[0]
    assert alone["quadratic_weighted_kappa_high"] < 0
    assert "without fair" in (out / "members" / "test" / "comparison.html").read_text(encoding="utf-8")
    run("calibrate", out, code=0)
    answer = json.loads(run("evaluate", out / "predictions" / "test.csv", "--json"))
    assert answer["metrics"]["quadratic_weighted_kappa"]["value"] > 0.5
    assert answer["calibration"] is not None
    assert (out / "evaluation" / "test" / "report.html").is_file()
    assert "all: quadratic weighted kappa" in run(
        "compare", runs[0], out, "--split", "test", "--resamples", 200, code=0
    )


def test_weights_are_printed_and_programs_get_json(runs: list[Path], tmp_path: Path) -> None:
    printed = run("ensemble", *runs, "--method", "recall", "--out", tmp_path / "recall", "--resamples", 200)
    assert "recall: weights bad 0." in printed
    assert "weights of recalls" in printed
    answer = json.loads(
        run("ensemble", *runs, "--method", "qwk", "--out", tmp_path / "q", "--resamples", 200, "--json")
    )
    assert sum(answer["combination"]["weights"]) == pytest.approx(1)
    assert set(answer["members"]) == {"val", "test"}
    assert answer["run"]["method"] == "qwk"


def test_both_eyes_and_ungraded_photographs(runs: list[Path], tmp_path: Path) -> None:
    file = runs[0] / "predictions" / "test.csv"
    write_predictions(pd.read_csv(file).assign(grade=None), file)
    printed = run("ensemble", runs[0], "--method", "eyes", "--out", tmp_path / "eyes", "--resamples", 200)
    assert "eyes: good" in printed
    assert "test: 60" not in printed
    assert len(pd.read_csv(tmp_path / "eyes" / "predictions" / "test.csv")) == 60


def test_wrong_usage_is_one_clear_line_and_exit_2(runs: list[Path], tmp_path: Path) -> None:
    assert "needs two runs or more" in run("ensemble", runs[0], "--out", tmp_path / "one", code=2)
    assert "is not a run" in run("ensemble", runs[0], tmp_path / "set", "--out", tmp_path / "one", code=2)
    file = runs[1] / "predictions" / "val.csv"
    pd.read_csv(file).iloc[1:].to_csv(file, index=False)
    assert "fair misses 1 photograph (i00006)" in run("ensemble", *runs, "--out", tmp_path / "one", code=2)

"""Sweeps: experiments train by the command line, in order, also after failures, and are compared."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from retinagrade.errors import ExperimentError
from retinagrade.evaluation.evaluate import evaluate_predictions
from retinagrade.evaluation.predictions import read_predictions
from retinagrade.experiments.experiment import experiment_names, load_experiment
from retinagrade.runs.run import Run
from retinagrade.training.sweep import choose_experiments, order_experiments, sweep
from retinagrade.training.sweep_report import finished_runs, sweep_table, write_sweep_report
from retinagrade.training.train import train

TWO_STEPS = ["training.balance=2", "training.batch_size=4", "training.epochs=1"]
TINY = [*TWO_STEPS, "network.image_size=96", "network.weights=none"]

GRADING = [name for name in experiment_names() if not load_experiment(name).outlines_lesions]


SOME = ["mobilenetv2-5-on-4", "mobilenetv2-4-adam", "scratch-1", "scratch-2", "scratch-5", "vgg16-3-adam"]
"""Experiments of each family; one starts from another, and stands before it."""


def cli(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "retinagrade", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def settings(overrides: list[str]) -> list[str]:
    return [word for override in overrides for word in ("--set", override)]


@pytest.fixture(scope="module")
def trained(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("trained")
    done = cli("train", prepared, *SOME, "--out", out, *settings(TINY))
    assert done.returncode == 0, done.stdout + done.stderr
    return out, done.stderr


def test_experiments_train_two_steps_through_the_command_line(trained: tuple[Path, str]) -> None:
    _assert_trained(*trained, SOME)


@pytest.mark.slow
def test_every_experiment_trains_two_steps(prepared: Path, tmp_path: Path) -> None:
    done = cli("train", prepared, "all", "--out", tmp_path, *settings(TINY))
    assert done.returncode == 0, done.stdout + done.stderr
    _assert_trained(tmp_path, done.stderr, GRADING)


def _assert_trained(out: Path, printed: str, names: list[str]) -> None:
    assert {run.folder.name for run in finished_runs(out)} == set(names)
    for name in names:
        assert f"{name} (" in printed
        assert load_experiment(name).description in printed
        start = Run(out / name).training_record().start
        if (base := load_experiment(name).starts_from) is not None:
            assert start["run"] == str((out / base).resolve())


def test_the_comparison_has_the_metrics_of_each_run(trained: tuple[Path, str]) -> None:
    out, _ = trained
    table = pd.read_csv(out / "comparison.csv").set_index("run")
    assert set(table.index) == set(SOME)
    for name in ("vgg16-3-adam", "scratch-5"):
        evaluation = evaluate_predictions(read_predictions(out / name / "predictions" / "val.csv"))
        for figure in ("accuracy", "quadratic_weighted_kappa", "referable_auc", "majority_baseline"):
            assert table.loc[name, figure] == pytest.approx(evaluation.metrics[figure], rel=1e-5)
    assert table["quadratic_weighted_kappa"].dropna().is_monotonic_decreasing
    assert table.loc["vgg16-3-adam", "trainable"] == 132_613
    page = (out / "comparison.html").read_text(encoding="utf-8")
    assert "not a medical device" in page
    assert "14,847,301" in page
    assert "different data" not in page
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((out / "comparison.run.json").read_text(encoding="utf-8"))["versions"]


def test_finished_ones_are_skipped_and_a_failure_stops_nothing(prepared: Path, tmp_path: Path) -> None:
    names = ["vgg16-4", "scratch-2", "scratch-1"]
    (tmp_path / "scratch-1").mkdir()
    (tmp_path / "scratch-1" / "mine.txt").write_text("not a run")
    done = cli("train", prepared, *names, "--out", tmp_path, *settings(TINY))
    assert done.returncode == 1
    assert "vgg16-4 failed: vgg16-4 starts from a run of vgg16-2, but" in done.stdout
    assert "scratch-1 failed:" in done.stdout
    assert (tmp_path / "scratch-1" / "mine.txt").read_text() == "not a run"
    before = Run(tmp_path / "scratch-2").best_checkpoint.stat().st_mtime_ns
    result = sweep(prepared, names, tmp_path, settings=TINY)
    assert [run.folder.name for run in result.runs] == ["scratch-2"]
    assert set(result.failures) == {"vgg16-4", "scratch-1"}
    assert result.page == tmp_path / "comparison.html"
    assert result.table["run"].tolist() == ["scratch-2"]
    assert "1 run finished, 2 failed" in repr(result)
    assert "scratch-2" in result._repr_html_()
    assert Run(tmp_path / "scratch-2").best_checkpoint.stat().st_mtime_ns == before
    assert "vgg16-4" in (tmp_path / "comparison.html").read_text(encoding="utf-8")


def test_experiments_come_after_those_that_they_start_from() -> None:
    names = ["mobilenetv2-7-on-4", "vgg16-6", "mobilenetv2-4-adam", "scratch-1", "vgg16-3-adam"]
    order = [experiment.name for experiment in order_experiments([load_experiment(name) for name in names])]
    assert sorted(order) == sorted(names)
    assert order.index("mobilenetv2-4-adam") < order.index("mobilenetv2-7-on-4")
    assert order.index("vgg16-3-adam") < order.index("vgg16-6")


def test_names_patterns_and_all() -> None:
    assert choose_experiments(["all"]) == GRADING
    assert "lesions" not in GRADING
    assert choose_experiments(["vgg16-3-*", "scratch-1", "vgg16-3-sgd"]) == ["vgg16-3-adam", "vgg16-3-sgd", "scratch-1"]
    assert choose_experiments(["mine.yaml"]) == ["mine.yaml"]
    with pytest.raises(ExperimentError, match="no experiment fits 'resnet9-"):
        choose_experiments(["resnet9-*"])


def test_runs_on_different_data_are_marked(trained: tuple[Path, str], tmp_path: Path) -> None:
    out, _ = trained
    for number, name in enumerate(("scratch-1", "scratch-2")):
        (tmp_path / name).symlink_to(out / name) if number else None
    other = tmp_path / "other"
    other.mkdir()
    for path in (out / "scratch-1").iterdir():
        if path.name != "run.json":
            (other / path.name).symlink_to(path)
    record = (out / "scratch-1" / "run.json").read_text(encoding="utf-8")
    digest = json.loads(record)["data"]["manifest_sha256"]
    (other / "run.json").write_text(record.replace(digest, digest[::-1]), encoding="utf-8")
    page = write_sweep_report(tmp_path).read_text(encoding="utf-8")
    assert "compare only rows with the same" in page
    with pytest.raises(ExperimentError, match="no finished run"):
        sweep_table([])


def test_starting_from_a_run(trained: tuple[Path, str], prepared: Path, tmp_path: Path) -> None:
    out, _ = trained
    fine = load_experiment("mobilenetv2-5-on-4", TINY)
    with pytest.raises(ExperimentError, match=r"is a run of scratch-1, but mobilenetv2-5-on-4 starts from one of"):
        train(prepared, fine, tmp_path / "fine", start=out / "scratch-1")
    with pytest.raises(ExperimentError, match="train it first, or name its folder with --start"):
        train(prepared, fine, tmp_path / "fine")
    with pytest.raises(ExperimentError, match="starts from no run"):
        train(prepared, load_experiment("scratch-1", TINY), tmp_path / "fine", start=out / "scratch-1")
    assert not (tmp_path / "fine").exists()
    done = cli(
        "train", prepared, "mobilenetv2-5-on-4", "--out", tmp_path / "fine",
        "--start", out / "mobilenetv2-4-adam", *settings(TINY),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Another network than the one that it goes on from: the first tensor that doesn't fit is named.
    with pytest.raises(ExperimentError, match=r"differs from the one of (.|\n)*head\.2\.weight"):
        train(
            prepared,
            load_experiment("mobilenetv2-5-on-4", [*TINY, "network.dense=[512]"]),
            tmp_path / "other",
            start=out / "mobilenetv2-4-adam",
        )


def test_a_resumed_run_needs_nothing_that_it_started_from(
    trained: tuple[Path, str], prepared: Path, tmp_path: Path
) -> None:
    out, _ = trained
    for name in ("mobilenetv2-4-adam", "mobilenetv2-5-on-4"):
        shutil.copytree(out / name, tmp_path / name)
    for name in ("checkpoints", "predictions"):
        shutil.rmtree(tmp_path / "mobilenetv2-4-adam" / name)
    cut = tmp_path / "mobilenetv2-5-on-4"
    shutil.rmtree(cut / "predictions")
    record = (cut / "run.json").read_text(encoding="utf-8")
    (cut / "run.json").write_text(record.replace('"finished"', '"training"', 1), encoding="utf-8")
    again = train(prepared, load_experiment("mobilenetv2-5-on-4", TINY), cut)
    assert again.training_record().start == json.loads(record)["start"]
    assert again.predictions_file("val").read_bytes() == Run(out / cut.name).predictions_file("val").read_bytes()

"""``retinagrade experiments``, ``train`` and ``predict`` in processes of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from retinagrade.experiments.experiment import experiment_names
from tests.cli.command_line import TINY, run


def test_experiments_are_listed_and_shown() -> None:
    assert [entry["name"] for entry in json.loads(run("experiments", "list", "--json"))] == experiment_names()
    assert "learning_rate" in run("experiments", "show", "scratch-2")
    assert "name: scratch-2" in run("experiments", "show", "scratch-2", "--yaml")


def test_cross_validation_trains_and_predicts_each_fold_with_its_own_split(prepared: Path, tmp_path: Path) -> None:
    run("experiments", "new", "mine", "--backbone", "scratch", "--out", tmp_path / "mine.yaml")
    command = ["train", prepared, tmp_path / "mine.yaml", "--out", tmp_path / "run", "--folds", 2]
    overrides = [word for override in [*TINY, "training.logger=none"] for word in ("--set", override)]
    printed = run(*command, *overrides)
    assert "fold 1: kept epoch" in printed
    assert "mine: mean validation loss" in printed
    assert f"retinagrade evaluate {tmp_path}/run/predictions/val.csv" in printed
    run("evaluate", tmp_path / "run" / "predictions" / "val.csv", "--resamples", 200, code=None)
    assert "<h3>Folds</h3>" in (tmp_path / "run" / "evaluation" / "val" / "report.html").read_text(encoding="utf-8")
    fold = tmp_path / "run" / "fold-1"
    assert "val-tta.csv" in run("predict", prepared, fold, "--split", "val", "--tta")
    assert len(pd.read_csv(fold / "predictions" / "val-tta.csv")) == len(pd.read_csv(fold / "predictions" / "val.csv"))
    # A fold is checked against its own split, not the set's; a dozen photographs are few.
    answer = json.loads(run("evaluate", fold / "predictions" / "val.csv", "--json", code=1))
    assert not {finding["code"] for finding in answer["findings"]} & {"leaked-photographs", "split-changed"}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["vgg"], "no experiment 'vgg'"),
        (["scratch-2", "--set", "training.epoch=3"], "training.epoch"),
        (["scratch-2"], "no such file"),
        (["scratch-2", "--folds", "2", "--find-rate"], "choose one of them"),
        (["scratch-*", "--find-rate"], "name it without a pattern"),
        (["scratch-1", "scratch-2", "--start", "run"], "name it without a pattern"),
        (["scratch-2", "--devices", "2", "--folds", "2"], "for the training of one experiment"),
    ],
)
def test_wrong_usage_of_train_is_one_clear_line_and_exit_2(words: list[str], reason: str, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    assert reason in run("train", tmp_path / "set", *words, "--out", tmp_path / "run", code=2)
    assert not (tmp_path / "run").exists()


def test_predicting_with_a_folder_that_is_no_run_ends_with_exit_2(tmp_path: Path) -> None:
    assert "is not a run" in run("predict", tmp_path, tmp_path, code=2).replace("\n", " ")

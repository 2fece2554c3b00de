"""Leave-one-data-set-out: no photograph of the data set trains or selects, and every photograph is measured once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score, roc_auc_score

from retinagrade.datasets.join import join
from retinagrade.datasets.prepare import prepare
from retinagrade.datasets.split import split
from retinagrade.datasets.synthetic.patients import synthesize
from retinagrade.errors import ExperimentError, UsageError
from retinagrade.evaluation.evaluate import evaluate_predictions
from retinagrade.evaluation.metrics import Undefined, pairwise_auc
from retinagrade.evaluation.predictions import read_predictions
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.manifest import Manifest
from retinagrade.runs.evaluate import evaluate
from retinagrade.runs.leave_one_out import LeaveOneOut
from retinagrade.training.leave_one_out import data_set_names, hold_out, leave_one_data_set_out
from tests.cli.command_line import TINY as TINY_SETTINGS
from tests.cli.command_line import run as command
from tests.training.tiny_experiments import tiny

NAMES = ("east", "north", "south")
ONE_EPOCH = ("training.epochs=1", "training.balance=null")


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three")
    for seed, name in enumerate(NAMES):
        synthesize(folder / name, count=20, size=96, seed=seed + 20)
        prepare(folder / name, folder / f"{name}-set", size=64, workers=1)
        split(folder / f"{name}-set", val=0.25, test=0.2, seed=0)
    join({name: folder / f"{name}-set" for name in NAMES}, folder / "joined", workers=1)
    return folder / "joined"


@pytest.fixture(scope="module")
def evaluated(joined: Path, tmp_path_factory: pytest.TempPathFactory) -> LeaveOneOut:
    out = tmp_path_factory.mktemp("runs") / "left-out"
    return leave_one_data_set_out(joined, tiny(*ONE_EPOCH), out, resamples=50, workers=0)


def test_a_data_set_that_is_held_out_is_the_test_and_nothing_else(joined: Path) -> None:
    manifest = Manifest.read(joined / "manifest.csv")
    assert data_set_names(manifest) == NAMES
    table = hold_out(manifest, "north").table
    own = table["dataset"] == "north"
    assert table[own]["split"].eq("test").all()
    kept = manifest.table["split"].isin(["train", "val"]) & ~own
    assert table[kept]["split"].tolist() == manifest.table[kept]["split"].tolist()
    assert table[~kept & ~own]["split"].eq("excluded").all()


def test_copies_of_the_held_out_data_set_stay_unused(joined: Path) -> None:
    manifest = Manifest.read(joined / "manifest.csv")
    train = manifest.table.index[(manifest.table["dataset"] == "south") & (manifest.table["split"] == "train")][0]
    north = manifest.table.index[manifest.table["dataset"] == "north"][0]
    same_eye = manifest.table["same_eye"].mask(manifest.table.index.isin([train, north]), "7777")
    table = hold_out(Manifest(manifest.table.assign(same_eye=same_eye), manifest.root), "north").table
    assert table["split"][train] == "excluded"
    assert table["split"][north] == "test"


def test_every_photograph_is_predicted_once_by_a_network_that_did_not_see_its_data_set(
    evaluated: LeaveOneOut, joined: Path
) -> None:
    manifest = Manifest.read(joined / "manifest.csv").table
    predicted = read_predictions(evaluated.predictions_file)
    assert sorted(predicted["image_id"]) == sorted(manifest["image_id"])
    for name in NAMES:
        run = evaluated.run(name)
        seen = Manifest.read(run.split_file).table
        used = seen[seen["split"].isin(["train", "val"])]
        assert name not in set(used["dataset"])
        own = read_predictions(run.predictions_file("test"))
        assert set(own["image_id"]) == set(manifest[manifest["dataset"] == name]["image_id"])


def test_the_metrics_are_those_of_gdrbench_and_kappa(evaluated: LeaveOneOut) -> None:
    table = evaluated.metrics().set_index("data_set")
    assert list(table.index) == [*NAMES, "mean"]
    for name in NAMES:
        own = read_predictions(evaluated.run(name).predictions_file("test"))
        grades = own["grade"].to_numpy(dtype=int)
        probabilities = own[list(PROBABILITY_COLUMNS)].to_numpy(dtype=float)
        predicted = probabilities.argmax(1)
        present = sorted(set(grades))
        assert len(present) == 5
        assert table["photographs"][name] == 20
        assert table["pairwise_auc"][name] == pytest.approx(
            roc_auc_score(grades, probabilities, average="macro", multi_class="ovo")
        )
        assert table["macro_auc"][name] == pytest.approx(
            roc_auc_score(grades, probabilities, average="macro", multi_class="ovr")
        )
        assert table["accuracy"][name] == pytest.approx(accuracy_score(grades, predicted))
        assert table["macro_f1"][name] == pytest.approx(f1_score(grades, predicted, average="macro", zero_division=0))
        kappa = cohen_kappa_score(grades, predicted, weights="quadratic")
        assert table["quadratic_weighted_kappa"][name] == pytest.approx(kappa)
        assert table["accuracy_low"][name] <= table["accuracy"][name] <= table["accuracy_high"][name]
    assert table["accuracy"]["mean"] == pytest.approx(table["accuracy"][list(NAMES)].mean())
    assert "3 data sets, finished" in repr(evaluated)
    assert "<table" in evaluated._repr_html_()


def test_the_area_of_pairs_needs_two_grades() -> None:
    with pytest.raises(Undefined):
        pairwise_auc(np.array([1, 1]), np.full((2, 5), 0.2))
    perfect = np.eye(5)[[0, 2, 2, 4]] * 0.8 + 0.04
    assert pairwise_auc(np.array([0, 2, 2, 4]), perfect) == 1


def test_evaluate_measures_each_data_set(evaluated: LeaveOneOut) -> None:
    result = evaluate(evaluated.predictions_file, resamples=0)
    measured = {group.value: group.metrics["accuracy"] for group in result.subgroups if group.column == "dataset"}
    table = evaluated.metrics().set_index("data_set")["accuracy"]
    assert measured == {name: pytest.approx(table[name]) for name in NAMES}
    assert not any(finding.code == "missing-run" for finding in result.findings)
    plain = evaluate_predictions(pd.read_csv(evaluated.predictions_file), resamples=0)
    assert plain.metrics["accuracy"] == result.metrics["accuracy"]


def test_the_command_finds_nothing_left_to_do(joined: Path, tmp_path: Path) -> None:
    words = [word for each in (*TINY_SETTINGS, *ONE_EPOCH) for word in ("--set", each)]
    arguments = ("train", joined, "scratch-2", "--out", tmp_path / "out", "--folds", "data-set", *words)
    first = command(*arguments)
    assert all(name in first for name in (*NAMES, "mean", "QWK"))
    trained = {name: LeaveOneOut(tmp_path / "out").run(name).best_checkpoint.stat().st_mtime_ns for name in NAMES}
    command(*arguments)
    for name, when in trained.items():
        assert LeaveOneOut(tmp_path / "out").run(name).best_checkpoint.stat().st_mtime_ns == when
    for wrong in ("1", "two"):
        command("train", joined, "scratch-2", "--out", tmp_path / "x", "--folds", wrong, code=2)
    assert "one experiment" in command(
        "train", joined, "scratch-1", "scratch-2", "--out", tmp_path / "x", "--folds", "data-set", code=2
    )


def test_what_can_not_be_left_out_is_refused(
    joined: Path, prepared: Path, evaluated: LeaveOneOut, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="retinagrade data join"):
        leave_one_data_set_out(prepared, tiny(*ONE_EPOCH), tmp_path / "a")
    with pytest.raises(ExperimentError, match="outlines lesions"):
        leave_one_data_set_out(joined, "lesions", tmp_path / "b")
    with pytest.raises(ExperimentError, match="holds an evaluation of"):
        leave_one_data_set_out(joined, "scratch-1", evaluated.folder)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "file").write_text("mine")
    with pytest.raises(ExperimentError, match="not empty"):
        leave_one_data_set_out(joined, tiny(*ONE_EPOCH), tmp_path / "c")
    assert repr(LeaveOneOut(tmp_path / "d")).endswith("not started")
    with pytest.raises(ExperimentError):
        LeaveOneOut(tmp_path / "d").metrics()

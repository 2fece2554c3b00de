"""Ensembles of simulated runs: honest, joined by id, runs like any other."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retinagrade.ensembles.combination import (
    ENSEMBLE_METHODS,
    EnsembleMethodName,
    combine_members,
    fit_combination,
    load_combination,
)
from retinagrade.ensembles.ensemble import ALL_MEMBERS, ensemble, predict_ensemble
from retinagrade.ensembles.members import join_members, read_members
from retinagrade.errors import ExperimentError, JoinError, UsageError
from retinagrade.evaluation.fitting.out_of_fold import out_of_fold
from retinagrade.evaluation.predictions import read_predictions, write_predictions
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.manifest import Manifest
from retinagrade.runs.predictions import Predictions
from retinagrade.runs.run import Run
from retinagrade.training.predict import predict as predict_run
from retinagrade.training.sweep_report import finished_runs
from tests.ensembles.simulated import prepared_set, simulated_folds, simulated_run

P = list(PROBABILITY_COLUMNS)
OF_MANY = [
    pytest.param(method, marks=pytest.mark.slow if method == "stacking" else ())
    for method in ENSEMBLE_METHODS
    if method != "eyes"
]
"""Every method of several members; stacking trains a small network for each fold and each member left out."""


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return prepared_set(tmp_path / "set")


@pytest.fixture
def runs(manifest: Manifest, tmp_path: Path) -> list[Path]:
    """Three runs, from good to useless."""
    return [
        simulated_run(tmp_path / name, manifest, skill, seed)
        for seed, (name, skill) in enumerate([("good", 2.0), ("fair", 1.0), ("bad", 0.0)])
    ]


@pytest.mark.parametrize("method", OF_MANY)
def test_an_ensemble_is_fitted_on_validation_and_applied_to_others(
    method: EnsembleMethodName, runs: list[Path], tmp_path: Path
) -> None:
    made = ensemble(runs, tmp_path / "both", method=method, resamples=20)
    members = read_members(runs)
    validation, test = (join_members(members, split) for split in ("val", "test"))
    fitted = load_combination(made.run.ensemble_file)
    assert fitted == made.fitted
    assert [source.name for source in fitted.members] == ["bad", "fair", "good"]
    predicted = read_predictions(made.run.predictions_file("test"))
    assert predicted[P].to_numpy() == pytest.approx(combine_members(fitted.combination, test.probabilities))
    assert predicted["grade"].tolist() == test.table["grade"].tolist()
    # Its own validation predictions are those of what was fitted on other patients.
    weights = np.array([1.0, 2.0, 3.0, 4.0, 5.0]) if method != "recall" else np.array(fitted.combination.class_weights)  # type: ignore[union-attr]
    scores = validation.scores()
    honest = out_of_fold(scores, lambda seen, others: combine_members(fit_combination(method, seen, weights), others))
    assert read_predictions(made.run.predictions_file("val"))[P].to_numpy() == pytest.approx(honest)
    names = ("bad", "fair", "good")
    alone, without = {f"{name} alone" for name in names}, {f"without {name}" for name in names}
    assert set(made.networks["test"]) == {ALL_MEMBERS} | alone | without
    record = made.run.ensemble_record()
    assert record.status == "finished"
    assert record.predictions["val"].startswith("out of fold")
    assert [member.name for member in record.members] == ["bad", "fair", "good"]


@pytest.mark.parametrize("method", ["majority", "qwk", pytest.param("stacking", marks=pytest.mark.slow)])
def test_the_order_on_the_command_line_does_not_matter(
    method: EnsembleMethodName, runs: list[Path], tmp_path: Path
) -> None:
    """Not even to a network that starts at random."""
    forth, back = (
        ensemble(order, tmp_path / name, method=method, resamples=20)
        for name, order in (("a", runs[:2]), ("b", runs[1::-1]))
    )
    for split in ("val", "test"):
        assert forth.run.predictions_file(split).read_bytes() == back.run.predictions_file(split).read_bytes()


def test_it_is_a_run_like_any_other(runs: list[Path], tmp_path: Path) -> None:
    made = ensemble(runs, tmp_path / "mean", resamples=20)
    known = Predictions.read(made.run.predictions_file("test"))
    assert known.run == Run((tmp_path / "mean").resolve())
    assert known.table["patient_id"].notna().all()
    assert not {finding.code for finding in known.findings} & {"leaked-photographs", "fitted-on-evaluated"}
    assert not {finding.code for finding in Predictions.read(made.run.predictions_file("val")).findings} & {
        "fitted-on-evaluated"
    }
    made.run.predictions_file("val").rename(made.run.predictions_file("again"))
    said = [finding.message for finding in Predictions.read(made.run.predictions_file("again")).findings]
    assert any(message.startswith("The weights of the ensemble were fitted on 24") for message in said)
    made.run.predictions_file("again").rename(made.run.predictions_file("val"))
    assert [run.folder.name for run in finished_runs(tmp_path)] == ["bad", "fair", "good"]
    with pytest.raises(ExperimentError, match="is an ensemble: predict test with each of its members"):
        predict_run(tmp_path / "set", made.run, split="test")
    second = ensemble([tmp_path / "mean", runs[0]], tmp_path / "second", method="accuracy", resamples=20)
    assert [source.name for source in second.fitted.members] == ["good", "mean"]


def test_a_members_cut_points_are_the_ensembles(runs: list[Path], tmp_path: Path) -> None:
    (runs[0] / "output.json").write_text("{}")
    made = ensemble(runs, tmp_path / "mean", resamples=20)
    codes = [finding.code for finding in Predictions.read(made.run.predictions_file("val")).findings]
    assert "fitted-on-evaluated" in codes


def test_further_splits_are_predicted_by_what_was_fitted_before(runs: list[Path], tmp_path: Path) -> None:
    hidden = {run: (run / "predictions" / "test.csv").read_bytes() for run in runs}
    for run in runs:
        (run / "predictions" / "test.csv").unlink()
    made = ensemble(runs, tmp_path / "qwk", method="qwk", resamples=20)
    assert set(made.networks) == {"val"}
    before = made.run.ensemble_file.read_bytes()
    for run, table in hidden.items():
        (run / "predictions" / "test.csv").write_bytes(table)
    again = ensemble(runs, tmp_path / "qwk", method="qwk", resamples=20)
    assert set(again.networks) == {"val", "test"}
    assert again.run.ensemble_file.read_bytes() == before
    with pytest.raises(ExperimentError, match="holds an ensemble of bad, fair, good by qwk"):
        ensemble(runs, tmp_path / "qwk", resamples=20)
    with pytest.raises(ExperimentError, match="is not empty and no ensemble"):
        ensemble(runs[:2], runs[2], resamples=20)


def test_what_it_was_fitted_on_is_never_judged(runs: list[Path], tmp_path: Path) -> None:
    for run in runs:
        shutil.copy(run / "predictions" / "val.csv", run / "predictions" / "val-tta.csv")
    made = ensemble(runs, tmp_path / "mean", resamples=20)
    assert set(made.networks) == {"val", "test"}
    assert made.skipped["val-tta"].startswith("the ensemble was fitted on 24 of the photographs (i00006, i00007,")
    assert not made.run.predictions_file("val-tta").exists()
    with pytest.raises(UsageError, match="the ensemble was fitted on 24 of the photographs"):
        predict_ensemble(made.fitted, join_members(read_members(runs), "val"))


def test_members_that_miss_photographs_or_have_other_grades_are_named(runs: list[Path], tmp_path: Path) -> None:
    file = runs[1] / "predictions" / "val.csv"
    table = pd.read_csv(file, dtype={"image_id": str})
    write_predictions(table.iloc[2:], file)
    with pytest.raises(JoinError, match=r"val: fair misses 2 photographs \(i00006, i00007\), which others have"):
        ensemble(runs, tmp_path / "mean", resamples=20)
    write_predictions(table.assign(grade=[(table["grade"][0] + 1) % 5, *table["grade"][1:]]), file)
    with pytest.raises(JoinError, match=r"1 photograph with two grades \(i00006; i00006: bad \d, fair \d, good \d\)"):
        ensemble(runs, tmp_path / "mean", resamples=20)
    for run in runs:
        other = pd.read_csv(run / "predictions" / "val.csv", dtype={"image_id": str})
        write_predictions(other.assign(grade=None), run / "predictions" / "val.csv")
    with pytest.raises(JoinError, match="24 validation photographs without a grade"):
        ensemble(runs, tmp_path / "mean", resamples=20)
    assert not (tmp_path / "mean").exists()


def test_rows_are_joined_by_id(runs: list[Path], tmp_path: Path) -> None:
    made = ensemble(runs, tmp_path / "mean", resamples=20)
    for number, run in enumerate(runs):
        for split in ("val", "test"):
            file = run / "predictions" / f"{split}.csv"
            pd.read_csv(file).sample(frac=1, random_state=number).to_csv(file, index=False)
    again = ensemble(runs, tmp_path / "again", resamples=20)
    for split in ("val", "test"):
        ours, theirs = (read_predictions(one.run.predictions_file(split))[P] for one in (made, again))
        assert theirs.to_numpy() == pytest.approx(ours.to_numpy())


def test_members_of_another_split_are_refused(runs: list[Path], manifest: Manifest, tmp_path: Path) -> None:
    table = manifest.table
    same = Manifest(table.assign(dataset="other"), tmp_path / "p512")  # as prepared in another size
    same.write(tmp_path / "p512" / "manifest.csv")
    ensemble([*runs, simulated_run(tmp_path / "large", same)], tmp_path / "mean", resamples=20)
    changed = Manifest(table.assign(split=table["split"].iloc[::-1].to_numpy()), tmp_path / "set2")
    changed.write(tmp_path / "set2" / "manifest.csv")
    with pytest.raises(ExperimentError, match="trained on different data or splits"):
        ensemble([*runs, simulated_run(tmp_path / "elsewhere", changed)], tmp_path / "leak", resamples=20)


def test_folders_that_are_no_finished_runs(runs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for wrong, said in ((tmp_path / "empty", "is not a run"), (tmp_path / "nowhere", "is not a run")):
        with pytest.raises(ExperimentError, match=said):
            ensemble([runs[0], wrong], tmp_path / "mean")
    with pytest.raises(UsageError, match="twice"):
        ensemble([runs[0], runs[0]], tmp_path / "mean")
    with pytest.raises(UsageError, match="is a file"):
        ensemble([runs[0], runs[1] / "predictions" / "val.csv"], tmp_path / "mean")
    with pytest.raises(UsageError, match="needs two runs or more"):
        ensemble(runs[:1], tmp_path / "mean", resamples=20)
    with pytest.raises(UsageError, match="eyes needs one run"):
        ensemble(runs, tmp_path / "mean", method="eyes", resamples=20)
    run = Run(runs[0])
    run.write_record(run.finished_record().model_copy(update={"status": "training"}))
    with pytest.raises(ExperimentError, match="is not finished"):
        ensemble(runs, tmp_path / "mean", resamples=20)
    (runs[1] / "predictions" / "val.csv").unlink()
    with pytest.raises(UsageError, match="has no predictions of the split val"):
        ensemble(runs[1:], tmp_path / "mean", resamples=20)


def test_class_weights_come_from_the_training_photographs(runs: list[Path], manifest: Manifest, tmp_path: Path) -> None:
    made = ensemble(runs, tmp_path / "recall", method="recall", resamples=20)
    counts = manifest.table[manifest.table["split"] == "train"]["grade"].value_counts().sort_index().to_numpy(float)
    expected = counts.sum() / (5 * counts)
    assert made.fitted.combination.class_weights == pytest.approx(expected)  # type: ignore[union-attr]
    (tmp_path / "set" / "manifest.csv").unlink()
    with pytest.raises(ExperimentError, match="missing or has changed"):
        ensemble(runs, tmp_path / "again", method="recall", resamples=20)


@pytest.mark.parametrize("method", ["mean", "recall", pytest.param("logistic", marks=pytest.mark.slow)])
def test_cross_validations_are_members_by_their_out_of_fold_predictions(
    method: EnsembleMethodName, manifest: Manifest, tmp_path: Path
) -> None:
    folds = [simulated_folds(tmp_path / name, manifest, 1.0, seed) for seed, name in enumerate(("one", "two"))]
    made = ensemble(folds, tmp_path / "both", method=method, resamples=20)
    known = Predictions.read(made.run.predictions_file("val"))
    assert len(known.table) == 96  # all but the split test
    assert known.table["patient_id"].notna().all()
    assert not {finding.code for finding in known.findings} & {"leaked-photographs", "split-changed"}
    three = simulated_folds(tmp_path / "three", manifest, 1.0, 3)
    again = ensemble([tmp_path / "both", three], tmp_path / "again", method=method, resamples=20)
    assert len(again.networks["val"][ALL_MEMBERS]) == 96
    other = simulated_folds(tmp_path / "four", manifest, folds=4)
    with pytest.raises(ExperimentError, match="trained on different data or splits"):
        ensemble([folds[0], other], tmp_path / "leak", method=method, resamples=20)
    run = simulated_run(tmp_path / "run", manifest)
    with pytest.raises(ExperimentError, match="trained on different data or splits"):
        ensemble([folds[0], run], tmp_path / "leak", method=method, resamples=20)
    ensemble([folds[0] / "fold-1", folds[1] / "fold-1"], tmp_path / "fold", method=method, resamples=20)
    assert not {
        finding.code for finding in Predictions.read(tmp_path / "fold" / "predictions" / "test.csv").findings
    } & {
        "leaked-photographs",
        "split-changed",
    }


def test_both_eyes_of_a_run(runs: list[Path], tmp_path: Path) -> None:
    made = ensemble(runs[:1], tmp_path / "eyes", method="eyes", resamples=20)
    assert set(made.networks["test"]) == {ALL_MEMBERS, "good alone"}
    assert made.run.ensemble_record().method == "eyes"
    file = runs[0] / "predictions" / "test.csv"
    table = pd.read_csv(file, dtype={"image_id": str})
    table.iloc[1:].to_csv(file, index=False)  # the first patient's other eye has lost its partner
    again = ensemble(runs[:1], tmp_path / "eyes", method="eyes", resamples=20)
    predicted = read_predictions(again.run.predictions_file("test"))
    assert predicted[P].iloc[0].to_numpy() == pytest.approx(table[P].iloc[1].to_numpy())
    assert predicted[P].iloc[1].to_numpy() != pytest.approx(table[P].iloc[2].to_numpy())
    single = Manifest.read(tmp_path / "set" / "manifest.csv")
    Manifest(single.table.assign(laterality=""), single.root).write(tmp_path / "set" / "manifest.csv")
    with pytest.raises(ExperimentError, match="--method eyes: no patient is known to have photographs of both eyes"):
        ensemble(runs[:1], tmp_path / "none", method="eyes", resamples=20)


def test_a_broken_file_is_named(runs: list[Path], tmp_path: Path) -> None:
    made = ensemble(runs, tmp_path / "mean", resamples=20)
    text = made.run.ensemble_file.read_text().replace('"weights"', '"wheights"')
    made.run.ensemble_file.write_text(text)
    with pytest.raises(ExperimentError, match=r"ensemble\.json is not an ensemble(?s:.*)wheights: unknown key"):
        load_combination(made.run.ensemble_file)
    made.run.ensemble_file.write_text("{")
    with pytest.raises(ExperimentError, match=r"ensemble\.json can't be read as an ensemble"):
        load_combination(made.run.ensemble_file)

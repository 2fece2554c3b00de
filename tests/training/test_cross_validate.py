"""Cross-validation: no patient in two folds, and each photograph predicted once, by a run that never saw it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pandas as pd
import pytest

from retinagrade.datasets.split import split
from retinagrade.errors import ExperimentError, UsageError
from retinagrade.evaluation.predictions import read_predictions
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.manifest import Manifest
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.evaluate import evaluate
from retinagrade.runs.predictions import Predictions
from retinagrade.runs.records import MeanAndDeviation
from retinagrade.training.checkpoints import load_network
from retinagrade.training.cross_validate import cross_validate
from retinagrade.training.predict import predict, predict_network
from retinagrade.training.sweep import sweep
from retinagrade.training.train import train
from tests.training.tiny_experiments import tiny

SHORT = tiny("training.epochs=2")
FOLDS = 3


@pytest.fixture(scope="module")
def result(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    before = (prepared / "manifest.csv").read_bytes()
    result = cross_validate(prepared, SHORT, tmp_path_factory.mktemp("runs") / "folds", FOLDS)
    assert (prepared / "manifest.csv").read_bytes() == before
    return result


def divided(prepared: Path) -> pd.DataFrame:
    table = Manifest.read(prepared / "manifest.csv").table
    return table[table["split"] != "test"]


def test_no_patient_is_on_two_sides_and_the_validation_parts_cover_all_once(
    result: CrossValidation, prepared: Path
) -> None:
    validated: list[str] = []
    for number in range(FOLDS):
        manifest = Manifest.read(result.fold(number).manifest_file)
        patients = manifest.table.groupby("patient_id")["split"]
        assert (patients.nunique() == 1).all()
        validated += manifest.split("val").table["image_id"].tolist()
    assert sorted(validated) == sorted(divided(prepared)["image_id"])
    predictions = read_predictions(result.predictions_file)
    assert predictions["image_id"].tolist() == sorted(validated)
    grades = divided(prepared).set_index("image_id")["grade"]
    assert predictions["grade"].tolist() == grades[predictions["image_id"]].tolist()


def test_each_photograph_is_predicted_by_the_fold_that_was_not_trained_on_it(
    result: CrossValidation, prepared: Path
) -> None:
    predictions = read_predictions(result.predictions_file).set_index("image_id")
    for number in range(FOLDS):
        run = result.fold(number)
        split = Manifest.read(run.manifest_file).split("val")
        own = predict_network(load_network(run), run.experiment(), Manifest(split.table, prepared))
        expected = own.set_index("image_id")
        assert set(own["image_id"]) == set(split.table["image_id"])
        np.testing.assert_allclose(
            predictions.loc[own["image_id"], list(PROBABILITY_COLUMNS)], expected[list(PROBABILITY_COLUMNS)], rtol=1e-9
        )


def test_the_parts_are_those_of_the_command_split(result: CrossValidation, prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "set")
    # The fixture's set was split with the same share for testing and the same seed.
    expected = split(tmp_path / "set", test=0.2, seed=0, folds=FOLDS, fold=1).manifest.table
    ours = Manifest.read(result.fold(1).manifest_file).table
    assert ours["split"].tolist() == expected["split"].tolist()
    pd.testing.assert_series_equal(ours["fold"].astype("Int64"), expected["fold"].astype("Int64"))


def test_the_record_has_every_fold_and_mean_and_standard_deviation(result: CrossValidation) -> None:
    record = result.finished_record()
    losses = [float(str(result.fold(number).finished_record().kept.val_loss)) for number in range(FOLDS)]
    assert [fold.val_loss for fold in record.kept] == losses
    assert record.over_folds["val_loss"] == MeanAndDeviation(mean=mean(losses), sd=stdev(losses))


def test_a_cut_off_cross_validation_continues_and_keeps_finished_folds(
    result: CrossValidation, prepared: Path, tmp_path: Path
) -> None:
    cut = CrossValidation(tmp_path / "cut")
    shutil.copytree(result.folder, cut.folder)
    shutil.rmtree(cut.fold(2).folder)
    shutil.rmtree(cut.predictions_file.parent)
    record = cut.record_file.read_text(encoding="utf-8")
    cut.record_file.write_text(record.replace('"finished"', '"training"'), encoding="utf-8")
    before = cut.fold(0).best_checkpoint.stat().st_mtime_ns
    cross_validate(prepared, SHORT, cut.folder, FOLDS)
    assert cut.fold(0).best_checkpoint.stat().st_mtime_ns == before
    assert cut.predictions_file.read_bytes() == result.predictions_file.read_bytes()
    assert cut.record().status == "finished"


def test_another_cross_validation_other_data_or_a_run_is_never_continued(
    result: CrossValidation, prepared: Path, tmp_path: Path
) -> None:
    with pytest.raises(ExperimentError, match=r"another folds \(3\)"):
        cross_validate(prepared, SHORT, result.folder, 4)
    with pytest.raises(ExperimentError, match=r"another training\.learning_rate"):
        cross_validate(prepared, tiny("training.epochs=2", "training.learning_rate=0.1"), result.folder, FOLDS)
    with pytest.raises(UsageError, match="input of this command"):
        cross_validate(prepared, SHORT, prepared, FOLDS)
    with pytest.raises(ExperimentError, match="not empty and not a run"):
        train(prepared, SHORT, result.folder)
    with pytest.raises(UsageError, match="folds=1"):
        cross_validate(prepared, SHORT, tmp_path / "one", 1)
    shutil.copytree(prepared, tmp_path / "set")
    manifest = Manifest.read(tmp_path / "set" / "manifest.csv")
    Manifest(manifest.table.iloc[2:], manifest.root).write(tmp_path / "set" / "manifest.csv")
    with pytest.raises(ExperimentError, match="other data or another split"):
        cross_validate(tmp_path / "set", SHORT, result.folder, FOLDS)


def test_the_evaluation_has_the_patients_and_the_folds(result: CrossValidation, tmp_path: Path) -> None:
    evaluation = evaluate(result.predictions_file, resamples=0)
    assert evaluation.patients < evaluation.photographs
    folds = [evaluate(result.fold(number).predictions_file("val"), resamples=0) for number in range(FOLDS)]
    accuracies = [fold.metrics["accuracy"] for fold in folds]
    over_folds = evaluation.to_json()["folds"]["accuracy"]
    assert over_folds["values"] == accuracies
    assert over_folds["mean"] == pytest.approx(np.mean(np.array(accuracies, float)))
    assert evaluation.metrics["accuracy"] != pytest.approx(max(float(str(one)) for one in accuracies))
    page = evaluation.write(tmp_path / "page").read_text(encoding="utf-8")
    assert "<h3>Folds</h3>" in page
    assert (tmp_path / "page" / "fold_curves.png").is_file()
    assert Predictions.read(result.predictions_file).evaluation_folder == result.folder.resolve() / "evaluation" / "val"


def test_several_experiments_are_cross_validated_and_compared(
    result: CrossValidation, prepared: Path, tmp_path: Path
) -> None:
    shutil.copytree(result.folder, tmp_path / "scratch-2")  # finished before, and left unchanged
    other = tiny("training.epochs=1").model_copy(update={"name": "other"})
    compared = sweep(prepared, [SHORT, other, SHORT], tmp_path, folds=FOLDS)
    assert not compared.failures
    assert [one.folder.name for one in compared.cross_validations] == ["scratch-2", "other"]
    table = compared.table.set_index("run")
    assert table["folds"].tolist() == [FOLDS, FOLDS]
    accuracy = evaluate(result.predictions_file, resamples=0).metrics["accuracy"]
    assert table.loc["scratch-2", "accuracy"] == accuracy
    assert table.loc["scratch-2", "qwk_sd"] == result.finished_record().over_folds["val_qwk"].sd  # type: ignore[union-attr]
    with pytest.raises(ExperimentError, match="two experiments are named scratch-2"):
        sweep(prepared, [SHORT, tiny()], tmp_path / "same", folds=FOLDS)


def test_a_fold_predicts_by_its_own_split(result: CrossValidation, prepared: Path, tmp_path: Path) -> None:
    run = result.fold(1)
    own = Manifest.read(run.manifest_file)
    assert set(own.split("val").table["image_id"]) != set(
        Manifest.read(prepared / "manifest.csv").split("val").table["image_id"]
    )
    for name in ("val", "test"):
        predicted = read_predictions(predict(prepared, run, split=name, out=tmp_path / f"{name}.csv").file)
        assert set(predicted["image_id"]) == set(own.split(name).table["image_id"])
    shutil.copytree(run.folder, tmp_path / "changed")
    changed = CrossValidation(tmp_path).fold(0)
    (tmp_path / "changed").rename(changed.folder)
    text = changed.manifest_file.read_text(encoding="utf-8")
    changed.manifest_file.write_text(text.replace(",val,", ",train,"), encoding="utf-8")
    with pytest.raises(ExperimentError, match=r"manifest\.csv is missing or has changed"):
        predict(prepared, changed, split="val", overwrite=True)


def test_an_experiment_that_starts_from_another_starts_each_fold_from_that_fold(
    result: CrossValidation, prepared: Path, tmp_path: Path
) -> None:
    second = SHORT.model_copy(update={"name": "second", "starts_from": "scratch-2"})
    gone_on = cross_validate(prepared, second, tmp_path / "second", FOLDS, start=result.folder)
    for number in range(FOLDS):
        start = gone_on.fold(number).finished_record().start
        assert start["run"] == str(result.fold(number).folder.resolve())
    (tmp_path / "wrong").mkdir()
    for number in range(FOLDS):
        shutil.copytree(result.fold((number + 1) % FOLDS).folder, tmp_path / "wrong" / f"fold-{number}")
    with pytest.raises(ExperimentError, match="may have seen the validation photographs of second"):
        cross_validate(prepared, second, tmp_path / "third", FOLDS, start=tmp_path / "wrong")


def test_the_seed_of_the_set_s_own_split_is_taken(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "set")
    split(tmp_path / "set", seed=7, folds=2, fold=0)
    fold = Manifest.read(tmp_path / "set" / "manifest.csv").table["fold"]
    result = cross_validate(tmp_path / "set", tiny("training.epochs=1"), tmp_path / "folds", 2)
    assert json.loads(result.record_file.read_text(encoding="utf-8"))["seed"] == 7
    assert Manifest.read(result.fold(1).manifest_file).table["fold"].tolist() == fold.tolist()

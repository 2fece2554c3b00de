"""Training end to end on a tiny set: metrics, continuing after a kill, and predictions independent of the loader."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from retinagrade.ensembles.ensemble import ensemble
from retinagrade.errors import ExperimentError, ImageError, LayoutError, ManifestError, UsageError
from retinagrade.evaluation.evaluate import evaluate_predictions
from retinagrade.evaluation.predictions import read_predictions
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.manifest import Manifest
from retinagrade.models.settings import UNIT
from retinagrade.runs.records import KeptEpoch
from retinagrade.runs.run import Run
from retinagrade.storage.locking import locked
from retinagrade.training.checkpoints import load_network
from retinagrade.training.cross_validate import cross_validate
from retinagrade.training.loading import (
    EpochSampler,
    PhotographDataset,
    collate_photographs,
    evaluation_loader,
    training_loader,
)
from retinagrade.training.predict import predict, predict_network
from retinagrade.training.sweep import sweep
from retinagrade.training.sweep_report import finished_runs
from retinagrade.training.train import train
from tests.training.interruption import interrupted
from tests.training.tiny_experiments import TINY, comparable, tiny


@pytest.fixture(scope="module")
def run(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(prepared, tiny(), tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="module", params=["softmax", "ordinal", "regression"])
def run_of_any_output(
    request: pytest.FixtureRequest, run: Run, prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    if request.param == "softmax":
        return run
    return train(prepared, tiny(f"network.output={request.param}"), tmp_path_factory.mktemp("runs") / request.param)


def test_a_run_has_experiment_history_record_curves_and_predictions(run: Run, prepared: Path) -> None:
    trained = run.experiment()
    assert trained.network.scaling == UNIT
    assert trained == tiny("network.scaling={mean: [0, 0, 0], std: [255, 255, 255]}")
    assert comparable(run).columns.tolist() == [
        "epoch", "train_loss", "val_loss", "val_accuracy", "val_qwk", "learning_rate", "kept",
    ]  # fmt: skip
    assert run.history()["epoch"].tolist() == [0, 1, 2, 3]
    record = run.finished_record()
    assert torch.__version__.startswith(record.versions["torch"])
    assert record.kept.epoch == run.history()["val_loss"].idxmin()
    assert (run.folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    validation = Manifest.read(prepared / "manifest.csv").split("val")
    predictions = read_predictions(run.predictions_file("val"))
    assert set(predictions["image_id"]) == set(validation.table["image_id"])


def test_the_logged_metrics_are_those_of_the_saved_predictions(run_of_any_output: Run) -> None:
    run = run_of_any_output
    best = run.finished_record().kept
    predictions = read_predictions(run.predictions_file("val"))
    figures = evaluate_predictions(predictions, resamples=0).metrics
    assert figures["accuracy"] == pytest.approx(best.val_accuracy, abs=1e-5)
    assert figures["quadratic_weighted_kappa"] == pytest.approx(best.val_qwk, abs=1e-4)
    grades = predictions["grade"].to_numpy(dtype=int)
    probabilities = predictions[["p0", "p1", "p2", "p3", "p4"]].to_numpy()
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-12)
    if run.experiment().network.output == "regression":
        return  # its loss is of what the network says, not of probabilities: see below
    loss = -np.log(probabilities[np.arange(len(grades)), grades]).mean()
    assert loss == pytest.approx(best.val_loss, rel=1e-4)
    epoch = run.history().iloc[best.epoch]
    assert (epoch["val_accuracy"], epoch["val_qwk"]) == (best.val_accuracy, best.val_qwk)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(run: Run, prepared: Path, tmp_path: Path) -> None:
    again = train(prepared, tiny(), tmp_path / "again")
    pd.testing.assert_frame_equal(comparable(again), comparable(run), rtol=1e-5)
    other = train(prepared, tiny("training.seed=1"), tmp_path / "other")
    assert not np.allclose(other.history()["train_loss"], run.history()["train_loss"])


def test_a_finished_run_stays_unchanged(run: Run, prepared: Path) -> None:
    before = run.best_checkpoint.stat().st_mtime_ns
    assert train(prepared, tiny(), run.folder) == run
    assert run.best_checkpoint.stat().st_mtime_ns == before


def test_one_call_writes_a_folder_at_a_time(run: Run, prepared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with locked(folder / "run.json"):
        for write in (
            lambda: train(prepared, tiny(), folder),
            lambda: ensemble([run.folder, tmp_path / "other"], folder),
        ):
            with pytest.raises(UsageError, match="another command"):
                write()
    assert not folder.exists()
    with locked(folder / "folds.json"), pytest.raises(UsageError, match="another command"):
        cross_validate(prepared, tiny(), folder, 2)
    with locked(folder / "comparison.csv"), pytest.raises(UsageError, match="another command"):
        sweep(prepared, [tiny()], folder)


def test_kill_9_in_the_middle_and_the_same_command_again_give_the_same_history(
    run: Run, prepared: Path, tmp_path: Path
) -> None:
    killed, *_ = interrupted(tmp_path / "killed", prepared, TINY, signal.SIGKILL)
    resumed = train(prepared, tiny(), killed.folder)
    pd.testing.assert_frame_equal(comparable(resumed), comparable(run), rtol=1e-4)
    pd.testing.assert_frame_equal(
        read_predictions(resumed.predictions_file("val")), read_predictions(run.predictions_file("val")), rtol=1e-3
    )


def test_a_run_that_lost_only_its_end_trains_no_epoch_more(run: Run, prepared: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(run.folder, cut)
    record = (cut / "run.json").read_text(encoding="utf-8")
    (cut / "run.json").write_text(record.replace('"finished"', '"training"', 1), encoding="utf-8")
    shutil.rmtree(cut / "predictions")
    finished = train(prepared, tiny(), cut)
    pd.testing.assert_frame_equal(finished.history(), run.history())
    assert finished.predictions_file("val").read_bytes() == run.predictions_file("val").read_bytes()


def test_a_run_that_was_killed_before_it_began_begins(run: Run, prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "early").mkdir()
    (tmp_path / "early" / "experiment.yaml").write_text(tiny().to_yaml(), encoding="utf-8")
    pd.testing.assert_frame_equal(comparable(train(prepared, tiny(), tmp_path / "early")), comparable(run), rtol=1e-5)


def test_another_experiment_or_other_data_never_continue_a_run(run: Run, prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"another training\.learning_rate"):
        train(prepared, tiny("training.learning_rate=0.1"), run.folder)
    other = tmp_path / "other"
    shutil.copytree(prepared, other)
    manifest = Manifest.read(other / "manifest.csv")
    Manifest(manifest.table.iloc[1:], manifest.root).write(other / "manifest.csv")
    with pytest.raises(ExperimentError, match="other data"):
        train(other, tiny(), run.folder)
    with pytest.raises(UsageError, match="input of this command"):
        train(prepared, tiny(), prepared)


def test_the_last_epoch_is_kept_where_the_experiment_keeps_the_last(prepared: Path, tmp_path: Path) -> None:
    settings = ("training.keep=last", "training.patience=1", "training.epochs=6", "training.validate_every=3")
    run = train(prepared, tiny(*settings), tmp_path / "run")
    history = run.history()
    assert history["val_loss"].notna().tolist() == [False, False, True] * 2
    assert len(history) == 6
    assert history["kept"].tolist() == [False] * 5 + [True]
    assert_kept_the_last(run)
    predictions = read_predictions(run.predictions_file("val"))
    probabilities = predictions[list(PROBABILITY_COLUMNS)].to_numpy()[range(len(predictions)), predictions["grade"]]
    assert -np.log(probabilities).mean() == pytest.approx(history["val_loss"].iloc[-1], rel=1e-4)


@pytest.mark.parametrize("more", [[], ["training.ema=0.9"]])
def test_an_experiment_that_keeps_its_last_epoch_needs_nothing_to_validate_on(
    prepared: Path, tmp_path: Path, more: list[str]
) -> None:
    experiment, everything = tiny("training.keep=last", *more), all_to_train_on(prepared)
    run = train(prepared, experiment, tmp_path / "run", manifest=everything)
    record = run.finished_record()
    assert record.data.photographs == {"train": len(everything), "val": 0}
    assert record.kept == KeptEpoch(epoch=record.epochs - 1, val_loss=None, val_accuracy=None, val_qwk=None)
    assert_kept_the_last(run)
    assert not run.predictions_file("val").exists()
    assert run.history()["train_loss"].notna().all()
    run.write_record(record.model_copy(update={"status": "training"}))  # it lost its end
    assert comparable(train(prepared, experiment, run.folder, manifest=everything)).equals(comparable(run))
    assert finished_runs(tmp_path) == []  # nothing to compare it by


def test_other_experiments_need_validation_photographs(prepared: Path, tmp_path: Path) -> None:
    everything = all_to_train_on(prepared)
    with pytest.raises(ManifestError, match="no photograph in split 'val'"):
        train(prepared, tiny(), tmp_path / "best", manifest=everything)
    regression = tiny("training.keep=last", "network.output=regression")
    with pytest.raises(ExperimentError, match="fits its cut points on validation photographs"):
        train(prepared, regression, tmp_path / "regression", manifest=everything)


def all_to_train_on(prepared: Path) -> Manifest:
    return Manifest(Manifest.read(prepared / "manifest.csv").table.assign(split="train"), prepared)


def assert_kept_the_last(run: Run) -> None:
    kept, last = (
        torch.load(file, weights_only=True)["state_dict"] for file in (run.best_checkpoint, run.last_checkpoint)
    )
    assert all(torch.equal(kept[name], last[name]) for name in last)


def test_early_stopping_waits_for_its_patience(prepared: Path, tmp_path: Path) -> None:
    # A rate of 1e-12 changes nothing, so no epoch after the first is better by more than float noise.
    still = tiny("training.learning_rate=1e-12", "training.patience=2", "training.epochs=30")
    with pytest.warns(UserWarning, match="training.balance=6 draws 6 photographs"):
        stopped = train(prepared, still, tmp_path / "still")
    history = stopped.history()
    assert len(history) == int(history["val_loss"].argmin()) + 1 + 2


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("shuffled", [False, True])
def test_predictions_do_not_depend_on_the_loader(run: Run, prepared: Path, workers: int, shuffled: bool) -> None:
    manifest = Manifest.read(prepared / "manifest.csv")
    expected = predict_network(load_network(run), run.experiment(), manifest, workers=0)
    if shuffled:
        rows = np.random.default_rng(workers).permutation(len(manifest))
        manifest = Manifest(manifest.table.iloc[rows].reset_index(drop=True), manifest.root)
    table = predict_network(load_network(run), run.experiment(), manifest, workers=workers)
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
    assert evaluate_predictions(table).to_json() == evaluate_predictions(expected).to_json()


def test_predictions_are_those_of_each_photograph_alone(run: Run, prepared: Path) -> None:
    manifest = Manifest.read(prepared / "manifest.csv")
    table = predict_network(load_network(run), run.experiment(), manifest).set_index("image_id")
    photographs = PhotographDataset(manifest, 48)
    for row in (0, len(manifest) - 1):
        pixels, _, image_id = photographs[row]
        with torch.no_grad():
            logits = load_network(run)(torch.from_numpy(pixels).permute(2, 0, 1)[None])
        expected = logits.double().softmax(1)[0].numpy()
        np.testing.assert_allclose(
            table.loc[image_id, ["p0", "p1", "p2", "p3", "p4"]].astype(float), expected, atol=1e-6
        )


def test_predict_writes_a_split_and_refuses_another_preparation(run: Run, prepared: Path, tmp_path: Path) -> None:
    written = read_predictions(predict(prepared, run, split="test").file)
    assert set(written["image_id"]) == set(Manifest.read(prepared / "manifest.csv").split("test").table["image_id"])
    everyone = read_predictions(predict(prepared, run, split="all", out=tmp_path / "all.csv").file)
    assert len(everyone) == 30
    with pytest.raises(ManifestError, match="it has test, train, val"):
        predict(prepared, run, split="holdout")
    other = tmp_path / "other"
    shutil.copytree(prepared, other)
    settings = (other / "prepare.json").read_text(encoding="utf-8")
    (other / "prepare.json").write_text(settings.replace('"contrast": "none"', '"contrast": "clahe"'), encoding="utf-8")
    with pytest.raises(ExperimentError, match="prepare it again"):
        predict(other, run, split="test", out=tmp_path / "other.csv")


def test_ungraded_photographs_are_predicted_without_a_grade(run: Run, prepared: Path) -> None:
    manifest = Manifest.read(prepared / "manifest.csv")
    table = manifest.table.assign(grade=pd.array([pd.NA] * len(manifest), dtype="Int64"))
    predictions = predict_network(load_network(run), run.experiment(), Manifest(table, manifest.root))
    assert predictions["grade"].isna().all()
    assert predictions["p0"].notna().all()


@pytest.mark.parametrize("workers", [1, 2])
def test_training_batches_do_not_depend_on_workers(prepared: Path, workers: int) -> None:
    manifest = Manifest.read(prepared / "manifest.csv").split("train")

    def batches(count: int) -> list[torch.Tensor]:
        loader = training_loader(manifest, tiny(), count)
        assert isinstance(loader.sampler, EpochSampler)
        loader.sampler.set_epoch(3)
        return [batch["photographs"] for batch in loader]

    for expected, got in zip(batches(0), batches(workers), strict=True):
        assert torch.equal(expected, got)
        assert expected.is_contiguous(memory_format=torch.channels_last)
        assert expected.dtype == torch.uint8


def test_epochs_differ_in_order_and_augmentation_but_repeat_themselves(prepared: Path) -> None:
    manifest = Manifest.read(prepared / "manifest.csv").split("train")
    loader = training_loader(manifest, tiny(), 0)
    assert isinstance(loader.sampler, EpochSampler)
    loader.sampler.set_epoch(0)
    first, again = (next(iter(loader))["photographs"] for _ in range(2))
    loader.sampler.set_epoch(1)
    assert torch.equal(first, again)
    assert not torch.equal(first, next(iter(loader))["photographs"])


def test_balancing_is_in_the_training_loader_only(prepared: Path) -> None:
    manifest = Manifest.read(prepared / "manifest.csv")
    seen = [
        grade for batch in training_loader(manifest, tiny("training.batch_size=30"), 0) for grade in batch["grades"]
    ]
    assert np.bincount(seen).tolist() == [6] * 5
    evaluated: DataLoader = evaluation_loader(manifest, tiny(), 0)  # type: ignore[type-arg]
    ids = [image_id for batch in evaluated for image_id in batch["image_ids"]]
    assert ids == manifest.table["image_id"].tolist()


def test_collate_keeps_pixels_grades_and_ids_together() -> None:
    pixels = [np.full((4, 4, 3), value, np.uint8) for value in (1, 2)]
    batch = collate_photographs([(pixels[0], 3, "a"), (pixels[1], 0, "b")])
    assert batch["photographs"][:, 0, 0, 0].tolist() == [1, 2]
    assert batch["grades"].tolist() == [3, 0]
    assert batch["image_ids"] == ["a", "b"]


@pytest.mark.slow
def test_the_pretrained_network_learns_made_up_photographs(tmp_path: Path) -> None:
    from retinagrade.demo import run_demo

    result = run_demo(tmp_path / "demo")
    assert (result.qwk["efficientnet-lite0"] or 0) >= 0.8


def test_an_undefined_figure_is_null(prepared: Path, tmp_path: Path) -> None:
    """Where validation has one grade and the network gives only that one, there is no kappa."""
    one_grade = shutil.copytree(prepared, tmp_path / "set", ignore=shutil.ignore_patterns(".features"))
    manifest = Manifest.read(one_grade / "manifest.csv")
    Manifest(manifest.table[manifest.table["grade"].eq(0)], one_grade).write(one_grade / "manifest.csv")
    run = train(one_grade, tiny("training.balance=null", "training.learning_rate=1e-2"), tmp_path / "run")
    assert run.finished_record().kept.val_accuracy == 1
    assert run.finished_record().kept.val_qwk is None


def test_prepared_photographs_are_known_by_their_bytes(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "set")
    names = Manifest.read(tmp_path / "set" / "manifest.csv").split("train").table["path"]
    first, second = (tmp_path / "set" / name for name in names[:2])
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)
    with pytest.raises(LayoutError, match="differ from those"):
        train(tmp_path / "set", tiny("training.epochs=1"), tmp_path / "run")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_photograph_that_changes_during_the_training_ends_it_in_one_line(
    workers: int, prepared: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(prepared, tmp_path / "set")
    first, second = (folder / name for name in Manifest.read(folder / "manifest.csv").split("train").table["path"][:2])

    def change(stage: str, done: int, total: int | None) -> None:
        if stage.startswith("epoch 2"):
            first.write_bytes(second.read_bytes())

    with pytest.raises(ImageError, match=first.name) as failed:
        train(folder, tiny(), tmp_path / "run", workers=workers, progress=change)
    assert "\n" not in str(failed.value)
    assert not Run(tmp_path / "run").is_finished
    first.write_bytes((prepared / "photographs" / first.name).read_bytes())
    assert train(folder, tiny(), tmp_path / "run", workers=0).is_finished


def test_a_photograph_that_was_changed_is_not_predicted(run: Run, prepared: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(prepared, tmp_path / "set")
    first, second = (folder / name for name in Manifest.read(folder / "manifest.csv").split("val").table["path"][:2])
    first.write_bytes(second.read_bytes())
    with pytest.raises(ImageError, match=first.name):
        predict(folder, run, split="val", out=tmp_path / "val.csv")
    assert not (tmp_path / "val.csv").exists()


def test_a_checkpoint_of_another_training_is_refused(run: Run, tmp_path: Path) -> None:
    other = Run(shutil.copytree(run.folder, tmp_path / "other"))
    content = torch.load(run.best_checkpoint, map_location="cpu", weights_only=True)
    name = next(iter(content["state_dict"]))
    content["state_dict"][name] += 1
    torch.save(content, other.best_checkpoint)
    with pytest.raises(ExperimentError, match=r"best\.ckpt is not the checkpoint"):
        load_network(other)

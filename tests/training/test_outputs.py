"""Outputs and loss weights in training: cut points are fitted once, and the same after any interruption."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from retinagrade.datasets.balance import inverse_frequency_weights
from retinagrade.errors import ExperimentError
from retinagrade.evaluation.predictions import read_predictions
from retinagrade.manifest import Manifest
from retinagrade.models.cut_points import STANDARD, CutPoints, fit_cut_points
from retinagrade.models.network import build_network
from retinagrade.models.outputs import RegressionOutput
from retinagrade.runs.run import Run
from retinagrade.training.checkpoints import load_network
from retinagrade.training.loading import training_loader
from retinagrade.training.module import GradingModule, validation_metrics
from retinagrade.training.predict import predict, predict_network, predict_photographs
from retinagrade.training.train import train
from tests.training.tiny_experiments import comparable, tiny

REGRESSION = tiny("network.output=regression", "training.class_weights=inverse-frequency", "training.balance=null")


@pytest.fixture(scope="module")
def run(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(prepared, REGRESSION, tmp_path_factory.mktemp("runs") / "regression")


@pytest.fixture(scope="module")
def validation(prepared: Path) -> Manifest:
    return Manifest.read(prepared / "manifest.csv").split("val")


def scores(run: Run, manifest: Manifest) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What a regression says of photographs, and their grades."""
    known = dict(zip(manifest.table["image_id"], manifest.table["grade"], strict=True))
    said = [
        (score, known[image_id])
        for image_ids, raw in predict_photographs(load_network(run), run.experiment(), manifest)
        for image_id, score in zip(image_ids, raw[0][:, 0].tolist(), strict=True)
    ]
    predicted, grades = zip(*said, strict=True)
    return np.array(predicted), np.array(grades, dtype=np.int64)


def unfinished(run: Run, folder: Path) -> Run:
    """A copy of a run that was cut off after its last epoch."""
    shutil.copytree(run.folder, folder)
    record = (folder / "run.json").read_text(encoding="utf-8")
    (folder / "run.json").write_text(record.replace('"finished"', '"training"', 1), encoding="utf-8")
    shutil.rmtree(folder / "predictions")
    (folder / "output.json").unlink()
    return Run(folder)


def test_cut_points_are_fitted_on_validation_photographs_and_loaded_with_the_network(
    run: Run, validation: Manifest, prepared: Path
) -> None:
    predicted, grades = scores(run, validation)
    expected = fit_cut_points(predicted, grades)
    assert sum(expected.photographs) == len(validation)
    assert json.loads(run.output_file.read_text(encoding="utf-8")) == expected.model_dump(mode="json")
    assert load_network(run).output == RegressionOutput(expected)
    table = read_predictions(predict(prepared, run, split="test").file).set_index("image_id")
    test = Manifest.read(prepared / "manifest.csv").split("test")
    p = RegressionOutput(expected).probabilities(torch.tensor(scores(run, test)[0])[:, None]).numpy()
    np.testing.assert_allclose(table.loc[test.table["image_id"], [f"p{grade}" for grade in range(5)]], p, atol=1e-12)


def test_history_is_of_the_squared_error_and_of_standard_cut_points(run: Run, validation: Manifest) -> None:
    best = run.finished_record().kept
    epoch = run.history().iloc[best.epoch]
    predicted, grades = scores(run, validation)
    assert ((predicted - grades) ** 2).mean() == pytest.approx(best.val_loss, rel=1e-4)
    given = RegressionOutput(STANDARD).probabilities(torch.tensor(predicted)[:, None]).argmax(1).numpy()
    assert validation_metrics(grades, given) == pytest.approx(
        {name: epoch[name] for name in ("val_accuracy", "val_qwk")}, abs=1e-4
    )


def test_a_run_that_lost_only_its_end_has_the_same_cut_points(run: Run, prepared: Path, tmp_path: Path) -> None:
    cut = unfinished(run, tmp_path / "cut")
    assert load_network(cut).output == RegressionOutput(STANDARD)
    finished = train(prepared, REGRESSION, cut.folder)
    assert finished.output_file.read_bytes() == run.output_file.read_bytes()
    assert finished.predictions_file("val").read_bytes() == run.predictions_file("val").read_bytes()
    assert finished.finished_record().kept == run.finished_record().kept


def test_a_resumed_run_has_the_same_history_and_cut_points(
    run: Run, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(module: GradingModule) -> None:
        if module.current_epoch == 2:
            raise RuntimeError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(GradingModule, "on_train_epoch_end", stop)
        with pytest.raises(RuntimeError, match="cut off"):
            train(prepared, REGRESSION, tmp_path / "cut")
    assert not Run(tmp_path / "cut").output_file.exists()
    resumed = train(prepared, REGRESSION, tmp_path / "cut")
    pd.testing.assert_frame_equal(comparable(resumed), comparable(run), rtol=1e-5)
    ours, theirs = (CutPoints.model_validate_json(r.output_file.read_bytes()) for r in (resumed, run))
    np.testing.assert_allclose([*ours.cuts, ours.sigma], [*theirs.cuts, theirs.sigma], rtol=1e-3)


def test_cut_points_that_are_lost_or_broken_are_named(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    broken = Run(tmp_path / "run")
    broken.output_file.write_text('{"cuts": [0.5, 1.5, 2.5], "sigma": 0.5}', encoding="utf-8")
    with pytest.raises(ExperimentError, match=r"output\.json: not readable cut points"):
        load_network(broken)
    broken.output_file.unlink()
    with pytest.raises(ExperimentError, match=r"lost the cut points .* output\.json"):
        load_network(broken)


def test_ordinal_predictions_have_no_file_of_cut_points(prepared: Path, tmp_path: Path) -> None:
    ordinal = train(prepared, tiny("network.output=ordinal", "training.epochs=1"), tmp_path / "ordinal")
    assert not ordinal.output_file.exists()
    manifest = Manifest.read(prepared / "manifest.csv")
    table = predict_network(load_network(ordinal), ordinal.experiment(), manifest)
    np.testing.assert_allclose(table[[f"p{grade}" for grade in range(5)]].sum(axis=1), 1, atol=1e-12)


def test_weights_and_smoothing_are_in_the_training_loss_alone(prepared: Path, tmp_path: Path) -> None:
    # At a rate of 1e-12 the network stays as it starts, so only the losses can differ.
    common = ("training.epochs=1", "training.learning_rate=1e-12", "training.balance=null")
    settings = {"plain": [], "weights": ["class_weights=inverse-frequency"], "smoothed": ["label_smoothing=0.3"]}
    losses = {}
    for name, changed in settings.items():
        experiment = tiny(*common, *(f"training.{change}" for change in changed))
        losses[name] = train(prepared, experiment, tmp_path / name).history().iloc[0][["train_loss", "val_loss"]]
    for name in ("weights", "smoothed"):
        assert losses[name]["val_loss"] == pytest.approx(losses["plain"]["val_loss"], rel=1e-5)
        assert losses[name]["train_loss"] != pytest.approx(losses["plain"]["train_loss"], rel=1e-3)


def test_training_weighs_by_the_frequency_in_the_training_photographs(prepared: Path) -> None:
    manifest = Manifest.read(prepared / "manifest.csv").split("train")
    weights = inverse_frequency_weights(manifest.table["grade"].to_numpy(dtype=np.int64))
    experiment = tiny("training.balance=null", "training.batch_size=30")
    (batch,) = training_loader(manifest, experiment, 0)
    torch.manual_seed(0)
    module = GradingModule(build_network(experiment.network), experiment, weights).eval()  # without dropout
    module.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    raw = module(batch["photographs"])
    expected = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights, dtype=torch.float32))(raw, batch["grades"])
    torch.testing.assert_close(module.training_step(batch), expected)
    assert "grade_weights" not in module.state_dict()

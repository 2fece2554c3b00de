"""Predictions with test-time augmentation or in half precision, in tables of their own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from retinagrade.datasets.split import split
from retinagrade.errors import ExperimentError, UsageError
from retinagrade.evaluation.predictions import read_predictions
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.manifest import Manifest
from retinagrade.models.network import Network
from retinagrade.runs.photographs import require_split_of_training
from retinagrade.runs.run import Run
from retinagrade.training.checkpoints import load_network
from retinagrade.training.compiled import compiled_copy
from retinagrade.training.cross_validate import cross_validate
from retinagrade.training.devices import weights_dtype
from retinagrade.training.loading import PhotographDataset
from retinagrade.training.predict import predict, predict_network
from retinagrade.training.train import train
from tests.training.tiny_experiments import tiny


@pytest.fixture(scope="module")
def run(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(prepared, tiny("training.epochs=2"), tmp_path_factory.mktemp("runs") / "flipped")


def test_flips_are_the_mean_over_four_views(run: Run, prepared: Path) -> None:
    manifest = Manifest.read(prepared / "manifest.csv")
    network = load_network(run)
    table = predict_network(network, run.experiment(), manifest, tta=True).set_index("image_id")
    photographs = PhotographDataset(manifest, 48)
    for row in (0, len(manifest) - 1):
        pixels, _, image_id = photographs[row]
        views = np.stack([pixels, pixels[:, ::-1], pixels[::-1], pixels[::-1, ::-1]])
        with torch.no_grad():
            logits = network(torch.from_numpy(views).permute(0, 3, 1, 2))
        expected = logits.double().softmax(1).mean(0).numpy()
        np.testing.assert_allclose(table.loc[image_id, list(PROBABILITY_COLUMNS)].astype(float), expected, atol=1e-6)
        assert not np.allclose(logits[0], logits[1])


def test_flips_are_written_beside_the_plain_predictions(run: Run, prepared: Path) -> None:
    plain = predict(prepared, run, split="test").file
    before = plain.read_bytes()
    flipped = predict(prepared, run, split="test", tta=True).file
    assert flipped == run.folder / "predictions" / "test-tta.csv"
    assert plain.read_bytes() == before
    assert read_predictions(flipped)["image_id"].tolist() == read_predictions(plain)["image_id"].tolist()


def test_fast_predictions_are_near_and_written_beside_the_plain_ones(run: Run, prepared: Path) -> None:
    plain = predict(prepared, run, split="test").file
    before = plain.read_bytes()
    fast = predict(prepared, run, split="test", fast=True).file
    assert fast == run.folder / "predictions" / "test-fast.csv"
    assert plain.read_bytes() == before
    columns = list(PROBABILITY_COLUMNS)
    near, exact = (read_predictions(table).set_index("image_id")[columns].astype(float) for table in (fast, plain))
    np.testing.assert_allclose(near.loc[exact.index], exact, atol=0.01)
    assert near.equals(exact) == (weights_dtype("auto") == torch.float32)
    assert predict(prepared, run, split="test", tta=True, fast=True).file.name == "test-tta-fast.csv"


def test_many_photographs_are_predicted_by_openvino(run: Run, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    manifest, columns = Manifest.read(prepared / "manifest.csv"), list(PROBABILITY_COLUMNS)
    network, experiment = load_network(run), run.experiment()
    made: list[Network | None] = []

    def record(*arguments: Any) -> Network | None:
        made.append(compiled_copy(*arguments))
        return made[-1]

    monkeypatch.setattr("retinagrade.training.predict.compiled_copy", record)
    exact = predict_network(network, experiment, manifest)[columns]
    predict_network(network, experiment, manifest, fast=True)
    assert not made
    monkeypatch.setattr("retinagrade.training.predict.MANY", len(manifest))
    compiled = predict_network(network, experiment, manifest, fast=True)[columns]
    np.testing.assert_allclose(compiled, exact, atol=0.01)
    assert predict_network(network, experiment, manifest)[columns].equals(exact)
    if weights_dtype("auto") == torch.bfloat16 and not torch.cuda.is_available():
        assert len(made) == 1
        assert made[0] is not None


def test_photographs_of_another_camera_are_predicted_beside_the_plain_ones(run: Run, prepared: Path) -> None:
    plain = predict(prepared, run, split="test").file
    before = plain.read_bytes()
    changed = predict(prepared, run, split="test", camera=["colour", "cut"])
    assert changed.file == run.folder / "predictions" / "test-camera-colour-cut.csv"
    again = changed.file.read_bytes()
    by_one_worker = predict(prepared, run, split="test", camera=["colour", "cut"], workers=1)
    assert by_one_worker.file.read_bytes() == again != before
    assert plain.read_bytes() == before


def test_the_folds_of_a_cross_validation_predict_their_own_photographs(prepared: Path, tmp_path: Path) -> None:
    folds = cross_validate(prepared, tiny("training.epochs=1"), tmp_path / "folds", 2)
    trained = read_predictions(folds.predictions_file)
    columns = ["image_id", *PROBABILITY_COLUMNS]
    again = predict(prepared, folds, split="val", out=tmp_path / "again.csv").table[columns]
    pd.testing.assert_frame_equal(
        again.sort_values("image_id", ignore_index=True),
        trained[columns].sort_values("image_id", ignore_index=True),
        check_dtype=False,
    )
    changed = predict(prepared, folds.folder, split="val", camera=["light"])
    assert changed.file == folds.predictions_file.with_name("val-camera-light.csv")
    assert set(changed.table["image_id"]) == set(trained["image_id"])
    with pytest.raises(UsageError, match="val"):
        predict(prepared, folds.folder, split="test")


def test_a_set_that_was_split_again_is_predicted_as_a_whole_only(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "set")
    run = train(tmp_path / "set", tiny("training.epochs=1"), tmp_path / "run")
    before = predict(tmp_path / "set", run, split="val", overwrite=True).table
    split(tmp_path / "set", val=0.3, seed=7)
    with pytest.raises(ExperimentError, match="train again"):
        predict(tmp_path / "set", run, split="val")
    shutil.move(tmp_path / "set", tmp_path / "moved")
    with pytest.raises(ExperimentError, match="train again"):
        predict(tmp_path / "moved", run, split="val", overwrite=True)
    assert set(predict(tmp_path / "moved", run, split="all").table["image_id"]) > set(before["image_id"])


def test_a_copy_of_the_set_with_another_split_is_known_by_its_photographs(
    run: Run, prepared: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(prepared, tmp_path / "copy"))
    assert len(predict(copy, run, split="test", out=tmp_path / "same.csv").table)
    split(copy, val=0.3, seed=7)
    table = Manifest.read(copy / "manifest.csv").table
    for renamed in (table, table.assign(image_id="new-" + table["image_id"]), table.iloc[: len(table) // 2]):
        Manifest(renamed, copy).write(copy / "manifest.csv")
        with pytest.raises(ExperimentError, match="another split"):
            predict(copy, run, split="test", out=tmp_path / "leak.csv")
    assert not (tmp_path / "leak.csv").exists()


def test_a_copy_is_known_when_the_split_of_the_training_is_gone(prepared: Path, tmp_path: Path) -> None:
    copy, own = (Path(shutil.copytree(prepared, tmp_path / name)) for name in ("copy", "own"))
    run = train(own, tiny("training.epochs=1"), tmp_path / "run")
    split(copy, val=0.3, seed=7)
    split(own, val=0.3, seed=8)
    with pytest.raises(ExperimentError, match="train again"):
        predict(copy, run, split="test")
    other = Manifest.read(copy / "manifest.csv")
    Manifest(other.table.assign(sha256="0" * 64), copy).write(copy / "manifest.csv")  # the same ids by chance
    require_split_of_training(run, Manifest.read(copy / "manifest.csv"))


def test_an_unknown_camera_is_refused_and_one_name_is_one_change(run: Run, prepared: Path) -> None:
    with pytest.raises(UsageError, match="colour"):
        predict(prepared, run, split="test", camera=["color"])  # type: ignore[list-item]
    assert predict(prepared, run, split="test", camera="cut").file.name == "test-camera-cut.csv"

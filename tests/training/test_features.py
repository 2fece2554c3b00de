"""Cached features: the same training as without them, within limits on disk, and never outdated."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch

from retinagrade.evaluation.predictions import read_predictions
from retinagrade.experiments.experiment import Experiment, load_experiment
from retinagrade.manifest import Manifest
from retinagrade.models.network import Network, build_network
from retinagrade.runs.run import Run
from retinagrade.training import features as room
from retinagrade.training.features import (
    FeatureDataset,
    FeatureSampler,
    FeatureStore,
    cache_folder,
    evict_features,
    feature_loaders,
)
from retinagrade.training.loading import EpochSampler
from retinagrade.training.predict import predict
from retinagrade.training.train import train
from tests.faulty_disk import FaultyDisk, faulty

TINY = [
    "network.backbone=lcnet_050",
    "network.weights=none",
    "network.image_size=32",
    "network.dense=[16]",
    "training.batch_size=8",
    "training.balance=6",
    "training.epochs=4",
    "training.learning_rate=1e-3",
]


def tiny(*overrides: str) -> Experiment:
    return load_experiment("mobilenetv2-2", [*TINY, *overrides])


@pytest.fixture
def copied(prepared: Path, tmp_path: Path) -> Path:
    return shutil.copytree(prepared, tmp_path / "set", ignore=shutil.ignore_patterns(".features"))


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return build_network(tiny().network)


def loaders(network: Network, prepared: Path, experiment: Experiment) -> tuple[FeatureDataset, FeatureDataset]:
    manifest = Manifest.read(prepared / "manifest.csv")
    both = feature_loaders(
        network, manifest.split("train"), manifest.split("val"), experiment, 0, cache_folder(prepared, prepared)
    )
    assert both is not None
    training, validation = (cast("FeatureDataset", loader.dataset) for loader in both)
    return training, validation


def stores(prepared: Path) -> list[Path]:
    return sorted((prepared / ".features").iterdir())


def test_features_are_those_of_the_network(network: Network, copied: Path) -> None:
    training, validation = loaders(network, copied, tiny("training.precision=32"))
    validation.compute(range(len(validation)))
    for row in (0, len(validation) - 1):
        pixels = torch.from_numpy(validation.photographs[row][0]).permute(2, 0, 1)[None]
        with torch.no_grad():
            expected = network.eval().features(pixels)[0]
        torch.testing.assert_close(validation[row][0], expected, rtol=1e-4, atol=1e-5)
    draws = list(EpochSampler(training.photographs.grades, 6, 0))
    training.compute(draws)
    assert all(torch.isfinite(training[draw][0]).all() for draw in draws)
    shown = {training._key(draw) for draw in draws}
    assert int(training.store.computed.sum()) == len(shown) < training.store.computed.size
    assert len({view for _, view in shown}) > 1


def test_stored_features_are_never_computed_again(network: Network, copied: Path) -> None:
    training, _ = loaders(network, copied, tiny())
    draws = list(EpochSampler(training.photographs.grades, 6, 0))
    training.compute(draws)
    np.load(str(cast("np.memmap[Any, Any]", training.store.features).filename), mmap_mode="r+")[:] = 7
    training.compute(draws)
    assert all((training[draw][0] == 7).all() for draw in draws)
    again, _ = loaders(network, copied, tiny())
    assert (again[draws[0]][0] == 7).all()


@pytest.mark.parametrize(
    "override", ["training.seed=3", "augmentation.zoom=0.2", "network.image_size=48", "training.feature_views=3"]
)
def test_other_settings_weights_or_photographs_have_other_features(
    network: Network, copied: Path, override: str
) -> None:
    loaders(network, copied, tiny())
    before = len(stores(copied))
    loaders(network, copied, tiny("training.learning_rate=0.1", "network.dense=[8]"))
    assert len(stores(copied)) == before, "the head has nothing to do with features"
    loaders(network, copied, tiny(override))
    assert len(stores(copied)) > before
    torch.manual_seed(9)
    before = len(stores(copied))
    loaders(build_network(tiny().network), copied, tiny())
    assert len(stores(copied)) == before + 2


@pytest.mark.parametrize("several", [[], ["network.backbone=[lcnet_050, tinynet_e]", "network.stages=[1, 2]"]])
def test_training_on_features_is_training_on_photographs(prepared: Path, tmp_path: Path, several: list[str]) -> None:
    """Without augmentation there is nothing left to chance: the same losses."""
    plain = ["flip_vertical=false", "flip_horizontal=false", "zoom=0", "rotation=0"]
    same = [f"augmentation.{setting}" for setting in plain] + ["training.precision=32", "network.dense_dropout=0"]
    cached = train(prepared, tiny(*same, *several, "training.feature_views=1"), tmp_path / "cached")
    whole = train(prepared, tiny(*same, *several, "training.feature_views=0"), tmp_path / "whole")
    columns = ["train_loss", "val_loss"]
    np.testing.assert_allclose(cached.history()[columns], whole.history()[columns], rtol=1e-4)
    both = [read_predictions(run.predictions_file("val")) for run in (cached, whole)]
    probabilities = ["p0", "p1", "p2", "p3", "p4"]
    np.testing.assert_allclose(both[0][probabilities], both[1][probabilities], atol=1e-4)


def test_the_last_predictions_come_from_features_and_are_those_of_the_photographs(
    prepared: Path, tmp_path: Path
) -> None:
    run = train(prepared, tiny("training.epochs=2"), tmp_path / "run")
    again = predict(prepared, run, split="val", out=tmp_path / "again.csv").file
    assert again.read_bytes() == run.predictions_file("val").read_bytes()


def test_batches_are_filled_with_features_of_later_epochs(network: Network, copied: Path) -> None:
    training, _ = loaders(network, copied, tiny("training.precision=32"))
    draws = list(EpochSampler(training.photographs.grades, 6, 0))
    training.compute(draws[:3], draws[3:])
    assert training.store.computed.sum() == tiny().training.batch_size
    training.compute(draws)
    needed = np.zeros_like(training.store.computed)
    for draw in draws:
        needed[training._key(draw)] = 1
    assert np.array_equal(training.store.computed, needed)


def history(run: Run) -> pd.DataFrame:
    return run.history().drop(columns="seconds")


def test_old_features_and_new_ones_give_the_same_history(copied: Path, tmp_path: Path) -> None:
    first = train(copied, tiny(), tmp_path / "first")
    again = train(copied, tiny(), tmp_path / "again")
    pd.testing.assert_frame_equal(history(first), history(again), rtol=1e-6)
    shutil.rmtree(copied / ".features")
    pd.testing.assert_frame_equal(history(train(copied, tiny(), tmp_path / "new")), history(first), rtol=1e-6)


def test_a_resumed_run_takes_its_features_up_again(copied: Path, tmp_path: Path) -> None:
    torch.manual_seed(4)
    weights = tmp_path / "weights.pth"
    torch.save(build_network(tiny().network).backbone.state_dict(), weights)
    started = f"network.weights={weights}"
    whole = train(copied, tiny(started), tmp_path / "whole")
    before = stores(copied)
    half = train(copied, tiny(started, "training.epochs=2"), tmp_path / "half")
    record = half.record_file.read_text(encoding="utf-8").replace('"finished"', '"training"', 1)
    half.record_file.write_text(record, encoding="utf-8")
    half.experiment_file.write_text(whole.experiment_file.read_text(encoding="utf-8"), encoding="utf-8")
    weights.unlink()
    pd.testing.assert_frame_equal(history(train(copied, tiny(started), half.folder)), history(whole), rtol=1e-6)
    assert stores(copied) == before


def test_nothing_to_validate_on_has_no_features(copied: Path, tmp_path: Path) -> None:
    table = Manifest.read(copied / "manifest.csv").table
    everything = Manifest(table.assign(split="train"), copied)
    run = train(copied, tiny("training.keep=last"), tmp_path / "run", manifest=everything)
    shapes = {np.load(folder / "features.npy", mmap_mode="r").shape[0] for folder in stores(copied)}
    assert shapes == {len(table), 0}
    assert not run.predictions_file("val").exists()


def test_a_backbone_that_is_trained_has_no_stored_features(network: Network, prepared: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(prepared / "manifest.csv")
    splits = manifest.split("train"), manifest.split("val")
    for experiment in (tiny("network.trained_from=all"), tiny("training.feature_views=0")):
        built = build_network(experiment.network)
        assert feature_loaders(built, *splits, experiment, 0, tmp_path / "f") is None
    assert not (tmp_path / "f").exists()


def test_the_least_recently_used_features_make_room(tmp_path: Path) -> None:
    for age, name in enumerate(["new", "middle", "old"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "features.npy").write_bytes(bytes(100))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    evict_features(tmp_path, 100, limit=400)
    assert len(list(tmp_path.iterdir())) == 3
    evict_features(tmp_path, 150, limit=400)
    assert {path.name for path in tmp_path.iterdir()} == {"new", "middle"}
    evict_features(tmp_path, 1000, limit=400)
    assert not list(tmp_path.iterdir())


def test_a_store_that_a_full_disk_refuses_is_an_error_that_names_it(tmp_path: Path) -> None:
    with faulty(FaultyDisk(tmp_path)) as healthy:
        FeatureStore.open(tmp_path / "first", 3, 1, 4)
    for number in range(len(healthy.operations)):
        with faulty(FaultyDisk(tmp_path, number, stays_full=False)), pytest.raises(OSError, match="No space") as failed:
            FeatureStore.open(tmp_path / "store", 3, 1, 4)
        assert failed.value.filename is not None
        assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "scratch"]


def test_without_room_for_a_view_there_are_no_features(
    network: Network, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest.read(prepared / "manifest.csv")
    training, validation = manifest.split("train"), manifest.split("val")
    width = 4 * (len(training) + len(validation))  # bytes for one view of each, and a feature
    features = next(layer.in_features for layer in network.head.modules() if isinstance(layer, torch.nn.Linear))
    for limit, views in ((width * features - 1, None), (width * features, 1)):
        monkeypatch.setattr(room, "LIMIT", limit)
        both = feature_loaders(network, training, validation, tiny(), 0, tmp_path / "f")
        assert (both is None) == (views is None)
        if both is not None:
            assert isinstance(both[0].sampler, FeatureSampler)
            assert both[0].sampler.features.views == views

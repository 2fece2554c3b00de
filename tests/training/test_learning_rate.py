"""The learning-rate range test: a sensible suggestion, and a folder in which training is still possible."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from retinagrade.errors import ExperimentError
from retinagrade.manifest import Manifest
from retinagrade.training.learning_rate import HIGHEST, LOWEST, find_learning_rate, smooth_losses, suggest_rate
from retinagrade.training.train import train
from tests.training.tiny_experiments import TINY, comparable, tiny


@pytest.fixture(scope="module")
def easy(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared set with grey pictures in the place of photographs, the brighter the higher the grade."""
    folder = tmp_path_factory.mktemp("easy") / "set"
    shutil.copytree(prepared, folder)
    table = Manifest.read(folder / "manifest.csv").table
    for path, grade in zip(table["path"], table["grade"], strict=True):
        cv2.imwrite(str(folder / path), np.full((64, 64, 3), 30 + 50 * int(grade), np.uint8))
    record = json.loads((folder / "prepare.json").read_text())  # it knows photographs by their bytes
    for each in record["photographs"]:
        photograph = folder / "photographs" / f"{each['image_id']}.jpg"
        each["prepared_sha256"] = hashlib.sha256(photograph.read_bytes()).hexdigest()
    (folder / "prepare.json").write_text(json.dumps(record))
    return folder


def test_the_search_writes_a_curve_and_does_not_change_the_training(easy: Path, tmp_path: Path) -> None:
    experiment = tiny(
        "training.backbone_learning_rate=1e-4", "training.schedule=one-cycle", "training.accumulate=2",
        "training.epochs=2", "network.dense_dropout=0", "network.feature_dropout=0", "training.precision=32",
    )  # fmt: skip
    found = find_learning_rate(easy, experiment, tmp_path / "run")
    assert 1e-4 < found.suggestion < 1e-1
    assert f"{found.suggestion:g}" in repr(found)
    assert found.figure().axes[0].get_xlabel() == "learning rate"
    table = pd.read_csv(tmp_path / "run" / "learning_rate.csv")
    assert table.columns.tolist() == ["learning_rate", "loss", "smoothed_loss"]
    assert table["learning_rate"].iloc[0] == pytest.approx(LOWEST)
    assert len(table) <= 100
    assert np.isfinite(table["loss"]).all()
    assert (tmp_path / "run" / "learning_rate.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "learning_rate.csv",
        "learning_rate.csv.origin.json",
        "learning_rate.png",
    ]
    trained = train(easy, experiment, tmp_path / "run")
    plain = train(easy, experiment, tmp_path / "plain")
    pd.testing.assert_frame_equal(comparable(trained), comparable(plain), rtol=1e-5)


def test_the_command_prints_a_setting_to_copy(easy: Path, tmp_path: Path) -> None:
    settings = [*TINY, "network.dense_dropout=0", "network.feature_dropout=0"]
    overrides = [word for override in settings for word in ("--set", override)]
    command = [sys.executable, "-m", "retinagrade", "train", str(easy), "scratch-2", "--find-rate"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "run"), *overrides], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("suggested: --set training.learning_rate=")
    assert all(line.startswith("trying learning rates: ") for line in done.stderr.splitlines()), done.stderr


def test_the_suggestion_is_well_below_where_training_breaks() -> None:
    rates = np.geomspace(LOWEST, HIGHEST, 100)
    decades = np.log10(rates)
    losses = 1.6 - 1.2 / (1 + np.exp(-4 * (decades + 3))) + np.where(decades > -1, (decades + 1) * 5, 0)
    suggestion = suggest_rate(rates, losses)
    assert suggestion is not None
    assert 3e-3 < suggestion < 3e-2
    assert suggest_rate(rates, np.full(100, 1.6)) is None
    assert suggest_rate(rates, np.linspace(1.6, 9, 100)) is None


def test_smoothing_keeps_a_constant_and_halves_no_start() -> None:
    np.testing.assert_allclose(smooth_losses([2.0] * 5), 2.0)
    assert smooth_losses([1.0, 3.0]).tolist() == pytest.approx([1.0, (0.9 * 1 + 3) / 1.9])


def test_a_loss_that_no_rate_lowers_is_an_error(prepared: Path, tmp_path: Path) -> None:
    # Gradients clipped to nothing move plain descent nowhere.
    still = ["network.feature_dropout=0", "network.dense_dropout=0", "training.gradient_clip=1e-12"]
    stuck = tiny("training.optimizer=sgd", *still)
    with pytest.raises(
        ExperimentError, match=r"no learning rate from 1e-06 to 10 lowers the loss .*learning_rate\.png"
    ):
        find_learning_rate(prepared, stuck, tmp_path / "run", steps=20)

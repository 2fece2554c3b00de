"""Vision transformers, ConvNeXt and Swin from end to end: train, resume, predict, explain, export and grade."""

from __future__ import annotations

import json
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import yaml

import retinagrade
from retinagrade.evaluation.predictions import read_predictions
from retinagrade.explanations.saliency import saliency_maps
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.manifest import Manifest
from retinagrade.runs.run import Run
from retinagrade.training.checkpoints import load_network
from retinagrade.training.features import cache_folder
from retinagrade.training.loading import PhotographDataset, collate_photographs
from retinagrade.training.train import train
from tests.cli.command_line import run as command

BACKBONES: dict[str, dict[str, object]] = {
    "vit": {"backbone": "test_vit"},
    "convnext": {"backbone": "test_convnext"},
    "swin": {"backbone": "swin_tiny_patch4_window7_224", "arguments": {"embed_dim": 24}},
}
MEMBERS = [pytest.param(name, marks=[pytest.mark.slow] if name != "vit" else []) for name in BACKBONES]


def experiment(folder: Path, name: str, **training: object) -> Path:
    file = folder / f"{name}.yaml"
    settings = {
        "base": "efficientnet-lite0",
        "network": {**BACKBONES[name], "weights": "none", "image_size": 64},
        "training": {"epochs": 2, "batch_size": 8, "layer_decay": 0.8, "ema": 0.9, "precision": "32", **training},
    }
    file.write_text(yaml.safe_dump(settings))
    return file


class Interruption(pl.Callback):
    """Ctrl-C in the second epoch."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", MEMBERS)
def test_a_network_trains_explains_exports_and_grades(name: str, prepared: Path, tmp_path: Path) -> None:
    file, run = experiment(tmp_path, name), Run(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train(prepared, str(file), run.folder, callbacks=[Interruption()], workers=0)
    assert len(run.history()) == 1
    command("train", prepared, file, "--out", run.folder)
    assert run.is_finished
    assert len(run.history()) == 2
    command("predict", prepared, run.folder, "--split", "test")
    command("evaluate", run.predictions_file("test"), "--out", tmp_path / "report", code=None)

    predicted = read_predictions(run.predictions_file("test")).set_index("image_id")
    image_id = str(predicted.index[0])
    for method in ("gradcam", "attention-rollout") if name == "vit" else ("gradcam",):
        command("explain", image_id, run.folder, "--method", method, "--out", tmp_path / method)
        shown = json.loads((tmp_path / method / "explanation.json").read_text())["photographs"][image_id]
        expected = predicted.loc[image_id, list(PROBABILITY_COLUMNS)].astype(float)
        np.testing.assert_allclose(shown["networks"]["run"]["probabilities"], expected, atol=1e-5)
        saliency = np.load(tmp_path / method / image_id / "run" / "referable.npy")
        assert saliency.shape == ((4, 4) if name == "vit" else (2, 2))

    command("export", run.folder, "--out", tmp_path / "g.onnx")
    grader = retinagrade.Grader.load(tmp_path / "g.onnx")
    record = json.loads((prepared / "prepare.json").read_text())
    sources = {
        each["image_id"]: prepared.parent / "source" / each["source"]
        for each in record["photographs"]
        if each["image_id"] in predicted.index
    }
    gradings = grader.grade(sources.values(), list(sources))
    graded = np.array([each.probabilities for each in gradings])
    np.testing.assert_allclose(graded, predicted.loc[list(sources), list(PROBABILITY_COLUMNS)], atol=1e-4)
    assert grader.metadata.verification.min_saliency_correlation == pytest.approx(1, abs=1e-3)


def test_features_of_a_frozen_transformer_are_cached(prepared: Path, tmp_path: Path) -> None:
    file = experiment(tmp_path, "vit")
    settings = ["network.trained_from=none", "training.layer_decay=null", "training.logger=none"]
    run = train(prepared, str(file), tmp_path / "run", settings=settings, workers=0)
    network = load_network(run)
    stored = cache_folder(prepared, run.folder).glob("*/features.npy")  # the gate's features lie beside them
    widths = {np.load(path, mmap_mode="r").shape[-1] for path in stored}
    assert 64 in widths
    photographs = PhotographDataset(Manifest.read(prepared / "manifest.csv"), 64)
    batch = collate_photographs([photographs[0]])["photographs"]
    assert saliency_maps(network, batch, "gradcam", (0,)).shape == (1, 1, 4, 4)
    assert run.finished_record().parameters.trainable == 64 * 5 + 5

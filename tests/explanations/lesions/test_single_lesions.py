"""Saliency maps of a trained network lie on the lesion of synthetic photographs with a single lesion."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from retinagrade.datasets.prepare import prepare
from retinagrade.datasets.prepared_set import PreparationRecord
from retinagrade.datasets.split import split
from retinagrade.datasets.synthetic import photograph
from retinagrade.datasets.synthetic.lesions import draw_blob, random_point
from retinagrade.datasets.synthetic.patients import synthesize
from retinagrade.experiments.experiment import load_experiment
from retinagrade.explanations.saliency import saliency_maps
from retinagrade.grades import REFERABLE
from retinagrade.manifest import Manifest
from retinagrade.training.checkpoints import load_network
from retinagrade.training.loading import PhotographDataset, collate_photographs
from retinagrade.training.train import train

SETTINGS = ["network.image_size=192", "training.epochs=10", "training.learning_rate=1e-3"]


def one_haemorrhage(
    rng: np.random.Generator, grade: int, side: int, disc: NDArray[np.float64], _fovea: NDArray[np.float64]
) -> dict[str, NDArray[np.uint8]]:
    """Draws a single lesion in referable photographs, and none in the rest."""
    if grade < REFERABLE:
        return {}
    canvas = np.zeros((side, side), np.uint8)
    draw_blob(rng, canvas, random_point(rng, disc), rng.uniform(0.08, 0.11), roughness=0.3)
    return {"haemorrhages": canvas}


@pytest.mark.slow
def test_the_most_salient_point_is_near_the_only_lesion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photograph, "draw_lesions", one_haemorrhage)
    source, prepared = tmp_path / "source", tmp_path / "prepared"
    synthesize(source, count=300, size=224, seed=3, workers=1)
    labels = pd.read_csv(source / "labels.csv", dtype=str)
    labels["grade"] = np.where(labels["grade"].astype(int) >= REFERABLE, "2", "0")
    labels.to_csv(source / "labels.csv", index=False)
    prepare(source, prepared, size=192, workers=1)
    split(prepared, val=0.2, test=0.3, seed=0)
    run = train(prepared, load_experiment("efficientnet-lite0", SETTINGS), tmp_path / "run")

    held_out = Manifest.read(prepared / "manifest.csv").split("test").table
    manifest = Manifest(held_out[held_out["grade"] == REFERABLE].reset_index(drop=True), prepared)
    photographs = PhotographDataset(manifest, 192)
    batch = collate_photographs([photographs[row] for row in range(len(photographs))])
    network, pixels = load_network(run), batch["photographs"]
    with torch.inference_mode():
        right = network(pixels).argmax(1) == REFERABLE
    saliency = saliency_maps(network, pixels, "gradcam", ["referable"])[:, 0].numpy()
    record = PreparationRecord.read(prepared)
    outcomes = {outcome.image_id: outcome for outcome in record.photographs}
    hits, by_chance = [], []
    for row in np.flatnonzero(right.numpy()):
        image_id = batch["image_ids"][row]
        lesion = cv2.imread(str(source / "masks" / "haemorrhages" / f"{image_id}.png"), cv2.IMREAD_GRAYSCALE)
        assert lesion is not None
        placement = outcomes[image_id].place(lesion.shape[1], record.settings)
        projected = placement.project(saliency[row], *lesion.shape)
        # The neighbourhood has the width of one value of the map, its smallest distinguishable distance.
        side = placement.width
        near = cv2.distanceTransform((lesion == 0).astype(np.uint8), cv2.DIST_L2, 5) <= side / saliency.shape[-1]
        hits.append(bool(near.flat[projected.argmax()]))
        by_chance.append(near.sum() / (np.pi / 4 * side**2))
    assert len(hits) > 0.8 * len(manifest)
    assert np.mean(hits) >= 0.8
    assert np.mean(by_chance) < 0.35

"""A small prepared set with lesion masks, and an experiment that learns from it in seconds."""

from __future__ import annotations

from pathlib import Path

from retinagrade.datasets.prepare import prepare
from retinagrade.datasets.split import split
from retinagrade.datasets.synthetic.patients import synthesize
from retinagrade.experiments.experiment import Experiment, load_experiment

SIDE = 128


def write_lesion_set(folder: Path, count: int = 24) -> Path:
    """Draws eyes, prepares them with their masks and splits them."""
    synthesize(folder / "source", count, size=256, seed=0, workers=1)
    prepared = prepare(folder / "source", folder / "prepared", size=SIDE, masks=True, workers=1)
    split(prepared.folder, val=0.3)
    return prepared.folder


def tiny_lesions(*settings: str) -> Experiment:
    """Returns the experiment ``lesions`` with a tiny network and few crops."""
    return load_experiment(
        "lesions",
        [
            "network.backbone=tinynet_e",
            "network.weights=none",
            f"network.image_size={SIDE}",
            "network.lesions=[microaneurysms,haemorrhages,hard_exudates,soft_exudates]",
            "network.stages=[0,1,2]",
            "network.decoder=[24,16]",
            "crops.side=64",
            "crops.an_epoch=16",
            "training.batch_size=4",
            "training.epochs=2",
            "training.logger=none",
            *settings,
        ],
    )

"""Recipes for foundation models: they name architectures of timm, and train from a checkpoint of their kind."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from retinagrade.experiments.experiment import load_experiment
from retinagrade.models.settings import Scaling
from retinagrade.models.weights import complete_settings, published_input
from retinagrade.training.train import train

FOLDER = Path(__file__).parents[2] / "docs" / "recipes"
RECIPES = sorted(file.stem for file in FOLDER.glob("*.yaml"))
IMAGENET = Scaling(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))


def test_the_page_shows_every_recipe() -> None:
    page = (FOLDER.parent / "networks.md").read_text("utf-8")
    assert RECIPES == ["convnext", "dinov2", "dinov3", "retfound"]
    assert all(f"(recipes/{name}.yaml)" in page for name in RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_names_a_published_architecture_with_its_scaling(name: str) -> None:
    experiment = load_experiment(FOLDER / f"{name}.yaml")
    assert "Not trained here" in experiment.description or "not trained here" in experiment.description
    settings = experiment.network
    assert isinstance(settings.backbone, str)
    published_input(settings.backbone)  # which an unknown architecture fails
    assert published_input(settings.backbone)[1] or settings.weights.startswith("hf-hub:")
    scaling = complete_settings(settings.model_copy(update={"weights": "none"})).scaling
    assert scaling is not None
    assert scaling.mean == pytest.approx(IMAGENET.mean)
    assert scaling.std == pytest.approx(IMAGENET.std)
    assert experiment.training.layer_decay is not None
    patch = {"retfound": 16, "dinov2": 14, "dinov3": 16, "convnext": 32}[name]
    assert settings.image_size % patch == 0


@pytest.mark.parametrize(("name", "side"), [("retfound", 64), ("dinov2", 56), ("dinov3", 64)])
def test_a_recipe_trains_from_a_checkpoint_of_its_kind(name: str, side: int, prepared: Path, tmp_path: Path) -> None:
    """The checkpoint has the names and the size of the published one, and few layers."""
    experiment = load_experiment(FOLDER / f"{name}.yaml")
    shape: dict[str, Any] = {"depth": 2, "embed_dim": 48, "num_heads": 3}
    torch.manual_seed(0)
    backbone = str(experiment.network.backbone)
    state: dict[str, Any] = timm.create_model(backbone, num_classes=0, **shape).state_dict()
    decoder = {"mask_token": torch.zeros(1, 1, 8), "decoder_embed.weight": torch.zeros(8, 48)}
    contents: dict[str, Any] = {
        "retfound": {"model": {**state, **decoder}, "args": Namespace(model="mae"), "epoch": 1},
        "dinov2": {"teacher": {f"backbone.{key}": each for key, each in state.items()}},
        "dinov3": state,
    }
    torch.save(contents[name], tmp_path / "w.pth")
    settings = [
        f"network.weights={tmp_path / 'w.pth'}",
        f"network.image_size={side}",
        *(f"network.arguments.{key}={value}" for key, value in shape.items()),
        "training.epochs=1",
        "training.logger=none",
    ]
    run = train(prepared, str(FOLDER / f"{name}.yaml"), tmp_path / "run", settings=settings, workers=0)
    assert run.training_record().start["weights"] == str(tmp_path / "w.pth")
    assert run.experiment().network.arguments == {"drop_path_rate": 0.2, **shape}


def test_eyepacs_at_full_size_has_both_eyes_and_averaged_weights() -> None:
    experiment = load_experiment("eyepacs-512")
    assert experiment.network.image_size >= 512
    assert experiment.network.output == "ordinal"
    assert experiment.training.ema is not None
    assert experiment.training.precision == "auto"
    assert "eyepacs-512" in (FOLDER.parent / "networks.md").read_text("utf-8")

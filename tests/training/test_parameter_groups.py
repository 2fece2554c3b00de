"""Groups of parameters: every trained parameter once, and rates that fall from the head to the first layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from retinagrade.errors import ExperimentError
from retinagrade.experiments.experiment import TrainingSettings, load_experiment
from retinagrade.models.network import Network, build_network
from retinagrade.models.settings import NetworkSettings
from retinagrade.training.parameter_groups import parameter_groups


def network(backbone: str | list[str] = "test_vit", **settings: Any) -> Network:
    return build_network(
        NetworkSettings.model_validate({"backbone": backbone, "weights": "none", "image_size": 64, **settings})
    )


def rates(built: Network, **settings: Any) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of each trained parameter by its name."""
    names = {parameter: name for name, parameter in built.named_parameters()}
    groups = parameter_groups(built, TrainingSettings(**settings))
    found = {names[p]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert len(found) == sum(len(group["params"]) for group in groups)
    assert set(found) == {name for name, parameter in built.named_parameters() if parameter.requires_grad}
    assert groups[-1]["name"] == "head"
    return found


def test_rates_of_a_transformer_fall_by_block_as_in_mae() -> None:
    found = rates(network(), learning_rate=1.0, layer_decay=0.5, weight_decay=0.05)
    assert found["head.0.weight"] == (1.0, 0.05)
    assert found["backbone.norm.weight"] == (0.5, 0.0)
    for block in range(6):
        assert found[f"backbone.blocks.{block}.mlp.fc1.weight"] == (0.5 ** (6 - block), 0.05)
        assert found[f"backbone.blocks.{block}.mlp.fc1.bias"] == (0.5 ** (6 - block), 0.0)
    assert found["backbone.patch_embed.proj.weight"] == (0.5**7, 0.05)
    assert found["backbone.pos_embed"] == found["backbone.cls_token"] == (0.5**7, 0.0)


@pytest.mark.parametrize(
    ("backbone", "first", "last"),
    [
        ("test_convnext", "stem.0.weight", "stages.3.blocks.1.mlp.fc1.weight"),
        ("tf_efficientnet_lite0", "conv_stem.weight", "conv_head.weight"),
        ("swin_tiny_patch4_window7_224", "patch_embed.proj.weight", "layers.3.blocks.1.mlp.fc1.weight"),
    ],
)
def test_rates_of_other_architectures_fall_as_well(backbone: str, first: str, last: str) -> None:
    shape = {"arguments": {"embed_dim": 24}} if backbone.startswith("swin") else {}
    built = network(backbone, **shape)
    found = rates(built, learning_rate=0.1, backbone_learning_rate=0.01, layer_decay=0.9)
    assert found[f"backbone.{first}"][0] < found[f"backbone.{last}"][0] < 0.01
    assert found["head.0.weight"] == (0.1, 0.0)


def test_frozen_layers_have_no_group() -> None:
    found = rates(network(trained_from="blocks.4"), layer_decay=0.7)
    assert not any("blocks.3" in name or "embed" in name for name in found)
    assert all(name.startswith("head.") for name in rates(network(trained_from="none"), layer_decay=0.7))


def test_several_backbones_have_groups_of_their_own() -> None:
    found = rates(network(["test_vit", "test_vit2"], stages=[1, 3]), learning_rate=1.0, layer_decay=0.5)
    first, second = (found[f"backbone.{name}.blocks.3.mlp.fc1.weight"] for name in ("test_vit", "test_vit2"))
    assert first == second


def test_an_optimiser_without_decoupled_decay_has_none() -> None:
    assert {decay for _, decay in rates(network(), layer_decay=0.5, weight_decay=0.1, optimizer="adam").values()} == {0}


def test_one_rate_is_one_group_for_backbone_and_head() -> None:
    groups = parameter_groups(network(), TrainingSettings(learning_rate=1e-3, backbone_learning_rate=1e-4))
    assert [(group["name"], group["lr"]) for group in groups] == [("backbone", 1e-4), ("head", 1e-3)]


def test_backbones_without_an_order_of_layers_are_refused() -> None:
    with pytest.raises(ExperimentError, match=r"training\.layer_decay: the layers of Sequential have no known order"):
        parameter_groups(network("vgg16", pooling="gap"), TrainingSettings(layer_decay=0.7))
    with pytest.raises(ExperimentError, match="layer_decay is for pretrained backbones"):
        load_experiment("scratch-2", ["training.layer_decay=0.7"])
    with pytest.raises(ValidationError):
        TrainingSettings(layer_decay=1.5)


def test_a_step_moves_the_first_layer_less() -> None:
    built = network()
    before = {name: parameter.detach().clone() for name, parameter in built.named_parameters()}
    groups = parameter_groups(built, TrainingSettings(learning_rate=1e-2, layer_decay=0.3))
    optimizer = torch.optim.AdamW(groups, weight_decay=0.1)
    built(torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)).square().sum().backward()
    optimizer.step()
    moved = {name: float((p.detach() - before[name]).abs().max()) for name, p in built.named_parameters()}
    assert 0 < moved["backbone.patch_embed.proj.weight"] < moved["backbone.blocks.5.attn.qkv.weight"] < 1.1e-2

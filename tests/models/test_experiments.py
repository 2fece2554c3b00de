"""Every network of the report has exactly the parameters that Keras counts."""

from __future__ import annotations

from functools import cache

import pytest
from torch import nn

from retinagrade.experiments.experiment import experiment_names, load_experiment
from retinagrade.models.network import Network, build_network, count_parameters

# Totals and trainable parameters as the summaries in the report print them. Under "5 on 3.1" and "7 on 3.1" it prints
# those of model 4; here is what the networks that it describes have.
PRINTED = {
    "scratch-1": (1_355_621, 1_355_621),
    "scratch-2": (1_355_621, 1_355_621),
    "scratch-3": (6_948_165, 6_948_165),
    "scratch-4": (6_673_125, 6_673_125),
    "scratch-5": (3_452_773, 3_452_773),
    "vgg16-1": (21_138_757, 6_424_069),
    "vgg16-2": (17_926_725, 3_212_037),
    "vgg16-3-adam": (14_847_301, 132_613),
    "vgg16-3-sgd": (14_847_301, 132_613),
    "vgg16-4": (17_926_725, 10_291_461),
    "vgg16-5": (17_926_725, 16_191_237),
    "vgg16-6": (14_847_301, 14_847_301),
    "mobilenetv2-1": (2_571_589, 313_605),
    "mobilenetv2-2": (2_587_205, 329_221),
    "mobilenetv2-3-adam": (2_264_389, 6_405),
    "mobilenetv2-3-sgd": (2_264_389, 6_405),
    "mobilenetv2-3.1": (2_916_421, 658_437),
    "mobilenetv2-4-adam": (3_179_077, 921_093),
    "mobilenetv2-4-sgd": (3_179_077, 921_093),
    "mobilenetv2-4.1": (3_179_077, 921_093),
    "mobilenetv2-5-on-3.1": (2_916_421, 1_544_517),
    "mobilenetv2-5-on-4": (3_179_077, 1_807_173),
    "mobilenetv2-6-on-4": (3_179_077, 2_127_173),
    "mobilenetv2-7-on-3.1": (2_916_421, 2_880_485),
    "mobilenetv2-7-on-4": (3_179_077, 3_143_141),
}
# The report shows no summary of the others. Keras publishes these totals of their bases, which differ from PyTorch's by
# what _difference adds up; heads are 256, or twice 512 units, on 2048 or 1280 features.
KERAS_BASES = {"resnet50": 23_587_712, "inceptionv3": 21_802_784, "efficientnet-b0": 4_049_571}
HEADS = {
    "resnet50": (525_829, 1_314_309),
    "inceptionv3": (525_829, 1_314_309),
    "efficientnet-b0": (329_221, 921_093),
}
OTHERS = [f"{base}-{number}" for base in KERAS_BASES for number in (1, 2, 3)]


@cache
def network(name: str) -> Network:
    return build_network(load_experiment(name).network.model_copy(update={"weights": "none"}))


def _difference(base: str, backbone: nn.Module) -> int:
    """Parameters of Keras's base that PyTorch's lacks."""
    if base == "resnet50":  # Keras gives convolutions before batch-norm biases
        return sum(module.out_channels for module in backbone.modules() if isinstance(module, nn.Conv2d))
    if base == "inceptionv3":  # Keras's batch-norm has no scale
        return -sum(module.num_features for module in backbone.modules() if isinstance(module, nn.BatchNorm2d))
    return 7  # Keras's normalisation layer: mean and variance of three channels, and a count


@pytest.mark.parametrize("name", [*PRINTED, *OTHERS])
def test_parameters_are_keras_s_to_the_digit(name: str) -> None:
    counted = count_parameters(network(name))
    assert counted == load_experiment(name).parameters
    if name in PRINTED:
        assert counted == PRINTED[name]
        return
    base, number = name.rsplit("-", 1)
    head = HEADS[base][number == "2"]
    assert counted[0] + _difference(base, network(name).backbone) == KERAS_BASES[base] + head
    assert counted[1] == head if number != "3" else counted[1] > head


def test_all_34_experiments_of_the_report_are_there() -> None:
    assert len([*PRINTED, *OTHERS]) == 34
    assert {*PRINTED, *OTHERS} <= set(experiment_names())


@pytest.mark.parametrize("name", experiment_names())
def test_an_experiment_starts_from_one_of_the_same_network(name: str) -> None:
    experiment = load_experiment(name)
    assert experiment.name == name
    if experiment.starts_from is not None:
        before = load_experiment(experiment.starts_from).network
        ours = experiment.network
        assert ours.model_copy(update={"weights": before.weights, "trained_from": before.trained_from}) == before

"""Saliency maps compared with Captum, closed forms and properties of the methods, for every family of networks."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from retinagrade.errors import ExperimentError, UsageError
from retinagrade.explanations.attribution import integrated_gradients, occlusion, without_detail
from retinagrade.explanations.cam import combine_layers, gradcam, gradcam_plus_plus, hirescam, layercam
from retinagrade.explanations.layers import find_layer, gradients, maps_and_scores
from retinagrade.explanations.saliency import METHODS, saliency_maps
from retinagrade.explanations.scores import TARGETS, scores
from retinagrade.models.inference import inference_copy
from retinagrade.models.network import Network
from retinagrade.models.settings import UNIT, NetworkSettings, OutputName
from tests.explanations.networks import FAMILIES, SIDE, network, photographs

SIDES = {
    "scratch": 45, "vgg16": 6, "mobilenetv2": 3, "resnet50": 3, "inceptionv3": 1, "efficientnet": 3, "lite0": 3,
    "vit": 6, "swin": 3, "convnext": 3, "hybrid": 3, "stages": 12,
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_explained_without_changing_the_network(family: str) -> None:
    explained = network(**FAMILIES[family]).train()
    state = {name: tensor.clone() for name, tensor in explained.state_dict().items()}
    trained = [parameter.requires_grad for parameter in explained.parameters()]
    for method in ("gradcam", "gradcam++", "hirescam", "layercam"):
        saliency = saliency_maps(explained, photographs(), method, TARGETS)
        assert saliency.shape == (2, 6, SIDES[family], SIDES[family])
        assert saliency.dtype == torch.float32
        assert torch.isfinite(saliency).all()
        assert saliency.min() >= 0
        torch.testing.assert_close(
            saliency[:1], saliency_maps(explained, photographs(1), method, TARGETS), rtol=1e-3, atol=1e-6
        )
    assert explained.training
    assert all(torch.equal(tensor, state[name]) for name, tensor in explained.state_dict().items())
    assert [parameter.requires_grad for parameter in explained.parameters()] == trained
    assert all(parameter.grad is None for parameter in explained.parameters())


@pytest.mark.parametrize(
    ("family", "layer"),
    [("mobilenetv2", "Conv_1"), ("resnet50", "layer4"), ("vgg16", "block5_conv3"), ("scratch", "blocks.5")],
)
def test_grad_cam_equals_captum(family: str, layer: str) -> None:
    explained = network(**FAMILIES[family])
    settings = NetworkSettings(weights="none", image_size=SIDE, **FAMILIES[family])
    module = find_layer(explained, settings, layer)
    theirs = LayerGradCam(lambda pixels: scores(explained.output, explained(pixels), TARGETS), module)
    pixels = photographs().float().requires_grad_()
    expected = torch.cat(
        [theirs.attribute(pixels, target=place).relu() for place in range(len(TARGETS))], dim=1
    ).float()
    torch.testing.assert_close(saliency_maps(explained, photographs(), "gradcam", TARGETS, module), expected)
    if family != "scratch":  # whose last layer comes after max-pooling
        torch.testing.assert_close(saliency_maps(explained, photographs(), "gradcam", TARGETS), expected)


def test_grad_cam_of_one_dense_layer_after_average_pooling_is_the_class_activation_map() -> None:
    explained = network(backbone="resnet50", pooling="gap")
    dense = explained.head[-1]  # type: ignore[index]
    assert isinstance(dense, nn.Linear)
    with torch.no_grad():
        maps = explained.backbone((photographs() - explained.mean) / explained.std)
    # B. Zhou et al., "Learning deep features for discriminative localization", CVPR 2016, equation 2.
    closed = torch.einsum("gc,nchw->nghw", dense.weight, maps).relu() / maps[0, 0].numel()
    saliency = saliency_maps(explained, photographs(), "gradcam", TARGETS[:5])
    torch.testing.assert_close(saliency, closed.detach(), rtol=1e-4, atol=1e-7)
    by_value = saliency_maps(explained, photographs(), "hirescam", TARGETS[:5])
    torch.testing.assert_close(by_value, saliency, rtol=1e-4, atol=1e-7)


def test_hirescam_of_a_linear_head_adds_up_to_the_logit() -> None:
    """Also of a flattened map through max-pooling, and of several stages, each by its part."""
    for settings in ({**FAMILIES["scratch"], "dense": ()}, {**FAMILIES["stages"], "feature_dropout": 0.5}):
        explained = network(**settings)
        maps, of = maps_and_scores(explained, photographs(), TARGETS[:5])
        slopes = gradients(maps, of)
        saliency = [hirescam(one.unsqueeze(1), slope) for one, slope in zip(maps, slopes, strict=True)]
        bias = explained.head(torch.zeros_like(explained.features(photographs())))
        parts = sum(one.sum((2, 3)) for one in saliency)
        torch.testing.assert_close(parts, explained(photographs()) - bias, rtol=1e-3, atol=1e-3)
        whole = combine_layers(saliency)
        area = whole.shape[-1] ** 2 / max(one.shape[-1] for one in saliency) ** 2
        torch.testing.assert_close(whole.sum((2, 3)) / area, parts, rtol=0.05, atol=0.05)


def test_formulas_give_results_computed_by_hand() -> None:
    maps = torch.tensor([[[1.0, 2.0], [0.0, 1.0]], [[3.0, 0.0], [0.0, 1.0]]])
    slopes = torch.tensor([[[1.0, 0.0], [0.0, -1.0]], [[2.0, 2.0], [0.0, 0.0]]])
    assert gradcam(maps, slopes).tolist() == [[3.0, 0.0], [0.0, 1.0]]
    assert hirescam(maps, slopes).tolist() == [[7.0, 0.0], [0.0, -1.0]]
    assert layercam(maps, slopes).tolist() == [[7.0, 0.0], [0.0, 0.0]]
    # First map: 1/(2 + 4) × 1; second: 4/(8 + 4 × 8) × 2, twice.
    first, second = 1 / 6, 2 * 2 * 4 / 40
    expected = [[first + 3 * second, 2 * first], [0.0, first + second]]
    torch.testing.assert_close(gradcam_plus_plus(maps, slopes), torch.tensor(expected))


@pytest.mark.parametrize("output", get_args(OutputName))
def test_integrated_gradients_are_complete(output: OutputName) -> None:
    explained = network(**FAMILIES["scratch"], output=output)
    values = integrated_gradients(explained, photographs(), TARGETS)
    with torch.no_grad():
        ends = [
            scores(explained.output, explained(pixels), TARGETS)
            for pixels in (photographs(), without_detail(photographs()))
        ]
    torch.testing.assert_close(values.double().sum((2, 3)), ends[0] - ends[1], rtol=0.05, atol=0.01)
    assert saliency_maps(explained, photographs(), "integrated-gradients", TARGETS).equal(values.clamp(min=0))


class Spot(nn.Module):
    """A backbone that only uses one region of the photograph."""

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels[:, :, 40:48, 56:64]


def region_network() -> Network:
    torch.manual_seed(0)
    return Network(Spot(), nn.Flatten(), nn.Linear(192, 5), UNIT).eval()


@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion"])
def test_pixels_without_influence_have_no_saliency(method: str) -> None:
    explained = region_network()
    saliency = saliency_maps(explained, photographs(), method, TARGETS)
    reach = {"integrated-gradients": 0, "occlusion": SIDE // 8}[method]
    used = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    used[40 - reach : 48 + reach, 56 - reach : 64 + reach] = True
    assert saliency[..., ~used].max() == 0
    assert saliency[..., used].amax((0, 2)).min() > 0


def test_occlusion_is_the_mean_decrease_over_the_windows_of_a_pixel() -> None:
    explained = network(**FAMILIES["scratch"])
    batch = photographs()
    values = occlusion(explained, batch, TARGETS)
    smooth, window, stride = without_detail(batch), SIDE // 8, SIDE // 16
    decreases = []
    with torch.no_grad():
        before = scores(explained.output, explained(batch), TARGETS)
        for top in range(0, SIDE - window + 1, stride):
            for left in range(0, SIDE - window + 1, stride):
                if top <= 50 < top + window and left <= 20 < left + window:
                    pixels = batch.float()
                    place = (..., slice(top, top + window), slice(left, left + window))
                    pixels[place] = smooth[place]
                    decreases.append(before - scores(explained.output, explained(pixels), TARGETS))
    assert len(decreases) == 4
    torch.testing.assert_close(values[:, :, 50, 20].double(), torch.stack(decreases).mean(0), rtol=1e-3, atol=1e-5)


def test_a_copy_without_detail_keeps_colours_and_the_edge_of_the_field_of_view() -> None:
    photograph = torch.zeros(1, 3, 64, 64)
    photograph[:, 0, 8:56, 8:56], photograph[:, 1, 8:56, 8:56] = 180, 90
    torch.testing.assert_close(without_detail(photograph), photograph)
    photograph[..., 30:32, 30:32] = 20
    smooth = without_detail(photograph.byte())
    assert smooth[0, 0, 30, 30] > 150
    assert smooth[..., :8, :].max() == 0


def test_a_copy_for_prediction_has_the_same_maps() -> None:
    explained = network(**FAMILIES["mobilenetv2"])
    copy = inference_copy(explained, torch.float32, SIDE)
    saliency = saliency_maps(explained, photographs(), "gradcam", TARGETS)
    torch.testing.assert_close(saliency_maps(copy, photographs(), "gradcam", TARGETS), saliency, rtol=1e-3, atol=1e-6)


def test_unknown_methods_and_layers_are_refused() -> None:
    explained = network(**FAMILIES["mobilenetv2"])
    settings = NetworkSettings(weights="none", image_size=SIDE, **FAMILIES["mobilenetv2"])
    with pytest.raises(ExperimentError, match=r"has no layer 'Conv_2': one of Conv1, block_0, .*Conv_1"):
        find_layer(explained, settings, "Conv_2")
    with pytest.raises(UsageError, match=r"unknown method 'saliency': choose one of gradcam, .*occlusion"):
        saliency_maps(explained, photographs(), "saliency", TARGETS)
    with pytest.raises(UsageError, match="occlusion uses no single layer"):
        saliency_maps(explained, photographs(), "occlusion", TARGETS, explained.backbone)
    with pytest.raises(ExperimentError, match="no feature maps"):
        saliency_maps(explained, photographs(), "gradcam", TARGETS, explained.head)
    assert len(METHODS) == 7

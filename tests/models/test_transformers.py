"""Vision transformers as backbones: tokens, sizes of photographs, frozen layers, and weights under other names."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor

from retinagrade.errors import ExperimentError
from retinagrade.models import weights as module
from retinagrade.models.lesion_network import build_lesion_network
from retinagrade.models.network import build_network, count_parameters
from retinagrade.models.settings import NetworkSettings
from retinagrade.models.summary import summarise_network
from retinagrade.models.weights import describe_weights

SWIN: dict[str, Any] = {"backbone": "swin_tiny_patch4_window7_224", "arguments": {"embed_dim": 24}}


def settings(backbone: str = "test_vit", image_size: int = 64, weights: str | Path = "none", **others: Any) -> Any:
    values = {"backbone": backbone, "image_size": image_size, "weights": str(weights)}
    return NetworkSettings.model_validate({**values, **others})


def photographs(side: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, side, side), generator=generator, dtype=torch.uint8)


def test_features_are_the_mean_of_the_last_tokens_of_patches() -> None:
    network = build_network(settings()).eval()
    pixels = (photographs(64) - network.mean) / network.std
    with torch.no_grad():
        model: Any = network.backbone
        tokens = model.forward_features(pixels)
        features = network.features(photographs(64))
    assert tokens.shape == (2, 17, 64)
    torch.testing.assert_close(features, tokens[:, 1:].mean(1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backbone", ["test_vit", "test_convnext", "test_coatnet", "vit_tiny_r_s16_p8_224", "swin"])
def test_layers_of_every_kind_are_counted_and_frozen(backbone: str) -> None:
    chosen = settings(**SWIN) if backbone == "swin" else settings(backbone)
    network = build_network(chosen)
    rows = summarise_network(network, chosen)
    assert (sum(row.total for row in rows), sum(row.trainable for row in rows)) == count_parameters(network)
    names = [row.name for row in rows if row.name.partition(".")[0] in ("blocks", "layers", "stages")]
    partly = build_network(chosen.model_copy(update={"trained_from": names[-1]})).train()
    before = {name: tensor.clone() for name, tensor in partly.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in partly.parameters() if p.requires_grad], lr=0.1)
    partly(photographs(64)).square().sum().backward()
    optimizer.step()
    moved = {name for name, tensor in partly.state_dict().items() if not torch.equal(tensor, before[name])}
    assert any(name.startswith(f"backbone.{names[-1]}.") for name in moved)
    earlier = tuple(f"backbone.{name}." for name in names[:-1])
    assert not any(name.startswith((*earlier, "backbone.pos", "backbone.cls", "backbone.patch")) for name in moved)


def test_a_chain_of_stages_stands_for_its_first() -> None:
    """Runs of earlier releases name it so."""
    network = build_network(settings("test_convnext", trained_from="stages"))
    trained = {name.partition(".")[0] for name, p in network.backbone.named_parameters() if p.requires_grad}
    assert "stem" not in trained
    assert "stages" in trained


def test_blocks_of_a_transformer_are_stages() -> None:
    network = build_network(settings(stages=[1, 3])).eval()
    assert network.features(photographs(64)).shape == (2, 128)
    assert not any(name.startswith("backbone.blocks.4") for name in network.state_dict())


@pytest.mark.parametrize(
    ("backbone", "side", "reason"),
    [
        ("pit_ti_224", 224, "no feature maps"),
        ("deit_tiny_distilled_patch16_224", 224, "no form without its classifier"),
        ("test_vit", 72, "set it to 64 or 80"),
        ("efficientformer_l1", 64, "image_size"),
    ],
)
def test_backbones_and_sizes_that_give_no_maps_are_refused(backbone: str, side: int, reason: str) -> None:
    with pytest.raises(ExperimentError, match=reason):
        build_network(settings(backbone, side))


def test_a_transformer_can_not_be_the_encoder_of_a_u_net() -> None:
    lesions = settings(stages=[0, 1], output="lesions", lesions=["microaneurysms"], decoder=[8, 8])
    with pytest.raises(ExperimentError, match="choose a convolutional network"):
        build_lesion_network(lesions)


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """A vision transformer of 64 px, as its authors would publish it."""
    torch.manual_seed(3)
    model: Any = timm.create_model("test_vit", img_size=64)
    with torch.no_grad():
        model.pos_embed.normal_()
    return dict(model.state_dict())


def test_positions_are_resized_to_the_photographs(published: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(published, tmp_path / "w.safetensors", {"architecture": "test_vit"})
    same = build_network(settings(weights=tmp_path / "w.safetensors")).backbone
    torch.testing.assert_close(same.state_dict()["pos_embed"], published["pos_embed"], rtol=0, atol=0)
    larger = build_network(settings(image_size=96, weights=tmp_path / "w.safetensors")).backbone.state_dict()
    expected = resample_abs_pos_embed(published["pos_embed"], [6, 6], num_prefix_tokens=1)
    torch.testing.assert_close(larger["pos_embed"], expected)
    torch.testing.assert_close(larger["blocks.3.attn.qkv.weight"], published["blocks.3.attn.qkv.weight"])


def mae(state: dict[str, Tensor]) -> dict[str, Any]:
    """A checkpoint of a masked autoencoder's training, as RETFound publishes it."""
    decoder = {"mask_token": torch.zeros(1, 1, 8), "decoder_pos_embed": torch.zeros(1, 17, 8)}
    encoder = {name: each for name, each in state.items() if not name.startswith("head")}
    return {"model": {**encoder, **decoder}, "epoch": 3, "args": Namespace(model="mae_vit", lr=1e-3)}


def dinov2(state: dict[str, Tensor]) -> dict[str, Any]:
    """A checkpoint of DINOv2's training."""
    named = {f"backbone.{name}": each for name, each in state.items() if not name.startswith("head")}
    head = {"dino_head.last_layer.weight_v": torch.zeros(4, 4)}
    return {"teacher": {**named, "backbone.mask_token": torch.zeros(1, 64), **head}}


@pytest.mark.parametrize("side", [64, 96])
@pytest.mark.parametrize("form", [mae, dinov2, lambda state: {"state_dict": state}], ids=["mae", "dinov2", "timm"])
def test_checkpoints_of_trainings_are_read(form: Any, side: int, published: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(form(published), tmp_path / "w.pth")
    network = build_network(settings(image_size=side, weights=tmp_path / "w.pth"))
    loaded = network.backbone.state_dict()
    for name in ("blocks.5.mlp.fc2.weight", "norm.weight", "cls_token", "patch_embed.proj.weight"):
        torch.testing.assert_close(loaded[name], published[name], rtol=0, atol=0)
    assert loaded["pos_embed"].shape[1] == (side // 16) ** 2 + 1


def test_registers_of_dinov2_get_timm_s_names(tmp_path: Path) -> None:
    torch.manual_seed(4)
    name, size = "vit_small_patch14_reg4_dinov2", dict[str, Any](depth=2, embed_dim=48, num_heads=3)
    state = timm.create_model(name, img_size=56, num_classes=0, **size).state_dict()
    theirs = {key: each for key, each in state.items() if key not in ("reg_token", "cls_token", "pos_embed")}
    places = torch.cat([torch.ones(1, 1, 48), state["pos_embed"]], dim=1)  # theirs have one for the class token
    theirs |= {"register_tokens": state["reg_token"], "cls_token": state["cls_token"] - 1, "pos_embed": places}
    torch.save({**theirs, "mask_token": torch.zeros(1, 48)}, tmp_path / "w.pth")
    chosen = settings(name, 56, tmp_path / "w.pth", arguments=size)
    loaded = build_network(chosen).backbone.state_dict()
    for key in ("reg_token", "cls_token", "pos_embed"):
        torch.testing.assert_close(loaded[key], state[key])


def test_a_checkpoint_of_another_transformer_names_the_tensor(published: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({"model": published}, tmp_path / "w.pth")
    with pytest.raises(ExperimentError, match=r"w\.pth does not fit: .* is needed"):
        build_network(settings(weights=tmp_path / "w.pth", arguments={"embed_dim": 96}))
    del published["blocks.2.norm1.weight"]
    torch.save({"model": published}, tmp_path / "w.pth")
    with pytest.raises(ExperimentError, match=r"no tensor blocks\.2\.norm1\.weight"):
        build_network(settings(weights=tmp_path / "w.pth"))


def test_a_checkpoint_can_not_run_code(tmp_path: Path) -> None:
    torch.save({"model": {}, "args": Path("x")}, tmp_path / "w.pth")
    with pytest.raises(ExperimentError, match="not a readable file of weights"):
        build_network(settings(weights=tmp_path / "w.pth"))


def test_weights_come_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"model": timm.create_model("test_vit", img_size=64).state_dict()}, tmp_path / "w.pth")
    asked: list[tuple[str, str]] = []

    def download(repository: str, file: str) -> str:
        asked.append((repository, file))
        return str(tmp_path / "w.pth")

    monkeypatch.setattr(module, "hf_hub_download", download)
    module.download_weights.cache_clear()
    chosen = settings(weights="hf-hub:someone/retina/folder/w.pth")
    build_network(chosen)
    assert describe_weights(chosen)["weights"] == "hf-hub:someone/retina/folder/w.pth"
    assert asked == [("someone/retina", "folder/w.pth")]


def test_a_hub_that_is_out_of_reach_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(repository: str, file: str) -> str:
        raise OSError("no network")

    monkeypatch.setattr(module, "hf_hub_download", refuse)
    module.download_weights.cache_clear()
    with pytest.raises(ExperimentError, match=r"hf-hub:someone/retina/w\.pth could not be downloaded .*no network"):
        build_network(settings(weights="hf-hub:someone/retina/w.pth"))
    with pytest.raises(ExperimentError, match="write hf-hub:OWNER/REPOSITORY/FILE"):
        build_network(settings(weights="hf-hub:retina"))

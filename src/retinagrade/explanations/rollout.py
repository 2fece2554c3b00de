"""Attention rollout weighted by gradients: from which patches a vision transformer's blocks carry a score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from retinagrade.errors import ExperimentError
from retinagrade.explanations.cam import hirescam
from retinagrade.explanations.scores import Target, scores
from retinagrade.models.attention import explicit_attention
from retinagrade.models.network import Network, feature_maps, scale_pixels


def attention_rollout(network: Network, photographs: Tensor, targets: Sequence[Target]) -> Tensor:
    """Computes the relevance of each patch of a photograph for scores of a vision transformer.

    The relevance of the last tokens is their own part of the score (:func:`~retinagrade.explanations.cam.hirescam`,
    positive parts, with the sum 1). Each block, from the last to the first, adds the relevance that its attention
    carries to the tokens it attends to: ``r + r Ā``, where Ā is the mean over the heads of the attention times its
    gradient, positive parts. The source has a class token alone as the last token, and ours are averaged.

    Source: H. Chefer, S. Gur and L. Wolf, "Generic attention-model explainability for interpreting bi-modal and
    encoder-decoder transformers", ICCV 2021, equations 5 and 6.

    Args:
        network: A network in evaluation mode, whose backbone is a plain vision transformer: every block attends to all
            tokens.
        photographs: RGB pixels (N, 3, S, S), uint8.
        targets: T targets.

    Returns:
        Relevance (N, T, h, w) of the patches, float32, at least 0.

    Raises:
        ExperimentError: The backbone is no plain vision transformer, or the network averages stages of it.
    """
    layers = _attention_layers(network)
    rows = [_of_one(network, photograph[None], targets, layers) for photograph in photographs]
    return torch.cat(rows)  # one photograph at a time: the attentions of all blocks take much memory


def _of_one(network: Network, photograph: Tensor, targets: Sequence[Target], layers: Sequence[nn.Module]) -> Tensor:
    with explicit_attention(network), _recorded(layers) as record:
        pixels = scale_pixels(photograph, network.mean, network.std).to(network.dtype)
        maps = feature_maps(network.backbone, pixels, None)
        assert isinstance(maps, Tensor)
        values = scores(network.output, network.head(network.pooling(maps)), targets)
    side, tokens = maps.shape[-1], record[-1][0].shape[-1] if record else 0
    first = tokens - side * side
    if len(record) != len(layers) or any(each.shape[-2:] != (tokens, tokens) for each, _ in record) or first < 0:
        raise ExperimentError(_refusal(network))
    relevances = []
    for value in values.unbind(1):
        slope, *slopes = torch.autograd.grad(value.sum(), [maps, *(leaf for _, leaf in record)], retain_graph=True)
        own = hirescam(maps.detach(), slope).clamp(min=0).flatten(1)
        relevance = torch.zeros(len(own), tokens, device=own.device)
        relevance[:, first:] = own / own.sum(1, keepdim=True).clamp(min=torch.finfo(own.dtype).tiny)
        for (attention, _), of_attention in zip(record[::-1], slopes[::-1], strict=True):
            carried = (attention * of_attention).clamp(min=0).mean(1).float()
            relevance = relevance + (relevance[:, None] @ carried)[:, 0]
        relevances.append(relevance[:, first:].reshape(-1, side, side))
    return torch.stack(relevances, dim=1)


def _attention_layers(network: Network) -> list[nn.Module]:
    """Returns the attention of each block of a plain vision transformer, first to last."""
    blocks = getattr(network.backbone, "blocks", None)
    if network.stages is not None or not isinstance(blocks, nn.Sequential | nn.ModuleList):
        raise ExperimentError(_refusal(network))
    layers = [getattr(block, "attn", None) for block in blocks]
    known = [layer for layer in layers if hasattr(layer, "attn_drop") and hasattr(layer, "fused_attn")]
    if not known or len(known) != len(layers):
        raise ExperimentError(_refusal(network))
    return [layer for layer in known if isinstance(layer, nn.Module)]


def _refusal(network: Network) -> str:
    kind = type(network.backbone).__name__
    return (
        "attention-rollout needs the whole of a plain vision transformer, such as vit_base_patch16_224, and this "
        f"network has {'stages of ' * (network.stages is not None)}{kind}: choose gradcam or integrated-gradients"
    )


@contextmanager
def _recorded(layers: Sequence[nn.Module]) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Records the attention (N, heads, T, T) of each layer in a ``with`` block, and a zero that was added to it.

    The gradient with respect to the zero is that of the attention, also where no weight has a gradient.
    """
    record: list[tuple[Tensor, Tensor]] = []

    def note(_: nn.Module, __: object, output: Tensor) -> Tensor:
        zero = torch.zeros_like(output).requires_grad_()
        record.append((output.detach(), zero))
        return output + zero

    dropouts = [layer.get_submodule("attn_drop") for layer in layers]
    hooks = [dropout.register_forward_hook(note) for dropout in dropouts]
    try:
        yield record
    finally:
        for hook in hooks:
            hook.remove()

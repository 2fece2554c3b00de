"""Attention of transformers as separate operations, in place of one fused kernel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def explicit_attention(network: nn.Module) -> Iterator[None]:
    """Makes timm's attention layers multiply, scale and normalise step by step within a ``with`` block.

    The fused kernel returns no attention weights, and PyTorch can't export it to ONNX for all architectures. The
    results are the same except for rounding.
    """
    layers = [module for module in network.modules() if isinstance(getattr(module, "fused_attn", None), bool)]
    fused = [layer.fused_attn for layer in layers]
    try:
        for layer in layers:
            layer.fused_attn = False  # type: ignore[assignment]  # a plain attribute, neither parameter nor module
        yield
    finally:
        for layer, was_fused in zip(layers, fused, strict=True):
            layer.fused_attn = was_fused

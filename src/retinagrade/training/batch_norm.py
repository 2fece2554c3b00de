"""Batch-norm whose statistics are of the batches of all processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class SynchronisedBatchNorm(TorchFunctionMode):
    """Batch-norm that is training takes mean and variance over the batches of all processes.

    torch's ``SyncBatchNorm`` is another layer, so another network; it runs on GPUs alone, and put in place of timm's
    batch-norm, it loses the activation that belongs to it. Here layers stay what they are.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Takes training batch-norm over, and leaves all other functions as they are."""
        if func is F.batch_norm:
            return _batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _batch_norm(
    features: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """``torch.nn.functional.batch_norm`` of the batches of all processes, which are of one size."""
    if not training:
        return F.batch_norm(features, running_mean, running_var, weight, bias, False, momentum, eps)
    exact = features.float()
    others = [axis for axis in range(exact.ndim) if axis != 1]
    shape = [1, -1] + [1] * (exact.ndim - 2)
    mean = _mean(exact.mean(others))
    centred = exact - mean.reshape(shape)
    variance = _mean(centred.square().mean(others))
    if running_mean is not None and running_var is not None:
        seen = dist.get_world_size() * exact.numel() / exact.shape[1]
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * (seen / (seen - 1))).to(running_var.dtype), momentum)
    normal = centred * (variance + eps).rsqrt().reshape(shape)
    if weight is not None and bias is not None:
        normal = normal * weight.reshape(shape) + bias.reshape(shape)
    return normal.to(features.dtype)


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        """Adds up what all processes have."""
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Adds up what the total means to all of them."""
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def _mean(tensor: Tensor) -> Tensor:
    """The mean over all processes."""
    total: Tensor = _Sum.apply(tensor)
    return total / dist.get_world_size()

"""Batch-norm of a training on several devices, with statistics over the batches of all processes.

GPUs use torch's layers, which timm puts in the place of its own; they run on GPUs alone. Processors use
:class:`SynchronisedBatchNorm`. See ``docs/decisions/0002-synchronised-batch-norm.md``.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor
from torch.overrides import TorchFunctionMode

from retinagrade.models.lesion_network import LesionNetwork
from retinagrade.models.network import Network
from retinagrade.models.settings import NetworkSettings


def convert_batch_norm(network: Network | LesionNetwork, settings: NetworkSettings) -> None:
    """Replaces a network's batch-norm layers, in place, by torch's synchronised ones.

    Names, tensors and optimiser order stay the same, so that checkpoints fit networks of either kind. Layers that were
    frozen stay frozen.

    Args:
        network: A network in training mode.
        settings: The settings that it was built from.
    """
    network.backbone = convert_sync_batchnorm(network.backbone)  # type: ignore[no-untyped-call]
    network.head = convert_sync_batchnorm(network.head)  # type: ignore[no-untyped-call]
    if isinstance(network, Network):
        network.freeze(settings)


class SynchronisedBatchNorm(TorchFunctionMode):
    """A context in which batch-norm in training mode takes mean and variance over the batches of all processes.

    It changes the function that batch-norm layers call, so layers keep their types and their activations.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replaces ``torch.nn.functional.batch_norm``, and calls all other functions unchanged."""
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
    """Computes ``torch.nn.functional.batch_norm`` over the batches of all processes, which have the same size."""
    if not training:
        return F.batch_norm(features, running_mean, running_var, weight, bias, False, momentum, eps)
    exact = features.float()
    other_axes = [axis for axis in range(exact.ndim) if axis != 1]
    shape = [1, -1] + [1] * (exact.ndim - 2)
    mean = _mean(exact.mean(other_axes))
    centred = exact - mean.reshape(shape)
    variance = _mean(centred.square().mean(other_axes))
    if running_mean is not None and running_var is not None:
        count = dist.get_world_size() * exact.numel() / exact.shape[1]
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * (count / (count - 1))).to(running_var.dtype), momentum)
    normal = centred * (variance + eps).rsqrt().reshape(shape)
    if weight is not None and bias is not None:
        normal = normal * weight.reshape(shape) + bias.reshape(shape)
    return normal.to(features.dtype)


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        """Adds up the tensors of all processes."""
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Adds up the gradients of all processes."""
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def _mean(tensor: Tensor) -> Tensor:
    """Computes the mean over all processes."""
    total: Tensor = _Sum.apply(tensor)
    return total / dist.get_world_size()

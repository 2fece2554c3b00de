"""Networks whose features OpenVINO computes in half precision, faster than PyTorch on a processor."""

from __future__ import annotations

import warnings
from copy import deepcopy
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn

from retinagrade.execution.half_precision import compile_graph, import_openvino
from retinagrade.models.network import Network

_TOLERANCE: Final = 0.1
"""Largest allowed change of a feature, relative to the largest feature; bfloat16 changes them by about 0.01."""


@torch.no_grad()
def compiled_copy(network: Network, image_size: int, batch_size: int) -> Network | None:
    """Makes a copy of a network that only predicts, whose features OpenVINO computes in bfloat16.

    The head computes in float32. The preparation takes seconds, for a gain in speed that ``docs/benchmarks.md`` has.

    Args:
        network: A network, in either mode; it stays unchanged.
        image_size: Side of the photographs, in pixels.
        batch_size: Number of photographs in each batch.

    Returns:
        A network in evaluation mode, for uint8 photographs on the processor; ``None`` where OpenVINO isn't installed,
        the processor has no bfloat16, or OpenVINO doesn't compute this network.
    """
    try:
        openvino = import_openvino()
    except ModuleNotFoundError:
        return None
    ready = deepcopy(network).cpu().eval().requires_grad_(False)
    noise = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2, image_size, image_size, 3), dtype=torch.uint8, generator=noise)
    shape = openvino.PartialShape([batch_size, image_size, image_size, 3])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns of what a trace may miss; the check below would find it
            graph = openvino.convert_model(_FeaturesOfPixels(ready), example_input=pixels, input=[shape])
        compiled = compile_graph(graph, torch.get_num_threads())
    except Exception:  # the exceptions of OpenVINO have no common base
        return None
    if compiled is None:
        return None
    photographs = pixels.permute(0, 3, 1, 2)
    exact = ready.features(photographs)
    ready.__class__ = _CompiledNetwork
    cast(_CompiledNetwork, ready).compiled = compiled
    batch = photographs.repeat(-(-batch_size // 2), 1, 1, 1)[:batch_size]
    count = min(2, batch_size)
    change = (ready.features(batch)[:count] - exact[:count]).abs().max()
    return ready if change <= _TOLERANCE * exact.abs().max() else None


class _FeaturesOfPixels(nn.Module):
    """The features of photographs (N, S, S, 3), as the loader has them in memory."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network.features(pixels.permute(0, 3, 1, 2))


class _CompiledNetwork(Network):
    """A network with features by OpenVINO."""

    compiled: Any

    def features(self, photographs: Tensor) -> Tensor:
        """Computes the features of a whole batch (N, 3, S, S), uint8: vectors (N, F), float32."""
        pixels = np.ascontiguousarray(photographs.permute(0, 2, 3, 1).numpy())
        return torch.from_numpy(np.array(self.compiled([pixels])[0]))  # OpenVINO writes the next batch to its array

"""Properties of the machine: worker processes, memory and floating-point precision."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final, Literal

import torch

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_MAX: Final = -4
"""Parameters of glibc's mallopt(3)."""

TrainingPrecision = Literal["32-true", "bf16-mixed", "16-mixed"]


def loader_workers(trainings: int = 1) -> int:
    """Returns the number of worker processes that speed a loader up: none without a GPU, else up to eight.

    Args:
        trainings: Processes that train on this machine, one for each device.
    """
    if not torch.cuda.is_available():
        return 0
    return min(8, max(1, ((os.cpu_count() or 2) - 1) // trainings))


def keep_freed_memory() -> None:
    """Makes glibc keep freed memory for this process; with another C library, nothing happens.

    By default, glibc returns every large block to the system. A step's activations are hundreds of megabytes, which the
    system then maps and clears page by page at the next step: up to 40 % of a step's time on a processor.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)


def lightning_precision(precision: Literal["auto", "32", "bf16", "16"]) -> TrainingPrecision:
    """Returns Lightning's name of a precision; ``auto`` selects the fastest that the machine has.

    A processor that emulates bfloat16 reached a tenth of the speed of float32, so a processor must have the
    instructions (AMX or AVX512-BF16). Without a GPU, ``16`` is bfloat16, because few processors compute float16.
    """
    if precision != "auto":
        half: TrainingPrecision = "16-mixed" if torch.cuda.is_available() else "bf16-mixed"
        names: dict[str, TrainingPrecision] = {"32": "32-true", "bf16": "bf16-mixed", "16": half}
        return names[precision]
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    return "bf16-mixed" if _processor_has_bfloat16() else "32-true"


def weights_dtype(precision: Literal["auto", "32", "bf16", "16"]) -> torch.dtype:
    """Returns the type of a network's weights in a precision, see :func:`lightning_precision`."""
    names = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    return names[lightning_precision(precision)]


def _processor_has_bfloat16() -> bool:
    # torch's own probes are private before torch.cpu.get_capabilities (2.12); each release has one of these.
    for probe in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        supported = getattr(torch.cpu, probe, None)
        if supported is not None and supported():
            return True
    return False

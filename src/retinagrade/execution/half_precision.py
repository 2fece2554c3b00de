"""Graphs that OpenVINO computes in half precision (bfloat16) on a processor."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any


def import_openvino() -> Any:
    """Imports OpenVINO, and turns its usage reports off.

    Raises:
        ModuleNotFoundError: It isn't installed.
    """
    # Without this module, OpenVINO reports nothing; with it, the import looks up a server of its makers and writes an
    # identifier into the home folder.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@cache
def openvino_core() -> Any:
    """Returns the core of OpenVINO that this process uses, always the same one.

    Each core gives the thread a stack for signals of its own, and takes the memory away when it is deleted. If another
    core came in between, the next signal, such as the end of a child process, would then kill this process (OpenVINO
    2026.4).

    Raises:
        ModuleNotFoundError: OpenVINO isn't installed.
    """
    return import_openvino().Core()


def compile_graph(graph: Any, threads: int) -> Any | None:
    """Prepares a graph.

    Args:
        graph: A model of OpenVINO.
        threads: Number of threads that compute it.

    Returns:
        The compiled model, which is a function of a list of arrays; ``None`` on a processor without bfloat16.
    """
    core = openvino_core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return None
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    return core.compile_model(graph, "CPU", settings)

"""Compares the engines that could compute ``retinagrade predict``, on the processor.

    python benchmarks/prediction_engines.py [NETWORK…]

The engines are the inference of ``predict`` (PyTorch), ONNX Runtime and OpenVINO; in float32, and in bfloat16 where the
engine and the processor have it. Each computes the same batch of 32 photographs of noise, with random weights. All
engines take turns in one process, so that other load on the machine affects them alike; a figure is the median of all
turns. The times to prepare an engine are printed beside it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from our_side import batch_of

from retinagrade.experiments.experiment import load_experiment
from retinagrade.models.inference import inference_copy
from retinagrade.models.network import Network, build_network
from retinagrade.training.devices import keep_freed_memory
from training import NETWORKS

BATCH, THREADS, TURNS, SECONDS = 32, 2, 3, 2.5

Batch = NDArray[np.uint8]
Compute = Callable[[Batch], NDArray[np.float32]]


def torch_engine(network: Network, dtype: torch.dtype, side: int) -> Compute:
    """Returns the inference of ``predict``."""
    ready = inference_copy(network, dtype, side)
    return lambda batch: ready(torch.from_numpy(batch)).float().numpy()


def onnx_engine(network: Network, batch: Batch) -> Compute:
    """Returns the network as ONNX Runtime computes it, in float32."""
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        file = Path(folder) / "network.onnx"
        torch.onnx.export(network, (torch.from_numpy(batch),), file, dynamo=False, input_names=["batch"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda values: session.run(None, {"batch": values})[0]


def openvino_engine(network: Network, precision: str, batch: Batch) -> Compute:
    """Returns the network as OpenVINO computes it, in ``f32`` or ``bf16``."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # it would look up a server
    import openvino as ov

    with torch.no_grad():
        graph = ov.convert_model(network, example_input=torch.from_numpy(batch), input=[ov.PartialShape(batch.shape)])
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY"}
    compiled = ov.Core().compile_model(graph, "CPU", settings)
    return lambda values: compiled([values])[0]


def compare(name: str) -> None:
    """Prints a row for each engine of one network."""
    base, overrides = NETWORKS[name]
    experiment = load_experiment(base, ["network.weights=none", *overrides])
    side = experiment.network.image_size
    network = build_network(experiment.network).eval()
    batch = batch_of(BATCH, side)["photographs"].contiguous().numpy()
    makers: dict[str, Callable[[], Compute]] = {
        "predict, float32": lambda: torch_engine(network, torch.float32, side),
        "ONNX Runtime, float32": lambda: onnx_engine(network, batch),
        "OpenVINO, float32": lambda: openvino_engine(network, "f32", batch),
        "predict, bfloat16": lambda: torch_engine(network, torch.bfloat16, side),
        "OpenVINO, bfloat16": lambda: openvino_engine(network, "bf16", batch),
    }
    engines: dict[str, Compute] = {}
    ready: dict[str, float] = {}
    for engine, make in makers.items():
        start = time.perf_counter()
        engines[engine] = make()
        ready[engine] = time.perf_counter() - start
    right = engines["predict, float32"](batch)
    seconds: dict[str, list[float]] = {engine: [] for engine in engines}
    for _ in range(TURNS):
        for engine, compute in engines.items():
            compute(batch)  # warms up
            end = time.perf_counter() + SECONDS
            while time.perf_counter() < end:
                start = time.perf_counter()
                compute(batch)
                seconds[engine].append(time.perf_counter() - start)
    for engine, compute in engines.items():
        rate, change = BATCH / median(seconds[engine]), np.abs(compute(batch) - right).max() / np.abs(right).max()
        print(f"| {name} | {engine} | {rate:.4g} | {ready[engine]:.1f} | {change:.1g} |", flush=True)


def main() -> None:
    """Compares, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", choices=[*NETWORKS, []], default=[*NETWORKS])
    torch.set_num_threads(THREADS)
    keep_freed_memory()
    print("| network | engine | photographs a second | seconds to prepare | largest change of an output |")
    print("|---|---|---|---|---|")
    with torch.inference_mode():
        for name in parser.parse_args().networks:
            compare(name)


if __name__ == "__main__":
    main()

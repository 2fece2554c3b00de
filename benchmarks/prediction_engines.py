"""Compares the engines that could compute ``retinagrade predict``, on the processor.

    python benchmarks/prediction_engines.py [NETWORK…]

The engines are PyTorch with the changes of ``predict``, ONNX Runtime and OpenVINO; in float32, and in bfloat16 where
the engine and the processor have it. Each computes a batch of 32 photographs of noise again and again, with random
weights and two threads. The engines take turns, each time in a new process, so that other load on the machine affects
all. The rate of a process is that of its median batch; the fastest process counts. Beside it stands the time to prepare
the engine: an export and a compilation.
"""

from __future__ import annotations

import argparse
import json
import subprocess
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
from torch import Tensor, nn

from retinagrade.execution.half_precision import import_openvino
from retinagrade.experiments.experiment import load_experiment
from retinagrade.models.inference import inference_copy
from retinagrade.models.network import Network, build_network
from retinagrade.training.devices import keep_freed_memory
from training import NETWORKS

BATCH, THREADS, TURNS, SECONDS = 32, 2, 3, 3.0

Batch = NDArray[np.uint8]
"""Photographs (N, S, S, 3), as the loader has them in memory."""
Compute = Callable[[Batch], NDArray[np.float32]]


class OfPixels(nn.Module):
    """A network of photographs (N, S, S, 3)."""

    def __init__(self, network: Network) -> None:
        """Args: ``network`` takes photographs (N, 3, S, S)."""
        super().__init__()
        self.network = network

    def forward(self, photographs: Tensor) -> Tensor:
        """Returns the raw outputs (N, units)."""
        outputs: Tensor = self.network(photographs.permute(0, 3, 1, 2))
        return outputs


def by_torch(network: Network, dtype: torch.dtype, side: int) -> Compute:
    """Returns the network as ``predict`` computes it with PyTorch."""
    ready = OfPixels(inference_copy(network, dtype, side))
    return lambda batch: ready(torch.from_numpy(batch)).float().numpy()


def by_onnx_runtime(network: Network, batch: Batch) -> Compute:
    """Returns the network as ONNX Runtime computes it, in float32."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        torch.onnx.export(OfPixels(network), (torch.from_numpy(batch),), file, dynamo=False, input_names=["batch"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda values: session.run(None, {"batch": values})[0]


def by_openvino(network: Network, precision: str, batch: Batch) -> Compute:
    """Returns the network as OpenVINO computes it, in ``f32`` or ``bf16``."""
    ov = import_openvino()
    shape = ov.PartialShape(batch.shape)
    graph = ov.convert_model(OfPixels(network), example_input=torch.from_numpy(batch[:2]), input=[shape])
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY"}
    compiled = ov.Core().compile_model(graph, "CPU", settings)
    return lambda values: compiled([values])[0]


ENGINES: dict[str, Callable[[Network, Batch], Compute]] = {
    "PyTorch, float32": lambda network, batch: by_torch(network, torch.float32, batch.shape[1]),
    "ONNX Runtime, float32": by_onnx_runtime,
    "OpenVINO, float32": lambda network, batch: by_openvino(network, "f32", batch),
    "PyTorch, bfloat16": lambda network, batch: by_torch(network, torch.bfloat16, batch.shape[1]),
    "OpenVINO, bfloat16": lambda network, batch: by_openvino(network, "bf16", batch),
}


def measure(name: str, engine: str) -> tuple[float, float]:
    """Returns photographs a second, and the seconds to prepare the engine."""
    base, overrides = NETWORKS[name]
    experiment = load_experiment(base, ["network.weights=none", *overrides])
    torch.set_num_threads(THREADS)
    keep_freed_memory()
    network = build_network(experiment.network).eval()
    batch = batch_of(BATCH, experiment.network.image_size)["photographs"].permute(0, 2, 3, 1).numpy()
    with torch.no_grad():
        start = time.perf_counter()
        compute = ENGINES[engine](network, batch)
        ready = time.perf_counter() - start
        seconds: list[float] = []
        while len(seconds) < 4 or sum(seconds[2:]) < SECONDS:
            start = time.perf_counter()
            compute(batch)
            seconds.append(time.perf_counter() - start)
    return BATCH / median(seconds[2:]), ready


def main() -> None:
    """Measures, and prints a row for each network and engine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"of: {'; '.join(NETWORKS)} [default: all]")
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)  # the call of a process
    arguments = parser.parse_args()
    names = arguments.networks or [*NETWORKS]
    if unknown := {*names} - {*NETWORKS}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if arguments.engine:
        print(json.dumps(measure(names[0], arguments.engine)))
        return
    print("| network | engine | photographs a second | seconds to prepare |\n|---|---|---|---|", flush=True)
    for name in names:
        best = dict.fromkeys(ENGINES, (0.0, 0.0))
        for _ in range(TURNS):
            for engine in ENGINES:
                command = [sys.executable, __file__, name, "--engine", engine]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                best[engine] = max(best[engine], tuple(json.loads(done.stdout.splitlines()[-1])))
        for engine, (rate, ready) in best.items():
            print(f"| {name} | {engine} | {rate:.3g} | {ready:.1f} |", flush=True)


if __name__ == "__main__":
    main()

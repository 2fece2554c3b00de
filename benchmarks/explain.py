"""Measures the time of saliency maps, in forward passes of the same network on the same photographs.

    python benchmarks/explain.py [THREADS]

Networks of every family without training, batches of 8 photographs, one thread by default. Each ratio is the median of
rounds in which both are timed one after the other. The forward pass is in evaluation mode and float32, without
gradients.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import torch

from retinagrade.experiments.experiment import load_experiment
from retinagrade.explanations.saliency import saliency_maps
from retinagrade.explanations.scores import TARGETS
from retinagrade.models.network import build_network

NAMES = ("scratch-3", "vgg16-1", "mobilenetv2-7-on-4", "resnet50-3", "inceptionv3-3", "efficientnet-lite0")
METHODS = ("gradcam", "gradcam++", "hirescam", "layercam")
BATCH = 8
ROUNDS = 5


def seconds(work: Callable[[], object]) -> float:
    """Returns the duration of one call, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Measures and prints the ratios."""
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    print("time of the maps of all five grades, in forward passes:", *METHODS, "gradcam + referable")
    for name in NAMES:
        settings = load_experiment(name).network.model_copy(update={"weights": "none"})
        network = build_network(settings).eval()
        noise = torch.randint(0, 256, (BATCH, 3, settings.image_size, settings.image_size), dtype=torch.uint8)
        photographs = noise.contiguous(memory_format=torch.channels_last)
        forward = partial(torch.inference_mode()(network), photographs)
        works = [partial(saliency_maps, network, photographs, method, TARGETS[:5]) for method in METHODS]
        works.append(partial(saliency_maps, network, photographs, "gradcam", TARGETS))
        forward()
        plain = []
        ratios: list[list[float]] = [[] for _ in works]
        for _ in range(ROUNDS):
            for number, work in enumerate(works):
                plain.append(seconds(forward))
                ratios[number].append(seconds(work) / plain[-1])
        cells = "".join(f"{statistics.median(row):8.2f}" for row in ratios)
        print(f"{name:22}{1000 * statistics.median(plain) / BATCH:6.0f} ms per photograph{cells}", flush=True)


if __name__ == "__main__":
    main()

"""Our side of ``training.py``: one JSON job on standard input, one JSON result as the last line of standard output.

Training uses the network, the Lightning module and the trainer of ``retinagrade train``, fed from memory. Prediction
processes a batch like ``predict_network``.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader

from retinagrade.experiments.experiment import Experiment
from retinagrade.grades import N_GRADES
from retinagrade.manifest import Manifest
from retinagrade.models.network import Network, build_network
from retinagrade.training.devices import keep_freed_memory
from retinagrade.training.fit import make_trainer
from retinagrade.training.loading import Batch, training_loader
from retinagrade.training.module import GradingModule
from retinagrade.training.predict import MANY, predicting_copy

Job = dict[str, Any]
WARM_UP = 3


def batch_of(count: int, size: int) -> Batch:
    """Makes a batch of noise in the loader's layout."""
    rng = torch.Generator().manual_seed(0)
    photographs = torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=rng)
    return {
        "photographs": photographs.permute(0, 3, 1, 2),
        "grades": torch.randint(0, N_GRADES, (count,), generator=rng),
        "image_ids": [str(index) for index in range(count)],
    }


class Steps(pl.Callback):
    """Records the start of every step, and ends the epoch after some seconds."""

    def __init__(self, seconds: float) -> None:
        """Args: ``seconds`` to measure for after warming up."""
        self.began: list[float] = []
        self.seconds = seconds

    def on_train_batch_start(self, trainer: pl.Trainer, *_: object) -> None:
        """Records the start of a step, and stops after the last measured one."""
        self.began.append(time.perf_counter())
        measured = self.began[WARM_UP:]
        trainer.should_stop = len(measured) > 4 and measured[-1] - measured[0] > self.seconds

    def typical(self) -> float:
        """Returns the median duration of a step in seconds."""
        return median(after - before for before, after in pairwise(self.began[WARM_UP:]))


def train(job: Job) -> Job:
    """Measures a step of the trainer in seconds, with one batch that is repeated from memory."""
    experiment, clock = Experiment.model_validate(job["experiment"]), Steps(job["seconds"])
    batches = [batch_of(job["batch"], experiment.network.image_size)] * 100_000
    module = GradingModule(build_network(experiment.network), experiment)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(experiment.training, Path(folder), [clock])
        trainer.fit(module, DataLoader[Batch](batches, batch_size=None))  # type: ignore[arg-type]  # a list is a dataset
    return {"seconds": clock.typical()}


@torch.inference_mode()
def predict(job: Job) -> Job:
    """Measures a batch in seconds, from photographs to lists of probabilities."""
    experiment = Experiment.model_validate(job["experiment"])
    training = experiment.training.model_copy(update={"batch_size": job["batch"]})
    experiment = experiment.model_copy(update={"training": training})
    keep_freed_memory()
    network = predicting_copy(build_network(experiment.network), experiment, MANY, fast=job["fast"])
    batch = batch_of(job["batch"], experiment.network.image_size)
    seconds: list[float] = []
    while len(seconds) < WARM_UP + 4 or sum(seconds[WARM_UP:]) < job["seconds"]:
        start = time.perf_counter()
        probabilities(network, batch)
        seconds.append(time.perf_counter() - start)
    return {"seconds": median(seconds[WARM_UP:])}


def probabilities(network: Network, batch: Batch) -> list[list[float]]:
    """Computes the probabilities of a batch like ``predict_network``."""
    rows: list[list[float]] = network.output.probabilities(network(batch["photographs"])).tolist()
    return rows


def load(job: Job) -> Job:
    """Measures the training loader in one process, in seconds for a photograph: reading, augmenting, batching."""
    experiment = Experiment.model_validate(job["experiment"])
    loader = training_loader(Manifest.read(Path(job["manifest"])).graded().split("train"), experiment, workers=0)
    seconds = []
    for _ in range(1 + job["epochs"]):
        start = time.perf_counter()
        photographs = sum(len(batch["image_ids"]) for batch in loader)
        seconds.append((time.perf_counter() - start) / photographs)
    return {"seconds": median(seconds[1:])}


def main() -> None:
    """Runs one job."""
    job = json.load(sys.stdin)
    result = {"train": train, "predict": predict, "load": load}[job["task"]](job)
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**result, "megabytes": megabytes, "torch": torch.__version__}))


if __name__ == "__main__":
    main()

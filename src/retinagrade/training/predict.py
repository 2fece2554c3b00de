"""Predictions of a trained network: a table keyed by ``image_id``, the same whatever the loader does."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from retinagrade.datasets.prepare import preparation_settings
from retinagrade.errors import ExperimentError
from retinagrade.evaluation.predictions import write_predictions
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.manifest import Manifest
from retinagrade.models.network import Network, build_network
from retinagrade.training.devices import keep_memory, loader_workers
from retinagrade.training.experiment import Experiment
from retinagrade.training.loading import evaluation_loader
from retinagrade.training.run import Run


def predict(run: Run, prepared: Path, split: str, out: Path | None = None) -> Path:
    """Predicts one split of a prepared set with a run's best epoch and saves the table.

    Args:
        run: A trained run.
        prepared: A prepared set, made with the settings of the set that the run was trained on.
        split: Which photographs, by column ``split`` of the manifest; ``all`` for every one.
        out: The predictions' file; by default ``predictions/<split>.csv`` in the run.

    Returns:
        The file that was written.

    Raises:
        ExperimentError: The set was prepared in another way than the training photographs.
        ManifestError: The split is empty.
    """
    trained_on, given = run.record()["data"]["preparation"], preparation_settings(prepared)
    if trained_on != given:
        raise ExperimentError(
            f"{prepared} was prepared with {given}, but {run.folder} was trained on photographs prepared with "
            f"{trained_on}: prepare it again with these settings"
        )
    manifest = Manifest.read(prepared / "manifest.csv")
    chosen = manifest if split == "all" else manifest.split(split)
    target = out or run.predictions_file(split)
    write_predictions(predict_network(load_network(run), run.experiment(), chosen), target)
    return target


def load_network(run: Run) -> Network:
    """The trained network of a run, with the weights of its best epoch, in evaluation mode on the CPU.

    Raises:
        ExperimentError: No checkpoint, or one that doesn't fit the experiment.
    """
    if not run.best_checkpoint.is_file():
        raise ExperimentError(f"{run.folder} holds no {run.best_checkpoint.name}: train it first")
    checkpoint = torch.load(run.best_checkpoint, map_location="cpu", weights_only=True)
    state = {
        name.removeprefix("network."): tensor
        for name, tensor in checkpoint["state_dict"].items()
        if name.startswith("network.")
    }
    network = build_network(run.experiment().network.model_copy(update={"weights": "none"}))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ExperimentError(f"{run.best_checkpoint} does not fit its experiment.yaml: {error}") from error
    return network.eval()


@torch.inference_mode()
def predict_network(
    network: Network, experiment: Experiment, manifest: Manifest, workers: int | None = None
) -> pd.DataFrame:
    """Grades the photographs of a manifest.

    Args:
        network: A trained network.
        experiment: The experiment that it comes from: image size and batch size.
        manifest: Photographs of a prepared set, graded or not.
        workers: Processes that load photographs; by default what the machine is worth.

    Returns:
        Columns ``image_id``, ``p0`` … ``p4`` (float64, sum 1) and ``grade`` (nullable), sorted by ``image_id``.
    """
    keep_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.to(device).eval()
    loader = evaluation_loader(manifest, experiment, loader_workers() if workers is None else workers)
    rows: list[tuple[str, list[float]]] = []
    for batch in loader:
        photographs = _filled(batch["photographs"], experiment.training.batch_size).to(device)
        logits = network(photographs)[: len(batch["image_ids"])]
        rows += zip(batch["image_ids"], logits.double().softmax(1).tolist(), strict=True)
    table = pd.DataFrame(
        [(image_id, *probabilities) for image_id, probabilities in rows],
        columns=["image_id", *PROBABILITY_COLUMNS],
    )
    grades = manifest.table[["image_id", "grade"]]
    return table.merge(grades, on="image_id", how="left", validate="1:1").sort_values("image_id", ignore_index=True)


def _filled(photographs: Tensor, size: int) -> Tensor:
    """Repeats photographs up to a full batch.

    Kernels are chosen by the batch's shape and differ in the last bits; with one shape, a photograph's
    probabilities can't depend on which batch it fell into.
    """
    if len(photographs) == size:
        return photographs
    return photographs[torch.arange(size) % len(photographs)].contiguous(memory_format=torch.channels_last)

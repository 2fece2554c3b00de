"""Predictions of a trained network: a table keyed by ``image_id``, the same whatever the loader does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from retinagrade.datasets.prepare import preparation_settings
from retinagrade.errors import ExperimentError
from retinagrade.evaluation.predictions import write_predictions
from retinagrade.experiments.experiment import Experiment
from retinagrade.files import sha256
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.manifest import Manifest
from retinagrade.models.cut_points import CutPoints
from retinagrade.models.inference import inference_copy
from retinagrade.models.network import Network, build_network
from retinagrade.models.outputs import Output, RegressionOutput
from retinagrade.runs.run import Run
from retinagrade.training.devices import keep_freed_memory, loader_workers, weights_dtype
from retinagrade.training.loading import Batch, evaluation_loader, fill_batch

FLIPS: Final = ((), (-1,), (-2,), (-2, -1))
"""Axes of (N, 3, S, S) that are mirrored for each of the four views of a photograph."""


def predict(
    run: Run, prepared: Path, split: str, out: Path | None = None, flips: bool = False, fast: bool = False
) -> Path:
    """Predicts one split of a prepared set with a run's best epoch and saves the table.

    Args:
        run: A trained run.
        prepared: A prepared set, made with the settings of the set that the run was trained on.
        split: Which photographs, by column ``split`` of the manifest; ``all`` for every one. A fold knows its own
            split, which goes before the set's for the photographs that it was made of.
        out: The predictions' file; by default ``predictions/<split>.csv`` in the run, with flips
            ``predictions/<split>-tta.csv``, and ``-fast`` likewise.
        flips: Average over mirrored photographs, as :func:`predict_network` does.
        fast: Compute in half precision, as :func:`predict_network` does.

    Returns:
        The file that was written.

    Raises:
        ExperimentError: The set was prepared in another way than the training photographs, or the run's own split was
            changed; or the run is an ensemble, which has no network of its own.
        ManifestError: The split is empty.
    """
    if run.is_ensemble:
        raise ExperimentError(
            f"{run.folder} is an ensemble: predict {split} with each of its members, and repeat `retinagrade ensemble`"
        )
    trained_on, given = run.record()["data"]["preparation"], preparation_settings(prepared)
    if trained_on != given:
        raise ExperimentError(
            f"{prepared} was prepared with {given}, but {run.folder} was trained on photographs prepared with "
            f"{trained_on}: prepare it again with these settings"
        )
    manifest = _with_split_of(run, Manifest.read(prepared / "manifest.csv"))
    chosen = manifest if split == "all" else manifest.split(split)
    target = out or run.predictions_file(split + "-tta" * flips + "-fast" * fast)
    write_predictions(predict_network(load_network(run), run.experiment(), chosen, flips=flips, fast=fast), target)
    return target


def _with_split_of(run: Run, manifest: Manifest) -> Manifest:
    """The manifest with the split that a fold was trained on; the set's ``val`` may be what the fold has learnt."""
    trained_on = run.record()["data"]
    if not trained_on.get("own_split"):
        return manifest
    if not run.manifest_file.is_file() or sha256(run.manifest_file) != trained_on["manifest_sha256"]:
        raise ExperimentError(f"{run.manifest_file} is not what {run.folder} was trained on: train the folds again")
    own = Manifest.read(run.manifest_file).table
    key = [column for column in ("image_id", "sha256") if column in own and column in manifest.table]
    known = manifest.table[key].merge(own[[*key, "split"]], on=key, how="left", validate="1:1")["split"]
    return Manifest(manifest.table.assign(split=known.fillna(manifest.table["split"])), manifest.root)


def load_network(run: Run) -> Network:
    """The trained network of a run, with the weights of its best epoch, in evaluation mode on the CPU.

    A regression has the cut points that were fitted for it, and the standard ones until its training is over.

    Raises:
        ExperimentError: No checkpoint, or one that doesn't fit the experiment; cut points missing or unreadable.
    """
    if not run.best_checkpoint.is_file():
        raise ExperimentError(f"{run.folder} holds no {run.best_checkpoint.name}: train it first")
    network = restore_network(run.experiment(), run.best_checkpoint)
    network.output = _fitted(run, network.output)
    return network.eval()


def restore_network(experiment: Experiment, checkpoint: Path) -> Network:
    """An experiment's network with the weights of a checkpoint of its run, in training mode on the CPU.

    Raises:
        ExperimentError: The checkpoint doesn't fit the experiment.
    """
    tensors = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    state = {name.removeprefix("network."): tensor for name, tensor in tensors.items() if name.startswith("network.")}
    network = build_network(experiment.network.model_copy(update={"weights": "none"}))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ExperimentError(f"{checkpoint} does not fit its experiment.yaml: {error}") from error
    return network


def _fitted(run: Run, output: Output) -> Output:
    if not isinstance(output, RegressionOutput):
        return output
    if not run.output_file.is_file():
        if run.record()["status"] == "finished":
            raise ExperimentError(f"{run.folder} has lost the cut points of its regression, {run.output_file.name}")
        return output
    try:
        return RegressionOutput(CutPoints.model_validate_json(run.output_file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ExperimentError(f"{run.output_file}: not readable cut points: {error}") from error


RawBatch = tuple[list[str], list[Tensor]]
"""Ids of a batch of N photographs, and its raw outputs (N, units), float, one tensor a view."""


def predict_network(
    network: Network,
    experiment: Experiment,
    manifest: Manifest,
    workers: int | None = None,
    flips: bool = False,
    fast: bool = False,
) -> pd.DataFrame:
    """Grades the photographs of a manifest.

    Args:
        network: A trained network.
        experiment: The experiment that it comes from: image size and batch size.
        manifest: Photographs of a prepared set, graded or not.
        workers: Processes that load photographs; by default what the machine is worth.
        flips: Take the mean of the probabilities of the photograph as it is and mirrored left-right, up-down and both,
            at four times the cost.
        fast: Compute the backbone in bfloat16 (or float16) where the machine has it. Probabilities are then others,
            by 0.05 on average for some networks (``docs/benchmarks.md``); in float32 they are the same everywhere, but
            for rounding.

    Returns:
        The table of :func:`predictions_table`.
    """
    return predictions_table(network.output, raw_outputs(network, experiment, manifest, workers, flips, fast), manifest)


def predictions_table(output: Output, raw: Iterable[RawBatch], manifest: Manifest) -> pd.DataFrame:
    """What raw outputs say of the photographs of a manifest, the mean over their views.

    Args:
        output: What raw outputs mean.
        raw: Ids and raw outputs of every batch.
        manifest: The photographs, graded or not.

    Returns:
        Columns ``image_id``, ``p0`` … ``p4`` (float64, sum 1) and ``grade`` (nullable), sorted by ``image_id``.
    """
    rows: list[tuple[str, list[float]]] = []
    for image_ids, views in raw:
        probabilities = torch.stack([output.probabilities(view) for view in views]).mean(0)
        rows += zip(image_ids, probabilities.tolist(), strict=True)
    table = pd.DataFrame(
        [(image_id, *probabilities) for image_id, probabilities in rows],
        columns=["image_id", *PROBABILITY_COLUMNS],
    )
    grades = manifest.table[["image_id", "grade"]]
    return table.merge(grades, on="image_id", how="left", validate="1:1").sort_values("image_id", ignore_index=True)


def _flipped(photographs: Tensor, axes: tuple[int, ...]) -> Tensor:
    return photographs.flip(axes).contiguous(memory_format=torch.channels_last) if axes else photographs


@torch.inference_mode()
def raw_outputs(
    network: Network,
    experiment: Experiment,
    manifest: Manifest,
    workers: int | None = None,
    flips: bool = False,
    fast: bool = False,
) -> Iterator[RawBatch]:
    """What a network says of the photographs of a manifest; arguments as for :func:`predict_network`."""
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = weights_dtype("auto" if fast else "32")
    network = inference_copy(network, dtype, experiment.network.image_size, device)
    for batch in evaluation_loader(manifest, experiment, loader_workers() if workers is None else workers):
        photographs = fill_batch(batch["photographs"], experiment.training.batch_size).to(device)
        views = (_flipped(photographs, axes) for axes in (FLIPS if flips else FLIPS[:1]))
        yield batch["image_ids"], [network(view)[: len(batch["image_ids"])] for view in views]


@torch.inference_mode()
def head_outputs(network: Network, features: DataLoader[Batch], batch_size: int) -> Iterator[RawBatch]:
    """What a network in evaluation mode says of photographs of which its frozen backbone has made features before.

    Args:
        network: A trained network.
        features: Batches of features (N, F).
        batch_size: The experiment's.
    """
    for batch in features:
        raw = network.head(fill_batch(batch["features"], batch_size).to(network.mean.device))
        yield batch["image_ids"], [raw[: len(batch["image_ids"])]]

"""Predictions of a trained network: a table keyed by ``image_id``, independent of the loader's workers and order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import pandas as pd
import torch
from torch import Tensor, nn

from retinagrade.arguments import NOT_NEGATIVE, check_arguments
from retinagrade.datasets.prepared_set import preparation_settings
from retinagrade.errors import ExperimentError, UsageError
from retinagrade.evaluation.predictions import write_predictions
from retinagrade.execution.progress import Progress, begin_stage, prefix_stages
from retinagrade.experiments.experiment import Experiment
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.images.camera import CameraChange
from retinagrade.manifest import Manifest
from retinagrade.models.inference import inference_copy
from retinagrade.models.network import Network
from retinagrade.models.outputs import Output
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.photographs import require_split_of_training
from retinagrade.runs.predictions import PREDICT, Predictions
from retinagrade.runs.run import Run
from retinagrade.storage.files import sha256
from retinagrade.storage.output_guard import file_output, guard_outputs, write_origin
from retinagrade.training.checkpoints import load_network
from retinagrade.training.compiled import compiled_copy
from retinagrade.training.devices import keep_freed_memory, loader_workers, weights_dtype
from retinagrade.training.loading import Batch, evaluation_loader, fill_batch

FLIPS: Final = ((), (-1,), (-2,), (-2, -1))
"""Axes of (N, 3, S, S) that are mirrored for each of a photograph's four views in test-time augmentation."""

MANY: Final = 2000
"""Photographs from which OpenVINO computes them in half precision: its preparation takes seconds."""

RawBatch = tuple[list[str], list[Tensor]]
"""Ids of a batch of N photographs, and its raw outputs (N, units), float, one tensor for each view."""


@check_arguments(workers=NOT_NEGATIVE)
def predict(
    prepared: str | os.PathLike[str],
    run: str | os.PathLike[str] | Run | CrossValidation,
    *,
    split: str = "test",
    out: str | os.PathLike[str] | None = None,
    tta: bool = False,
    fast: bool = False,
    camera: CameraChange | Sequence[CameraChange] = (),
    overwrite: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Predictions:
    """Predicts one split of a prepared set with a run's network, and writes the table.

    The validation photographs of a cross-validation are predicted by the fold that was not trained on them.

    Args:
        prepared: Folder of a prepared set, prepared with the settings of the set that the run was trained on.
        run: The trained run, or a cross-validation.
        split: The photographs to predict, by column ``split`` of the manifest; ``all`` for every photograph. A fold's
            own split replaces the set's for the photographs that it was divided from. A cross-validation has ``val``
            only.
        out: The file to write; by default ``predictions/SPLIT.csv`` in the run, with ``-tta``, ``-fast`` or
            ``-camera-CHANGES`` in its name where they apply.
        tta: Test-time augmentation, as in :func:`predict_network`.
        fast: Half precision, as in :func:`predict_network`.
        camera: Changes that another camera would make to the photographs, to test how well the network generalises.
            Each photograph has a camera of its own, which its id determines.
        overwrite: Whether to replace a file that is no earlier prediction of the same prepared set by the same run.
        workers: Processes that load photographs, 0 for none beside this one; by default as many as speed this
            machine up.
        progress: Receives the number of photographs predicted.

    Returns:
        The predictions, with the grades and findings that belong to them.

    Raises:
        ExperimentError: The set was prepared with other settings than the training photographs, the run's own split
            was changed, or the run is an ensemble, which has no network of its own.
        ManifestError: The split is empty.
        UsageError: A change is unknown; a split other than ``val`` is to be predicted by a cross-validation; or the
            file exists and has another place than the folder ``predictions`` of the run.
    """
    views = _Views(tta, fast, as_camera_changes(camera), workers)
    folds = CrossValidation(Path(run)) if isinstance(run, str | os.PathLike) else run
    if isinstance(folds, CrossValidation) and folds.is_cross_validation:
        if split != "val":
            raise UsageError(
                f"{folds.folder} is a cross-validation, which predicts the split val: name one of its folds"
            )
        runs, folder = folds.runs(), folds.folder
    else:
        run = run if isinstance(run, Run) else Run(folds.folder)
        runs, folder = [run], run.folder
    for each in runs:
        if each.is_grade_model:
            raise ExperimentError(
                f"{each.folder} is a grade model: outline {split} first, and repeat `retinagrade fit-grades`"
            )
        if each.is_ensemble:
            raise ExperimentError(
                f"{each.folder} is an ensemble: predict {split} with each of its members, and repeat `retinagrade "
                "ensemble`"
            )
    place = Run(folder).predictions_file(split).parent
    file = place / views.file_name(split) if out is None else Path(out)
    inputs = [Path(prepared), folder]
    guard_outputs([file_output(file, PREDICT, inputs, place)], inputs, overwrite)
    tables = []
    for number, each in enumerate(runs):
        own_progress = progress if len(runs) == 1 else prefix_stages(progress, f"fold {number}")
        tables.append(_predict_split(Path(prepared), each, split, views, own_progress))
    write_origin(file, PREDICT, inputs)
    write_predictions(tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True), file)
    return Predictions.read(file)


def as_camera_changes(camera: CameraChange | Sequence[CameraChange]) -> tuple[CameraChange, ...]:
    """Returns one or several changes of a camera as a tuple, each once."""
    changes: tuple[CameraChange, ...] = (camera,) if isinstance(camera, str) else tuple(camera)
    return tuple(dict.fromkeys(changes))


@dataclass(frozen=True)
class _Views:
    """The way in which photographs are predicted; attributes as the arguments of :func:`predict`."""

    tta: bool
    fast: bool
    camera: tuple[CameraChange, ...]
    workers: int | None

    def file_name(self, split: str) -> str:
        camera = f"-camera-{'-'.join(self.camera)}" if self.camera else ""
        return split + "-tta" * self.tta + "-fast" * self.fast + camera + ".csv"


def _predict_split(prepared: Path, run: Run, split: str, views: _Views, progress: Progress | None) -> pd.DataFrame:
    """Predicts one split with one run's network."""
    trained_on, settings = asdict(run.record().data.preparation), preparation_settings(prepared)
    if trained_on != settings:
        raise ExperimentError(
            f"{prepared} was prepared with {settings}, but {run.folder} was trained on photographs prepared with "
            f"{trained_on}: prepare it again with these settings"
        )
    manifest = Manifest.read(prepared / "manifest.csv")
    return predict_network(
        load_network(run),
        run.experiment(),
        manifest if split == "all" else with_split_of(run, manifest).split(split),
        workers=views.workers,
        tta=views.tta,
        fast=views.fast,
        camera=views.camera,
        progress=progress,
    )


def with_split_of(run: Run, manifest: Manifest) -> Manifest:
    """Returns the manifest with the split that a run was trained on: the set's ``val`` may be in its training part.

    Args:
        run: A trained run.
        manifest: A prepared set's photographs. Those of the run have the split of its training, others their own.

    Raises:
        ExperimentError: The split of the training is gone: the run's own one was changed, or its set was split again.
    """
    trained_on = run.record().data
    if not trained_on.own_split:
        require_split_of_training(run, manifest)
        return manifest
    if not run.manifest_file.is_file() or sha256(run.manifest_file) != trained_on.manifest_sha256:
        raise ExperimentError(
            f"{run.manifest_file} is missing or has changed since {run.folder} was trained: train the folds again"
        )
    own = Manifest.read(run.manifest_file).table
    key = [column for column in ("image_id", "sha256") if column in own and column in manifest.table]
    own_split = manifest.table[key].merge(own[[*key, "split"]], on=key, how="left", validate="1:1")["split"]
    return Manifest(manifest.table.assign(split=own_split.fillna(manifest.table["split"])), manifest.root)


def predict_network(
    network: Network,
    experiment: Experiment,
    manifest: Manifest,
    *,
    workers: int | None = None,
    tta: bool = False,
    fast: bool = False,
    camera: Sequence[CameraChange] = (),
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Grades the photographs of a manifest.

    Args:
        network: A trained network.
        experiment: The experiment of the network, which has the image size and the batch size.
        manifest: Photographs of a prepared set, graded or not.
        workers: Processes that load photographs, 0 for none beside this one; by default as many as speed this
            machine up.
        tta: Average the probabilities of four views of each photograph: unchanged, mirrored left-right, up-down, and
            both. It takes four times as long.
        fast: Compute the backbone in half precision (bfloat16 or float16) where the machine has it; on a processor by
            OpenVINO, if it is installed and there are many photographs (:data:`MANY`). Probabilities then differ, by
            0.05 on average for some networks (``docs/benchmarks.md``). In float32 they are the same on every machine
            except for rounding.
        camera: Changes that another camera would make to the photographs.
        progress: Receives the number of photographs predicted.

    Returns:
        The table that :func:`predictions_table` makes.
    """
    batches = predict_photographs(
        network, experiment, manifest, workers, tta=tta, fast=fast, camera=camera, progress=progress
    )
    return predictions_table(network.output, batches, manifest)


def predictions_table(output: Output, batches: Iterable[RawBatch], manifest: Manifest) -> pd.DataFrame:
    """Turns raw outputs into a table of probabilities.

    Args:
        output: The output layer's meaning.
        batches: Ids and raw outputs of every batch.
        manifest: The photographs, graded or not.

    Returns:
        Columns ``image_id``, ``p0`` … ``p4`` (float64, sum 1; the mean over the views) and ``grade`` (nullable), sorted
        by ``image_id``.
    """
    rows: list[tuple[str, list[float]]] = []
    for image_ids, views in batches:
        probabilities = torch.stack([output.probabilities(view) for view in views]).mean(0)
        rows += zip(image_ids, probabilities.tolist(), strict=True)
    table = pd.DataFrame(
        [(image_id, *probabilities) for image_id, probabilities in rows],
        columns=["image_id", *PROBABILITY_COLUMNS],
    )
    grades = manifest.table[["image_id", "grade"]]
    return table.merge(grades, on="image_id", how="left", validate="1:1").sort_values("image_id", ignore_index=True)


def predict_photographs(
    network: Network,
    experiment: Experiment,
    manifest: Manifest,
    workers: int | None = None,
    *,
    tta: bool = False,
    fast: bool = False,
    camera: Sequence[CameraChange] = (),
    progress: Progress | None = None,
) -> Iterator[RawBatch]:
    """Computes a network's raw outputs of the photographs of a manifest; arguments as in :func:`predict_network`."""
    keep_freed_memory()
    ready = predicting_copy(network, experiment, len(manifest), fast=fast)
    loader = evaluation_loader(manifest, experiment, loader_workers() if workers is None else workers, camera=camera)
    step = begin_stage(progress, "predicting photographs", len(manifest))
    for image_ids, views in predict_batches(ready, loader, experiment.training.batch_size, FLIPS if tta else FLIPS[:1]):
        yield image_ids, views
        for _ in image_ids:
            step()


def predicting_copy(network: Network, experiment: Experiment, photographs: int, *, fast: bool) -> Network:
    """Makes the copy of a network that predicts a number of photographs; arguments as in :func:`predict_network`."""
    side, batch_size = experiment.network.image_size, experiment.training.batch_size
    dtype = weights_dtype("auto" if fast else "32")
    if torch.cuda.is_available():
        return inference_copy(network, dtype, side, torch.device("cuda"))
    many = dtype == torch.bfloat16 and photographs >= MANY
    compiled = compiled_copy(network, side, batch_size) if many else None
    return compiled or inference_copy(network, dtype, side, torch.device("cpu"))


@torch.inference_mode()
def predict_batches(
    network: Network, batches: Iterable[Batch], batch_size: int, flips: Sequence[tuple[int, ...]] = FLIPS[:1]
) -> Iterator[RawBatch]:
    """Computes a network's raw outputs of batches of photographs, or its head's of batches of features.

    Args:
        network: A network in evaluation mode.
        batches: Batches of at most ``batch_size`` photographs (N, 3, S, S) or features (N, F).
        batch_size: Size that every batch is filled up to.
        flips: Axes to mirror, for each view of the photographs; features have one view.
    """
    for batch in batches:
        count = len(batch["image_ids"])
        with_features = "features" in batch
        inputs = fill_batch(batch["features"] if with_features else batch["photographs"], batch_size)
        model: nn.Module = network.head if with_features else network
        inputs = inputs.to(network.mean.device)
        yield batch["image_ids"], [model(_flipped(inputs, axes))[:count] for axes in flips]


def _flipped(inputs: Tensor, axes: tuple[int, ...]) -> Tensor:
    return inputs.flip(axes).contiguous(memory_format=torch.channels_last) if axes else inputs

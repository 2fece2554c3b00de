"""Outlining the lesions of a prepared set: maps of every photograph, by networks that were not trained on it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from retinagrade.arguments import NOT_NEGATIVE, check_arguments
from retinagrade.datasets.prepared_set import preparation_settings
from retinagrade.errors import ExperimentError, UsageError
from retinagrade.evaluation.fitting.map_calibration import fit_map_calibration
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.images.camera import CameraChange
from retinagrade.lesion_maps.calibration import MapCalibration
from retinagrade.lesion_maps.mapped import map_photograph
from retinagrade.lesion_maps.outline import blacken_outside
from retinagrade.manifest import Manifest
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.evaluate_lesions import read_run_counts
from retinagrade.runs.lesion_maps import LesionMaps, MapsRecord
from retinagrade.runs.run import Run
from retinagrade.storage.files import is_free_folder, sha256
from retinagrade.storage.locking import locked
from retinagrade.storage.output_guard import continued_folder, guard_outputs, relative_to_folder
from retinagrade.training.checkpoints import load_lesion_network
from retinagrade.training.devices import keep_freed_memory, loader_workers
from retinagrade.training.lesions.predict import lesion_logits
from retinagrade.training.loading import evaluation_loader
from retinagrade.training.predict import as_camera_changes, with_split_of


@check_arguments(workers=NOT_NEGATIVE)
def outline(
    prepared: str | os.PathLike[str],
    run: str | os.PathLike[str] | Run | CrossValidation,
    out: str | os.PathLike[str],
    *,
    split: str = "val",
    camera: CameraChange | Sequence[CameraChange] = (),
    workers: int | None = None,
    progress: Progress | None = None,
) -> LesionMaps:
    """Outlines the lesions of photographs of a prepared set: writes a map of each kind of lesion.

    The maps are calibrated on the outlined validation photographs of the run, or of all folds: of the pixels with a
    probability of 0.8, eight in ten belong to a lesion.

    The same call continues after an interruption.

    Args:
        prepared: Folder of a prepared set, prepared with the settings of the set that the network was trained on.
        run: A trained run of an experiment that outlines lesions, or a cross-validation, whose photographs are outlined
            by the fold that was not trained on them.
        out: Folder of the maps: ``maps/KIND/IMAGE_ID.png``, grey values 0 to 255 for probabilities 0 to 1.
        split: The photographs, by column ``split`` of the manifest; ``all`` for every photograph. A cross-validation
            has ``val`` only.
        camera: Changes that a different camera would make to the photographs. Each photograph has a camera of its own,
            which its id determines.
        workers: Processes that load photographs; by default as many as speed this machine up.
        progress: Receives the number of photographs.

    Returns:
        The maps.

    Raises:
        ExperimentError: The run grades photographs instead of outlining lesions, or the set was prepared with different
            settings.
        JoinError: The counts that the calibration is fitted to are damaged, or have photographs unknown to the run.
        ManifestError: The split is empty.
        UsageError: A change is unknown, a cross-validation is to outline another split, or ``out`` holds something
            else.
    """
    changes, prepared, maps = as_camera_changes(camera), Path(prepared), LesionMaps(Path(out))
    folds = CrossValidation(Path(run)) if isinstance(run, str | os.PathLike) else run
    if isinstance(folds, CrossValidation) and folds.is_cross_validation:
        if split != "val":
            raise UsageError(f"{folds.folder} is a cross-validation, which outlines the split val: leave split out")
        runs, folder, counts_file = folds.runs(), folds.folder, folds.lesion_counts_file
    else:
        single = folds if isinstance(folds, Run) else Run(folds.folder)
        runs, folder, counts_file = [single], single.folder, single.lesion_counts_file("val")
    guard_outputs([continued_folder(maps.folder)], [prepared, folder])
    manifest = Manifest.read(prepared / "manifest.csv")
    parts = [_photographs_of(each, manifest, split, preparation_settings(prepared)) for each in runs]
    experiment = runs[0].experiment()
    record = MapsRecord(
        status="outlining",
        experiment=experiment.name,
        kinds=experiment.network.lesions,
        prepared=relative_to_folder(prepared, maps.folder),
        manifest_sha256=sha256(prepared / "manifest.csv"),
        run=relative_to_folder(folder, maps.folder),
        networks=tuple(sha256(each.best_checkpoint) for each in runs),
        split=split,
        camera=changes,
        calibration=_calibration(counts_file, experiment.network.lesions),
        photographs={image_id: fold for fold, part in enumerate(parts) for image_id in part.table["image_id"]},
    )
    with locked(maps.record_file):
        _begin(maps, record)
        step = begin_stage(progress, "outlining lesions", len(record.photographs))
        for each, part in zip(runs, parts, strict=True):
            missing = [not maps.has(image_id) for image_id in part.table["image_id"]]
            for _ in range(len(part) - sum(missing)):
                step()
            if any(missing):
                rest = Manifest(part.table[missing].reset_index(drop=True), part.root)
                for image_id in _outline_with(each, rest, changes, record.calibration, maps, workers):
                    assert image_id in record.photographs
                    step()
        maps.write_record(record.model_copy(update={"status": "finished"}))
    return maps


def _calibration(counts_file: Path, kinds: tuple[str, ...]) -> MapCalibration:
    """Fits the calibration of the maps to the counts of a run's validation photographs, if it has some."""
    return fit_map_calibration(read_run_counts(counts_file) if counts_file.is_file() else {}, kinds)


def _photographs_of(run: Run, manifest: Manifest, split: str, settings: dict[str, object]) -> Manifest:
    """Returns the photographs that a run outlines."""
    if not run.experiment().outlines_lesions:
        raise ExperimentError(f"{run.folder} grades photographs: name a run of an experiment that outlines lesions")
    trained_on = asdict(run.finished_record().data.preparation)
    if trained_on != settings:
        raise ExperimentError(
            f"{manifest.root} was prepared with {settings}, but {run.folder} was trained on photographs prepared with "
            f"{trained_on}: prepare it again with these settings"
        )
    return manifest if split == "all" else with_split_of(run, manifest).split(split)


def _begin(maps: LesionMaps, record: MapsRecord) -> None:
    """Begins a folder of maps, or recognises it as one that the same call began earlier."""
    if maps.record_file.is_file():
        earlier = maps.record()
        if earlier.model_copy(update={"status": record.status}) != record:
            raise UsageError(
                f"{maps.folder} holds maps of other photographs, networks or cameras: choose another --out, or delete "
                "that folder"
            )
        return
    if not is_free_folder(maps.folder):
        raise UsageError(f"{maps.folder} is not empty and holds no lesion maps: choose another --out")
    maps.write_record(record)


def _outline_with(
    run: Run,
    manifest: Manifest,
    camera: Sequence[CameraChange],
    calibration: MapCalibration,
    maps: LesionMaps,
    workers: int | None,
) -> Iterator[str]:
    """Writes the maps of photographs by one network; yields their ids."""
    keep_freed_memory()
    network = load_lesion_network(run).to("cuda" if torch.cuda.is_available() else "cpu")
    loader = evaluation_loader(
        manifest, run.experiment(), loader_workers() if workers is None else workers, camera=camera
    )
    for batch in loader:
        for image_id, pixels in zip(batch["image_ids"], batch["photographs"], strict=True):
            square = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
            found = calibration.maps(lesion_logits(network, blacken_outside(square)[0][None])[0])
            maps.write(image_id, map_photograph(square, found, network.lesions).maps, network.lesions)
            yield image_id

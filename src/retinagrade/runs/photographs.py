"""The photographs of a run: its prepared set, and the split that it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from retinagrade.errors import ExperimentError
from retinagrade.evaluation.integrity.findings import Finding
from retinagrade.evaluation.integrity.leaks import changed_split_finding, missing_set_finding
from retinagrade.evaluation.predictions import read_predictions
from retinagrade.manifest import Manifest
from retinagrade.runs.run import Run
from retinagrade.storage.files import sha256

_FILE_COLUMNS: Final = ("path", "grade", "split", "sha256")
"""Columns of a manifest that describe neither patients nor cameras."""


@dataclass(frozen=True)
class RunPhotographs:
    """The photographs of a run, as far as their files still exist.

    Attributes:
        manifest: The prepared set; ``None`` where it is gone.
        trained_on: The photographs with the split that the run was trained on; ``None`` where the split is gone or has
            changed.
        finding: The finding that the set is gone, or that the split has changed since training; ``None`` otherwise.
    """

    manifest: Manifest | None = None
    trained_on: Manifest | None = None
    finding: Finding | None = None


def read_run_photographs(run: Run) -> RunPhotographs:
    """Reads the photographs of a run.

    Raises:
        ExperimentError: The run's record is broken.
        ManifestError: A manifest is broken.
    """
    file, split_file = run.prepared / "manifest.csv", run.split_file
    manifest = Manifest.read(file) if file.is_file() else None
    if manifest is None or not split_file.is_file():
        missing = missing_set_finding(str(run.folder), str(file if manifest is None else split_file))
        trained_on = Manifest.read(split_file) if split_file.is_file() and _is_unchanged(run, split_file) else None
        return RunPhotographs(manifest, trained_on, missing)
    if not _is_unchanged(run, split_file):
        return RunPhotographs(manifest, finding=changed_split_finding(str(run.folder), str(split_file)))
    return RunPhotographs(manifest, Manifest.read(split_file))


def _is_unchanged(run: Run, split_file: Path) -> bool:
    return sha256(split_file) == run.record().data.manifest_sha256


def require_split_of_training(run: Run, prepared: Path) -> None:
    """Requires that a split can be looked up in a prepared set: no photograph may have changed sides since training.

    A set of other photographs may have any split. A set that was moved is recognised by the run's validation
    photographs.

    Raises:
        ExperimentError: The set is the run's own and was split, prepared or edited again since the run was trained.
    """
    file = prepared / "manifest.csv"
    if not _is_unchanged(run, file) and _is_set_of(run, prepared, Manifest.read(file)):
        raise ExperimentError(
            f"{file} was split, prepared or edited again since {run.folder} was trained, so that any split may hold "
            f"photographs of the training: split {prepared} as before, train again, or take the photographs of 'all' "
            "splits"
        )


def _is_set_of(run: Run, prepared: Path, manifest: Manifest) -> bool:
    if (run.prepared / "manifest.csv").is_file():
        return run.prepared.resolve() == prepared.resolve()
    file = run.predictions_file("val")
    return file.is_file() and set(read_predictions(file)["image_id"]) <= set(manifest.table["image_id"])


def add_manifest_columns(table: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """Adds a manifest's columns on patients and cameras to a table of predictions.

    Args:
        table: Predictions, with ``image_id``; columns that it has already stay unchanged.
        manifest: The photographs.
    """
    added = [column for column in manifest.table if column not in {*_FILE_COLUMNS, *table.columns}]
    return table.merge(manifest.table[["image_id", *added]], on="image_id", how="left", validate="1:1")

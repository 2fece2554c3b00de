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
from retinagrade.messages import counted, first_few
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


def require_split_of_training(run: Run, manifest: Manifest) -> None:
    """Requires that a split can be looked up in a prepared set: no photograph may have changed sides since training.

    The set of the training is recognised by its photographs, wherever it lies and whatever else it holds. Photographs
    that the run doesn't know may have any split.

    Args:
        run: A run that was trained on the split of its prepared set.
        manifest: The photographs of a prepared set.

    Raises:
        ExperimentError: The set is the run's own and was split, prepared or edited again since the run was trained; or
            it holds photographs of the training with another split.
    """
    file, own = manifest.root / "manifest.csv", run.prepared / "manifest.csv"
    if _is_unchanged(run, file):
        return
    if own.is_file() and _is_unchanged(run, own):
        moved = _changed_sides(manifest, Manifest.read(own))
        if moved:
            raise ExperimentError(
                f"{file} has another split than {own}, which {run.folder} was trained on, for "
                f"{counted(len(moved), 'photograph')} of the training ({first_few(moved)}): copy the split of {own}, "
                "train again, or take the photographs of 'all' splits"
            )
    elif _is_set_of(run, manifest, Manifest.read(own) if own.is_file() else None):
        raise ExperimentError(
            f"{file} was split, prepared or edited again since {run.folder} was trained, so that any split may hold "
            f"photographs of the training: split {manifest.root} as before, train again, or take the photographs of "
            "'all' splits"
        )


def _changed_sides(manifest: Manifest, trained_on: Manifest) -> list[str]:
    """Returns the photographs of a set that had another split in the training, by their bytes where these are known."""
    key = "sha256" if "sha256" in manifest.table and "sha256" in trained_on.table else "image_id"
    before = trained_on.table.dropna(subset=[key]).drop_duplicates(key).set_index(key)["split"]
    known = manifest.table[manifest.table[key].isin(before.index)]
    same = known["split"].fillna("").to_numpy() == known[key].map(before).fillna("").to_numpy()
    return [str(image_id) for image_id in known["image_id"][~same]]


def _is_set_of(run: Run, manifest: Manifest, own: Manifest | None) -> bool:
    """Whether a set holds the validation photographs of a run.

    Args:
        run: A run whose split is no longer known.
        manifest: The photographs of the set.
        own: The photographs of the run with any split; ``None`` where they are gone.
    """
    if own is not None and own.root.resolve() == manifest.root.resolve():
        return True
    file = run.predictions_file("val")
    if not file.is_file():
        return False
    validation = read_predictions(file)[["image_id"]]
    found = validation.merge(_with_digest(manifest), on="image_id")
    if own is not None:
        both = found.merge(_with_digest(own), on="image_id", suffixes=("", "_own"))
        found = found[~found["image_id"].isin(both["image_id"][(both["sha256"] != both["sha256_own"]).fillna(False)])]
    return len(found) == len(validation)


def _with_digest(manifest: Manifest) -> pd.DataFrame:
    return manifest.table.reindex(columns=["image_id", "sha256"])


def add_manifest_columns(table: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """Adds a manifest's columns on patients and cameras to a table of predictions.

    Args:
        table: Predictions, with ``image_id``; columns that it has already stay unchanged.
        manifest: The photographs.
    """
    added = [column for column in manifest.table if column not in {*_FILE_COLUMNS, *table.columns}]
    return table.merge(manifest.table[["image_id", *added]], on="image_id", how="left", validate="1:1")

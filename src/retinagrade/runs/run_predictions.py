"""Predictions with all that is known of them: where they are of a run, what it was trained on, and on whom."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pandas as pd

from retinagrade.errors import ImageError, UsageError
from retinagrade.evaluation.fitting.calibration import Calibration, load_calibration
from retinagrade.evaluation.integrity.checks import check_predictions
from retinagrade.evaluation.integrity.findings import Finding
from retinagrade.evaluation.integrity.leaks import changed_split_finding
from retinagrade.evaluation.predictions import join_grades, read_grades, read_prediction_rows, tidy_predictions
from retinagrade.execution.progress_bar import progress_bar
from retinagrade.files import sha256
from retinagrade.images.field_of_view import find_field_of_view
from retinagrade.images.quality import assess_quality
from retinagrade.images.read import read_photograph
from retinagrade.manifest import Manifest
from retinagrade.runs.run import Run

_OF_THE_FILE: Final = ("path", "grade", "split", "sha256")
"""Columns of a manifest that say nothing of the patient or the camera."""


@dataclass(frozen=True)
class RunPredictions:
    """A table of predictions, and what is known of it.

    Attributes:
        file: The file.
        table: Its photographs, once each, with grades, and what a table of grades or the run's manifest says of them.
        findings: What integrity checks found.
        run: The run that it is of, where it is in one.
        manifest: That run's photographs, where they are still there.
        fitted: What is to be applied, fitted on other photographs.
        sources: The files that this is from.
    """

    file: Path
    table: pd.DataFrame
    findings: list[Finding]
    run: Run | None = None
    manifest: Manifest | None = None
    fitted: Calibration | None = None
    sources: tuple[Path, ...] = field(default_factory=tuple)


def read_run_predictions(file: Path, grades: Path | None = None, calibration: Path | None = None) -> RunPredictions:
    """Reads predictions, and looks up what is known of them.

    Args:
        file: A table of predictions.
        grades: A table of their grades, if these are not in the file.
        calibration: What ``calibrate`` fitted. By default, that of the run, where it was fitted on other photographs.

    Returns:
        The table with all that can be known; what can't be looked up any more is left out, or is a finding.

    Raises:
        ManifestError: A table that can't be read.
        JoinError: Predictions and grades are not of the same photographs.
        CalibrationError: A calibration that can't be read.
    """
    rows = read_prediction_rows(file)
    table = tidy_predictions(rows)
    if grades is not None:
        table = join_grades(table, read_grades(grades))
    run = find_run(file)
    manifest, trained_on, changed = (None, None, None) if run is None else find_photographs_of_run(run)
    if manifest is not None:
        table = add_manifest_columns(table, manifest)
    fitted_on: dict[str, pd.DataFrame] = {}
    if run is not None and trained_on is not None:
        if has_cut_points(run):
            fitted_on["The cut points between grades"] = trained_on.graded().split("val").table
        if run.is_ensemble and file.stem != "val":  # that one is out of fold
            fitted_on["The weights of the ensemble"] = trained_on.graded().split("val").table
    fitted, calibration = _calibration(file, table, run, calibration)
    if fitted is not None:
        fitted_on["Thresholds and calibration"] = pd.DataFrame({"image_id": list(fitted.source.image_ids)})
    findings = check_predictions(table, rows=rows, trained_on=trained_on, fitted_on=fitted_on)
    sources = [file, *([] if grades is None else [grades]), *([] if calibration is None else [calibration])]
    return RunPredictions(
        file,
        table,
        findings + ([] if changed is None else [changed]),
        run,
        manifest,
        fitted,
        tuple(sources),
    )


def add_quality(known: RunPredictions) -> RunPredictions:
    """The same with a column ``quality`` of its photographs: ``gradable`` or ``doubtful``, by how they look.

    Raises:
        UsageError: The photographs are not there to look at.
    """
    if known.manifest is None:
        raise UsageError(
            f"--by quality: {known.file} has no such column, and its photographs are not there to look at: give "
            "predictions in a run's folder, whose prepared set is still there"
        )
    paths = dict(zip(known.manifest.table["image_id"], known.manifest.table["path"], strict=True))
    qualities = []
    with progress_bar("quality", len(known.table)) as done:
        for image_id in known.table["image_id"]:
            qualities.append(_quality(known.manifest.file(paths[image_id])) if image_id in paths else None)
            done()
    column = pd.Series(qualities, index=known.table.index, dtype="string")
    return replace(known, table=known.table.assign(quality=column))


def _quality(path: Path) -> str | None:
    try:
        photograph = read_photograph(path)
    except ImageError:
        return None
    return "doubtful" if assess_quality(photograph, find_field_of_view(photograph)).reasons else "gradable"


def find_run(predictions: Path) -> Run | None:
    """The run in whose folder a table of predictions is."""
    folder = predictions.resolve().parent.parent
    run = Run(folder)
    in_run = predictions.resolve().parent.name == "predictions" and (run.experiment_file.is_file() or run.is_ensemble)
    return run if in_run else None


def has_cut_points(run: Run) -> bool:
    """Whether a run, or a member of an ensemble, gives grades by cut points fitted on its validation photographs."""
    if run.is_ensemble:
        return any(member.cut_points for member in run.ensemble_record().members)
    return run.output_file.is_file()


def find_photographs_of_run(run: Run) -> tuple[Manifest | None, Manifest | None, Finding | None]:
    """The run's photographs, these with the split that it was trained on, and what is wrong where that is unknown."""
    file, split_file = run.prepared / "manifest.csv", run.split_file
    manifest = Manifest.read(file) if file.is_file() else None
    if not split_file.is_file():
        return manifest, None, None
    if sha256(split_file) != run.record().data.manifest_sha256:
        return manifest, None, changed_split_finding(str(run.folder), str(split_file))
    return manifest, Manifest.read(split_file), None


def add_manifest_columns(table: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """A table of predictions with what a manifest says of patients and cameras, where it doesn't say so itself."""
    about = [column for column in manifest.table if column not in {*_OF_THE_FILE, *table.columns}]
    return table.merge(manifest.table[["image_id", *about]], on="image_id", how="left", validate="1:1")


def _calibration(
    file: Path, table: pd.DataFrame, run: Run | None, given: Path | None
) -> tuple[Calibration | None, Path | None]:
    if given is not None:
        return load_calibration(given), given
    if run is None or not run.calibration_file.is_file():
        return None, None
    fitted = load_calibration(run.calibration_file)
    on_these = table["image_id"].isin(fitted.source.image_ids).any()
    # Flips and half precision give other probabilities: `test-tta` is calibrated by what `val-tta` says.
    of_others = file.stem.partition("-")[2] != Path(fitted.source.file).stem.partition("-")[2]
    if on_these or of_others:
        return None, None  # nobody has asked for it
    return fitted, run.calibration_file

"""Predictions with their origin: the run that made them, its photographs, and the findings of the integrity checks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pandas as pd

from retinagrade.arguments import check_arguments
from retinagrade.errors import ImageError, ManifestError, UsageError
from retinagrade.evaluation.decided_photographs import DecidedPhotographs, decided_photographs
from retinagrade.evaluation.fitting.calibration import Calibration, load_calibration
from retinagrade.evaluation.integrity.checks import check_predictions
from retinagrade.evaluation.integrity.findings import Finding
from retinagrade.evaluation.integrity.leaks import missing_run_finding
from retinagrade.evaluation.integrity.other_grades import (
    check_changed_grades,
    check_other_grades,
    check_reader_saw_result,
)
from retinagrade.evaluation.predictions import (
    NO_GRADE_COLUMN,
    find_ungraded,
    join_grades,
    read_grades,
    read_prediction_rows,
    tidy_predictions,
)
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.gate.session import assess_quality
from retinagrade.images.field_of_view import find_field_of_view
from retinagrade.images.read import read_photograph
from retinagrade.manifest import Manifest
from retinagrade.messages import counted
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.leave_one_out import LeaveOneOut
from retinagrade.runs.photographs import RunPhotographs, add_manifest_columns, read_run_photographs
from retinagrade.runs.run import Run
from retinagrade.storage.files import scratch_folder
from retinagrade.storage.output_guard import origin_file, read_origin

PREDICT: Final = "predict"
"""Name of the command, in the origin of its predictions."""
_SHOWN_ROWS = 10


@dataclass(frozen=True, repr=False)
class Predictions:
    """A table of predictions with its origin.

    Attributes:
        table: One row for each photograph: ``image_id``, ``p0`` … ``p4``, ``grade`` (nullable), and the further columns
            of the file, of the table of grades, and of the run's manifest.
        findings: Findings of the integrity checks.
        source_file: The file; ``None`` for a DataFrame.
        run: The run whose folder holds the file; ``None`` elsewhere.
        cross_validation: The finished cross-validation whose folder holds the file; ``None`` elsewhere.
        manifest: The prepared set of the photographs; ``None`` where it is unknown or gone.
        calibration: The calibration to apply, which was fitted on other photographs; ``None`` without one.
        inputs: The files of predictions and grades; none where the predictions are a DataFrame.
        sources: All files that the table was made from.
        decided: The labelled photographs of a table of results, refused ones included, with the grader's decisions;
            ``None`` for other tables.
        without_grade: Ids of the photographs to which ``retinagrade grade`` gave no grade; they aren't in the table.
    """

    table: pd.DataFrame
    findings: list[Finding]
    source_file: Path | None = None
    run: Run | None = None
    manifest: Manifest | None = None
    calibration: Calibration | None = None
    inputs: tuple[Path, ...] = ()
    sources: tuple[Path, ...] = ()
    decided: DecidedPhotographs | None = None
    without_grade: frozenset[str] = frozenset()
    cross_validation: CrossValidation | None = None

    @classmethod
    @check_arguments(advice={"predictions": "of a run, write run.predictions_file('val')"})
    def read(
        cls,
        predictions: str | os.PathLike[str] | pd.DataFrame,
        *,
        grades: str | os.PathLike[str] | pd.DataFrame | None = None,
        calibration: str | os.PathLike[str] | Calibration | None = None,
        prepared: str | os.PathLike[str] | None = None,
    ) -> Predictions:
        """Reads predictions, finds their run and checks their integrity.

        Args:
            predictions: A CSV, JSON Lines or Parquet file, or a DataFrame, with ``image_id``, ``p0`` … ``p4`` and,
                where known, ``grade``; or a table of results of ``retinagrade grade``.
            grades: A file of the same formats or a DataFrame with ``image_id`` and ``grade`` of the same photographs.
            calibration: A calibration, or its file. By default, the calibration of the run, unless it was fitted on
                some of these photographs or on predictions that were made in another way.
            prepared: The prepared set of the run, where it was moved without the run.

        Returns:
            The predictions. Missing files of the run leave its attributes ``None``.

        Raises:
            ManifestError: A table is unreadable, or not valid.
            JoinError: Predictions and grades don't have the same photographs.
            CalibrationError: The calibration is unreadable.
            UsageError: ``prepared`` is no prepared set, or the predictions belong to no run.
            ExperimentError: The record of the run is broken.
        """
        file = None if isinstance(predictions, pd.DataFrame) else Path(predictions)
        rows = _rows(predictions)
        table = own = tidy_predictions(rows)
        known = None if grades is None else _grades(grades)
        left_out = frozenset(find_ungraded(rows)["image_id"]) - set(table["image_id"])
        if known is not None:
            if NO_GRADE_COLUMN in rows and "patient_id" in known:
                table = table.drop(columns="patient_id")  # studies stand for patients where nothing better is known
            table = join_grades(table, known[~known["image_id"].isin(left_out)])
        run = None if file is None else find_run(file)
        origin = _NO_ORIGIN if file is None else _find_origin(file, run)
        maker = origin.maker
        if prepared is not None:
            if maker is None:
                raise UsageError("a prepared set goes with predictions that a run has made: leave prepared out")
            if not (Path(prepared) / "manifest.csv").is_file():
                raise UsageError(f"{prepared} is no prepared set: it has no manifest.csv")
            maker = replace(maker, moved_set=Path(prepared))
            run = maker if run is not None else None
        photographs = RunPhotographs() if maker is None else read_run_photographs(maker)
        manifest = photographs.manifest if origin.manifest is None or prepared is not None else origin.manifest
        if manifest is not None:
            table = add_manifest_columns(table, manifest)
        fitted, fitted_file = _calibration(file, table, run, calibration)
        findings = check_predictions(
            table,
            rows=rows,
            predicted=manifest,
            trained_on=photographs.trained_on,
            fitted_on=_fitted_on(file, maker, photographs.trained_on, fitted),
        )
        if known is not None:
            findings += check_other_grades(own, known) + check_reader_saw_result(known)
        if photographs.trained_on is not None:
            findings += check_changed_grades(own, photographs.trained_on, manifest)
        files = [Path(source) for source in (predictions, grades) if not isinstance(source, pd.DataFrame | None)]
        return cls(
            table,
            [*findings, *filter(None, (origin.finding, photographs.finding))],
            file,
            run,
            manifest,
            fitted,
            () if file is None else tuple(files),
            (*files, *([] if fitted_file is None else [fitted_file])),
            decided_photographs(rows, known, "the results" if file is None else str(file)),
            left_out,
            None if file is None else find_cross_validation(file),
        )

    @property
    def file(self) -> Path:
        """The file of the predictions.

        Raises:
            UsageError: They come from a DataFrame.
        """
        if self.source_file is None:
            raise UsageError("these predictions come from a DataFrame and have no file: write them to a CSV file first")
        return self.source_file

    @property
    def name(self) -> str:
        """A short name: of the run, else of the file."""
        folder = self._folder
        if folder is not None:
            return folder.resolve().name
        return "predictions" if self.source_file is None else self.source_file.stem

    @property
    def evaluation_folder(self) -> Path | None:
        """The folder in the run, or in the cross-validation, for the evaluation; ``None`` without them."""
        folder = self._folder
        return None if folder is None else folder / "evaluation" / self.file.stem

    @property
    def _folder(self) -> Path | None:
        made_by = self.run or self.cross_validation
        return None if made_by is None else made_by.folder

    def __repr__(self) -> str:
        """Returns the numbers of photographs, the origin and the findings."""
        graded = int(self.table["grade"].notna().sum())
        origin = "" if self.source_file is None else f" in {self.source_file}"
        lines = [f"Predictions of {counted(len(self.table), 'photograph')}{origin}, {graded} with a grade"]
        return "\n".join([*lines, *(f"  finding: {finding.text}" for finding in self.findings)])

    def _repr_html_(self) -> str:
        """Returns the first rows for a notebook."""
        return self.table.head(_SHOWN_ROWS).to_html(index=False)

    def with_quality(self, progress: Progress | None = None) -> Predictions:
        """Adds a column ``quality``: ``good``, ``usable`` or ``reject``, from the photographs in the prepared set.

        Args:
            progress: Receives the number of photographs assessed.

        Raises:
            UsageError: The photographs are missing.
        """
        if self.manifest is None:
            raise UsageError(
                f"subgroups by quality: {self.source_file or 'the table'} has no column quality, and its photographs "
                "are missing: use predictions in a run's folder whose prepared set still exists"
            )
        paths = dict(zip(self.manifest.table["image_id"], self.manifest.table["path"], strict=True))
        step = begin_stage(progress, "assessing image quality", len(self.table))
        qualities = []
        for image_id in self.table["image_id"]:
            qualities.append(_quality(self.manifest.file(paths[image_id])) if image_id in paths else None)
            step()
        column = pd.Series(qualities, index=self.table.index, dtype="string")
        return replace(self, table=self.table.assign(quality=column))


def find_run(file: Path) -> Run | None:
    """Returns the run whose folder ``predictions`` holds a file; ``None`` for a file elsewhere."""
    folder = file.resolve().parent
    run = Run(folder.parent)
    in_run = folder.name == "predictions" and (run.experiment_file.is_file() or not run.has_network)
    return run if in_run else None


def find_cross_validation(file: Path) -> CrossValidation | None:
    """Returns the finished cross-validation whose out-of-fold predictions a file holds; ``None`` for other files."""
    folder = file.resolve().parent
    result = CrossValidation(folder.parent)
    is_own = folder.name == "predictions" and file.name == result.predictions_file.name
    return result if is_own and result.is_finished else None


@dataclass(frozen=True)
class _Origin:
    """The origin of a table.

    Attributes:
        maker: The run that predicted; ``None`` where no single run did, or where it is unknown.
        manifest: The prepared set of the photographs; ``None`` where it is unknown or gone.
        finding: The finding that the run is gone; ``None`` otherwise.
    """

    maker: Run | None = None
    manifest: Manifest | None = None
    finding: Finding | None = None


_NO_ORIGIN: Final = _Origin()


def _find_origin(file: Path, run: Run | None) -> _Origin:
    """Finds the origin of a table: the record beside it names a run and a prepared set.

    Args:
        file: The table.
        run: The run whose folder holds it; ``None`` elsewhere.

    Raises:
        ManifestError: The manifest of the set is broken.
    """
    inputs = read_origin(origin_file(file), PREDICT)
    if inputs is None or len(inputs) != 2:
        return _Origin(run)
    prepared, folder = inputs
    manifest_file = prepared / "manifest.csv"
    manifest = Manifest.read(manifest_file) if manifest_file.is_file() else None
    if run is not None:
        return _Origin(run, manifest)
    # Each fold, or run without a data set, predicts photographs that it wasn't trained on.
    if CrossValidation(folder).is_cross_validation or LeaveOneOut(folder).is_leave_one_out:
        return _Origin(None, manifest)
    if not Run(folder).record_file.is_file():
        return _Origin(None, manifest, missing_run_finding(str(file), str(folder)))
    return _Origin(Run(folder), manifest)


def has_cut_points(run: Run) -> bool:
    """Whether cut points that were fitted on validation photographs decide the grades of a run, or of a member."""
    if run.is_ensemble:
        return any(member.cut_points for member in run.ensemble_record().members)
    return run.output_file.is_file()


def _rows(predictions: str | os.PathLike[str] | pd.DataFrame) -> pd.DataFrame:
    if not isinstance(predictions, pd.DataFrame):
        return read_prediction_rows(Path(predictions))
    with _csv_file(predictions, "DataFrame of predictions") as file:
        return read_prediction_rows(file)


def _grades(grades: str | os.PathLike[str] | pd.DataFrame) -> pd.DataFrame:
    if not isinstance(grades, pd.DataFrame):
        return read_grades(Path(grades))
    with _csv_file(grades, "DataFrame of grades") as file:
        return read_grades(file)


@contextmanager
def _csv_file(table: pd.DataFrame, name: str) -> Iterator[Path]:
    """Writes a DataFrame to a temporary CSV file, so that it has the checks and the outcomes of a file."""
    with scratch_folder() as folder:
        file = folder / "table.csv"
        table.to_csv(file, index=False)
        try:
            yield file
        except ManifestError as error:
            raise ManifestError(str(error).replace(str(file), name)) from None


def _calibration(
    file: Path | None, table: pd.DataFrame, run: Run | None, chosen: str | os.PathLike[str] | Calibration | None
) -> tuple[Calibration | None, Path | None]:
    """Returns the calibration to apply, and its file."""
    if isinstance(chosen, Calibration):
        return chosen, None
    if chosen is not None:
        return load_calibration(Path(chosen)), Path(chosen)
    if file is None or run is None or not run.calibration_file.is_file():
        return None, None
    fitted = load_calibration(run.calibration_file)
    # Flips and half precision change probabilities: `test-tta` needs a calibration that was fitted on `val-tta`.
    same_variant = file.stem.partition("-")[2] == Path(fitted.source.file).stem.partition("-")[2]
    if not same_variant or table["image_id"].isin(fitted.source.image_ids).any():
        return None, None
    return fitted, run.calibration_file


def _fitted_on(
    file: Path | None, run: Run | None, trained_on: Manifest | None, calibration: Calibration | None
) -> dict[str, pd.DataFrame]:
    """Returns the photographs that parts of the grading were fitted on after training, by the names of the parts."""
    fitted_on: dict[str, pd.DataFrame] = {}
    if run is not None and trained_on is not None:
        validation = trained_on.graded()
        if has_cut_points(run):
            fitted_on["The cut points between grades"] = validation.split("val").table
        if run.is_ensemble and file is not None and file.stem != "val":  # an ensemble predicts `val` out of fold
            fitted_on["The weights of the ensemble"] = validation.split("val").table
    if calibration is not None:
        fitted_on["Thresholds and calibration"] = pd.DataFrame({"image_id": list(calibration.source.image_ids)})
    return fitted_on


def _quality(path: Path) -> str | None:
    try:
        photograph = read_photograph(path)
        return assess_quality(photograph, find_field_of_view(photograph)).level
    except ImageError:
        return None

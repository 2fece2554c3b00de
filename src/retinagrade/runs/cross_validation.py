"""The folder of a cross-validation, and the trained runs behind any folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from retinagrade.errors import ExperimentError
from retinagrade.runs.records import FinishedFolds, FoldsRecord, read_folds_record, write_record
from retinagrade.runs.run import Run


@dataclass(frozen=True)
class CrossValidation:
    """The folder of a cross-validation: ``fold-0`` …, ``folds.json``, ``predictions/val.csv``."""

    folder: Path

    @property
    def record_file(self) -> Path:
        """The folds' metrics with mean and standard deviation."""
        return self.folder / "folds.json"

    @property
    def predictions_file(self) -> Path:
        """Predictions of all photographs of the folds, each by the fold that was not trained on it."""
        return self.folder / "predictions" / "val.csv"

    @property
    def is_cross_validation(self) -> bool:
        """Whether the folder has a record of folds."""
        return self.record_file.is_file()

    def fold(self, number: int) -> Run:
        """The run of one fold, counted from 0."""
        return Run(self.folder / f"fold-{number}")

    def runs(self) -> list[Run]:
        """The runs of all folds.

        Raises:
            ExperimentError: The record is missing or broken.
        """
        return [self.fold(number) for number in range(self.record().folds)]

    def record(self) -> FoldsRecord:
        """Reads ``folds.json``.

        Raises:
            ExperimentError: The record is missing or broken.
        """
        return read_folds_record(self.record_file)

    def finished_record(self) -> FinishedFolds:
        """Reads ``folds.json`` of a finished cross-validation.

        Raises:
            ExperimentError: The record is missing or broken, or the cross-validation is not finished.
        """
        record = self.record()
        if not isinstance(record, FinishedFolds):
            raise ExperimentError(f"{self.folder} is not finished: train it to the end first")
        return record

    def write_record(self, record: FoldsRecord) -> None:
        """Writes ``folds.json``, atomically."""
        write_record(self.record_file, record)


def trained_runs(folders: Sequence[Path]) -> list[Run]:
    """Finds the runs that have a network of their own: in folders, or behind an ensemble or a cross-validation.

    Args:
        folders: Runs, cross-validations, and ensembles of any of these.

    Returns:
        Each run once, in the order of folders, members and folds. A folder of none of these kinds counts as a run, and
        raises an error when its experiment is read.

    Raises:
        ExperimentError: A record is broken.
    """
    runs: dict[Run, None] = {}
    for folder in folders:
        result = CrossValidation(folder)
        if result.is_cross_validation:
            parts = [fold.folder for fold in result.runs()]
        elif Run(folder).is_ensemble:
            parts = [Path(member.folder) for member in Run(folder).ensemble_record().members]
        else:
            runs[Run(folder)] = None
            continue
        runs |= dict.fromkeys(trained_runs(parts))
    return list(runs)

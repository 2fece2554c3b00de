"""The folder of a cross-validation, and the trained runs behind any folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pandas as pd

from retinagrade.arguments import check_arguments
from retinagrade.errors import ExperimentError
from retinagrade.runs.records import FinishedFolds, FoldsRecord, read_folds_record, write_record
from retinagrade.runs.run import Run
from retinagrade.storage.output_guard import path_from_folder


@dataclass(frozen=True, repr=False, init=False)
class CrossValidation:
    """The folder of a cross-validation: ``fold-0`` …, ``folds.json``, ``predictions/val.csv``."""

    folder: Path

    @check_arguments()
    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Names a folder, which need not exist; nothing is read yet."""
        object.__setattr__(self, "folder", Path(folder))

    @property
    def record_file(self) -> Path:
        """The folds' metrics with mean and standard deviation."""
        return self.folder / "folds.json"

    @property
    def predictions_file(self) -> Path:
        """Predictions of all photographs of the folds, each by the fold that was not trained on it."""
        return self.folder / "predictions" / "val.csv"

    @property
    def lesion_counts_file(self) -> Path:
        """Counts of the lesion maps of all photographs of the folds; only folds that outline lesions have them."""
        return self.folder / "predictions" / "val-lesions.npz"

    @property
    def is_cross_validation(self) -> bool:
        """Whether the folder has a record of folds."""
        return self.record_file.is_file()

    @property
    def is_finished(self) -> bool:
        """Whether the folder has a record that says so.

        Raises:
            ExperimentError: The record is broken.
        """
        return self.is_cross_validation and isinstance(self.record(), FinishedFolds)

    def fold(self, number: int) -> Run:
        """The run of one fold, counted from 0."""
        return Run(self.folder / f"fold-{number}")

    def runs(self) -> list[Run]:
        """The runs of all folds.

        Raises:
            ExperimentError: The record is missing or broken.
        """
        return [self.fold(number) for number in range(self.record().folds)]

    def metrics(self) -> pd.DataFrame:
        """Returns the kept epoch of each fold.

        Returns:
            Columns ``fold``, ``epoch``, ``val_loss``, and the metrics of the networks' task.

        Raises:
            ExperimentError: The cross-validation is not finished.
        """
        table = pd.DataFrame([dict(fold) for fold in self.finished_record().kept])
        first = ["fold", "epoch", "val_loss"]
        return table[[*first, *(name for name in table if name not in first and table[name].notna().any())]]

    def __repr__(self) -> str:
        """Returns the folder, the experiment, the status, and mean and standard deviation of each metric."""
        try:
            record = self.record()
        except ExperimentError:
            return f"CrossValidation({str(self.folder)!r}): not started"
        text = f"CrossValidation({str(self.folder)!r}): {record.experiment}, {record.folds} folds, {record.status}"
        if isinstance(record, FinishedFolds):
            for name, over in record.over_folds.items():
                text += f"\n  {name} " + ("undefined" if over is None else f"{over.mean:.3f} ± {over.sd:.3f}")
        return text

    def _repr_html_(self) -> str:
        """Returns the metrics of the folds for a notebook."""
        try:
            return self.metrics().to_html(index=False)
        except ExperimentError:
            return f"<pre>{escape(repr(self))}</pre>"

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
            parts = [path_from_folder(member.folder, folder) for member in Run(folder).ensemble_record().members]
        else:
            runs[Run(folder)] = None
            continue
        runs |= dict.fromkeys(trained_runs(parts))
    return list(runs)

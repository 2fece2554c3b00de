"""The folder of a run: a trained network, an ensemble of such networks, or a model that grades by lesion maps."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd

from retinagrade.arguments import check_arguments
from retinagrade.errors import ExperimentError, UsageError
from retinagrade.experiments.experiment import Experiment, load_experiment
from retinagrade.images.prepare import PreparationSettings
from retinagrade.runs.records import (
    EnsembleRecord,
    FinishedTraining,
    GradeModelRecord,
    RunRecord,
    StartedTraining,
    read_run_record,
    write_record,
)
from retinagrade.storage.output_guard import path_from_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATE_FILES: Final = ("learning_rate.csv", "learning_rate.png", "learning_rate.csv.origin.json")
"""Files that a search for the learning rate leaves in a run's folder before the run begins."""


@dataclass(frozen=True, repr=False, init=False)
class Run:
    """The folder of one training, by convention ``runs/<name>``, or of an ensemble of trained networks.

    Attributes:
        folder: The folder.
        moved_set: The prepared set, where it was moved without the run; ``None`` to look where the record says.
    """

    folder: Path
    moved_set: Path | None = field(default=None, compare=False)

    @check_arguments()
    def __init__(self, folder: str | os.PathLike[str], moved_set: str | os.PathLike[str] | None = None) -> None:
        """Names a folder; nothing is read yet.

        Args:
            folder: The folder, which need not exist.
            moved_set: The prepared set, where it was moved without the run.
        """
        object.__setattr__(self, "folder", Path(folder))
        object.__setattr__(self, "moved_set", None if moved_set is None else Path(moved_set))

    @property
    def experiment_file(self) -> Path:
        """The experiment with all overrides; an ensemble has none."""
        return self.folder / "experiment.yaml"

    @property
    def record_file(self) -> Path:
        """Versions, settings, digest of the data, and metrics."""
        return self.folder / "run.json"

    @property
    def manifest_file(self) -> Path:
        """The split that the run was trained on, where the prepared set has a different one; paths are the set's."""
        return self.folder / "manifest.csv"

    @property
    def prepared(self) -> Path:
        """The prepared set that the run was trained on; the folder may be gone."""
        if self.moved_set is not None:
            return self.moved_set
        return path_from_folder(self.record().data.prepared, self.folder)

    @property
    def split_file(self) -> Path:
        """The manifest with the split that the run was trained on: its own or the prepared set's; it may be gone."""
        return self.manifest_file if self.record().data.own_split else self.prepared / "manifest.csv"

    @property
    def history_file(self) -> Path:
        """A table with one row for each epoch."""
        return self.folder / "history.csv"

    @property
    def best_checkpoint(self) -> Path:
        """Weights of the kept epoch: by default, the epoch with the lowest validation loss."""
        return self.folder / "checkpoints" / "best.ckpt"

    @property
    def last_checkpoint(self) -> Path:
        """The state after the last complete epoch, for resuming."""
        return self.folder / "checkpoints" / "last.ckpt"

    @property
    def output_file(self) -> Path:
        """Cut points of a regression, fitted after training; other outputs have none."""
        return self.folder / "output.json"

    @property
    def ensemble_file(self) -> Path:
        """The fitted combination of an ensemble's members; only ensembles have it."""
        return self.folder / "ensemble.json"

    @property
    def is_ensemble(self) -> bool:
        """Whether the run is an ensemble."""
        return self.ensemble_file.is_file()

    @property
    def grade_model_file(self) -> Path:
        """The fitted model that grades by lesion maps; only grade models have it."""
        return self.folder / "grade_model.json"

    @property
    def marks_file(self) -> Path:
        """The marks of the camera; only grade models whose camera has some have it."""
        return self.folder / "marks.png"

    @property
    def is_grade_model(self) -> bool:
        """Whether the run is a grade model."""
        return self.grade_model_file.is_file()

    @property
    def has_network(self) -> bool:
        """Whether the run is a training; ensembles and grade models have no network of their own."""
        return not self.is_ensemble and not self.is_grade_model

    @property
    def is_finished(self) -> bool:
        """Whether the run has a record that says so.

        Raises:
            ExperimentError: The record is broken.
        """
        return self.record_file.is_file() and self.record().status == "finished"

    @property
    def calibration_file(self) -> Path:
        """The calibration that ``calibrate`` fitted on the validation predictions."""
        return self.folder / "calibration.json"

    def predictions_file(self, split: str) -> Path:
        """Predictions of one split."""
        return self.folder / "predictions" / f"{split}.csv"

    def existing_predictions(self, split: str) -> Path:
        """Returns the predictions of one split, which must exist.

        Raises:
            UsageError: The folder has none of the split, or holds lesion maps, which have no grades.
        """
        file, counts = self.predictions_file(split), self.lesion_counts_file(split)
        if file.is_file():
            return file
        if counts.is_file():
            raise UsageError(
                f"{self.folder} outlines lesions and grades nothing: measure its maps with `retinagrade evaluate "
                f"{counts}`, or name a run that grades"
            )
        raise UsageError(
            f"{self.folder} has no predictions of the split {split} ({file}): run `retinagrade predict` first"
        )

    def lesion_counts_file(self, split: str) -> Path:
        """Counts of the lesion maps of one split; only runs that outline lesions have them."""
        return self.folder / "predictions" / f"{split}-lesions.npz"

    def experiment(self) -> Experiment:
        """Reads the experiment with all overrides.

        Raises:
            ExperimentError: The folder is not a run.
        """
        if not self.experiment_file.is_file():
            raise self._not_a_run(self.experiment_file)
        return load_experiment(str(self.experiment_file))

    def record(self) -> RunRecord:
        """Reads ``run.json``.

        Raises:
            ExperimentError: The folder is not a run, or the record is broken.
        """
        if not self.record_file.is_file():
            raise self._not_a_run(self.record_file)
        return read_run_record(self.record_file)

    def _not_a_run(self, missing: Path) -> ExperimentError:
        if (self.folder / "folds.json").is_file():
            return ExperimentError(
                f"{self.folder} is a cross-validation, not a run: name the run of a fold, such as "
                f"{self.folder / 'fold-0'}; `export` takes a run on all photographs, and the cross-validation with "
                "--cross-validation"
            )
        return ExperimentError(f"{self.folder} is not a run: it has no {missing.name}")

    def training_record(self) -> StartedTraining | FinishedTraining:
        """Reads ``run.json`` of a training, finished or not.

        Raises:
            ExperimentError: The folder is not a run, the run has no network of its own, or the record is broken.
        """
        record = self.record()
        if isinstance(record, EnsembleRecord | GradeModelRecord):
            kind = "an ensemble" if isinstance(record, EnsembleRecord) else "a grade model"
            raise ExperimentError(f"{self.folder} is {kind}, and has no network of its own: name a trained run")
        return record

    def finished_record(self) -> FinishedTraining:
        """Reads ``run.json`` of a finished training.

        Raises:
            ExperimentError: As for :meth:`training_record`, or the training is not finished.
        """
        record = self.training_record()
        if isinstance(record, StartedTraining):
            raise ExperimentError(f"{self.folder} is not finished: train it to the end first")
        return record

    def ensemble_record(self) -> EnsembleRecord:
        """Reads ``run.json`` of an ensemble.

        Raises:
            ExperimentError: The folder is not a run, the run is no ensemble, or the record is broken.
        """
        record = self.record()
        if not isinstance(record, EnsembleRecord):
            raise ExperimentError(f"{self.folder} is not an ensemble: make one with `retinagrade ensemble`")
        return record

    def grade_model_record(self) -> GradeModelRecord:
        """Reads ``run.json`` of a grade model.

        Raises:
            ExperimentError: The folder is not a run, the run is no grade model, or the record is broken.
        """
        record = self.record()
        if not isinstance(record, GradeModelRecord):
            raise ExperimentError(f"{self.folder} is not a grade model: make one with `retinagrade fit-grades`")
        return record

    def write_record(self, record: RunRecord) -> None:
        """Writes ``run.json``, atomically."""
        write_record(self.record_file, record)

    def preparation(self) -> PreparationSettings:
        """Reads how the photographs were prepared.

        Raises:
            ExperimentError: This version doesn't know the recipe.
        """
        settings = self.record().data.preparation
        if settings.recipe != PreparationSettings.recipe:
            raise ExperimentError(
                f"{self.folder} was trained on photographs prepared by recipe {settings.recipe}, and this is "
                f"{PreparationSettings.recipe}: use the version of retinagrade that trained it"
            )
        return settings

    def __repr__(self) -> str:
        """Returns the folder, the experiment, the status and the metrics of the kept epoch."""
        try:
            record = self.record()
        except ExperimentError:
            return f"Run({str(self.folder)!r}): not started"
        text = f"Run({str(self.folder)!r}): {record.experiment}, {record.status}"
        if isinstance(record, FinishedTraining):
            text += f", {record.epochs} epochs; kept epoch {record.kept.epoch + 1} with {record.kept.describe()}"
        return text

    def _repr_html_(self) -> str:
        """Returns the history of a training for a notebook."""
        return (
            self.history().to_html(index=False) if self.history_file.is_file() else f"<pre>{escape(repr(self))}</pre>"
        )

    def plot(self) -> Figure:
        """Draws the training curves as a Matplotlib figure.

        Raises:
            ExperimentError: The folder is not a run, or its training has no finished epoch.
        """
        from retinagrade.evaluation.report.plots import training_curves  # Matplotlib takes long to import

        if not self.history_file.is_file():
            raise ExperimentError(f"{self.folder} has no training history, {self.history_file.name}")
        return training_curves(self.history(), self.experiment().network.loss)

    def history(self) -> pd.DataFrame:
        """Reads the training history.

        Returns:
            One row for each epoch: losses, validation metrics, learning rate, seconds, and ``kept``, True in the row of
            the kept epoch.
        """
        epochs = pd.read_csv(self.history_file)
        keeps_last = self.experiment().training.keep == "last"
        kept = len(epochs) - 1 if keeps_last else int(epochs["val_loss"].argmin())
        return epochs.assign(kept=epochs.index == kept)

"""The folders of a run and of a cross-validation: what was trained, on what, and where the parts are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from retinagrade.errors import ExperimentError
from retinagrade.images.prepare import PreparationSettings
from retinagrade.experiments.experiment import Experiment, load_experiment

RATE_FILES: Final = ("learning_rate.csv", "learning_rate.png")
"""What a search for the learning rate leaves in a run's folder before there is a run."""


@dataclass(frozen=True)
class Run:
    """The folder of one training, by convention ``runs/<name>``, or of an ensemble of such."""

    folder: Path

    @property
    def experiment_file(self) -> Path:
        """The experiment as used."""
        return self.folder / "experiment.yaml"

    @property
    def record_file(self) -> Path:
        """Versions, settings, data fingerprint and figures."""
        return self.folder / "run.json"

    @property
    def manifest_file(self) -> Path:
        """The split that it was trained on, where that is not the prepared set's own; paths are the set's."""
        return self.folder / "manifest.csv"

    @property
    def prepared(self) -> Path:
        """The prepared set that it was trained on; it may be gone since."""
        return Path(self.record()["data"]["prepared"])

    @property
    def split_file(self) -> Path:
        """The manifest with the split that it was trained on, its own or the prepared set's; it may be gone since."""
        own = self.record()["data"].get("own_split")
        return self.manifest_file if own else self.prepared / "manifest.csv"

    def preparation(self) -> PreparationSettings:
        """How its photographs were prepared.

        Raises:
            ExperimentError: By a recipe that this version doesn't have.
        """
        settings = PreparationSettings(**self.record()["data"]["preparation"])
        if settings.recipe != PreparationSettings.recipe:
            raise ExperimentError(
                f"{self.folder} was trained on photographs prepared by recipe {settings.recipe}, and this is "
                f"{PreparationSettings.recipe}: use the version of retinagrade that trained it"
            )
        return settings

    @property
    def history_file(self) -> Path:
        """One row an epoch."""
        return self.folder / "history.csv"

    @property
    def best_checkpoint(self) -> Path:
        """Weights of the epoch that was kept: by default, the one with the lowest validation loss."""
        return self.folder / "checkpoints" / "best.ckpt"

    @property
    def last_checkpoint(self) -> Path:
        """Everything that resuming needs, after the last whole epoch."""
        return self.folder / "checkpoints" / "last.ckpt"

    @property
    def output_file(self) -> Path:
        """Cut points of a regression, fitted after training; other outputs have none."""
        return self.folder / "output.json"

    @property
    def ensemble_file(self) -> Path:
        """How the probabilities of its members are combined, where it is an ensemble; it has no experiment then."""
        return self.folder / "ensemble.json"

    @property
    def is_ensemble(self) -> bool:
        """Whether it was combined from others and not trained."""
        return self.ensemble_file.is_file()

    @property
    def calibration_file(self) -> Path:
        """What `calibrate` fitted on the validation predictions."""
        return self.folder / "calibration.json"

    def predictions_file(self, split: str) -> Path:
        """Predictions of one split."""
        return self.folder / "predictions" / f"{split}.csv"

    def experiment(self) -> Experiment:
        """The experiment as used.

        Raises:
            ExperimentError: The folder is no run.
        """
        if not self.experiment_file.is_file():
            raise ExperimentError(f"{self.folder} is not a run: it has no experiment.yaml")
        return load_experiment(str(self.experiment_file))

    def record(self) -> dict[str, Any]:
        """What ``run.json`` says.

        Raises:
            ExperimentError: The folder is no run, or the record is broken.
        """
        if not self.record_file.is_file():
            raise ExperimentError(f"{self.folder} is not a run: it has no {self.record_file.name}")
        try:
            record: dict[str, Any] = json.loads(self.record_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ExperimentError(f"{self.record_file}: not a readable run record: {error}") from error
        return record

    def history(self) -> pd.DataFrame:
        """One row an epoch: losses, validation figures, learning rate, seconds, and whether its weights were kept."""
        rows = pd.read_csv(self.history_file)
        place = len(rows) - 1 if self.experiment().training.keep == "last" else int(rows["val_loss"].argmin())
        return rows.assign(kept=rows.index == place)


@dataclass(frozen=True)
class CrossValidation:
    """The folder of a cross-validation: ``fold-0`` …, ``folds.json``, ``predictions/val.csv``."""

    folder: Path

    @property
    def record_file(self) -> Path:
        """Folds, their figures, and mean and standard deviation of these."""
        return self.folder / "folds.json"

    @property
    def predictions_file(self) -> Path:
        """Predictions of all photographs that were ever validated on, each by the fold that didn't learn it."""
        return self.folder / "predictions" / "val.csv"

    def fold(self, number: int) -> Run:
        """The run of one fold, counted from 0."""
        return Run(self.folder / f"fold-{number}")

    def record(self) -> dict[str, Any]:
        """What ``folds.json`` says.

        Raises:
            ExperimentError: It is not there, or broken.
        """
        try:
            record: dict[str, Any] = json.loads(self.record_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ExperimentError(f"{self.record_file}: not a readable record of folds: {error}") from error
        return record


def trained_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs that have a network of their own: those in folders, or behind an ensemble or a cross-validation.

    Args:
        folders: Runs, cross-validations, and ensembles of any of these.

    Returns:
        Each once, in the order of folders, members and folds. A folder that is none of these is taken for a run, which
        says so when it is asked for its experiment.

    Raises:
        ExperimentError: A record is broken.
    """
    found: dict[Run, None] = {}
    for folder in folders:
        folds = CrossValidation(folder)
        if folds.record_file.is_file():
            parts = [folds.fold(number).folder for number in range(folds.record()["folds"])]
        elif Run(folder).is_ensemble:
            parts = [Path(member["folder"]) for member in Run(folder).record()["members"]]
        else:
            found[Run(folder)] = None
            continue
        found |= dict.fromkeys(trained_runs(parts))
    return list(found)

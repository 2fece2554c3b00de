"""The folder of a leave-one-data-set-out evaluation: a run for each data set, trained on all other ones."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict

from retinagrade.arguments import check_arguments
from retinagrade.errors import ExperimentError
from retinagrade.runs.run import Run
from retinagrade.storage.file_names import safe_name
from retinagrade.storage.files import read_json_model, write_json

MEASURED: Final = ("macro_auc", "pairwise_auc", "accuracy", "macro_f1", "quadratic_weighted_kappa")
"""Metrics of each data set: those of GDRBench, whose AUC is :func:`~retinagrade.evaluation.metrics.pairwise_auc`, the
AUC of each grade against all others, and the quadratic weighted kappa."""


class MeasuredDataSet(BaseModel):
    """The metrics of a data set by the network that was not trained on it.

    Attributes:
        name: Name of the data set.
        photographs: Number of its photographs with a grade.
        metrics: Macro AUC, pairwise AUC, accuracy and macro F1 (0 to 1), and quadratic weighted kappa (-1 to 1), by the
            names of :data:`MEASURED`; ``None`` where one is undefined.
        intervals: Lower and upper end of the 95 % interval of each metric, by patient where patients are known;
            ``None`` where there is none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    photographs: int
    metrics: dict[str, float | None]
    intervals: dict[str, tuple[float, float] | None]


class LeaveOneOutRecord(BaseModel):
    """``data-sets.json``: the metrics of each data set, by the network that was not trained on it.

    Attributes:
        status: The state of the work.
        experiment: Name of the experiment.
        names: Names of the data sets, each of which is held out once.
        measured: The data sets with their metrics; empty until all runs are trained.
        mean: Mean of each metric over the data sets; ``None`` where it is undefined for one of them. Empty until all
            runs are trained.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Literal["training", "finished"] = "training"
    experiment: str
    names: tuple[str, ...]
    measured: tuple[MeasuredDataSet, ...] = ()
    mean: dict[str, float | None] = {}


@dataclass(frozen=True, repr=False, init=False)
class LeaveOneOut:
    """The folder of a leave-one-data-set-out evaluation: ``without-NAME`` …, ``data-sets.json``, ``data-sets.csv``."""

    folder: Path

    @check_arguments()
    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Names a folder, which need not exist; nothing is read yet."""
        object.__setattr__(self, "folder", Path(folder))

    @property
    def record_file(self) -> Path:
        """The data sets with their metrics."""
        return self.folder / "data-sets.json"

    @property
    def table_file(self) -> Path:
        """The same as a table: a row for each data set, and the mean."""
        return self.folder / "data-sets.csv"

    @property
    def predictions_file(self) -> Path:
        """Predictions of all photographs, each by the network that was not trained on its data set."""
        return self.folder / "predictions" / "test.csv"

    @property
    def is_leave_one_out(self) -> bool:
        """Whether the folder has a record of data sets."""
        return self.record_file.is_file()

    @property
    def is_finished(self) -> bool:
        """Whether the folder has a record that says so.

        Raises:
            ExperimentError: The record is broken.
        """
        return self.is_leave_one_out and self.record().status == "finished"

    def run(self, name: str) -> Run:
        """Returns the run that was not trained on a data set."""
        return Run(self.folder / f"without-{safe_name(name)}")

    def record(self) -> LeaveOneOutRecord:
        """Reads ``data-sets.json``.

        Raises:
            ExperimentError: The record is missing or broken.
        """
        return read_json_model(self.record_file, LeaveOneOutRecord, "a record of data sets", ExperimentError)

    def write_record(self, record: LeaveOneOutRecord) -> None:
        """Writes ``data-sets.json``, atomically."""
        write_json(self.record_file, record.model_dump(mode="json"))

    def metrics(self) -> pd.DataFrame:
        """Returns the metrics of each data set, and their mean in the last row.

        Returns:
            Columns ``data_set``, ``photographs`` and the metrics of :data:`MEASURED`, each with ``_low`` and ``_high``,
            the ends of its 95 % interval, where it has one.

        Raises:
            ExperimentError: The evaluation is not finished.
        """
        record = self.record()
        if record.status != "finished":
            raise ExperimentError(f"{self.folder} is not finished: train it to the end first")
        rows = []
        for each in record.measured:
            ends = {name: interval for name, interval in each.intervals.items() if interval is not None}
            low = {f"{name}_low": interval[0] for name, interval in ends.items()}
            high = {f"{name}_high": interval[1] for name, interval in ends.items()}
            rows.append({"data_set": each.name, "photographs": each.photographs, **each.metrics, **low, **high})
        total = sum(each.photographs for each in record.measured)
        rows.append({"data_set": "mean", "photographs": total, **record.mean})
        columns = ["data_set", "photographs"]
        columns += [f"{name}{end}" for name in MEASURED for end in ("", "_low", "_high")]
        return pd.DataFrame(rows).reindex(columns=columns).dropna(axis="columns", how="all")

    def __repr__(self) -> str:
        """Returns the folder, the experiment, the status and the mean of each metric."""
        try:
            record = self.record()
        except ExperimentError:
            return f"LeaveOneOut({str(self.folder)!r}): not started"
        text = f"LeaveOneOut({str(self.folder)!r}): {record.experiment}, {len(record.names)} data sets, {record.status}"
        for name, value in record.mean.items():
            text += f"\n  mean {name} " + ("undefined" if value is None else f"{value:.3f}")
        return text

    def _repr_html_(self) -> str:
        """Returns the metrics of the data sets for a notebook."""
        try:
            return self.metrics().to_html(index=False)
        except ExperimentError:
            return f"<pre>{self!r}</pre>"

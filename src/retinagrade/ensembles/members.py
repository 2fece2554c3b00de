"""Members of an ensemble: runs, cross-validations and ensembles, with their predictions joined by ``image_id``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retinagrade.datasets.balance import inverse_frequency_weights
from retinagrade.ensembles.scores import MemberScores
from retinagrade.errors import ExperimentError, JoinError, UsageError
from retinagrade.evaluation.predictions import graded_predictions, read_predictions
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.manifest import Manifest
from retinagrade.messages import counted, first_few
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.photographs import add_manifest_columns, read_run_photographs
from retinagrade.runs.predictions import has_cut_points
from retinagrade.runs.records import TrainingDataRecord
from retinagrade.runs.run import Run
from retinagrade.storage.files import short_names


@dataclass(frozen=True)
class EnsembleMember:
    """A run, a cross-validation or an ensemble.

    Attributes:
        name: Name of its folder, with as much of the path as distinguishes it from the other members.
        folder: Its folder, with ``predictions/val.csv`` and the predictions of further splits.
        data: The photographs that it was trained on; for a cross-validation, those of its first fold with the digests
            of all folds' manifests.
        cut_points: True where cut points that were fitted on its validation photographs decide its grades.
    """

    name: str
    folder: Path
    data: TrainingDataRecord
    cut_points: bool

    @property
    def run(self) -> Run:
        """The run whose manifest describes the photographs: itself, or the first fold."""
        result = CrossValidation(self.folder)
        return result.fold(0) if result.is_cross_validation else Run(self.folder)

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Digests of the manifests that it was trained on: one, or one for each fold."""
        return self.data.folds or (self.data.manifest_sha256,)

    @property
    def splits(self) -> set[str]:
        """The splits that it has predicted."""
        return {path.stem for path in (self.folder / "predictions").glob("[!.]*.csv")}

    def predictions_file(self, split: str) -> Path:
        """Its predictions of a split."""
        return self.folder / "predictions" / f"{split}.csv"


@dataclass(frozen=True)
class JoinedPredictions:
    """Predictions of the same photographs by several members.

    Attributes:
        table: ``image_id``, ``grade`` (nullable) and the manifest's columns on patients and eyes, sorted by
            ``image_id``.
        probabilities: Probabilities (N, M, 5) of the same photographs, in the order of the members.
    """

    table: pd.DataFrame
    probabilities: NDArray[np.float64]

    def with_probabilities(self, probabilities: NDArray[np.float64]) -> pd.DataFrame:
        """Returns a table of predictions with other probabilities (N, 5)."""
        columns = dict(zip(PROBABILITY_COLUMNS, probabilities.T, strict=True))
        return self.table.assign(**columns)

    def scores(self, probabilities: NDArray[np.float64] | None = None) -> MemberScores:
        """Returns the photographs as arrays, to fit on.

        Args:
            probabilities: Scores (N, M, …) to use instead of the members' probabilities.

        Raises:
            JoinError: A photograph has no grade.
        """
        ungraded = self.table["image_id"][self.table["grade"].isna()]
        if len(ungraded):
            raise JoinError(
                f"{counted(len(ungraded), 'validation photograph')} without a grade ({first_few(ungraded)}): nothing "
                "can be fitted on these"
            )
        photographs = graded_predictions(self.with_probabilities(self.probabilities[:, 0]))
        scores = self.probabilities if probabilities is None else probabilities
        return MemberScores(photographs.grades, scores, photographs.patients)


def read_members(folders: Sequence[Path]) -> list[EnsembleMember]:
    """Reads the members of an ensemble, and checks that they can be combined.

    Args:
        folders: Runs, cross-validations and ensembles, in any order.

    Returns:
        The members, sorted by name, so that the order of the folders changes nothing.

    Raises:
        ExperimentError: A folder is none of these, is not finished, or was trained on another split than the others:
            one member may have learnt the validation photographs of another.
        UsageError: A folder is named twice, is a file, or has no validation predictions.
    """
    members = [_read_member(folder, name) for folder, name in zip(folders, short_names(folders), strict=True)]
    first, *others = members
    for other in others:
        if not _same_split(first, other):
            raise ExperimentError(
                f"{first.folder} and {other.folder} were trained on different data or splits, so that one may have "
                "learnt the validation photographs of the other: combine runs of one split"
            )
    return sorted(members, key=lambda member: member.name)


def join_members(members: Sequence[EnsembleMember], split: str) -> JoinedPredictions:
    """Joins the members' predictions of a split.

    Args:
        members: The members; each has predictions of the split.
        split: The split.

    Raises:
        JoinError: A member lacks photographs of another member, or has a different grade for one.
        ManifestError: A table is unreadable, or not valid.
    """
    tables = {
        member.name: read_predictions(member.predictions_file(split)).set_index("image_id").sort_index()
        for member in members
    }
    ids = pd.Index(sorted(set().union(*(table.index for table in tables.values()))), name="image_id")
    missing = [
        f"{name} misses {counted(len(absent), 'photograph')} ({first_few(absent)})"
        for name, table in tables.items()
        if len(absent := ids.difference(table.index))
    ]
    if missing:
        raise JoinError(f"{split}: {'; '.join(missing)}, which others have: predict the same split with all of them")
    table = pd.DataFrame({"grade": _common_grades(tables, ids, split)}, index=ids).reset_index()
    manifest = read_run_photographs(members[0].run).manifest
    columns = list(PROBABILITY_COLUMNS)
    return JoinedPredictions(
        table if manifest is None else add_manifest_columns(table, manifest),
        np.stack([part[columns].to_numpy(dtype=np.float64) for part in tables.values()], axis=1),
    )


def class_weights(members: Sequence[EnsembleMember], validation: JoinedPredictions) -> NDArray[np.float64]:
    """Computes the weight of each grade (5,): N / (5 n_i), where n_i of the N training photographs have the grade.

    Args:
        members: The members, trained on the same photographs.
        validation: Their predictions of the validation photographs, which are also the training photographs of a
            cross-validation.

    Raises:
        ExperimentError: The manifest of the training photographs is missing or has changed.
    """
    if members[0].data.folds:
        grades = validation.table["grade"]
    else:
        trained_on = read_run_photographs(members[0].run).trained_on
        if trained_on is None:
            raise ExperimentError(
                f"the manifest that {members[0].folder} was trained on is missing or has changed, so that its training "
                "photographs of each grade can't be counted: restore it, or choose another --method"
            )
        grades = trained_on.graded().split("train").table["grade"]
    return inverse_frequency_weights(grades.to_numpy(dtype=np.int64))


def manifest_of(member: EnsembleMember) -> Manifest | None:
    """Returns the manifest that an ensemble must keep, because its split isn't the prepared set's own.

    Args:
        member: One of the ensemble's members.

    Returns:
        The manifest of a fold. For a cross-validation, all photographs of the folds become validation photographs,
        because each was predicted by the fold that was not trained on it. ``None`` where the prepared set has the
        split.
    """
    if not member.data.own_split:
        return None
    manifest = Manifest.read(member.run.manifest_file)
    if CrossValidation(member.folder).is_cross_validation:
        table = manifest.table
        divided = table["split"].isin(["train", "val"])
        manifest = Manifest(table.assign(split=table["split"].mask(divided, "val")), manifest.root)
    return manifest


def _common_grades(tables: dict[str, pd.DataFrame], ids: pd.Index, split: str) -> pd.Series:
    """Returns the grades of the photographs, where known.

    Raises:
        JoinError: Members have different grades for a photograph.
    """
    grades = pd.DataFrame({name: table["grade"] for name, table in tables.items()}, index=ids)
    differ = grades.index[(grades.min(axis=1) < grades.max(axis=1)).fillna(False)]
    if len(differ):
        listed = ", ".join(f"{name} {grade}" for name, grade in grades.loc[differ[0]].items())
        raise JoinError(
            f"{split}: {counted(len(differ), 'photograph')} with two grades ({first_few(differ)}; {differ[0]}: "
            f"{listed}): predict again with the members that have old grades"
        )
    return grades.bfill(axis=1).iloc[:, 0].astype("Int64")


def _read_member(folder: Path, name: str) -> EnsembleMember:
    if folder.is_file():
        raise UsageError(f"{folder} is a file: name the folders of runs, which know their training photographs")
    result, run = CrossValidation(folder), Run(folder)
    if result.is_cross_validation:
        result.finished_record()
        records = [fold.record().data for fold in result.runs()]
        data = records[0].model_copy(update={"folds": tuple(record.manifest_sha256 for record in records)})
        cut_points = any(has_cut_points(fold) for fold in result.runs())
    else:
        if not run.is_ensemble:
            run.experiment()  # raises an error that says that the folder is not a run
        data = run.ensemble_record().data if run.is_ensemble else run.finished_record().data
        cut_points = has_cut_points(run)
    member = EnsembleMember(name, folder, data, cut_points)
    run.existing_predictions("val")  # raises an error for runs that predicted none, or that outline lesions
    return member


def _same_split(first: EnsembleMember, second: EnsembleMember) -> bool:
    """Whether both were trained and validated on the same photographs, however these were prepared."""
    if first.trained_on == second.trained_on:
        return True
    if len(first.trained_on) > 1 or len(second.trained_on) > 1:
        return False
    manifests = [read_run_photographs(member.run).trained_on for member in (first, second)]
    splits = [None if manifest is None else _splits(manifest) for manifest in manifests]
    return splits[0] is not None and splits[0] == splits[1]


def _splits(manifest: Manifest) -> dict[str, str]:
    graded = manifest.graded().table
    return dict(zip(graded["image_id"], graded["split"].fillna(""), strict=True))

"""Members of an ensemble: runs, cross-validations and ensembles, with what they predicted, joined by ``image_id``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from retinagrade.datasets.balance import inverse_frequency_weights
from retinagrade.ensembles.scores import MemberScores
from retinagrade.errors import ExperimentError, JoinError, UsageError
from retinagrade.evaluation.predictions import graded_predictions, read_predictions
from retinagrade.files import short_names
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.manifest import Manifest
from retinagrade.messages import counted, first_few
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.records import TrainingDataRecord
from retinagrade.runs.run import Run
from retinagrade.runs.run_predictions import add_manifest_columns, find_photographs_of_run, has_cut_points


@dataclass(frozen=True)
class EnsembleMember:
    """A run, a cross-validation or an ensemble.

    Attributes:
        name: Its folder's name, with as much of the path as it takes to tell it from the others.
        folder: Its folder, with ``predictions/val.csv`` and those of further splits.
        data: The photographs that it was trained on; of a cross-validation, those of its first fold with the digests of
            all folds' manifests.
        cut_points: Whether its grades are by cut points that were fitted on its validation photographs.
    """

    name: str
    folder: Path
    data: TrainingDataRecord
    cut_points: bool

    @property
    def run(self) -> Run:
        """The run whose manifests say what is known of the photographs."""
        return CrossValidation(self.folder).fold(0) if _is_cross_validation(self.folder) else Run(self.folder)

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Digests of the manifests that it was trained on: one, or one a fold."""
        return self.data.folds or (self.data.manifest_sha256,)

    @property
    def splits(self) -> set[str]:
        """Of what there are predictions."""
        return {path.stem for path in (self.folder / "predictions").glob("*.csv")}

    def predictions_file(self, split: str) -> Path:
        """Its predictions of a split."""
        return self.folder / "predictions" / f"{split}.csv"


@dataclass(frozen=True)
class JoinedPredictions:
    """What members say of the same photographs.

    Attributes:
        table: ``image_id``, ``grade`` (nullable) and what is known of patients and eyes; in the order of ``image_id``.
        probabilities: Of the same photographs (N, M, 5), float64, in the order of the members.
    """

    table: pd.DataFrame
    probabilities: np.ndarray

    def with_probabilities(self, probabilities: np.ndarray) -> pd.DataFrame:
        """The table of predictions with probabilities (N, 5)."""
        columns = dict(zip(PROBABILITY_COLUMNS, probabilities.T, strict=True))
        return self.table.assign(**columns)

    def scores(self, probabilities: np.ndarray | None = None) -> MemberScores:
        """The photographs as arrays, to fit on.

        Args:
            probabilities: Other scores of them (N, M, …) than the members'.

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
        kept = self.probabilities if probabilities is None else probabilities
        return MemberScores(photographs.grades, kept, photographs.patients)


def read_members(folders: Sequence[Path]) -> list[EnsembleMember]:
    """Finds out what is in folders, and that these may be combined.

    Args:
        folders: Runs, cross-validations and ensembles, in any order.

    Returns:
        The members by name, so that nothing depends on the order of the folders.

    Raises:
        ExperimentError: A folder is none of these or not finished, has no validation predictions, or was trained on
            another split than the others: what one of them was validated on may be what another has learnt.
        UsageError: One is named twice, or is a file.
    """
    members = [_read(folder, name) for folder, name in zip(folders, short_names(folders), strict=True)]
    first, *others = members
    for other in others:
        if not _same_split(first, other):
            raise ExperimentError(
                f"{first.folder} and {other.folder} were trained on different data or splits, so that one may have "
                "learnt what the other is validated on: combine runs of one split"
            )
    return sorted(members, key=lambda member: member.name)


def join_members(members: Sequence[EnsembleMember], split: str) -> JoinedPredictions:
    """Joins what members predicted of a split.

    Args:
        members: All of them have predictions of it.
        split: Which.

    Raises:
        JoinError: A member misses photographs that another one has, or has another grade for one; it is named.
        ManifestError: A table that can't be read.
    """
    tables = {
        member.name: read_predictions(member.predictions_file(split)).set_index("image_id").sort_index()
        for member in members
    }
    ids = pd.Index(sorted(set().union(*(table.index for table in tables.values()))), name="image_id")
    missing = [
        f"{name} misses {counted(len(lost), 'photograph')} ({first_few(lost)})"
        for name, table in tables.items()
        if len(lost := ids.difference(table.index))
    ]
    if missing:
        raise JoinError(f"{split}: {'; '.join(missing)}, which others have: predict the same split with all of them")
    grades = pd.DataFrame({name: table["grade"] for name, table in tables.items()}, index=ids)
    differ = grades.index[(grades.min(axis=1) < grades.max(axis=1)).fillna(False)]
    if len(differ):
        said = ", ".join(f"{name} {grade}" for name, grade in grades.loc[differ[0]].items())
        raise JoinError(
            f"{split}: {counted(len(differ), 'photograph')} with two grades ({first_few(differ)}; {differ[0]}: "
            f"{said}): predict again with those that have old grades"
        )
    table = pd.DataFrame({"grade": grades.bfill(axis=1).iloc[:, 0].astype("Int64")}, index=ids).reset_index()
    manifest = find_photographs_of_run(members[0].run)[0]
    columns = list(PROBABILITY_COLUMNS)
    return JoinedPredictions(
        table if manifest is None else add_manifest_columns(table, manifest),
        np.stack([one[columns].to_numpy(dtype=np.float64) for one in tables.values()], axis=1),
    )


def class_weights(members: Sequence[EnsembleMember], validation: JoinedPredictions) -> np.ndarray:
    """What each grade counts for (5,): N / (5 n_i), where n_i of the N training photographs have it.

    Args:
        members: The members; all were trained on the same photographs.
        validation: What they say of the validation photographs, which of a cross-validation are the training
            photographs, too.

    Raises:
        ExperimentError: The training photographs aren't known any more.
    """
    if members[0].data.folds:
        grades = validation.table["grade"]
    else:
        trained_on = find_photographs_of_run(members[0].run)[1]
        if trained_on is None:
            raise ExperimentError(
                f"the manifest that {members[0].folder} was trained on is gone or was changed, so that its training "
                "photographs of each grade can't be counted: bring it back, or choose another --method"
            )
        grades = trained_on.graded().split("train").table["grade"]
    return inverse_frequency_weights(grades.to_numpy(dtype=np.int64))


def manifest_of(member: EnsembleMember) -> Manifest | None:
    """The manifest that an ensemble of such members must keep, because it isn't the prepared set's own.

    Args:
        member: One of them.

    Returns:
        That of a fold. Of a cross-validation all photographs of the folds are validation photographs: those are what it
        has predicted, each by the fold that has not learnt it. ``None`` where the prepared set has the split.
    """
    if not member.data.own_split:
        return None
    manifest = Manifest.read(member.run.manifest_file)
    if _is_cross_validation(member.folder):
        table = manifest.table
        divided = table["split"].isin(["train", "val"])
        manifest = Manifest(table.assign(split=table["split"].mask(divided, "val")), manifest.root)
    return manifest


def _read(folder: Path, name: str) -> EnsembleMember:
    if folder.is_file():
        raise UsageError(f"{folder} is a file: name the runs' folders, which know what they were trained on")
    if _is_cross_validation(folder):
        result = CrossValidation(folder)
        result.finished_record()
        records = [fold.record().data for fold in result.runs()]
        data = records[0].model_copy(update={"folds": tuple(record.manifest_sha256 for record in records)})
        cut_points = any(has_cut_points(fold) for fold in result.runs())
    else:
        run = Run(folder)
        if run.is_ensemble:
            data = run.ensemble_record().data
        else:
            run.experiment()  # or an error that says that this is no run
            data = run.finished_record().data
        cut_points = has_cut_points(run)
    member = EnsembleMember(name, folder, data, cut_points)
    if not member.predictions_file("val").is_file():
        raise ExperimentError(f"{folder} has no validation predictions, {member.predictions_file('val')}")
    return member


def _is_cross_validation(folder: Path) -> bool:
    return CrossValidation(folder).record_file.is_file()


def _same_split(one: EnsembleMember, other: EnsembleMember) -> bool:
    """Whether both learnt and validated on the same photographs, prepared in whatever way."""
    if one.trained_on == other.trained_on:
        return True
    if len(one.trained_on) > 1 or len(other.trained_on) > 1:
        return False
    ours, theirs = (find_photographs_of_run(member.run)[1] for member in (one, other))
    return ours is not None and theirs is not None and _splits(ours) == _splits(theirs)


def _splits(manifest: Manifest) -> dict[str, str]:
    known = manifest.graded().table
    return dict(zip(known["image_id"], known["split"].fillna(""), strict=True))

"""The records of runs: ``run.json`` of a training, an ensemble or a grade model, and ``folds.json`` of several folds.

Every record has a type for each state of the work, so that a finished run's results can't be missing. Keys that this
version doesn't know are ignored; a missing key or a wrong value is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, RootModel, Tag

from retinagrade.errors import ExperimentError
from retinagrade.images.prepare import PreparationSettings
from retinagrade.provenance import Provenance
from retinagrade.storage.files import read_json_model, write_json


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class TrainingDataRecord(_Model):
    """The photographs that a network was trained on.

    Attributes:
        prepared: Path of the prepared set from the folder of the run, so that both can be moved together.
        manifest_sha256: SHA-256 digest of the manifest whose split was used.
        own_split: True where the run keeps this manifest, because the prepared set has a different split.
        preparation: How the photographs were prepared.
        photographs: Number of graded photographs, by split.
        folds: For an ensemble of cross-validations, the digests of the folds' manifests.
    """

    prepared: str
    manifest_sha256: str
    own_split: bool
    preparation: PreparationSettings
    photographs: dict[str, int]
    folds: tuple[str, ...] = ()


class ParameterCounts(_Model):
    """Numbers of a network's parameters.

    Attributes:
        total: All parameters.
        trainable: Parameters that training changed.
    """

    total: int
    trainable: int


class KeptEpoch(_Model):
    """The epoch whose weights were kept, with its validation metrics.

    Attributes:
        epoch: Its number, counted from 0.
        val_loss: Validation loss; ``None`` without validation photographs.
        val_accuracy: Accuracy; ``None`` without validation photographs.
        val_qwk: Quadratic weighted kappa; ``None`` where it is undefined.
        val_average_precision: Mean average precision of lesions by pixel; ``None`` where it is undefined, and for a
            network that grades. Accuracy and kappa are ``None`` for a network that outlines lesions.
    """

    epoch: int
    val_loss: float | None
    val_accuracy: float | None = None
    val_qwk: float | None = None
    val_average_precision: float | None = None

    def describe(self) -> str:
        """Returns the validation metrics in words."""
        return describe_metrics(dict(self))


def describe_metrics(metrics: Mapping[str, float | None]) -> str:
    """Describes the validation metrics of an epoch, or of several folds, by the names that :class:`KeptEpoch` has.

    Example:
        >>> describe_metrics({"val_loss": 1.25, "val_accuracy": 0.5, "val_qwk": None})
        'validation loss 1.250, accuracy 0.500, QWK undefined'
    """
    names = {"val_loss": "validation loss", "val_accuracy": "accuracy", "val_qwk": "QWK"}
    if metrics.get("val_average_precision") is not None:
        names = {"val_loss": "validation loss", "val_average_precision": "average precision of lesions"}
    values = ((name, metrics[key]) for key, name in names.items())
    return ", ".join(f"{name} {'undefined' if value is None else f'{value:.3f}'}" for name, value in values)


class _Begun(_Model):
    status: str
    experiment: str
    data: TrainingDataRecord


class StartedTraining(_Begun):
    """``run.json`` of a training that isn't finished.

    Attributes:
        status: The state of the work.
        experiment: Name of the experiment.
        data: The photographs.
        start: The weights that training started from: ``weights`` with their licence, or ``run``, the folder of the
            run, and ``sha256``, the digest of its checkpoint.
    """

    status: Literal["training"] = "training"
    start: dict[str, str]


class FinishedTraining(Provenance, _Begun):
    """``run.json`` of a finished training.

    Attributes:
        status: The state of the work.
        experiment: Name of the experiment.
        data: The photographs.
        start: The weights that training started from, as in :class:`StartedTraining`.
        parameters: Numbers of parameters.
        epochs: Number of epochs that were trained.
        kept: The epoch whose weights were kept.
        checkpoint_sha256: SHA-256 digest of the checkpoint with these weights.
        training_seconds: Duration of all epochs.
        devices: The processors that trained the network.
        precision: Precision of the computation.
    """

    status: Literal["finished"] = "finished"
    start: dict[str, str]
    parameters: ParameterCounts
    epochs: int
    kept: KeptEpoch
    checkpoint_sha256: str
    training_seconds: float
    devices: str
    precision: str


class MemberRecord(_Model):
    """A member of an ensemble.

    Attributes:
        name: The member's name.
        folder: Path of the member's run, cross-validation or ensemble from the folder of this ensemble.
        cut_points: True where cut points that were fitted on its validation photographs decide its grades.
        predictions: SHA-256 digests of its tables of predictions, by split.
    """

    name: str
    folder: str
    cut_points: bool
    predictions: dict[str, str]


class EnsembleRecord(Provenance, _Begun):
    """``run.json`` of an ensemble.

    Attributes:
        status: The state of the work.
        experiment: Names of the members, and the method.
        data: The photographs that the members were trained on.
        method: How the members are combined.
        members: The members.
        predictions: How the predictions of each split were made.
        skipped: The reason for each split that was left out.
    """

    status: Literal["finished"] = "finished"
    method: str
    members: tuple[MemberRecord, ...]
    predictions: dict[str, str]
    skipped: dict[str, str]


class GradeModelRecord(Provenance, _Begun):
    """``run.json`` of a grade model, which grades by lesion maps.

    Attributes:
        status: The state of the work.
        experiment: Name of the experiment whose networks made the maps, and of the model.
        data: The photographs that the networks were trained on.
        maps: Paths of the folders of maps from the folder of the run; the model was fitted on the first ``fitted``.
        fitted: Number of folders that the model was fitted on.
        networks: SHA-256 digests of the networks that made the maps, one for each fold.
        marks: Number of marks of the camera, such as dust.
        predictions: How the predictions of each table were made.
    """

    status: Literal["finished"] = "finished"
    maps: tuple[str, ...]
    fitted: int
    networks: tuple[str, ...]
    marks: int
    predictions: dict[str, str]


class FoldRecord(KeptEpoch):
    """The kept epoch of one fold.

    Attributes:
        fold: Number of the fold, counted from 0.
    """

    fold: int


class MeanAndDeviation(_Model):
    """A metric over all folds.

    Attributes:
        mean: Mean.
        sd: Standard deviation.
    """

    mean: float
    sd: float


class StartedFolds(_Model):
    """``folds.json`` of a cross-validation that isn't finished.

    Attributes:
        status: The state of the work.
        experiment: Name of the experiment.
        folds: Number of folds.
        seed: Seed of the division into folds.
    """

    status: Literal["training"] = "training"
    experiment: str
    folds: int
    seed: int


class FinishedFolds(_Model):
    """``folds.json`` of a finished cross-validation.

    Attributes:
        status: The state of the work.
        experiment: Name of the experiment.
        folds: Number of folds.
        seed: Seed of the division into folds.
        kept: The kept epoch of each fold.
        over_folds: Mean and standard deviation of each metric; ``None`` where it is undefined in a fold.
    """

    status: Literal["finished"] = "finished"
    experiment: str
    folds: int
    seed: int
    kept: tuple[FoldRecord, ...]
    over_folds: dict[str, MeanAndDeviation | None]


def _kind_of_run(record: object) -> str:
    if isinstance(record, EnsembleRecord) or (isinstance(record, dict) and "members" in record):
        return "ensemble"
    if isinstance(record, GradeModelRecord) or (isinstance(record, dict) and "maps" in record):
        return "grade-model"
    status = record.get("status") if isinstance(record, dict) else getattr(record, "status", None)
    return "finished" if status == "finished" else "training"


RunRecord = StartedTraining | FinishedTraining | EnsembleRecord | GradeModelRecord
FoldsRecord = StartedFolds | FinishedFolds
_RunFile = RootModel[
    Annotated[
        Annotated[StartedTraining, Tag("training")]
        | Annotated[FinishedTraining, Tag("finished")]
        | Annotated[EnsembleRecord, Tag("ensemble")]
        | Annotated[GradeModelRecord, Tag("grade-model")],
        Discriminator(_kind_of_run),
    ]
]
_FoldsFile = RootModel[Annotated[FoldsRecord, Discriminator("status")]]


def read_run_record(file: Path) -> RunRecord:
    """Reads ``run.json`` of a training, an ensemble or a grade model.

    Raises:
        ExperimentError: The file is unreadable, or isn't the record of a run; the message names the file and the keys.
    """
    return read_json_model(file, _RunFile, "the record of a run", ExperimentError).root


def read_folds_record(file: Path) -> FoldsRecord:
    """Reads ``folds.json`` of a cross-validation.

    Raises:
        ExperimentError: The file is unreadable, or isn't the record of a cross-validation; the message names the file
            and the keys.
    """
    return read_json_model(file, _FoldsFile, "the record of a cross-validation", ExperimentError).root


def write_record(file: Path, record: RunRecord | FoldsRecord) -> None:
    """Writes a record as JSON, atomically."""
    write_json(file, record.model_dump(mode="json"))

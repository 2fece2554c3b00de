"""Records of trainings without a network, and of ensembles of them."""

from __future__ import annotations

from pathlib import Path

from retinagrade.images.prepare import PreparationSettings
from retinagrade.manifest import Manifest
from retinagrade.provenance import provenance_record
from retinagrade.runs.records import (
    EnsembleRecord,
    FinishedTraining,
    KeptEpoch,
    MemberRecord,
    ParameterCounts,
    TrainingDataRecord,
)


def finished_training(
    manifest: Manifest, manifest_sha256: str, experiment: str = "scratch-2", own_split: bool = False
) -> FinishedTraining:
    """The record of a training that took a second.

    Args:
        manifest: Photographs of a prepared set.
        manifest_sha256: Digest of the manifest's file.
        experiment: Name of the experiment.
        own_split: Whether the run keeps the manifest.
    """
    return FinishedTraining(
        experiment=experiment,
        data=TrainingDataRecord(
            prepared=str(manifest.root),
            manifest_sha256=manifest_sha256,
            own_split=own_split,
            preparation=PreparationSettings(size=64),
            photographs={split: int((manifest.table["split"] == split).sum()) for split in ("train", "val")},
        ),
        start={"weights": "none"},
        parameters=ParameterCounts(total=1, trainable=1),
        epochs=1,
        kept=KeptEpoch(epoch=0, val_loss=1.6, val_accuracy=0.4, val_qwk=0.2),
        checkpoint_sha256="0" * 64,
        training_seconds=1.0,
        devices="cpu, 1 threads",
        precision="32",
        **provenance_record(),
    )


def ensemble_of(folders: list[Path], data: TrainingDataRecord) -> EnsembleRecord:
    """The record of an ensemble without predictions.

    Args:
        folders: Folders of the members.
        data: The photographs that the members were trained on.
    """
    return EnsembleRecord(
        experiment="members: mean",
        method="mean",
        data=data,
        members=tuple(
            MemberRecord(name=folder.name, folder=str(folder), cut_points=False, predictions={}) for folder in folders
        ),
        predictions={},
        skipped={},
        **provenance_record(),
    )

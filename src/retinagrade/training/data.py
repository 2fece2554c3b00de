"""The photographs that a run is trained and validated on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from retinagrade.datasets.prepared_set import preparation_settings, require_prepared_bytes
from retinagrade.errors import ExperimentError
from retinagrade.experiments.experiment import Experiment
from retinagrade.images.prepare import PreparationSettings
from retinagrade.manifest import Manifest
from retinagrade.runs.records import TrainingDataRecord
from retinagrade.storage.files import sha256
from retinagrade.storage.output_guard import relative_to_folder


@dataclass(frozen=True)
class TrainingData:
    """Graded photographs of a prepared set, split into training and validation.

    Attributes:
        prepared: Folder of the prepared set.
        training: Training photographs.
        validation: Validation photographs; none where the experiment selects nothing by them and the set has none.
        digest: SHA-256 digest of the manifest with the split.
        own_split: A manifest whose split differs from the prepared set's, such as a fold's; the run keeps a copy.
    """

    prepared: Path
    training: Manifest
    validation: Manifest
    digest: str
    own_split: Manifest | None = None

    def record(self, run: Path) -> TrainingDataRecord:
        """Returns the section ``data`` of the record of a run in the folder ``run``."""
        return TrainingDataRecord(
            prepared=relative_to_folder(self.prepared, run),
            manifest_sha256=self.digest,
            own_split=self.own_split is not None,
            preparation=PreparationSettings(**preparation_settings(self.prepared)),
            photographs={"train": len(self.training), "val": len(self.validation)},
        )


def read_training_data(prepared: Path, experiment: Experiment, own_split: Manifest | None = None) -> TrainingData:
    """Reads the photographs that an experiment trains on.

    An experiment that keeps its last epoch needs no validation photographs. Of a set that nobody has split, it takes
    all photographs for training.

    Args:
        prepared: Folder of a prepared set.
        experiment: The experiment.
        own_split: The set's photographs with another split than in its ``manifest.csv``.

    Raises:
        ExperimentError: A regression has no validation photographs to fit its cut points on.
        ManifestError: The set has no graded photographs in a split that the experiment needs.
        LayoutError: The folder is no prepared set, or photographs differ from those that ``prepare`` wrote.
    """
    file = prepared / "manifest.csv"
    manifest = Manifest.read(file) if own_split is None else own_split
    if own_split is None and experiment.training.keep == "last" and manifest.table["split"].isna().all():
        manifest = own_split = Manifest(manifest.table.assign(split="train"), manifest.root)
    usable = manifest if experiment.outlines_lesions else manifest.graded()
    training, validation = usable.split("train"), _validation(usable, experiment)
    require_prepared_bytes(prepared, [*training.table["image_id"], *validation.table["image_id"]])
    return TrainingData(
        prepared,
        training,
        validation,
        sha256(file) if own_split is None else own_split.digest(),
        own_split,
    )


def _validation(graded: Manifest, experiment: Experiment) -> Manifest:
    """Returns the validation photographs; none where the experiment selects nothing by them and the set has none."""
    if experiment.training.keep == "best" or graded.table["split"].eq("val").any():
        return graded.split("val")
    if experiment.network.output == "regression":
        raise ExperimentError(
            f"{experiment.name} is a regression, which fits its cut points on validation photographs, but the set has "
            f"none: run `retinagrade split {graded.root}`"
        )
    return Manifest(graded.table.iloc[:0], graded.root)

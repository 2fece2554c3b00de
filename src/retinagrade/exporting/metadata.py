"""The metadata of a grader file, collected from the records of a run."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

import pandas as pd

from retinagrade.errors import ExperimentError
from retinagrade.evaluation.evaluate import evaluate_predictions
from retinagrade.evaluation.predictions import read_predictions
from retinagrade.exporting.decisions import describe_decisions
from retinagrade.exporting.exportable import EnsembleNetworks, Exportable, OutliningNetwork, list_networks
from retinagrade.grader.metadata import (
    AuthorStatements,
    MeasuredMetrics,
    MemberMetadata,
    Metadata,
    MetricValue,
    Precision,
    TrainingDataMetadata,
    Verification,
    short_digest,
)
from retinagrade.grades import Grade
from retinagrade.manifest import Manifest
from retinagrade.provenance import installed_versions, utc_time
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.photographs import add_manifest_columns
from retinagrade.runs.predictions import Predictions
from retinagrade.runs.run import Run
from retinagrade.storage.files import sha256

METRICS: Final = ("quadratic_weighted_kappa", "referable_auc", "vision_threatening_auc", "accuracy", "log_loss")
INTENDED_USE: Final = (
    "Research on grading diabetic retinopathy (ICDR scale, 0 to 4) from colour fundus photographs. Not a medical "
    "device: not for diagnosis or treatment."
)
LIMITATIONS: Final = (
    "The grader reflects the cameras, the patients and the grading habits of its training photographs. Expect lower "
    "metrics on other photographs, and measure them before use.",
    "It grades diabetic retinopathy only, and does not detect other diseases.",
)
SALIENCY: Final = (
    "A saliency map shows which parts of a photograph a score depends on. It does not show why, nor whether it should."
)
OUTLINES: Final = (
    "The outlines of lesions are those of a network: it misses lesions, and outlines reflexes and dirt. Signs that it "
    "doesn't outline, such as new vessels, count only as far as other lesions come with them."
)
VALIDATED: Final = (
    "Metrics on the validation photographs are optimistic: the epoch, the temperature and all thresholds were chosen "
    "on these photographs."
)
CROSS_VALIDATED: Final = (
    "The cross-validated metrics describe networks that were trained in the same way on parts of the same photographs. "
    "They do not describe this file, which was trained on all of them. The temperature and all thresholds were fitted "
    "on the predictions of those networks."
)


def collect_metadata(
    exportable: Exportable,
    precision: Precision,
    statements: AuthorStatements,
    verification: Verification,
    change_from_float32: MeasuredMetrics | None,
) -> Metadata:
    """Collects the metadata of a grader file.

    Args:
        exportable: The exported run.
        precision: Number format of the stored weights.
        statements: Statements of the author.
        verification: Agreement of the file with the network.
        change_from_float32: Differences of metrics from the file in float32; ``None`` for float32.

    Raises:
        ExperimentError: The cross-validation does not belong to the run.
    """
    run, cross_validation = exportable.run, exportable.cross_validation
    suffix = "-tta" * exportable.tta
    origin = VALIDATED if cross_validation is None else CROSS_VALIDATED
    outlining = exportable.networks if isinstance(exportable.networks, OutliningNetwork) else None
    return Metadata(
        lesions=None if outlining is None else outlining.lesions,
        **_describe_networks(exportable),
        **describe_decisions(exportable.calibration),
        version=_version(exportable, precision),
        created=utc_time(),
        grades=tuple(grade.label for grade in Grade),
        image_size=exportable.image_size,
        preparation=exportable.preparation,
        tta=exportable.tta,
        precision=precision,
        temperature=exportable.temperature,
        training_data=_describe_training_data(exportable, statements),
        validation=_measure_split(run, f"val{suffix}"),
        cross_validation=None if cross_validation is None else _measure_unseen(exportable, cross_validation),
        test=_measure_split(run, f"test{suffix}"),
        elsewhere=statements.elsewhere,
        change_from_float32=change_from_float32,
        verification=verification,
        versions={"training": _training_versions(run), "export": _export_versions()},
        intended_use=INTENDED_USE,
        limitations=(*statements.limitations, origin, *LIMITATIONS, SALIENCY if outlining is None else OUTLINES),
        licence=statements.licence,
    )


def _describe_networks(exportable: Exportable) -> dict[str, Any]:
    run, networks = exportable.run, exportable.networks
    if not isinstance(networks, EnsembleNetworks):
        experiment = run.experiment()
        return {
            "name": experiment.name,
            "output": experiment.network.output,
            "members": (),
            "initial_weights": run.training_record().start,
        }
    members = list(list_networks(networks))
    return {
        "name": run.folder.resolve().name,
        "output": f"{networks.combination.method} of {len(networks.members)} members",
        "members": tuple(
            MemberMetadata(
                name=member.name,
                version=sha256(member.network.run.best_checkpoint)[:12],
                saliency_weight=member.saliency_weight,
            )
            for member in members
        ),
        "initial_weights": {member.name: member.network.run.training_record().start for member in members},
    }


def network_version(run: Run) -> str:
    """Returns the first part of a grader file's version: the digest of the network, or of an ensemble's members."""
    return sha256(run.ensemble_file if run.is_ensemble else run.best_checkpoint)[:12]


def _version(exportable: Exportable, precision: Precision) -> str:
    return "-".join(
        [network_version(exportable.run), *["tta"] * exportable.tta, *([] if precision == "float32" else [precision])]
    )


def _describe_training_data(exportable: Exportable, statements: AuthorStatements) -> TrainingDataMetadata:
    data = exportable.run.record().data
    return TrainingDataMetadata(
        datasets=tuple(sorted(exportable.manifest.table["dataset"].dropna().astype(str).unique())),
        photographs=data.photographs,
        source=statements.data_source,
        manifest_sha256=data.manifest_sha256,
        digests=_digests(exportable.manifest),
    )


def _digests(manifest: Manifest) -> tuple[str, ...]:
    """Returns the digests of the photographs that chose the weights, as far as the manifest knows them."""
    table = manifest.table
    if "sha256" not in table:
        return ()
    used = table[table["split"].isin(["train", "val"]).fillna(False)]
    return tuple(sorted({short_digest(digest) for digest in used["sha256"].dropna()}))


def _training_versions(run: Run) -> dict[str, str]:
    record = run.ensemble_record() if run.is_ensemble else run.finished_record()
    return record.versions


def _export_versions() -> dict[str, str]:
    return {**installed_versions(), **{name: version(name) for name in ("onnx", "onnxruntime", "onnxscript")}}


def _measure_split(run: Run, split: str) -> MeasuredMetrics | None:
    """Metrics of the run's predictions of a split; ``None`` if there are no graded ones."""
    file = run.predictions_file(split)
    if not file.is_file():
        return None
    table = Predictions.read(file).table
    return _measure(table) if table["grade"].notna().any() else None


def _measure_unseen(exportable: Exportable, cross_validation: CrossValidation) -> MeasuredMetrics:
    """Metrics of all photographs, each predicted by networks and models that were not fitted on it."""
    if not isinstance(exportable.networks, OutliningNetwork):
        return _measure_folds(exportable.run, cross_validation, exportable.manifest)
    predictions = read_predictions(exportable.networks.grades.predictions_file("val"))
    trained_on = set(exportable.manifest.graded().split("train").table["image_id"])
    if set(predictions["image_id"]) != trained_on:
        raise ExperimentError(
            f"{cross_validation.folder} grades other photographs than those that {exportable.run.folder} was trained "
            "on: train the run on all photographs of the cross-validation"
        )
    return _measure(add_manifest_columns(predictions, exportable.manifest))


def _measure_folds(run: Run, cross_validation: CrossValidation, manifest: Manifest) -> MeasuredMetrics:
    """Metrics of all photographs, each predicted by the fold that was not trained on it.

    Raises:
        ExperimentError: The cross-validation is unfinished, or of a different experiment or different photographs.
    """
    predictions = (
        read_predictions(cross_validation.predictions_file) if cross_validation.record().status == "finished" else None
    )
    trained_on = set(manifest.graded().split("train").table["image_id"])
    if (
        predictions is None
        or run.experiment() != cross_validation.fold(0).experiment()
        or set(predictions["image_id"]) != trained_on
    ):
        raise ExperimentError(
            f"{cross_validation.folder} is not a finished cross-validation of the experiment and photographs of "
            f"{run.folder}: train both with the same experiment and settings, and the run on all photographs"
        )
    return _measure(add_manifest_columns(predictions, manifest))


def _measure(table: pd.DataFrame) -> MeasuredMetrics:
    evaluation = evaluate_predictions(table, findings=[])
    metrics = {}
    for name in METRICS:
        interval = evaluation.intervals.get(name)
        metrics[name] = MetricValue(
            value=evaluation.metrics[name], interval=None if interval is None else (interval.low, interval.high)
        )
    return MeasuredMetrics(photographs=evaluation.photographs, metrics=metrics)

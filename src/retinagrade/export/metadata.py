"""What a grader file says of itself, put together from a run's records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import pandas as pd

from retinagrade.errors import ExperimentError
from retinagrade.evaluation.evaluate import evaluate_predictions
from retinagrade.evaluation.fitting.calibration import Calibration
from retinagrade.evaluation.fitting.operating_points import OperatingPoint
from retinagrade.evaluation.predictions import read_predictions
from retinagrade.export.exportable import EnsembleNetworks, Source, list_networks
from retinagrade.files import sha256
from retinagrade.grader.metadata import (
    AuthorStatements,
    MeasuredMetrics,
    MemberMetadata,
    MetricValue,
    Precision,
    PredictionSetsMetadata,
    ReviewRule,
    Threshold,
)
from retinagrade.grades import Grade
from retinagrade.manifest import Manifest
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.run import Run
from retinagrade.runs.run_predictions import add_manifest_columns, read_run_predictions

FIGURES: Final = ("quadratic_weighted_kappa", "referable_auc", "vision_threatening_auc", "accuracy", "log_loss")
INTENDED_USE: Final = (
    "Research on grading diabetic retinopathy (ICDR scale, 0 to 4) from colour fundus photographs. Not a medical "
    "device: not for diagnosis or treatment."
)
LIMITATIONS: Final = (
    "The grader reflects the cameras, the patients and the grading habits of its training photographs. Expect lower "
    "metrics on other photographs, and measure them before use.",
    "It grades diabetic retinopathy only. It does not detect other diseases, nor macular oedema.",
    "A saliency map shows which parts of a photograph a score depends on. It does not show why, nor whether it should.",
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


def describe_identity(run: Run, source: Source, precision: Precision, tta: bool) -> dict[str, Any]:
    """What it is: name, version, members, and what it computes."""
    parts = [(name, share, one.run) for name, share, one in list_networks(source)]
    members = [
        MemberMetadata(name=name, version=sha256(part.best_checkpoint)[:12], saliency_weight=share)
        for name, share, part in parts
    ]
    if isinstance(source, EnsembleNetworks):
        name, digest = run.folder.resolve().name, sha256(run.ensemble_file)
        output = f"{source.combination.method} of {len(source.members)} members"
        weights: dict[str, Any] = {member: part.training_record().start for member, _, part in parts}
    else:
        name, digest = run.experiment().name, sha256(run.best_checkpoint)
        output, weights, members = run.experiment().network.output, run.training_record().start, []
    return {
        "name": name,
        "version": "-".join([digest[:12], *["tta"] * tta, *([] if precision == "float32" else [precision])]),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "grades": tuple(grade.label for grade in Grade),
        "output": output,
        "members": tuple(members),
        "tta": tta,
        "precision": precision,
        "initial_weights": weights,
        "change_from_float32": None,
    }


def describe_use(statements: AuthorStatements, folds: CrossValidation | None) -> dict[str, Any]:
    """What it is for, its limits and its licence."""
    figures = VALIDATED if folds is None else CROSS_VALIDATED
    return {
        "intended_use": INTENDED_USE,
        "limitations": (*statements.limitations, figures, *LIMITATIONS),
        "licence": statements.licence,
    }


def describe_decisions(fitted: Calibration | None) -> dict[str, Any]:
    """Thresholds, sets and the rule of referral; or why there are none."""
    names = ("referable", "vision_threatening", "conformal", "referral")
    if fitted is None:
        undefined = dict.fromkeys(names, "the run was not calibrated before it was exported")
        return {**dict.fromkeys(names), "undefined": undefined}
    undefined = dict(fitted.undefined)
    referral = fitted.review_share
    if referral is None:
        undefined["referral"] = undefined.get("review_share", "no rule was fitted")
    return {
        "referable": _threshold(fitted.referable),
        "vision_threatening": _threshold(fitted.vision_threatening),
        "conformal": PredictionSetsMetadata(coverage=fitted.conformal.coverage, limits=fitted.conformal.limits),
        "referral": referral
        and ReviewRule(confidence=referral.confidence, target=referral.target, referred=referral.reviewed),
        "undefined": {name: why for name, why in undefined.items() if name in names},
    }


def _threshold(point: OperatingPoint | None) -> Threshold | None:
    if point is None:
        return None
    return Threshold.model_validate(point.model_dump(include=set(Threshold.model_fields)))


def measure_split(run: Run, split: str) -> MeasuredMetrics | None:
    """Figures of the run's predictions of a split, by patients; ``None`` where there are none."""
    if not run.predictions_file(split).is_file():
        return None
    table = read_run_predictions(run.predictions_file(split)).table
    return _figures(table) if table["grade"].notna().any() else None


def measure_folds(run: Run, folds: CrossValidation, manifest: Manifest) -> MeasuredMetrics:
    """Figures of all photographs, each predicted by the fold that has not seen it, by patients.

    Args:
        run: The run on all of the photographs.
        folds: A cross-validation.
        manifest: The photographs with the split that the run was trained on.

    Raises:
        ExperimentError: The folds are unfinished, or of another experiment or other photographs than the run.
    """
    predicted = read_predictions(folds.predictions_file) if folds.record().status == "finished" else None
    learnt = manifest.graded().split("train").table["image_id"]
    if predicted is None or run.experiment() != folds.fold(0).experiment() or set(predicted["image_id"]) != set(learnt):
        raise ExperimentError(
            f"{folds.folder} is no finished cross-validation of what {run.folder} is: train both with the same "
            "experiment and settings, and the run on all of the photographs"
        )
    return _figures(add_manifest_columns(predicted, manifest))


def _figures(table: pd.DataFrame) -> MeasuredMetrics:
    found = evaluate_predictions(table, findings=[])
    figures = {}
    for name in FIGURES:
        around = found.intervals.get(name)
        figures[name] = MetricValue(
            value=found.metrics[name], interval=None if around is None else (around.low, around.high)
        )
    return MeasuredMetrics(photographs=found.photographs, metrics=figures)

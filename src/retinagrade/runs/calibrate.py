"""Calibrates a run: temperature, thresholds and prediction sets, fitted on its validation predictions."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from retinagrade.arguments import SHARE, NumberRange, check_arguments
from retinagrade.errors import CalibrationError, UsageError
from retinagrade.evaluation.fitting.calibration import (
    Calibration,
    Referral,
    fit_calibration,
    load_calibration,
    save_calibration,
)
from retinagrade.evaluation.fitting.operating_points import OperatingPointRule
from retinagrade.evaluation.fitting.probability_calibration import CalibrationMethodName
from retinagrade.evaluation.oedema import OEDEMA_PROBABILITY, oedema_photographs
from retinagrade.evaluation.predictions import graded_predictions, read_prediction_rows, read_predictions
from retinagrade.manifest import OEDEMA_RISK
from retinagrade.runs.photographs import add_manifest_columns, read_run_photographs
from retinagrade.runs.predictions import Predictions, find_run
from retinagrade.runs.run import Run
from retinagrade.storage.files import sha256
from retinagrade.storage.output_guard import Output, guard_outputs

_GRADER = "grader_digest"
_DIGEST = "digest"


@check_arguments(
    advice={"predictions": "write a DataFrame to a CSV file first"},
    target=NumberRange(above=0, up_to=1),
    coverage=SHARE,
)
def calibrate(
    predictions: str | os.PathLike[str] | Run | Predictions,
    *,
    grades: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    rule: OperatingPointRule = "sensitivity",
    target: float | None = None,
    coverage: float = 0.9,
    method: CalibrationMethodName = "temperature",
    referral: Referral = "retinopathy",
) -> Calibration:
    """Fits a calibration on validation predictions: temperature, thresholds, and sets of grades.

    Args:
        predictions: A run or its folder, or a table of validation predictions with ``image_id``, ``p0`` … ``p4`` and
            ``grade``; or a table of results of ``grade``, whose rejected photographs don't count.
        grades: Table with ``image_id`` and ``grade`` of the same photographs, for a table without grades.
        out: The file to write; by default ``calibration.json`` of a run, and no file for a table.
        overwrite: Whether ``out`` may be another file that exists, which is replaced.
        rule: Rule that chooses the thresholds of referable and vision-threatening retinopathy: the stated
            ``sensitivity`` or ``specificity``, or ``fda``, the requirements of the first trial for the FDA.
        target: Sensitivity or specificity of the rule, above 0 and up to 1; 0.9 by default.
        coverage: Share of the photographs, between 0 and 1, whose right grade the prediction sets should hold.
        method: Calibration of the probabilities, on which all other parts are fitted.
        referral: Findings for which a photograph is referable: ``retinopathy`` of grade 2 or worse, or
            ``retinopathy-or-oedema``, as in the pivotal trials of such systems.

    Returns:
        The calibration; its ``warnings`` name parts that can't be relied on.

    Raises:
        UsageError: A share is out of range, referral for oedema has no known oedema, the run has no validation
            predictions, the table holds another split or photographs of the training, or ``out`` is the table, lies in
            the run, or exists and was not fitted on the same table.
        ManifestError: The table is unreadable, or not valid.
        JoinError: No photograph has a grade.
    """
    if rule == "fda" and target is not None:
        raise UsageError("the rule fda has its own requirements: leave the target out")
    source = _source(predictions)
    file = calibration_file(predictions) if out is None else Path(out)
    if file is not None:
        guard_outputs(
            [_output(file, source, _run(predictions))],
            [*_inputs(predictions, source), *([] if grades is None else [Path(grades)])],
            overwrite,
        )
    if _run(predictions) is None:
        _require_unseen(predictions if isinstance(predictions, Predictions) else Predictions.read(source))
    table = read_predictions(source) if grades is None else Predictions.read(source, grades=grades).table
    oedema = oedema_photographs(_with_labels(table, find_run(source)))
    if referral == "retinopathy-or-oedema" and not oedema:
        raise UsageError(
            f"{source}: no photograph has both a probability of macular oedema and a known risk of it (columns "
            f"{OEDEMA_PROBABILITY} and {OEDEMA_RISK}): refer for retinopathy alone"
        )
    rows = read_prediction_rows(source)
    calibration = fit_calibration(
        graded_predictions(table),
        source,
        rule=rule,
        target=target,
        coverage=coverage,
        method=method,
        oedema=oedema,
        referral=referral,
        grader_digest=_grader_digest(rows, source),
        digests=_digests(rows),
    )
    if file is not None:
        save_calibration(calibration, file)
    return calibration


def _digests(rows: pd.DataFrame) -> dict[str, str]:
    """Returns the digests of the photographs by id, where a table holds results of `grade`."""
    if _GRADER not in rows or _DIGEST not in rows:
        return {}
    known = rows[rows[_DIGEST].notna()]
    return dict(zip(known["image_id"].astype(str), known[_DIGEST].astype(str), strict=True))


def _grader_digest(rows: pd.DataFrame, source: Path) -> str | None:
    """Returns the digest of the grader file whose results a table holds; ``None`` for other predictions."""
    if _GRADER not in rows:
        return None
    digests = set(rows[_GRADER].dropna().astype(str)) - {""}
    if len(digests) > 1:
        raise UsageError(f"{source} holds results of {len(digests)} grader files: calibrate each alone")
    return next(iter(digests), None)


def _require_unseen(predictions: Predictions) -> None:
    """Requires that the network was not trained on the photographs, as far as its run is known."""
    for finding in predictions.findings:
        if finding.code == "leaked-photographs":
            raise UsageError(
                f"{predictions.file}: a calibration is fitted on validation photographs, which the network has never "
                f"seen. {finding.message}"
            )


def calibration_file(predictions: str | os.PathLike[str] | Run | Predictions) -> Path | None:
    """Returns the file that :func:`calibrate` writes by default: that of a run; ``None`` for a table."""
    run = _run(predictions)
    return None if run is None else run.calibration_file


def _with_labels(table: pd.DataFrame, run: Run | None) -> pd.DataFrame:
    """Adds the columns of the run's prepared set, where it still exists."""
    manifest = None if run is None else read_run_photographs(run).manifest
    return table if manifest is None else add_manifest_columns(table, manifest)


def _output(file: Path, source: Path, run: Run | None) -> Output:
    """Returns the output for a calibration; the one of a run follows the run's predictions."""
    own = run is not None and file.resolve() == run.calibration_file.resolve()

    def is_earlier_result() -> bool:
        try:
            return own or load_calibration(file).source.sha256 == sha256(source)
        except CalibrationError:
            return False

    return Output(file, False, is_earlier_result, run.folder if run is not None and own else None)


def _inputs(predictions: str | os.PathLike[str] | Run | Predictions, source: Path) -> list[Path]:
    run = _run(predictions)
    return [source] if run is None else [source, run.folder]


def _run(predictions: str | os.PathLike[str] | Run | Predictions) -> Run | None:
    if isinstance(predictions, Run):
        return predictions
    if isinstance(predictions, Predictions) or not Path(predictions).is_dir():
        return None
    return Run(Path(predictions))


def _source(predictions: str | os.PathLike[str] | Run | Predictions) -> Path:
    """Returns the table of validation predictions."""
    if (run := _run(predictions)) is not None:
        return run.existing_predictions("val")
    assert not isinstance(predictions, Run)
    table = predictions.file if isinstance(predictions, Predictions) else Path(predictions)
    split = table.stem.partition("-")[0]
    if table.resolve().parent.name == "predictions" and split in ("train", "test"):
        raise UsageError(
            f"{table}: a calibration is fitted on validation predictions; fitted on the {split} split, it could not be "
            "evaluated on it any more"
        )
    return table

"""Does a grader work at a site? Grades its labelled photographs, measures, and says so on one page."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pandas as pd
from pydantic import BaseModel, ConfigDict

from retinagrade.arguments import AT_LEAST_ONE, SHARE, NumberRange, check_arguments
from retinagrade.errors import JoinError, UsageError
from retinagrade.evaluation.fitting.operating_points import DEFAULT_TARGET
from retinagrade.evaluation.oedema import oedema_photographs
from retinagrade.evaluation.predictions import join_grades, read_grades
from retinagrade.evaluation.resampling import RESAMPLES
from retinagrade.evaluation.subgroups import group_values
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.grader.grade import PathArgument, grade
from retinagrade.grader.grading_results import GradingResults
from retinagrade.grader.inputs import find_photographs
from retinagrade.grader.metadata import Metadata, Threshold
from retinagrade.grader.numbers_file import NumbersFile
from retinagrade.grader.runtime import Grader
from retinagrade.messages import counted
from retinagrade.provenance import provenance_record
from retinagrade.runs.calibrate import calibrate
from retinagrade.runs.evaluate import evaluate
from retinagrade.runs.predictions import Predictions
from retinagrade.sites.adaptation_proposal import AdaptationProposal, propose_adaptation
from retinagrade.sites.card_comparison import compare_with_card
from retinagrade.sites.gate_counts import count_gate
from retinagrade.sites.local_decisions import REFITS, DecisionName, judge_local_decisions
from retinagrade.sites.validation import CALIBRATION, NUMBERS, RESULTS, VALIDATION, Validation
from retinagrade.sites.validation_page import render_validation
from retinagrade.sites.verdict import judge, weigh_evidence
from retinagrade.storage.files import read_json_model, write_json, write_text
from retinagrade.storage.locking import locked
from retinagrade.storage.output_guard import FOLDER_RECORD, describe_origin, folder_output, guard_outputs
from retinagrade.storage.paths import user_path

_COMMAND: Final = "validate"
_CAMERA: Final = "camera"
"""Column of the labels that names cameras."""


class _Earlier(BaseModel):
    """What a call that continues keeps of the record of an earlier one."""

    model_config = ConfigDict(frozen=True)

    dust: str | None = None


@check_arguments(
    target=NumberRange(above=0, up_to=1), prevalence=SHARE, workers=AT_LEAST_ONE, resamples=NumberRange(at_least=200)
)
def validate(
    photographs: PathArgument | Iterable[PathArgument] = (),
    *,
    labels: str | os.PathLike[str],
    out: str | os.PathLike[str],
    model: str | os.PathLike[str] = "default",
    listed: str | os.PathLike[str] | None = None,
    target: float = DEFAULT_TARGET,
    prevalence: float | None = None,
    resamples: int = RESAMPLES,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Validation:
    """Says whether a grader works on a site's own photographs, and which thresholds would suit them.

    Args:
        photographs: Photographs, folders, their URLs, or patterns such as ``*.jpg``; one or several.
        labels: A table with ``image_id`` and ``grade`` of the same photographs and, where known, ``patient_id``,
            ``camera`` and ``oedema_risk`` (0 to 2): a CSV, JSON Lines or Parquet file. A grade may be missing.
        out: The folder to write: ``index.html`` for people, ``validation.json`` for programs, ``results.csv`` and
            ``calibration.json``. The same call continues after an interruption.
        model: The grader file; ``default`` is the one that comes with the package.
        listed: List of photographs, as for :func:`~retinagrade.grader.grade.grade`.
        target: The sensitivity that the site's own thresholds should reach.
        prevalence: Share of the programme's patients with referable disease, between 0 and 1; by default that of the
            labels.
        resamples: Number of resamples of patients for the intervals.
        workers: Number of threads that decode photographs; by default, one per processor.
        overwrite: Whether to begin anew, and to replace other files.
        progress: Callback that receives progress reports.

    Returns:
        The verdict with all figures. ``page`` is the page for people.

    Raises:
        UsageError: An argument is out of range, there is nothing to grade, ``out`` is, holds or lies in an input or
            holds other files, or its results are of other photographs or of another grader file.
        JoinError: Photographs and labels don't have the same ids, no photograph has a label, or the grader refused all
            of them.
        ManifestError: The labels or the list are unreadable, or not valid.
        GraderFileError: The grader file can't be used.
        ModuleNotFoundError: A format needs a package that isn't installed.
    """
    named = [photographs] if isinstance(photographs, str | os.PathLike) else list(photographs)
    texts, folder, labels, model = [str(each) for each in named], Path(out), Path(labels), str(model)
    list_path = None if listed is None else Path(listed)
    inputs = [*map(user_path, texts), *([] if list_path is None else [list_path]), labels]
    guarded = [*inputs, *([] if model == "default" else [Path(model)])]
    guard_outputs([folder_output(folder, _COMMAND, inputs)], guarded, overwrite)
    known = read_grades(labels)
    _require_labels(texts, list_path, labels, known)
    metadata = Grader.load(model).metadata
    with locked(folder / VALIDATION):
        record = describe_origin(_COMMAND, inputs, folder) | provenance_record()
        if not (folder / FOLDER_RECORD).exists():  # so that the same call may continue after an interruption
            write_json(folder / FOLDER_RECORD, record)
        known_dust = None if overwrite else _read_dust(folder / VALIDATION)
        if overwrite:
            (folder / NUMBERS).unlink(missing_ok=True)  # it may hold those of another grader file
        results = grade(
            texts,
            model=model,
            out=folder / RESULTS,
            listed=list_path,
            numbers=None if metadata.lesions is None else folder / NUMBERS,
            workers=workers,
            overwrite=overwrite,
            progress=progress,
        )
        _require_no_others(results, folder / RESULTS)
        write_json(folder / FOLDER_RECORD, record)
        validation = _measure(results, folder, labels, known, model, metadata, target, prevalence, resamples, progress)
        # A call that continues looks for dust in the photographs that it grades itself.
        validation = replace(validation, dust=results.dust or known_dust)
        write_json(folder / VALIDATION, validation.to_json())
        write_text(validation.page, render_validation(validation))
    return validation


def _read_dust(file: Path) -> str | None:
    """Reads the warning of dust of an earlier call; ``None`` where its record is missing or damaged."""
    try:
        return read_json_model(file, _Earlier, "the record of a validation", UsageError).dust
    except UsageError:  # this call writes the whole record anew
        return None


def _measure(
    results: GradingResults,
    folder: Path,
    labels: Path,
    known: pd.DataFrame,
    model: str,
    metadata: Metadata,
    target: float,
    prevalence: float | None,
    resamples: int,
    progress: Progress | None,
) -> Validation:
    """Evaluates the results, fits the site's decisions, and compares with the card."""
    begin_stage(progress, "evaluating")
    predictions = Predictions.read(folder / RESULTS, grades=labels)
    by = [_CAMERA] if _CAMERA in known else []
    evaluation = evaluate(predictions, by=by, prevalence=prevalence, resamples=resamples)
    graded = evaluation.predictions
    assert graded is not None  # an evaluation of a table has its photographs
    oedema = oedema_photographs(predictions.table)
    calibration = calibrate(
        folder / RESULTS,
        grades=labels,
        out=folder / CALIBRATION,
        overwrite=True,
        target=target,
        referral=metadata.referral if oedema else "retinopathy",
    )
    refits = min(REFITS, resamples)
    step = begin_stage(progress, "resampling patients", refits * (1 if oedema is None else 2))
    shipped: dict[DecisionName, float | None] = {
        "referable": _threshold(metadata.referable),
        "vision_threatening": _threshold(metadata.vision_threatening),
        "oedema": _threshold(metadata.oedema),
    }
    local = judge_local_decisions(
        calibration,
        graded,
        oedema,
        shipped,
        target=target,
        resamples=refits,
        step=step,
    )
    adaptation = _adaptation(metadata, predictions.table, folder / NUMBERS, resamples, progress)
    figures = compare_with_card(graded, metadata, resamples=resamples)
    evidence = weigh_evidence(graded, metadata.referable)
    verdict = judge(figures, evidence, evaluation.findings, len(graded))
    return Validation(
        folder,
        model,
        labels,
        metadata,
        verdict,
        figures,
        evidence,
        evaluation,
        calibration,
        local,
        count_gate(results),
        adaptation,
        results.left_out,
    )


def _adaptation(
    metadata: Metadata, table: pd.DataFrame, numbers: Path, resamples: int, progress: Progress | None
) -> AdaptationProposal:
    if metadata.lesions is None:
        return propose_adaptation(None, table, {})
    with NumbersFile(numbers, metadata.digest) as file:
        return propose_adaptation(metadata.lesions, table, file.numbers, resamples=resamples, progress=progress)


def _require_labels(inputs: list[str], listed: Path | None, labels: Path, known: pd.DataFrame) -> None:
    """Requires, before any photograph is graded, that photographs and labels have the same ids."""
    if known["grade"].isna().all():
        raise JoinError(f"{labels}: no photograph has a grade, so nothing can be measured: fill in the column grade")
    if _CAMERA in known:
        try:
            group_values(known[_CAMERA])
        except UsageError:
            raise UsageError(
                f"{labels}: the column camera has more than 20 names: merge some, or rename the column"
            ) from None
    found = find_photographs(inputs, listed)
    join_grades(pd.DataFrame({"image_id": [file.image_id for file in found.photographs]}), known)


def _require_no_others(results: GradingResults, table: Path) -> None:
    if results.others:
        raise UsageError(
            f"{table} holds results of {counted(len(results.others), 'photograph')} that are no longer among these: "
            "begin anew with --overwrite, or choose another folder"
        )


def _threshold(threshold: Threshold | None) -> float | None:
    return None if threshold is None else threshold.threshold

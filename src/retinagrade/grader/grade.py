"""Grading of files and folders, from the photographs to tables, pictures and DICOM results."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from retinagrade.arguments import AT_LEAST_ONE, check_arguments
from retinagrade.errors import UsageError
from retinagrade.execution.engine import Engine, EngineName, choose_engine
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.gate.settings import GateSettings, parse_gate, percentile_settings
from retinagrade.grader.batch import GradingStream, SideOutputs, grade_files, write_reports
from retinagrade.grader.continuing import NOTHING, continue_from, photograph_digests
from retinagrade.grader.fhir_files import write_fhir
from retinagrade.grader.grading_results import GradingResults
from retinagrade.grader.inputs import PhotographFile, find_photographs
from retinagrade.grader.make_grading import failed_grading, model_identity
from retinagrade.grader.numbers_file import NumbersFile
from retinagrade.grader.outputs import GradeOutputs
from retinagrade.grader.results_table import ResultsTable, delete_table
from retinagrade.grader.runtime import Grader
from retinagrade.gradings.studies import StudyGrading, grade_studies, mark_mixed_studies
from retinagrade.gradings.table import require_format, write_results
from retinagrade.lesion_maps.marks import MarkFinder
from retinagrade.storage.locking import locked
from retinagrade.storage.paths import user_path

PathArgument = str | os.PathLike[str]
"""A path; a string may also be a URL."""


@check_arguments(advice={"photographs": "Grader.load().grade(photographs) grades arrays"}, workers=AT_LEAST_ONE)
def grade(
    photographs: PathArgument | Iterable[PathArgument] = (),
    *,
    model: PathArgument = "default",
    out: PathArgument | None = None,
    studies: PathArgument | None = None,
    saliency: PathArgument | None = None,
    lesions: PathArgument | None = None,
    dicom: PathArgument | None = None,
    fhir: PathArgument | None = None,
    numbers: PathArgument | None = None,
    fast: bool = False,
    workers: int | None = None,
    engine: EngineName | Engine = "local",
    address: str | None = None,
    listed: PathArgument | None = None,
    gate: str | Sequence[str] = (),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> GradingResults:
    """Grades photographs; :meth:`retinagrade.Grader.grade` grades arrays.

    Args:
        photographs: Photographs, folders, their URLs, or patterns such as ``*.jpg``; one or several.
        model: The grader file; ``default`` is the one that comes with the package.
        out: Table of results: a ``.csv``, ``.jsonl``, ``.parquet`` or ``.xlsx`` file. Every row is written as soon as
            its photograph is graded. If the file exists, the gradings of the same photographs, known by their bytes,
            are taken over, and failed photographs tried again. One call at a time writes it.
        studies: Table with one row per study, which combines both eyes of a patient; the same formats.
        saliency: Folder for saliency overlays: the saliency map of the predicted grade over the photograph, as JPEG.
            Only for a grader file that outlines no lesions.
        lesions: Folder for outlines of lesions: ``ID.png``, the photograph with outlines, and ``ID.json``, their
            polygons in pixels of the original photograph. Only for a grader file that outlines lesions.
        dicom: Folder for DICOM results of DICOM photographs: one Structured Report per study, and saliency overlays
            or, for a grader file that outlines lesions, Segmentations.
        fhir: Folder for reports in FHIR R4: for each study a transaction with a DiagnosticReport and Observations.
        numbers: File for the lesion numbers of each photograph, JSON Lines, from which a grade model can be adapted; a
            local file. If it exists, it is continued, and photographs without numbers there are graded again. Only for
            a grader file that outlines lesions.
        fast: Compute in half precision (bfloat16), and prepare photographs at 1,024 px at most: faster, but may change
            some grades.
        workers: Number of worker processes; with the local engine, number of threads that decode photographs. By
            default, one per processor. The results don't depend on it.
        engine: ``local``, ``ray`` or an engine object.
        address: Address of a Ray cluster: ``auto``, ``HOST:PORT`` or ``ray://HOST:10001``.
        listed: List of photographs, see :func:`~retinagrade.grader.inputs.read_list`.
        gate: Settings of the gate, one or several: ``off`` grades every photograph, with a warning on every result;
            ``percentile`` or ``percentile=5`` refuses so many per cent of these photographs, the worst;
            ``REASON=PROBABILITY``, such as ``haze=0.9``, refuses for this reason from this probability on; or the file
            of cut points that :func:`~retinagrade.gate.calibrate.calibrate_gate` found.
        overwrite: Whether to begin the table of results anew, and to replace a table of studies and overlays that are
            no earlier results of the same photographs.
        progress: Callback that receives progress reports.

    Returns:
        The gradings of all these photographs, in their order. An unusable photograph has an ``error`` and affects no
        other. ``left_out`` lists the files in folders that were not graded, with reasons.

    Raises:
        UsageError: There is nothing to grade, a setting of the gate is unknown, a list or table can't be used, an id in
            the table is that of another photograph, another call is writing the table, or the engine isn't available;
            or an output is, holds or lies in an input, or would replace another file.
        ManifestError: A row of the table was changed so that it can't be understood.
        GraderFileError: The grader file can't be used.
        ModuleNotFoundError: A format needs a package that isn't installed.
    """
    inputs = [str(photographs)] if isinstance(photographs, str | os.PathLike) else [str(each) for each in photographs]
    list_path = None if listed is None else Path(listed)
    table_path, studies_path, saliency_folder, lesion_folder = map(_optional_path, (out, studies, saliency, lesions))
    dicom_folder = None if dicom is None else Path(dicom)
    fhir_folder = None if fhir is None else Path(fhir)
    numbers_path = None if numbers is None else Path(numbers)
    _require_writable(studies_path, dicom_folder)
    outputs_of_grade = GradeOutputs(
        table_path, studies_path, saliency_folder, lesion_folder, dicom_folder, fhir_folder, numbers_path
    )
    named = _named_inputs(inputs, list_path, model)
    outputs_of_grade.guard(named, overwrite)
    found = find_photographs(inputs, list_path)
    files = found.photographs
    outputs_of_grade.guard_photographs(files)
    grader = Grader.load(model, fast)
    _require_pictures(grader, saliency_folder, lesion_folder, numbers_path)
    settings, worst = parse_gate([gate] if isinstance(gate, str) else gate, grader.metadata.gate)
    if worst is not None:
        settings = percentile_settings(settings, _scores(grader, files, workers, progress), worst)
    grader = grader.with_gate(settings)
    with ExitStack() as locks:
        for path in filter(
            None, (table_path, studies_path, saliency_folder, lesion_folder, dicom_folder, fhir_folder, numbers_path)
        ):
            locks.enter_context(locked(path))
        if overwrite and table_path is not None:
            delete_table(table_path)
        table = None if table_path is None else ResultsTable(table_path, *model_identity(grader.metadata))
        digests = partial(photograph_digests, progress=progress)
        earlier = NOTHING if table is None else continue_from(table.earlier, files, table.path, digests)
        numbers_file = None
        if numbers_path is not None:
            numbers_file = locks.enter_context(NumbersFile(numbers_path, grader.metadata.digest))
            earlier = earlier.with_digests(numbers_file.numbers)
        new_files = [file for file in files if file.image_id not in earlier.taken_over]
        existing = [
            file for file in new_files if any(each.exists() for each in outputs_of_grade.pictures(file.image_id))
        ]
        if existing:
            known = digests([file.path for file in existing])
            outputs_of_grade.guard_overlays({file.image_id: known[file.path] for file in existing}, overwrite)
        outputs = SideOutputs(table, saliency_folder, lesion_folder, dicom_folder, numbers_file)
        shared = _shared_paths(model, inputs, list_path) if engine == "ray" else []
        chosen = choose_engine(engine, shared, address)
        stream: GradingStream = partial(grader.stream, workers=workers)
        if engine != "local":
            extras = any((saliency_folder, lesion_folder, dicom_folder)) or numbers_file is not None
            stream = _stream_on(chosen, workers, model, fast, extras, settings)
        on_done = begin_stage(progress if new_files else None, "grading photographs", len(new_files))
        if table is not None:
            table.begin([*earlier.rows.values()])
        new = [
            failed_grading(file.image_id, file.path, file.problem, grader.metadata, file.eye)
            for file in new_files
            if file.problem is not None
        ]
        for _ in new:
            on_done()
        marks = MarkFinder()
        new += grade_files(stream, [file for file in new_files if file.problem is None], outputs, on_done, marks)
        by_id = {grading.image_id: grading for grading in new}
        rows = earlier.rows | {file.image_id: by_id[file.image_id] for file in new_files}
        every = mark_mixed_studies([*rows.values()])
        rows = {grading.image_id: grading for grading in every}
        if table is not None:
            table.finish(every)
        study_gradings = grade_studies(every)
        if studies_path is not None:
            outputs_of_grade.write_origin(named)
            write_results(studies_path, StudyGrading, study_gradings)
        write_reports(every, grader.metadata, outputs)
        if fhir_folder is not None:
            outputs.failures.extend(write_fhir(every, fhir_folder))
    return GradingResults(
        [rows.pop(file.image_id) for file in files],
        study_gradings,
        taken_over=earlier.taken_over,
        others=rows.values(),
        failures=outputs.failures,
        by_study=studies_path is not None,
        left_out=found.left_out,
        marks=marks.marks(),
        searched=marks.photographs,
    )


def _optional_path(path: PathArgument | None) -> Path | None:
    return None if path is None else user_path(str(path))


def _named_inputs(inputs: Sequence[str], listed: Path | None, model: PathArgument) -> list[Path]:
    """Returns the files and folders that the user named; a pattern stands for itself."""
    named = [*map(user_path, inputs), *([] if listed is None else [listed])]
    return [*named, *([] if str(model) == "default" else [Path(model)])]


def _require_writable(studies: Path | None, dicom: Path | None) -> None:
    """Reports missing packages and unknown formats before any work."""
    if dicom is not None:
        import highdicom  # noqa: F401
    if studies is not None:
        require_format(studies)


def _require_pictures(grader: Grader, saliency: Path | None, lesions: Path | None, numbers: Path | None) -> None:
    """Refuses pictures and numbers that the grader file doesn't make, before any work."""
    outlines = grader.metadata.lesions is not None
    if outlines and saliency is not None:
        raise UsageError(f"{grader!r} outlines lesions and makes no saliency maps: use lesions (--lesions)")
    if not outlines and lesions is not None:
        raise UsageError(f"{grader!r} outlines no lesions: use saliency (--saliency)")
    if not outlines and numbers is not None:
        raise UsageError(f"{grader!r} outlines no lesions, so there are no lesion numbers: leave numbers out")


def _shared_paths(model: PathArgument, inputs: Sequence[str], listed: Path | None) -> list[Path]:
    """Returns the existing paths that every worker must reach; a pattern is no such path."""
    paths = [Path(model), *map(user_path, inputs), *([] if listed is None else [listed.parent])]
    return [path for path in paths if path.exists()]


def _scores(
    grader: Grader, files: Sequence[PhotographFile], workers: int | None, progress: Progress | None
) -> list[float]:
    """Returns the quality of all photographs on which a cut point decides."""
    step, scores = begin_stage(progress, "judging photographs", len(files)), []
    for quality in grader.judge([file.path for file in files], workers=workers):
        step()
        scores += [quality.score] if quality is not None and quality.depends_on_score else []
    return scores


def _stream_on(
    engine: Engine, workers: int | None, model: PathArgument, fast: bool, saliency: bool, gate: GateSettings
) -> GradingStream:
    from retinagrade.grader.distributed import grade_on_engine

    return partial(
        grade_on_engine, engine=engine, workers=workers, model=model, fast=fast, saliency=saliency, gate=gate
    )

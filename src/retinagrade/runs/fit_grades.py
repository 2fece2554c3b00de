"""Fits the grades of photographs to their lesion maps."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retinagrade.arguments import AT_LEAST_ONE, check_arguments
from retinagrade.errors import ExperimentError, UsageError
from retinagrade.evaluation.fitting.ordinal import choose_strengths, fit_ordinal
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.oedema import OEDEMA_PROBABILITY
from retinagrade.evaluation.predictions import write_predictions
from retinagrade.execution.progress import Progress, prefix_stages
from retinagrade.grades import N_GRADES, PROBABILITY_COLUMNS
from retinagrade.lesion_maps.calibration import MapCalibration
from retinagrade.lesion_maps.grade_model import GradeModel, OrdinalModel
from retinagrade.lesion_maps.regions import CERTAIN
from retinagrade.manifest import OEDEMA_RISK, Manifest
from retinagrade.provenance import provenance_record
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.lesion_maps import LesionMaps, MapsRecord
from retinagrade.runs.lesion_numbers import prepared_manifest, read_lesion_numbers, read_marks
from retinagrade.runs.records import GradeModelRecord, TrainingDataRecord
from retinagrade.runs.run import Run
from retinagrade.storage.files import read_json_model, write_bytes, write_json, write_text
from retinagrade.storage.locking import locked
from retinagrade.storage.output_guard import Output, guard_outputs, path_from_folder, relative_to_folder

FALSE_ALARMS: Final = 0.1
"""Share of the healthy photographs in which a lesion of one kind is counted."""
WITHOUT_MARKS: Final = "-without-marks"
"""End of the names of predictions of maps without lesions at the camera's marks."""
_HIGHEST_RISK: Final = 2
_OUT_OF_FOLD: Final = "out of fold: each photograph by a model that was fitted on the photographs of the other folds"


@dataclass(frozen=True)
class _Rows:
    """The graded photographs of one folder of maps.

    Attributes:
        name: Name of the table of predictions.
        numbers: Lesion numbers, one row for each photograph, indexed by ``image_id``.
        peaks: Highest probability of each lesion, by kind, of each photograph.
        labels: ``grade``, ``fold`` and, where the data set has it, the risk of oedema, in the same order.
    """

    name: str
    numbers: pd.DataFrame
    peaks: list[dict[str, list[float]]]
    labels: pd.DataFrame


@check_arguments(workers=AT_LEAST_ONE)
def fit_grades(
    maps: str | os.PathLike[str] | LesionMaps | Sequence[str | os.PathLike[str] | LesionMaps],
    out: str | os.PathLike[str],
    *,
    judge: Sequence[str | os.PathLike[str] | LesionMaps] = (),
    overwrite: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """Fits a grade model to lesion maps: from the number, size and place of lesions to five probabilities.

    The maps are those of a cross-validation, so that no network has seen the photographs of its maps. The predictions
    are out of fold as well: each photograph is graded by a model that was fitted on the photographs of the other folds.
    The folds that a model is fitted on choose, for each level, how small its weights are kept. The model in
    ``grade_model.json`` is fitted on all photographs.

    Dust on a camera looks like small lesions. Where many photographs of the first folder have a red lesion at the
    same place, the model is fitted on maps with and without the lesions there: it learns from a camera with dust, and
    from a clean one.

    Args:
        maps: One or several folders of maps by the same cross-validation, for example of the photographs as they are
            and as a different camera would have taken them. Each photograph counts once, whatever their number.
        out: Folder of the grade model. It is a run: ``evaluate`` and ``calibrate`` take it like one.
        judge: Further folders of maps by the same cross-validation, which are predicted and not fitted on.
        overwrite: Whether to replace a folder that is no earlier result of the same maps.
        workers: Number of worker processes; by default one per processor.
        progress: Receives the number of photographs.

    Returns:
        The run. ``predictions/val.csv`` holds the predictions of the first folder, and
        ``predictions/val-camera-CHANGES.csv`` those of maps with changes of the camera. Where the camera has marks,
        ``marks.png`` shows them, and each table has a second one, ``…-without-marks.csv``. With known risks of macular
        oedema, they have the column ``oedema_probability``.

    Raises:
        ExperimentError: A folder holds no finished maps of a cross-validation, the cross-validation is gone, folders
            have different networks, or too few photographs have grades.
        UsageError: Two folders have the same changes of the camera, or ``out`` holds something else.
    """
    fitted = [maps] if isinstance(maps, str | os.PathLike | LesionMaps) else list(maps)
    folders = [each if isinstance(each, LesionMaps) else LesionMaps(Path(each)) for each in [*fitted, *judge]]
    if not fitted:
        raise UsageError("no maps to fit on: name one or several folders of maps")
    run = Run(Path(out))
    inputs = [each.folder for each in folders]
    output = Output(run.folder, True, lambda: _is_earlier_result(run, inputs))
    guard_outputs([output], inputs, overwrite)
    with locked(run.record_file):
        cross_validation = _require_common(folders)
        found = read_marks(folders[0], prepared_manifest(folders[0], folders[0].prepared), progress)
        marks = found.mask()
        by_folder = [
            _read_rows(each, workers, prefix_stages(progress, f"maps {number} of {len(folders)}"), marks)
            for number, each in enumerate(folders, 1)
        ]
        calibration = folders[0].finished_record().calibration
        rows = [each for of_folder in by_folder for each in of_folder]
        fit_on = [each for of_folder in by_folder[: len(fitted)] for each in of_folder]
        model = _fit(fit_on, calibration)
        of_folds = {
            int(fold): _fit(fit_on, calibration, without_fold=int(fold))
            for fold in sorted(rows[0].labels["fold"].unique())
        }
        tables = [_predict_out_of_fold(of_folds, each) for each in rows]
        manifest = _validated(cross_validation)
        run.write_record(_record(run, folders, len(fitted), cross_validation, rows, manifest, len(found.marks())))
        manifest.write(run.manifest_file)
        for each, table in zip(rows, tables, strict=True):
            write_predictions(
                table, run.predictions_file(each.name), [OEDEMA_PROBABILITY] if OEDEMA_PROBABILITY in table else []
            )
        numbers = pd.concat({each.name: each.numbers for each in rows}, names=["predictions", "image_id"])
        write_text(run.folder / "lesion_numbers.csv", numbers.to_csv(lineterminator="\n", float_format="%.6g"))
        _write_marks(run, marks, [of_folder[0].name for of_folder in by_folder])
        write_json(run.grade_model_file, model.model_dump(mode="json"))
    return run


def find_limits(healthy: Sequence[dict[str, list[float]]]) -> dict[str, float]:
    """Finds the probability from which lesions are counted for people, by kind.

    Args:
        healthy: Highest probability of each lesion, by kind, in photographs without any lesion.

    Returns:
        For each kind, the lowest probability, at least :data:`CERTAIN`, that a lesion reaches in no more than
        :data:`FALSE_ALARMS` of the photographs. One photograph with many false lesions counts once.

    Example:
        >>> find_limits([{"haemorrhages": [0.9, 0.6]}, {"haemorrhages": []}, {}, {}])
        {'haemorrhages': 0.9039}
    """
    kinds = sorted({kind for peaks in healthy for kind in peaks})
    limits = {}
    for kind in kinds:
        peaks = sorted((max(each.get(kind, []), default=0.0) for each in healthy), reverse=True)
        allowed = int(FALSE_ALARMS * len(healthy))
        first_refused = peaks[allowed] if allowed < len(peaks) else 0.0
        limits[kind] = round(min(max(CERTAIN, first_refused + 1 / 255), 1.0), 4)
    return limits


def load_grade_model(run: Run) -> GradeModel:
    """Reads the model of a grade model's run.

    Raises:
        ExperimentError: The file is missing or broken.
    """
    return read_json_model(run.grade_model_file, GradeModel, "a grade model", ExperimentError)


def _require_common(folders: Sequence[LesionMaps]) -> CrossValidation:
    """Returns the cross-validation that made all maps."""
    records = [each.finished_record() for each in folders]
    first = records[0]
    for folder, record in zip(folders, records, strict=True):
        if len(record.networks) < 2:
            raise ExperimentError(
                f"{folder.folder} has maps of a single run, which may have been trained on its photographs: outline "
                "with a cross-validation"
            )
        if _source(record) != _source(first):
            raise ExperimentError(
                f"{folder.folder} has maps of other networks or photographs than {folders[0].folder}: outline the same "
                "set with the same cross-validation"
            )
    cameras = [record.camera for record in records]
    if len(set(cameras)) < len(cameras):
        raise UsageError("two folders of maps have the same changes of the camera: name each once")
    result = CrossValidation(folders[0].run)
    if not result.is_cross_validation:
        raise ExperimentError(f"{folders[0].folder}: its cross-validation {result.folder} is gone: move both together")
    return result


def _source(record: MapsRecord) -> tuple[object, ...]:
    return record.networks, record.calibration, record.photographs


def _read_rows(
    maps: LesionMaps, workers: int | None, progress: Progress | None, marks: NDArray[np.bool_] | None
) -> list[_Rows]:
    """Reads the photographs of a folder of maps, and where the camera has marks, once more without them."""
    record = maps.finished_record()
    graded = prepared_manifest(maps, maps.prepared).graded()
    if not len(graded):
        raise ExperimentError(f"{maps.folder}: no photograph of {maps.prepared} has a grade")
    read = read_lesion_numbers(maps, graded, workers, progress, marks)
    numbers = read.table
    table = graded.table.set_index("image_id").loc[numbers.index]
    labels = pd.DataFrame({"grade": table["grade"].astype(int)})
    labels["fold"] = [record.photographs[str(image_id)] for image_id in labels.index]
    if OEDEMA_RISK in table:
        labels[OEDEMA_RISK] = pd.to_numeric(table[OEDEMA_RISK])
    name = f"val-camera-{'-'.join(record.camera)}" if record.camera else "val"
    rows = [_Rows(name, numbers, read.peaks, labels)]
    if read.without_marks is not None:
        rows.append(_Rows(f"{name}{WITHOUT_MARKS}", read.without_marks.table, read.without_marks.peaks, labels))
    return rows


def _write_marks(run: Run, marks: NDArray[np.bool_] | None, names: Sequence[str]) -> None:
    """Writes marks as a picture, 255 at marks; without marks, deletes what an earlier fit wrote about them."""
    if marks is not None:
        write_bytes(run.marks_file, cv2.imencode(".png", marks.astype(np.uint8) * 255)[1].tobytes())
        return
    run.marks_file.unlink(missing_ok=True)
    for name in names:
        run.predictions_file(f"{name}{WITHOUT_MARKS}").unlink(missing_ok=True)


def _fit(rows: Sequence[_Rows], calibration: MapCalibration, without_fold: int | None = None) -> GradeModel:
    """Fits the models on all photographs but those of one fold."""
    kept = [each.labels["fold"] != without_fold for each in rows]
    labels = pd.concat([each.labels[keep] for each, keep in zip(rows, kept, strict=True)])
    numbers = pd.concat([each.numbers[keep] for each, keep in zip(rows, kept, strict=True)])
    healthy = [
        peaks
        for each, keep in zip(rows, kept, strict=True)
        for peaks, grade, is_kept in zip(each.peaks, each.labels["grade"], keep, strict=True)
        if is_kept and grade == 0
    ]
    return GradeModel(
        maps=calibration,
        counted_from=find_limits(healthy),
        grade=_fit_labels(numbers, labels["grade"], labels["fold"], N_GRADES - 1, len(rows)),
        oedema=_fit_labels(numbers, labels[OEDEMA_RISK], labels["fold"], _HIGHEST_RISK, len(rows))
        if OEDEMA_RISK in labels and labels[OEDEMA_RISK].notna().any()
        else None,
    )


def _fit_labels(numbers: pd.DataFrame, labels: pd.Series, folds: pd.Series, highest: int, copies: int) -> OrdinalModel:
    """Fits a model of levels; the folds choose the strength of each level."""
    known = labels.notna().to_numpy()
    values, levels = numbers[known].to_numpy(np.float64), labels[known].to_numpy(np.int64)
    weights = np.full(len(levels), 1 / copies)
    strengths = choose_strengths(values, levels, highest, folds[known].to_numpy(np.int64), weights)
    try:
        return fit_ordinal(list(numbers.columns), values, levels, highest, strengths, weights)
    except Undefined as error:
        raise ExperimentError(f"the model of {labels.name} can't be fitted: {error}") from error


def _predict_out_of_fold(models: Mapping[int, GradeModel], rows: _Rows) -> pd.DataFrame:
    """Grades each photograph by the model that was fitted without its fold."""
    parts = []
    for fold, model in models.items():
        own = rows.labels["fold"] == fold
        parts.append(_predict(model, rows.numbers[own], rows.labels[own]))
    return pd.concat(parts).sort_values("image_id", ignore_index=True)


def _predict(model: GradeModel, numbers: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    values: NDArray[np.float64] = numbers[list(model.grade.names)].to_numpy(np.float64)
    table = pd.DataFrame(model.grade.probabilities(values), columns=list(PROBABILITY_COLUMNS))
    table.insert(0, "image_id", numbers.index)
    table["grade"] = labels["grade"].to_numpy()
    if model.oedema is not None:
        table[OEDEMA_PROBABILITY] = 1 - model.oedema.probabilities(values)[:, 0]
    return table


def _is_earlier_result(run: Run, maps: Sequence[Path]) -> bool:
    """Whether a folder holds a grade model of the same maps, finished or not."""
    try:
        earlier = run.grade_model_record().maps
    except ExperimentError:
        return False
    return [path_from_folder(each, run.folder).resolve() for each in earlier] == [each.resolve() for each in maps]


def _validated(cross_validation: CrossValidation) -> Manifest:
    """Returns the photographs of the folds, all as validation photographs: each has maps by its own fold."""
    manifest = Manifest.read(cross_validation.fold(0).manifest_file)
    divided = manifest.table["split"].isin(["train", "val"])
    return Manifest(manifest.table.assign(split=manifest.table["split"].mask(divided, "val")), manifest.root)


def _record(
    run: Run,
    folders: Sequence[LesionMaps],
    fitted: int,
    cross_validation: CrossValidation,
    rows: Sequence[_Rows],
    manifest: Manifest,
    marks: int,
) -> GradeModelRecord:
    trainings = [each.record().data for each in cross_validation.runs()]
    data = TrainingDataRecord(
        prepared=relative_to_folder(folders[0].prepared, run.folder),
        manifest_sha256=manifest.digest(),
        own_split=True,
        preparation=trainings[0].preparation,
        photographs={"val": len(rows[0].labels)},
        folds=tuple(each.manifest_sha256 for each in trainings),
    )
    first = folders[0].finished_record()
    return GradeModelRecord(
        experiment=f"{first.experiment}: grades",
        data=data,
        maps=tuple(relative_to_folder(each.folder, run.folder) for each in folders),
        fitted=fitted,
        networks=first.networks,
        marks=marks,
        predictions={each.name: _OUT_OF_FOLD for each in rows},
        **provenance_record(),
    )

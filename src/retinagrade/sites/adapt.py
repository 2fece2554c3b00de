"""A grader file whose grade model is fitted to a site's own grades."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from retinagrade.arguments import NumberRange, check_arguments
from retinagrade.datasets.prepare_file import prepared_path
from retinagrade.datasets.prepared_set import PreparedSet, prepared_digests, read_prepared
from retinagrade.datasets.stratification import photograph_groups
from retinagrade.errors import GraderFileError, LayoutError, UsageError
from retinagrade.evaluation.adaptation import LEAST_PHOTOGRAPHS, Adaptation, Gain, adaptation_gain
from retinagrade.evaluation.fitting.adaptation import adapt_model
from retinagrade.evaluation.fitting.calibration import Calibration, fit_calibration
from retinagrade.evaluation.fitting.out_of_fold import patient_folds
from retinagrade.evaluation.oedema import OEDEMA_AUC, OEDEMA_PROBABILITY, oedema_photographs
from retinagrade.evaluation.predictions import graded_predictions, read_predictions, write_predictions
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.gate.inputs import gate_inputs
from retinagrade.grader.eyes import UNKNOWN
from retinagrade.grader.metadata import BUNDLED, LesionMetadata, Metadata, MetricGain, seen_before
from retinagrade.grader.numbers_file import NumbersFile
from retinagrade.grader.runtime import BATCH, Grader, PreparedPhotograph
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.images.field_of_view import find_field_of_view
from retinagrade.images.prepare import resize_to_input
from retinagrade.lesion_maps.grade_model import OrdinalModel
from retinagrade.lesion_maps.numbers import number_row
from retinagrade.manifest import OEDEMA_RISK
from retinagrade.messages import counted
from retinagrade.sites.local_file import LocalGrader, earlier_local, site_decisions, write_local
from retinagrade.storage.locking import locked
from retinagrade.storage.output_guard import Output, guard_outputs

NOT_USED: Final = ("test", "excluded")
"""Splits of a prepared set that an adaptation leaves alone: one to judge it with, one that can't be trusted."""
_RANKED_WORSE: Final = 0.01
"""Area under the curve that a change of the model of oedema may lose."""


@dataclass(frozen=True)
class LocalAdaptation:
    """What an adaptation gave.

    Attributes:
        adaptation: The gain on the site's own patients, by cross-validation, with its interval.
        grader: The file that was written; ``None`` where it would not be better by more than chance.
        left_out: Numbers of photographs that were not used, by reason.
        numbers: File of the lesion numbers, from which the same call continues, also with more photographs.
        predictions: Table of the photographs, each graded by a fit on other patients; ``None`` where nothing was
            written.
    """

    adaptation: Adaptation
    grader: LocalGrader | None
    left_out: dict[str, int]
    numbers: Path
    predictions: Path | None

    @property
    def needs_attention(self) -> bool:
        """True if no file was written."""
        return self.grader is None

    def to_json(self) -> dict[str, Any]:
        """Returns the outcome for programs."""
        adaptation, grader = self.adaptation, self.grader
        return {
            "photographs": adaptation.photographs,
            "patients": adaptation.patients,
            "left_out": self.left_out,
            "method": adaptation.method,
            "better": adaptation.better,
            "gains": {name: gain.to_json() for name, gain in adaptation.gains.items()},
            "curve": [asdict(point) for point in adaptation.curve],
            "from_half_to_all": adaptation.more.to_json(),
            "photographs_needed": adaptation.needed,
            "summary": list(adaptation.sentences),
            "numbers": str(self.numbers),
            "predictions": None if self.predictions is None else str(self.predictions),
            "out": None if grader is None else str(grader.file),
            "card": None if grader is None else str(grader.card),
            "version": None if grader is None else grader.metadata.version,
        }

    def __repr__(self) -> str:
        """Returns the photographs, the gain and the files, line by line."""
        adaptation = self.adaptation
        unused = "; ".join(f"{count} {reason}" for reason, count in self.left_out.items())
        used = f"{counted(adaptation.photographs, 'photograph')} of {counted(adaptation.patients, 'patient')}"
        lines = [f"{used}{f' (left out: {unused})' if unused else ''}"]
        for name, gain in adaptation.gains.items():
            lines.append(f"{name.replace('_', ' '):<26} {_gain_text(gain)}")
        points = [f"{point.photographs}: {point.gain:+.3f}" for point in adaptation.curve if point.gain is not None]
        if points:
            lines.append(f"gain by photographs in a fit: {', '.join(points)}")
        lines += adaptation.sentences
        if self.grader is None:
            lines.append(f"wrote no grader file; the lesion numbers in {self.numbers} serve the next call")
        else:
            version = self.grader.metadata.version
            lines.append(f"wrote {self.grader.file} (version {version}), {self.grader.card} and {self.predictions}")
        return "\n".join(lines)

    __str__ = __repr__


@dataclass(frozen=True)
class _Photographs:
    """The photographs of an adaptation.

    Attributes:
        table: ``image_id``, ``grade``, ``patient_id`` (the group of photographs that belong together) and, where
            known, the risk of macular oedema.
        digests: Digests of the prepared photographs, in the same order.
        sources: Digests of the photographs that they were prepared from, in the same order, or "" where unknown.
        left_out: Numbers of other photographs, by reason.
    """

    table: pd.DataFrame
    digests: list[str]
    sources: list[str]
    left_out: dict[str, int]


@check_arguments(target=NumberRange(above=0, up_to=1))
def adapt(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    target: float | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> LocalAdaptation:
    """Fits the grade model of a grader file to a site's own grades, and writes the file if it is better.

    The network stays the same, to the byte, so no deep-learning framework is needed. Cross-validation over patients
    chooses between new limits of the grades and a new fit of all weights, and measures the gain on patients that the
    fit has not seen. Temperature, thresholds, prediction sets and review rule are fitted again on the same predictions.

    Args:
        model: The grader file, which must outline lesions; ``default`` is the one that comes with the package.
        data: Folder of a prepared set with grades, prepared as the file prepares photographs, in the same or a larger
            size. Photographs of the splits ``test`` and ``excluded`` are left out, so that ``test`` can judge the file;
            so are photographs that the file was trained on, whose lesions it outlines too well.
        out: The file to write, ``.onnx``. Beside it lie the model card (``.md``), the predictions of the
            cross-validation (``.csv``), and the lesion numbers (``.numbers.jsonl``), from which the same call continues
            after an interruption, or with more photographs.
        target: Sensitivity that the thresholds should reach; 0.9 by default.
        seed: Seed of the cross-validation and the intervals.
        overwrite: Whether to replace files that exist.
        progress: Receives the number of photographs and of fits.

    Returns:
        The gain with its interval. Its ``grader`` is ``None`` if the new file would not be better than the old one by
        more than chance: nothing is written then, except for the lesion numbers.

    Raises:
        UsageError: ``out`` has another suffix, is an input, or exists; there are too few photographs, grades or
            patients; or the file was trained on all these photographs.
        GraderFileError: The grader file can't be used, or outlines no lesions.
        LayoutError: ``data`` is no prepared set, or was prepared in another way than the file prepares photographs.
        ImageError: A prepared photograph was changed.
    """
    file, folder, out = BUNDLED if os.fspath(model) == "default" else Path(model), Path(data), Path(out)
    if out.suffix != ".onnx":
        raise UsageError(f"{out}: the name of a grader file must end in .onnx")
    numbers_file, predictions = out.with_suffix(".numbers.jsonl"), out.with_suffix(".csv")
    grader = Grader.load(file)
    written = earlier_local(out, grader.metadata, lambda text: text.endswith(f" of {folder.name}"))
    predicted = Output(predictions, False, written[0].is_earlier_result)
    guard_outputs([*written, predicted, Output(numbers_file, False, lambda: True)], [file, folder], overwrite)
    lesions = _require_lesions(grader.metadata, file)
    prepared = PreparedSet(folder)
    _require_suitable(prepared, grader.metadata, file)
    photographs = _choose(prepared, grader.metadata)
    with locked(numbers_file):
        numbers, refused = _read_numbers(grader, prepared, photographs, numbers_file, progress)
        usable = [digest in numbers and digest not in refused for digest in photographs.digests]
        table = photographs.table[usable].reset_index(drop=True)
        left_out = photographs.left_out | _count_refused(photographs.digests, refused, numbers)
        used = [numbers[digest] for digest, is_used in zip(photographs.digests, usable, strict=True) if is_used]
        grade, patients = lesions.model.grade, table["patient_id"].tolist()
        rows = _rows(used, grade)
        grades = table["grade"].to_numpy(np.int64)
        adaptation = adaptation_gain(grade, rows, grades, patients, seed=seed, progress=progress)
        if not adaptation.better:
            return LocalAdaptation(adaptation, None, left_out, numbers_file, None)
        table[list(PROBABILITY_COLUMNS)] = adaptation.probabilities
        oedema, gains = _adapt_oedema(lesions.model.oedema, used, table, seed)
        calibration = _calibrate(table, predictions, grader.metadata, target)
        changes = _changes(calibration, grader.metadata, lesions, adaptation.model, oedema)
        gains = {name: _metric_gain(gain) for name, gain in adaptation.gains.items()} | gains
        used_data = f"{counted(len(table), 'photograph')} of {counted(adaptation.patients, 'patient')} of {folder.name}"
        sources = [each for each, is_used in zip(photographs.sources, usable, strict=True) if is_used and each]
        local = write_local(file, out, grader.metadata, changes, used_data, sources, gains)
    return LocalAdaptation(adaptation, local, left_out, numbers_file, predictions)


def _require_lesions(metadata: Metadata, file: Path) -> LesionMetadata:
    if metadata.lesions is None:
        raise GraderFileError(
            f"{file} grades whole photographs, and its last part can't be fitted without a deep-learning framework: "
            "adapt a file that outlines lesions, or set thresholds with `retinagrade calibrate` and `retinagrade "
            "export --model`"
        )
    return metadata.lesions


def _require_suitable(prepared: PreparedSet, metadata: Metadata, file: Path) -> None:
    """Requires that the photographs were prepared as the file prepares them, and that it doesn't know them."""
    wanted = metadata.preparation
    if (prepared.contrast, prepared.square) != (wanted.contrast, wanted.square) or prepared.size < wanted.size:
        raise LayoutError(
            f"{prepared.folder} was prepared with {prepared.size} px, contrast {prepared.contrast} and square "
            f"{prepared.square}, but {file} was trained on {wanted.size} px, contrast {wanted.contrast} and square "
            f"{wanted.square}: prepare the photographs again, with --size {wanted.size}{_options(metadata)}"
        )
    if prepared.manifest.digest() == metadata.training_data.manifest_sha256:
        raise UsageError(
            f"{prepared.folder} holds the photographs that {file} was trained on, whose lesions it outlines too well: "
            "adapt it to other photographs"
        )


def _options(metadata: Metadata) -> str:
    """Returns the options of `prepare` for the contrast and the square of a file, where they aren't its defaults."""
    wanted = metadata.preparation
    contrast = "" if wanted.contrast == "none" else f" --{wanted.contrast}"
    return contrast + ("" if wanted.square == "pad" else f" --square {wanted.square}")


def _choose(prepared: PreparedSet, metadata: Metadata) -> _Photographs:
    """Chooses the graded photographs that no split keeps and no training used, with their groups as patients."""
    every, digests = prepared.manifest.table, prepared_digests(prepared.folder)
    sources = every["sha256"].fillna("") if "sha256" in every else pd.Series("", index=every.index)
    every = every.assign(source=sources.astype(str))
    every = every.assign(sha256=[str(digests.get(image_id)) for image_id in every["image_id"]])
    every = every.assign(patient_id=[f"group {number}" for number in photograph_groups(every)])
    kept, graded = every["split"].isin(NOT_USED).to_numpy(), every["grade"].notna().to_numpy()
    trained_on = np.array([seen_before(metadata, source) == "training" for source in every["source"]], dtype=bool)
    chosen = every[graded & ~kept & ~trained_on]
    columns = ["image_id", "grade", "patient_id", *([OEDEMA_RISK] if OEDEMA_RISK in every else [])]
    left_out = {"without a grade": int((~graded).sum())}
    left_out |= {f"in the split {name}": int((graded & (every["split"] == name)).sum()) for name in NOT_USED}
    left_out["that the file was trained on"] = int((graded & ~kept & trained_on).sum())
    return _Photographs(
        chosen[columns].reset_index(drop=True),
        chosen["sha256"].tolist(),
        chosen["source"].tolist(),
        {reason: count for reason, count in left_out.items() if count},
    )


def _read_numbers(
    grader: Grader, prepared: PreparedSet, photographs: _Photographs, file: Path, progress: Progress | None
) -> tuple[dict[str, dict[str, float]], set[str]]:
    """Outlines the lesions of photographs; returns their numbers by digest, and the digests that the gate refused."""
    _require_enough(len(photographs.table), prepared.folder)
    with NumbersFile(file, grader.metadata.digest) as numbers:
        ids = photographs.table["image_id"]
        missing = [
            (str(image_id), digest)
            for image_id, digest in zip(ids, photographs.digests, strict=True)
            if digest not in numbers.numbers
        ]
        step = begin_stage(progress if missing else None, "outlining lesions", len(missing))
        for first in range(0, len(missing), BATCH):
            batch = [_prepare(prepared, grader, *each) for each in missing[first : first + BATCH]]
            for graded in grader.grade_prepared(batch):
                numbers.add(graded)
                step()
        return dict(numbers.numbers), set(numbers.refused)


def _prepare(prepared: PreparedSet, grader: Grader, image_id: str, digest: str) -> PreparedPhotograph:
    """Reads a prepared photograph, which has the pixels that the grader would make of its source."""
    pixels = read_prepared(prepared_path(prepared.folder, image_id), digest)
    square = resize_to_input(pixels, grader.metadata.image_size)
    inputs = gate_inputs(pixels, find_field_of_view(pixels))
    return PreparedPhotograph(image_id, None, UNKNOWN, square, inputs, digest=digest)


def _require_enough(photographs: int, folder: Path) -> None:
    if photographs < LEAST_PHOTOGRAPHS:
        raise UsageError(
            f"{folder} has {counted(photographs, 'graded photograph')} to adapt to: at least {LEAST_PHOTOGRAPHS} are "
            "needed, and fifty or more are better"
        )


def _count_refused(digests: Sequence[str], refused: set[str], numbers: dict[str, dict[str, float]]) -> dict[str, int]:
    counts = Counter(
        "refused by the gate" if digest in refused else "unusable"
        for digest in digests
        if digest in refused or digest not in numbers
    )
    return dict(counts)


def _rows(numbers: Sequence[dict[str, float]], model: OrdinalModel) -> NDArray[np.float64]:
    return np.array([number_row(each, model.names) for each in numbers]).reshape(len(numbers), len(model.names))


def _adapt_oedema(
    model: OrdinalModel | None, numbers: Sequence[dict[str, float]], table: pd.DataFrame, seed: int
) -> tuple[OrdinalModel | None, dict[str, MetricGain]]:
    """Fits the model of macular oedema, where enough risks are known, and adds its probabilities to the table.

    Returns:
        The model, which is the old one if the new one doesn't rank the photographs as well, and the gain of its area
        under the ROC curve.
    """
    if model is None or OEDEMA_RISK not in table:
        return model, {}
    risks = pd.to_numeric(table[OEDEMA_RISK], errors="coerce")
    known = risks.notna().to_numpy()
    levels = np.minimum(risks[known].to_numpy(np.int64), len(model.biases))
    if known.sum() < LEAST_PHOTOGRAPHS or len(np.unique(levels >= 1)) < 2:
        return model, {}
    rows = _rows(numbers, model)[known]
    groups = pd.factorize(table["patient_id"][known])[0].astype(np.int64)
    before, after = 1 - model.probabilities(rows)[:, 0], np.zeros(len(rows))
    for others, own in patient_folds(groups, seed):
        fitted = adapt_model(model, rows[others], levels[others], groups[others], seed)
        after[own] = 1 - fitted.model.probabilities(rows[own])[:, 0]
    areas = [float(roc_auc_score(levels >= 1, scores)) for scores in (before, after)]
    is_kept = areas[1] < areas[0] - _RANKED_WORSE
    table.loc[known, OEDEMA_PROBABILITY] = before if is_kept else after
    chosen = model if is_kept else adapt_model(model, rows, levels, groups, seed).model
    gain = MetricGain(before=areas[0], after=areas[0] if is_kept else areas[1], interval=None)
    return chosen, {OEDEMA_AUC: gain}


def _calibrate(table: pd.DataFrame, file: Path, metadata: Metadata, target: float | None) -> Calibration:
    """Writes the out-of-fold predictions, and fits temperature and decisions on them."""
    further = [name for name in ("patient_id", OEDEMA_PROBABILITY, OEDEMA_RISK) if name in table]
    write_predictions(table, file, further)
    read = read_predictions(file)
    return fit_calibration(
        graded_predictions(read), file, target=target, oedema=oedema_photographs(read), referral=metadata.referral
    )


def _changes(
    calibration: Calibration,
    before: Metadata,
    lesions: LesionMetadata,
    grade: OrdinalModel,
    oedema: OrdinalModel | None,
) -> dict[str, Any]:
    """Returns the changed fields of the metadata."""
    model = lesions.model.model_copy(update={"grade": grade, "oedema": oedema})
    return site_decisions(calibration) | {
        "lesions": lesions.model_copy(update={"model": model}),
        "temperature": calibration.temperature.temperature,
        "site_temperature": 1.0,
    }


def _metric_gain(gain: Gain) -> MetricGain:
    interval = None if gain.interval is None else (gain.interval.low, gain.interval.high)
    return MetricGain(before=gain.before, after=gain.after, interval=interval)


def _gain_text(gain: Gain) -> str:
    if gain.before is None or gain.after is None or gain.difference is None:
        return "undefined"
    interval = "" if gain.interval is None else f" ({gain.interval.low:+.3f} to {gain.interval.high:+.3f})"
    return f"{gain.before:.3f} before, {gain.after:.3f} after: {gain.difference:+.3f}{interval}"

"""The evaluation of lesion maps: every metric of every kind of lesion, with intervals."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
from pydantic import BaseModel, ConfigDict

from retinagrade.evaluation.lesion_counts import PhotographCounts
from retinagrade.evaluation.lesion_metrics import (
    FALSE_LESIONS,
    LesionCounts,
    average_precision,
    dice,
    froc,
    resample_photographs,
)
from retinagrade.evaluation.metrics import Undefined
from retinagrade.provenance import Provenance, provenance_record
from retinagrade.storage.files import write_bytes, write_json
from retinagrade.storage.output_guard import FOLDER_RECORD, describe_origin, folder_output, guard_outputs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COMMAND: Final = "evaluate"
LESION_METRICS_FILE: Final = "lesions.json"
LESION_CURVES_FILE: Final = "lesions.png"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LesionMetricRecord(_Record):
    """A metric of one kind of lesion.

    Attributes:
        value: The metric, 0 to 1; ``None`` where it is undefined.
        interval: Lower and upper end of the 95 % interval, by groups of photographs; ``None`` where it is undefined.
        reason: The reason why the metric is undefined; absent where it is defined.
    """

    value: float | None
    interval: tuple[float, float] | None
    reason: str = ""


class KindRecord(_Record):
    """The metrics of one kind of lesion.

    Attributes:
        photographs: Number of photographs in which people looked for this kind.
        lesions: Number of outlined lesions.
        average_precision: Area under the precision-recall curve over all pixels.
        dice: Dice coefficient over all pixels, at a probability of 0.5.
        sensitivity_by_false_lesions: Sensitivity by lesion, by the mean number of false lesions in a photograph, such
            as ``0.5``.
    """

    photographs: int
    lesions: int
    average_precision: LesionMetricRecord
    dice: LesionMetricRecord
    sensitivity_by_false_lesions: dict[str, LesionMetricRecord]


class LesionEvaluationRecord(_Record):
    """``lesions.json`` of an evaluation of lesion maps.

    Attributes:
        photographs: Number of photographs.
        kinds: The metrics of each kind of lesion, by its name.
        provenance: The circumstances of the evaluation.
    """

    photographs: int
    kinds: dict[str, KindRecord]
    provenance: Provenance


@dataclass(frozen=True)
class LesionMetric:
    """A metric of one kind of lesion.

    Attributes:
        value: The metric, 0 to 1; ``None`` where it is undefined.
        interval: 95 % interval, by groups of photographs; ``None`` where it is undefined.
        reason: The reason why the metric is undefined.
    """

    value: float | None
    interval: tuple[float, float] | None = None
    reason: str | None = None

    def record(self) -> LesionMetricRecord:
        """Returns the metric as ``lesions.json`` has it."""
        if not self.reason:
            return LesionMetricRecord(value=self.value, interval=self.interval)
        return LesionMetricRecord(value=self.value, interval=self.interval, reason=self.reason)

    def __str__(self) -> str:
        """Returns value and interval, such as ``0.512 (0.430 to 0.590)``."""
        if self.value is None:
            return "undefined"
        return f"{self.value:.3f}" + (f" ({self.interval[0]:.3f} to {self.interval[1]:.3f})" if self.interval else "")


@dataclass(frozen=True)
class KindEvaluation:
    """The metrics of one kind of lesion.

    Attributes:
        photographs: Number of photographs in which people looked for this kind.
        lesions: Number of outlined lesions.
        average_precision: Area under the precision-recall curve over all pixels.
        dice: Dice coefficient over all pixels, at a probability of 0.5.
        sensitivity: Sensitivity by lesion, by the number of false lesions in a photograph.
    """

    photographs: int
    lesions: int
    average_precision: LesionMetric
    dice: LesionMetric
    sensitivity: dict[float, LesionMetric]

    def record(self) -> KindRecord:
        """Returns the metrics as ``lesions.json`` has them."""
        return KindRecord(
            photographs=self.photographs,
            lesions=self.lesions,
            average_precision=self.average_precision.record(),
            dice=self.dice.record(),
            sensitivity_by_false_lesions={f"{number:g}": each.record() for number, each in self.sensitivity.items()},
        )


@dataclass(frozen=True, repr=False)
class LesionEvaluation:
    """The metrics of the lesion maps of several photographs.

    Attributes:
        kinds: The metrics of each kind of lesion.
        counts: The counts that they were computed from.
        inputs: The files that identify the evaluation; none for counts in memory.
    """

    kinds: dict[str, KindEvaluation]
    counts: PhotographCounts
    inputs: tuple[Path, ...] = ()

    def table(self) -> pd.DataFrame:
        """Returns a row for each kind: photographs, lesions, average precision, Dice, and sensitivities, as text."""
        rows = {
            kind.replace("_", " "): {
                "photographs": of_kind.photographs,
                "lesions": of_kind.lesions,
                "average precision": str(of_kind.average_precision),
                "Dice": str(of_kind.dice),
                **{f"sensitivity at {number:g}": str(metric) for number, metric in of_kind.sensitivity.items()},
            }
            for kind, of_kind in self.kinds.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    def figure(self) -> Figure:
        """Draws the precision-recall curve and the FROC curve of each kind."""
        from retinagrade.evaluation.report.lesion_plots import lesion_curves

        return lesion_curves({kind: _of_kind(self.counts, kind) for kind in self.kinds})

    def to_json(self) -> dict[str, Any]:
        """Returns the content of ``lesions.json``."""
        record = LesionEvaluationRecord(
            photographs=len(self.counts),
            kinds={kind: of_kind.record() for kind, of_kind in self.kinds.items()},
            provenance=Provenance(**provenance_record()),
        )
        return record.model_dump(mode="json", exclude_unset=True)

    def write(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Writes ``lesions.json``, ``lesions.png`` and ``run.json``.

        Args:
            folder: The folder to write to; it is made if it is missing.
            overwrite: Whether the folder may hold other files, which are replaced where they have the same names.

        Returns:
            The path of the picture.

        Raises:
            UsageError: The folder holds the counts, or files that are no earlier evaluation of them.
        """
        from retinagrade.evaluation.report.plots import figure_png

        folder = Path(folder)
        guard_outputs([folder_output(folder, _COMMAND, self.inputs)], self.inputs, overwrite)
        write_json(folder / FOLDER_RECORD, describe_origin(_COMMAND, self.inputs, folder))
        write_json(folder / LESION_METRICS_FILE, self.to_json())
        write_bytes(folder / LESION_CURVES_FILE, figure_png(self.figure()))
        return folder / LESION_CURVES_FILE

    def __repr__(self) -> str:
        """Returns the average precision of each kind."""
        parts = [f"{kind.replace('_', ' ')} {of_kind.average_precision}" for kind, of_kind in self.kinds.items()]
        return f"LesionEvaluation of {len(self.counts)} photographs; average precision: {', '.join(parts)}"

    def _repr_html_(self) -> str:
        """Returns the table for a notebook."""
        return self.table().to_html()


def evaluate_lesion_counts(
    counts: PhotographCounts, groups: Mapping[str, object] | None = None, resamples: int = 1000, seed: int = 0
) -> LesionEvaluation:
    """Computes all metrics of lesion maps.

    Args:
        counts: Counts by ``image_id`` and kind of lesion.
        groups: The group of each photograph, by ``image_id``, such as its patient: intervals draw whole groups. By
            default, each photograph is a group.
        resamples: Number of draws for the intervals; 0 for no intervals.
        seed: Seed of the draws.

    Returns:
        The metrics of every kind.
    """
    kinds = list(dict.fromkeys(kind for of_photograph in counts.values() for kind in of_photograph))
    evaluated = {}
    for kind in kinds:
        of_kind = _of_kind(counts, kind)
        drawn = [image_id if groups is None else groups[image_id] for image_id in counts if kind in counts[image_id]]
        measure = partial(_measure, counts=of_kind, groups=drawn, resamples=resamples, seed=seed)
        evaluated[kind] = KindEvaluation(
            photographs=len(of_kind),
            lesions=sum(len(each.found) for each in of_kind),
            average_precision=measure(average_precision),
            dice=measure(dice),
            sensitivity={number: measure(partial(_sensitivity, number)) for number in FALSE_LESIONS},
        )
    return LesionEvaluation(evaluated, counts)


def _of_kind(counts: PhotographCounts, kind: str) -> list[LesionCounts]:
    return [of_photograph[kind] for of_photograph in counts.values() if kind in of_photograph]


def _sensitivity(number: float, counts: Sequence[LesionCounts]) -> float:
    return float(froc(counts, [number])[0])


def _measure(
    metric: Callable[[Sequence[LesionCounts]], float],
    *,
    counts: Sequence[LesionCounts],
    groups: Sequence[object],
    resamples: int,
    seed: int,
) -> LesionMetric:
    try:
        value = metric(counts)
    except Undefined as reason:
        return LesionMetric(None, reason=str(reason))
    return LesionMetric(value, resample_photographs(metric, counts, groups, resamples, seed) if resamples else None)

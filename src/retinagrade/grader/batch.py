"""Grading many files: rows as they come, heatmaps, and reports of studies in DICOM."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import simplejpeg

from retinagrade.errors import ImageError
from retinagrade.files import write_bytes
from retinagrade.grader.inputs import PhotographFile
from retinagrade.grader.metadata import Metadata
from retinagrade.grader.results import Grading
from retinagrade.grader.results_table import ResultsTable
from retinagrade.grader.runtime import GradedPhotograph
from retinagrade.grader.saliency import saliency_overlay
from retinagrade.grader.studies import grade_study, group_by_study
from retinagrade.images.dicom import holds_dicom
from retinagrade.paths import to_path

Stream = Callable[[Iterable[str], Iterable[str]], Iterable[GradedPhotograph]]
"""Grades paths that have these ids."""


@dataclass(frozen=True)
class SideOutputs:
    """What is written beside what is returned.

    Attributes:
        table: A row a photograph; ``None`` for no table.
        heatmaps: A folder for pictures of the saliency map of the grade that was given; ``None`` for none.
        dicom: A folder with a folder a study: heatmaps of its DICOM photographs, and its report; ``None`` for none.
        missing: What could not be written in DICOM, and why, a line each.
    """

    table: ResultsTable | None = None
    heatmaps: Path | None = None
    dicom: Path | None = None
    missing: list[str] = field(default_factory=list)


def grade_files(
    stream: Stream,
    photographs: Sequence[PhotographFile],
    outputs: SideOutputs,
    on_done: Callable[[], None] = lambda: None,
) -> list[Grading]:
    """Grades files, and writes what is wanted of each as it comes.

    Args:
        stream: What grades, in any order: a grader's ``stream``, or one that works elsewhere.
        photographs: What to grade.
        outputs: What to write. A photograph's heatmaps are there before its row is, so that a call which is killed
            and made again misses none.
        on_done: Called after each photograph.

    Returns:
        One grading each, in their order.
    """
    gradings = []
    by_id = {each.image_id: each for each in photographs}
    for seen in stream([each.path for each in photographs], by_id):
        eye = by_id[seen.grading.image_id].eye
        told = {name: value for name, value in vars(eye).items() if value is not None}
        given = replace(seen.grading, **told)
        gradings.append(given)
        _write_heatmaps(seen, given, outputs)
        if outputs.table is not None:
            outputs.table.add(given)
        on_done()
    order = {image_id: place for place, image_id in enumerate(by_id)}
    return sorted(gradings, key=lambda given: order[given.image_id])


def write_reports(gradings: Sequence[Grading], metadata: Metadata, outputs: SideOutputs) -> None:
    """Writes the Structured Report of every study that has DICOM photographs, where DICOM is wanted.

    Args:
        gradings: Of all photographs of these studies.
        metadata: Of the grader file.
        outputs: Where to, and where to say what is missing.
    """
    if outputs.dicom is None:
        return
    from retinagrade.grader.dicom_source import write_dicom
    from retinagrade.grader.structured_report import structured_report

    of_dicom = [one for one in gradings if one.path is not None and holds_dicom(to_path(one.path))]
    outputs.missing.extend(f"no report: {one.path}: its header tells no study" for one in of_dicom if one.study is None)
    for study, each in group_by_study(of_dicom).items():
        try:
            report = structured_report(grade_study(study, each), each, metadata)
            write_dicom(report, outputs.dicom / report.StudyInstanceUID / "report.dcm")
        except ImageError as error:
            outputs.missing.append(f"no report: {error}")


def _write_heatmaps(seen: GradedPhotograph, given: Grading, outputs: SideOutputs) -> None:
    if given.grade is None or seen.photograph is None or seen.saliency is None:
        return
    if outputs.heatmaps is None and outputs.dicom is None:
        return
    picture = saliency_overlay(seen.photograph, seen.saliency[given.grade])
    if outputs.heatmaps is not None:
        inside = "/".join(part for part in given.image_id.split("/") if part.strip("."))  # ids may be paths
        write_bytes(outputs.heatmaps / f"{inside}.jpg", simplejpeg.encode_jpeg(picture, 90))
    if outputs.dicom is not None and given.path is not None and holds_dicom(to_path(given.path)):
        try:
            _write_capture(picture, given, outputs.dicom)
        except ImageError as error:
            outputs.missing.append(f"no heatmap: {error}")


def _write_capture(picture: np.ndarray, given: Grading, folder: Path) -> None:
    from retinagrade.grader.dicom_source import write_dicom
    from retinagrade.grader.secondary_capture import secondary_capture

    capture = secondary_capture(picture, given)
    source = capture.SourceImageSequence[0].ReferencedSOPInstanceUID
    write_dicom(capture, folder / capture.StudyInstanceUID / f"heatmap-{source}.dcm")

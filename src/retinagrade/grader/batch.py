"""Grading many files: every result is written as soon as it is there, and reports of studies at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from retinagrade.errors import ImageError
from retinagrade.grader.eyes import EyeIdentity
from retinagrade.grader.inputs import PhotographFile
from retinagrade.grader.lesion_files import write_outlines
from retinagrade.grader.lesions import PhotographLesions
from retinagrade.grader.metadata import Metadata
from retinagrade.grader.numbers_file import NumbersFile
from retinagrade.grader.outputs import picture_path
from retinagrade.grader.results_table import ResultsTable
from retinagrade.grader.runtime import GradedPhotograph
from retinagrade.grader.saliency import saliency_overlay
from retinagrade.gradings.grading import Grading
from retinagrade.gradings.studies import grade_study, group_by_study
from retinagrade.images.dicom import holds_dicom
from retinagrade.images.own_pictures import mark_jpeg
from retinagrade.lesion_maps.marks import MarkFinder
from retinagrade.lesion_maps.numbers import RED_KINDS
from retinagrade.messages import count_and_first_few
from retinagrade.storage.files import write_bytes
from retinagrade.storage.paths import to_path

GradingStream = Callable[[Iterable[str], Iterable[str]], Iterable[GradedPhotograph]]
"""A function that grades paths, given the paths and their ids."""


@dataclass(frozen=True)
class SideOutputs:
    """Files that are written while photographs are graded.

    Attributes:
        table: Table with one row per photograph; ``None`` for no table.
        saliency: Folder for saliency overlays; ``None`` for none.
        lesions: Folder for outlines of lesions; ``None`` for none.
        dicom: Folder with one folder per study, which holds its report, and the saliency overlays or outlined
            lesions of its DICOM photographs; ``None`` for none.
        numbers: File of the lesion numbers; ``None`` for none.
        failures: Reasons why some DICOM results could not be written, one line each.
    """

    table: ResultsTable | None = None
    saliency: Path | None = None
    lesions: Path | None = None
    dicom: Path | None = None
    numbers: NumbersFile | None = None
    failures: list[str] = field(default_factory=list)


def grade_files(
    stream: GradingStream,
    photographs: Sequence[PhotographFile],
    outputs: SideOutputs,
    on_done: Callable[[], None] = lambda: None,
    marks: MarkFinder | None = None,
) -> list[Grading]:
    """Grades files and writes the outputs of each as soon as it is graded.

    Args:
        stream: Function that grades, in any order.
        photographs: Files to grade.
        outputs: Outputs to write. The pictures of a photograph are written before its row, so that a call which is
            killed and repeated misses none.
        on_done: Called after each photograph.
        marks: Receives the red lesions of each photograph; copies with the same bytes count once.

    Returns:
        One grading per photograph, in their order.
    """
    gradings = []
    by_id = {each.image_id: each for each in photographs}
    seen_digests: set[str | None] = set()
    for graded in stream([each.path for each in photographs], by_id):
        seen = EyeIdentity(graded.grading.study, graded.grading.laterality, graded.grading.patient)
        eye = by_id[graded.grading.image_id].complete_eye(seen)
        grading = replace(graded.grading, study=eye.study, laterality=eye.laterality, patient=eye.patient)
        gradings.append(grading)
        _write_overlays(graded, grading, outputs)
        if outputs.lesions is not None and graded.lesions is not None:
            write_outlines(graded, grading, picture_path(outputs.lesions, grading.image_id, ".png"))
        if outputs.dicom is not None and graded.lesions is not None:
            _write_segmentation(graded, grading, outputs)
        if marks is not None and graded.lesions is not None and grading.digest not in seen_digests:
            seen_digests.add(grading.digest)
            _add_red_lesions(marks, graded.lesions)
        if outputs.numbers is not None:
            outputs.numbers.add(graded)
        if outputs.table is not None:
            outputs.table.add(grading)
        on_done()
    order = {image_id: index for index, image_id in enumerate(by_id)}
    return sorted(gradings, key=lambda grading: order[grading.image_id])


def _add_red_lesions(marks: MarkFinder, lesions: PhotographLesions) -> None:
    red = [lesions.read.maps[kind] for kind in RED_KINDS if kind in lesions.read.maps]
    if red:
        marks.add(np.asarray(np.max(red, axis=0), np.uint8))


def write_reports(gradings: Sequence[Grading], metadata: Metadata, outputs: SideOutputs) -> None:
    """Writes a Structured Report for every study that has DICOM photographs, if ``outputs`` has a DICOM folder.

    Args:
        gradings: Gradings of all photographs of these studies.
        metadata: Metadata of the grader file.
        outputs: Folder to write to, and list of failures.
    """
    if outputs.dicom is None:
        return
    from retinagrade.grader.dicom_source import write_dicom
    from retinagrade.grader.segmentation import find_segmentation
    from retinagrade.grader.structured_report import structured_report

    with_file = [each for each in gradings if each.path is not None]
    of_dicom = [each for each in with_file if holds_dicom(to_path(str(each.path)))]
    if len(of_dicom) < len(with_file):
        without = [each.path for each in with_file if each not in of_dicom]
        outputs.failures.append(
            f"no DICOM results, because these photographs are not in DICOM ({count_and_first_few(without)})"
        )
    outputs.failures.extend(
        f"no report: {each.path}: its header names no study" for each in of_dicom if each.study is None
    )
    for study, members in group_by_study(of_dicom).items():
        try:
            found = {each.image_id: find_segmentation(outputs.dicom, each) for each in members}
            segmentations = {name: segmentation for name, segmentation in found.items() if segmentation is not None}
            report = structured_report(grade_study(study, members), members, metadata, segmentations)
            write_dicom(report, outputs.dicom / report.StudyInstanceUID / "report.dcm")
        except ImageError as error:
            outputs.failures.append(f"no report: {error}")


def _write_overlays(graded: GradedPhotograph, grading: Grading, outputs: SideOutputs) -> None:
    if grading.predicted_grade is None or graded.photograph is None or graded.saliency is None:
        return
    if outputs.saliency is None and outputs.dicom is None:
        return
    overlay = saliency_overlay(graded.photograph, graded.saliency[grading.predicted_grade])
    if outputs.saliency is not None:
        picture = mark_jpeg(simplejpeg.encode_jpeg(overlay, 90), grading.digest or "")
        write_bytes(picture_path(outputs.saliency, grading.image_id, ".jpg"), picture)
    if outputs.dicom is not None and grading.path is not None and holds_dicom(to_path(grading.path)):
        try:
            _write_capture(overlay, grading, outputs.dicom)
        except ImageError as error:
            outputs.failures.append(f"no saliency overlay: {error}")


def _write_segmentation(graded: GradedPhotograph, grading: Grading, outputs: SideOutputs) -> None:
    if outputs.dicom is None or grading.path is None or grading.predicted_grade is None:
        return
    if not holds_dicom(to_path(grading.path)):
        return
    assert graded.lesions is not None
    assert graded.placement is not None
    from retinagrade.grader.segmentation import write_segmentation

    try:
        write_segmentation(graded.lesions, graded.placement, grading, outputs.dicom)
    except ImageError as error:
        outputs.failures.append(f"no outlines of lesions: {error}")


def _write_capture(overlay: NDArray[np.uint8], grading: Grading, folder: Path) -> None:
    from retinagrade.grader.dicom_source import write_dicom
    from retinagrade.grader.secondary_capture import secondary_capture

    capture = secondary_capture(overlay, grading)
    source = capture.SourceImageSequence[0].ReferencedSOPInstanceUID
    write_dicom(capture, folder / capture.StudyInstanceUID / f"saliency-{source}.dcm")

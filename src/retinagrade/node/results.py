"""The results of a study: DICOM objects for the archive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from retinagrade.grader.dicom_source import encode_dicom, read_source_elements
from retinagrade.grader.lesion_files import find_outlines
from retinagrade.grader.metadata import Metadata
from retinagrade.grader.runtime import GradedPhotograph
from retinagrade.grader.saliency import saliency_overlay
from retinagrade.grader.secondary_capture import outlines_capture, secondary_capture
from retinagrade.grader.segmentation import lesion_segmentation
from retinagrade.grader.structured_report import structured_report
from retinagrade.gradings.studies import grade_study
from retinagrade.images.decoding import InMemory
from retinagrade.lesion_maps.outlines import draw_outlines
from retinagrade.node.page import PICTURE_SIDE, PageFacts, choose_eyes, draw_page
from retinagrade.node.page_objects import page_capture, page_document
from retinagrade.node.queue import result_file
from retinagrade.node.rows import ResultKind, StudyResult
from retinagrade.storage.paths import to_path

if TYPE_CHECKING:
    from pydicom import Dataset

_SHOWN_WIDTH: Final = 1.5
"""Width of an outline on the page, in pixels of the page."""
Result = tuple[StudyResult, bytes]
"""A result and its file."""


def make_results(
    study: str, photographs: Sequence[GradedPhotograph], metadata: Metadata, predecessors: Sequence[Dataset]
) -> list[Result]:
    """Makes all results of a study.

    Args:
        study: Its Study Instance UID.
        photographs: Its photographs, graded; each has a file.
        metadata: Metadata of the grader file.
        predecessors: Earlier reports of the study, which the new one replaces: their UIDs.

    Returns:
        Segmentations, overlays, the page twice, and the report, in the order in which they should be sent.
    """
    gradings = [each.grading for each in photographs]
    overlays = [_draw_overlay(each) for each in photographs]
    segmentations = {
        each.grading.image_id: lesion_segmentation(each.lesions, each.placement, each.grading)
        for each in photographs
        if each.lesions is not None and each.placement is not None and each.grading.predicted_grade is not None
    }
    captures = [
        (outlines_capture if each.lesions is not None else secondary_capture)(overlay, each.grading)
        for each, overlay in zip(photographs, overlays, strict=True)
        if overlay is not None
    ]
    whole, eyes = grade_study(study, gradings), choose_eyes(gradings)
    report = structured_report(whole, gradings, metadata, segmentations, predecessors)
    shown = {each.image_id for each in eyes if each is not None}
    pictures = {
        each.grading.image_id: _draw_overlay(each, PICTURE_SIDE)
        for each in photographs
        if each.grading.image_id in shown
    }
    sources = [read_source_elements(to_path(each.path or "")) for each in gradings]
    source = next((each for each in sources if each.PatientID), sources[0])
    page = draw_page(PageFacts.of(source), whole, eyes, pictures)
    number = len(predecessors) + 1
    return [
        *(_result(each, ResultKind.SEGMENTATION) for each in segmentations.values()),
        *(_result(each, ResultKind.OVERLAY) for each in captures),
        _result(page_capture(page.pixels, source, whole, report.SOPInstanceUID, number), ResultKind.PAGE),
        _result(page_document(page.pdf, source, whole, report.SOPInstanceUID, number), ResultKind.DOCUMENT),
        _result(report, ResultKind.REPORT),
    ]


def _draw_overlay(graded: GradedPhotograph, side: int | None = None) -> NDArray[np.uint8] | None:
    """Draws the lesions or the saliency map over a photograph; ``None`` where there is neither.

    Args:
        graded: The photograph.
        side: Side of the picture where it will be shown, in pixels, in which outlines must be seen; ``None`` for its
            own.
    """
    grade = graded.grading.predicted_grade
    if graded.photograph is None or grade is None:
        return None
    if graded.lesions is not None:
        width = 1 if side is None else max(1, round(_SHOWN_WIDTH * graded.photograph.shape[0] / side))
        return draw_outlines(graded.photograph, find_outlines(graded.lesions), width)
    if graded.saliency is None:
        return None
    return saliency_overlay(graded.photograph, graded.saliency[grade])


def _result(instance: Dataset, kind: ResultKind) -> Result:
    row = StudyResult(
        str(instance.SOPInstanceUID),
        str(instance.SOPClassUID),
        str(instance.SeriesInstanceUID),
        str(instance.StudyInstanceUID),
        kind,
        result_file(str(instance.SOPInstanceUID)),
    )
    return row, encode_dicom(instance, InMemory(f"the {kind}", b""))

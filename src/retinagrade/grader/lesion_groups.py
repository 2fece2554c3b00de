"""The lesions of a photograph in its DICOM Structured Report: one measurement group (TID 1501) for each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    FindingSite,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from retinagrade.grader import dicom_codes

if TYPE_CHECKING:
    from pydicom import Dataset

    from retinagrade.gradings.grading import Grading

_BOTH: Final = codes.SCT.RightAndLeft
_SIDES: Final = {
    frozenset("L"): codes.SCT.Left,
    frozenset("R"): codes.SCT.Right,
    frozenset("LR"): CodedConcept(_BOTH.value, _BOTH.scheme_designator, "Right and left"),
}


def retina_of(*gradings: Grading) -> FindingSite:
    """Returns the site of the findings in photographs: the retina, of the eyes that they are known to show."""
    sides = frozenset(each.laterality for each in gradings if each.laterality is not None)
    return FindingSite(codes.SCT.Retina, _SIDES.get(sides))


def lesion_groups(
    grading: Grading, name: str, source: Dataset, segmentation: Dataset | None, algorithm: AlgorithmIdentification
) -> list[MeasurementsAndQualitativeEvaluations]:
    """Makes the measurement groups of a photograph's lesions: their number and area by kind.

    Args:
        grading: Grading of the photograph.
        name: Name of the photograph in the report.
        source: UIDs of the photograph.
        segmentation: UIDs and segments of its Segmentation; ``None`` for none.
        algorithm: The grader file.

    Returns:
        One group for each kind that the grader file outlines. Its source images are the photograph and the frame of the
        Segmentation that shows this kind.
    """
    frames = {} if segmentation is None else _frames(segmentation)
    groups = []
    for kind, code in dicom_codes.LESIONS.items():
        count, area = getattr(grading, kind), getattr(grading, f"{kind}_area")
        if count is None:
            continue
        images = [SourceImageForMeasurementGroup(source.SOPClassUID, source.SOPInstanceUID)]
        if segmentation is not None and code.value in frames:
            images.append(
                SourceImageForMeasurementGroup(
                    segmentation.SOPClassUID, segmentation.SOPInstanceUID, [frames[code.value]]
                )
            )
        groups.append(
            MeasurementsAndQualitativeEvaluations(
                TrackingIdentifier(
                    uid=generate_uid(entropy_srcs=[source.SOPInstanceUID, grading.model, kind]),
                    identifier=f"{name}: {kind.replace('_', ' ')}",
                ),
                finding_type=code,
                finding_sites=[retina_of(grading)],
                algorithm_id=algorithm,
                measurements=[
                    Measurement(dicom_codes.LESION_COUNT, count, codes.UCUM.NoUnits),
                    Measurement(dicom_codes.LESION_AREA, float(f"{100 * area:.6g}"), codes.UCUM.Percent),
                ],
                source_images=images,
            )
        )
    return groups


def _frames(segmentation: Dataset) -> dict[str, int]:
    """Returns the number of the frame of each segment, by its code; each segment has one frame, in their order."""
    return {
        segment.SegmentedPropertyTypeCodeSequence[0].CodeValue: segment.SegmentNumber
        for segment in segmentation.SegmentSequence
    }

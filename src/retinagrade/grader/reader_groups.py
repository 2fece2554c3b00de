"""A reader's decision about a photograph in its DICOM Structured Report: a measurement group (TID 1501) of its own.

Source: DICOM PS3.3 C.17.5 (a content item may have another observation context than the item above it) and PS3.16,
TID 1003 (Person Observer Identifying Attributes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from highdicom.sr import (
    MeasurementsAndQualitativeEvaluations,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from retinagrade.grader import dicom_codes
from retinagrade.grader.lesion_groups import retina_of
from retinagrade.grades import Grade

if TYPE_CHECKING:
    from pydicom import Dataset

    from retinagrade.gradings.grading import Grading
    from retinagrade.gradings.reading import Reading


def reader_group(
    reading: Reading, reader: str, grading: Grading, name: str, source: Dataset
) -> MeasurementsAndQualitativeEvaluations:
    """Makes the measurement group of a reader's decision. Its observer is a person; that of all others is the program.

    Args:
        reading: The decision.
        reader: Name of the reader.
        grading: Grading of the photograph.
        name: Name of the photograph in the report.
        source: UIDs of the photograph.
    """
    grade = reading.grade_of(grading)
    group = MeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(
            uid=generate_uid(entropy_srcs=[source.SOPInstanceUID, "reader", reader]), identifier=f"{name}: the reader"
        ),
        finding_type=dicom_codes.DIABETIC_RETINOPATHY,
        finding_sites=[retina_of(grading)],
        qualitative_evaluations=[
            QualitativeEvaluation(
                dicom_codes.ICDR, dicom_codes.UNGRADABLE if grade is None else dicom_codes.GRADES[Grade(grade)]
            ),
            QualitativeEvaluation(
                dicom_codes.AGREES, codes.SCT.Yes if grade == grading.predicted_grade else codes.SCT.No
            ),
        ],
        source_images=[SourceImageForMeasurementGroup(source.SOPClassUID, source.SOPInstanceUID)],
    )
    content = group[0].ContentSequence
    observer = ObserverContext(codes.DCM.Person, PersonObserverIdentifyingAttributes(name=reader))
    for position, item in enumerate(observer):
        content.insert(position, item)
    if reading.note:
        content.append(TextContentItem(codes.DCM.Comment, reading.note, RelationshipTypeValues.CONTAINS))
    return group

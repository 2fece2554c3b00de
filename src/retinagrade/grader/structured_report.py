"""DICOM Structured Reports: what is said of a study and of its photographs, by the template TID 1500.

Source: DICOM PS3.16, TID 1500 (Measurement Report) and TID 1501 (Measurement and Qualitative Evaluation Group).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    DeviceObserverIdentifyingAttributes,
    EnhancedSR,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from retinagrade import __version__
from retinagrade.grader import dicom_codes as ours
from retinagrade.grader.dicom_source import LONG, NOTICE, read_source_elements, silence_patient_names
from retinagrade.grader.metadata import Metadata
from retinagrade.grader.results import Grading
from retinagrade.grader.studies import StudyGrading, describe_study
from retinagrade.grades import Grade
from retinagrade.images.dicom import MAKER
from retinagrade.paths import to_path

if TYPE_CHECKING:
    from pydicom.sr.coding import Code

_SERIES: Final = 9000
_SIDES: Final = {"L": codes.SCT.Left, "R": codes.SCT.Right}
_ANSWERS: Final = {True: codes.SCT.Yes, False: codes.SCT.No, None: codes.SCT.Undetermined}


def structured_report(study: StudyGrading, gradings: Sequence[Grading], metadata: Metadata) -> EnhancedSR:
    """The report of a study whose photographs are DICOM files.

    It belongs to their patient and study, and is a preliminary one that nobody has verified. Made again of the same
    results, it has the same id.

    Args:
        study: What is said of the study.
        gradings: What is said of each of its photographs.
        metadata: Of the grader file.

    Raises:
        ImageError: A photograph's header can't be read, or lacks what a report must refer to.
    """
    sources = [read_source_elements(to_path(one.path or "")) for one in gradings]
    study_uid = sources[0].StudyInstanceUID
    series = generate_uid(entropy_srcs=[study_uid, "report", study.model])
    algorithm = _algorithm(metadata)
    groups = [_of_study(study, algorithm, series)]
    groups += [
        _of_photograph(one, place, source.SOPClassUID, source.SOPInstanceUID, algorithm)
        for place, (one, source) in enumerate(zip(gradings, sources, strict=True), start=1)
    ]
    observer = ObserverContext(
        codes.DCM.Device, DeviceObserverIdentifyingAttributes(uid=series, name=MAKER, model_name=study.model)
    )
    content = MeasurementReport(ObservationContext(observer), ours.CAMERA_FUNDOSCOPY, imaging_measurements=groups)
    content[0].ContentSequence += [_comment(NOTICE), _comment(f"The study: {describe_study(study)}.")]
    with silence_patient_names(to_path(gradings[0].path or "")):
        return EnhancedSR(
            sources,
            content,
            series_instance_uid=series,
            series_number=_SERIES,
            sop_instance_uid=generate_uid(entropy_srcs=[series, repr(study), repr(gradings)]),
            instance_number=1,
            manufacturer=MAKER,
            manufacturer_model_name=study.model[:LONG],
            software_versions=__version__,
            series_description="retinagrade: diabetic retinopathy (research)",
            coding_schemes=[ours.coding_scheme()],
            is_complete=True,
        )


def _of_study(
    study: StudyGrading, algorithm: AlgorithmIdentification, series: str
) -> MeasurementsAndQualitativeEvaluations:
    grade = ours.UNGRADABLE if study.grade is None else ours.GRADES[Grade(study.grade)]
    both = codes.SCT.RightAndLeft
    return MeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(uid=generate_uid(entropy_srcs=[series, "study"]), identifier="study: the worse eye"),
        finding_type=ours.DIABETIC_RETINOPATHY,
        finding_sites=[
            FindingSite(codes.SCT.Retina, CodedConcept(both.value, both.scheme_designator, "Right and left"))
        ],
        algorithm_id=algorithm,
        qualitative_evaluations=[QualitativeEvaluation(ours.ICDR, grade), *_decisions(study)],
    )


def _of_photograph(
    given: Grading, place: int, sop_class: str, sop_instance: str, algorithm: AlgorithmIdentification
) -> MeasurementsAndQualitativeEvaluations:
    probabilities = given.probabilities or (None,) * len(ours.PROBABILITIES)
    said: list[tuple[Code, Code]] = []
    if given.grade is None:
        said.append((ours.ICDR, ours.UNREADABLE if given.error else ours.UNGRADABLE))
    else:
        said.append((ours.ICDR, ours.GRADES[Grade(given.grade)]))
    said += [(ours.IN_SET, ours.GRADES[Grade(each)]) for each in given.conformal_set or ()]
    said += [(ours.POOR_BECAUSE, ours.REASONS[each]) for each in given.quality_reasons]
    measured = [
        (name, value, unit)
        for name, value, unit in (
            *((name, p, codes.UCUM.NoUnits) for name, p in zip(ours.PROBABILITIES, probabilities, strict=True)),
            (ours.EXPECTED, given.expected_grade, codes.UCUM.NoUnits),
            (codes.DCM.CertaintyOfFinding, given.confidence and 100 * given.confidence, codes.UCUM.Percent),
            (ours.QUALITY, given.quality, codes.UCUM.NoUnits),
        )
        if value is not None
    ]
    return MeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(
            uid=generate_uid(entropy_srcs=[sop_instance, given.model]), identifier=f"photograph {place}"
        ),
        finding_type=ours.DIABETIC_RETINOPATHY,
        finding_sites=[FindingSite(codes.SCT.Retina, _SIDES.get(given.laterality or ""))],
        algorithm_id=algorithm,
        measurements=[Measurement(name, float(f"{value:.6g}"), unit) for name, value, unit in measured],
        qualitative_evaluations=[*(QualitativeEvaluation(*each) for each in said), *_decisions(given)],
        source_images=[SourceImageForMeasurementGroup(sop_class, sop_instance)],
    )


def _decisions(result: Grading | StudyGrading) -> list[QualitativeEvaluation]:
    return [
        QualitativeEvaluation(name, _ANSWERS[answer])
        for name, answer in (
            (ours.REFERABLE, result.referable),
            (ours.THREATENING, result.vision_threatening),
            (ours.PERSON, result.refer_to_person),
        )
    ]


def _algorithm(metadata: Metadata) -> AlgorithmIdentification:
    thresholds = {"referable": metadata.referable, "vision-threatening": metadata.vision_threatening}
    return AlgorithmIdentification(
        metadata.name,
        metadata.version,
        parameters=[
            f"{name} from a probability of {at.threshold:.6g}" for name, at in thresholds.items() if at is not None
        ],
    )


def _comment(text: str) -> TextContentItem:
    return TextContentItem(codes.DCM.Comment, text, RelationshipTypeValues.CONTAINS)

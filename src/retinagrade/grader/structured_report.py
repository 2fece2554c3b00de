"""DICOM Structured Reports of a study and its photographs, by the template TID 1500.

Source: DICOM PS3.16, TID 1500 (Measurement Report) and TID 1501 (Measurement and Qualitative Evaluation Group).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from highdicom.sr import (
    AlgorithmIdentification,
    DeviceObserverIdentifyingAttributes,
    EnhancedSR,
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
from retinagrade.errors import ImageError
from retinagrade.grader import dicom_codes
from retinagrade.grader.dicom_source import LONG, NOTICE, read_source_elements, silence_patient_names
from retinagrade.grader.lesion_groups import lesion_groups, retina_of
from retinagrade.grader.metadata import Metadata
from retinagrade.grader.reader_groups import reader_group
from retinagrade.grades import Grade
from retinagrade.gradings.grading import GRADED_KINDS, Grading
from retinagrade.gradings.reading import ReaderDecisions
from retinagrade.gradings.studies import StudyGrading, describe_study
from retinagrade.images.decoding import File
from retinagrade.images.dicom import MAKER
from retinagrade.storage.paths import to_path

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.sr.coding import Code

_SERIES: Final = 9000
_ANSWERS: Final = {True: codes.SCT.Yes, False: codes.SCT.No, None: codes.SCT.Undetermined}


def structured_report(
    study: StudyGrading,
    gradings: Sequence[Grading],
    metadata: Metadata,
    segmentations: Mapping[str, Dataset] | None = None,
    predecessors: Sequence[Dataset] = (),
    files: Sequence[File] | None = None,
    reader: ReaderDecisions | None = None,
) -> EnhancedSR:
    """Makes the report of a study whose photographs are DICOM files.

    The report belongs to their patient and study. It is marked as preliminary and unverified. Reports of equal results
    have equal UIDs.

    Args:
        study: Grading of the study.
        gradings: Gradings of its photographs.
        metadata: Metadata of the grader file.
        segmentations: Segmentations by the id of their photograph; the report refers to them.
        predecessors: Earlier reports of the study, which this one replaces: their UIDs.
        files: The photographs, in the order of the gradings; by default, the files that the gradings name.
        reader: A person's decisions; the report says who made them.

    Raises:
        ImageError: The header of a photograph can't be read, or lacks a UID that the report must refer to; or the study
            has photographs of several patients.
    """
    photographs = [to_path(each.path or "") for each in gradings] if files is None else files
    sources = [read_source_elements(each) for each in photographs]
    _require_one_patient(sources, photographs)
    study_uid = sources[0].StudyInstanceUID
    series = generate_uid(entropy_srcs=[study_uid, "report", study.model])
    algorithm = _algorithm(metadata)
    groups = [_study_group(study, gradings, algorithm, series)]
    of_photographs = segmentations or {}
    named, reasons = [], []
    for number, (grading, source) in enumerate(zip(map(_reported, gradings), sources, strict=True), start=1):
        name = f"photograph {number}"
        segmentation = None if grading.predicted_grade is None else of_photographs.get(grading.image_id)
        named += [] if segmentation is None else [segmentation]
        groups.append(_photograph_group(grading, name, source, algorithm))
        groups += lesion_groups(grading, name, source, segmentation, algorithm)
        if reader is not None and grading.image_id in reader.readings:
            groups.append(reader_group(reader.readings[grading.image_id], reader.name, grading, name, source))
        if grading.review_reasons:
            reasons.append(f"{name}: a person should review it: {'; '.join(grading.review_reasons)}.".capitalize())
    observer = ObserverContext(
        codes.DCM.Device, DeviceObserverIdentifyingAttributes(uid=series, name=MAKER, model_name=study.model)
    )
    content = MeasurementReport(
        ObservationContext(observer), dicom_codes.CAMERA_FUNDOSCOPY, imaging_measurements=groups
    )
    comments = [NOTICE, f"The study: {describe_study(study)}.", *reasons]
    content[0].ContentSequence += [_comment(text) for text in comments]
    with silence_patient_names(photographs[0]):
        return EnhancedSR(
            [*sorted(sources, key=lambda each: not each.PatientID), *named],  # the first one names the patient
            content,
            series_instance_uid=series,
            series_number=_SERIES,
            sop_instance_uid=generate_uid(
                entropy_srcs=[
                    series,
                    _identity(study),
                    *map(_identity, gradings),
                    *_uids(named),
                    *_uids(predecessors),
                    *([] if reader is None else [repr(reader)]),
                ]
            ),
            instance_number=len(predecessors) + 1,
            manufacturer=MAKER,
            manufacturer_model_name=study.model[:LONG],
            software_versions=__version__,
            series_description="retinagrade: diabetic retinopathy (research)",
            coding_schemes=[dicom_codes.coding_scheme()],
            is_complete=True,
            previous_versions=predecessors or None,
        )


def _reported(grading: Grading) -> Grading:
    """Returns a grading as a report states it: without a grade, an archive would take other numbers for a result."""
    if grading.predicted_grade is not None:
        return grading
    numbers = ("probabilities", "expected_grade", "rule_grade", "oedema_risk", "oedema_probability", *GRADED_KINDS)
    nothing: dict[str, Any] = dict.fromkeys(numbers)
    return replace(grading, **nothing)


def _require_one_patient(sources: Sequence[Dataset], files: Sequence[File]) -> None:
    """Requires that the photographs of a study have one patient: a report would file one's result under another.

    One without a ``PatientID`` has the patient of its study, whose UID no other study has.
    """
    named = [(source, file) for source, file in zip(sources, files, strict=True) if source.PatientID]
    for source, file in named:
        if source.PatientID != named[0][0].PatientID:
            raise ImageError(
                f"{file}: its study has photographs of several patients (PatientID), as {named[0][1]} has another one: "
                "correct the PatientID or the StudyInstanceUID at the camera or in the archive, and send them again"
            )


def _study_group(
    study: StudyGrading, gradings: Sequence[Grading], algorithm: AlgorithmIdentification, series: str
) -> MeasurementsAndQualitativeEvaluations:
    grade = (
        dicom_codes.UNGRADABLE if study.predicted_grade is None else dicom_codes.GRADES[Grade(study.predicted_grade)]
    )
    return MeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(uid=generate_uid(entropy_srcs=[series, "study"]), identifier="study: the worse eye"),
        finding_type=dicom_codes.DIABETIC_RETINOPATHY,
        finding_sites=[retina_of(*gradings)],
        algorithm_id=algorithm,
        qualitative_evaluations=[QualitativeEvaluation(dicom_codes.ICDR, grade), *_decisions(study)],
    )


def _photograph_group(
    grading: Grading, name: str, source: Dataset, algorithm: AlgorithmIdentification
) -> MeasurementsAndQualitativeEvaluations:
    probabilities = grading.probabilities or (None,) * len(dicom_codes.PROBABILITIES)
    evaluations: list[tuple[Code, Code]] = []
    if grading.predicted_grade is None:
        evaluations.append((dicom_codes.ICDR, dicom_codes.UNREADABLE if grading.error else dicom_codes.UNGRADABLE))
    else:
        evaluations.append((dicom_codes.ICDR, dicom_codes.GRADES[Grade(grading.predicted_grade)]))
    evaluations += [(dicom_codes.IN_SET, dicom_codes.GRADES[Grade(each)]) for each in grading.prediction_set or ()]
    if grading.rule_grade is not None:
        evaluations.append((dicom_codes.RULE, dicom_codes.GRADES[Grade(grading.rule_grade)]))
    if grading.oedema_risk is not None:
        evaluations.append((dicom_codes.OEDEMA, dicom_codes.OEDEMA_RISKS[grading.oedema_risk]))
    if grading.quality_level is not None:
        evaluations.append((dicom_codes.QUALITY_LEVEL, dicom_codes.QUALITY_LEVELS[grading.quality_level]))
    evaluations += [(dicom_codes.QUALITY_REASON, dicom_codes.REASONS[each]) for each in grading.quality_reasons]
    measurements = [
        (code, value, unit)
        for code, value, unit in (
            *((code, p, codes.UCUM.NoUnits) for code, p in zip(dicom_codes.PROBABILITIES, probabilities, strict=True)),
            (dicom_codes.EXPECTED, grading.expected_grade, codes.UCUM.NoUnits),
            (codes.DCM.CertaintyOfFinding, grading.confidence and 100 * grading.confidence, codes.UCUM.Percent),
            (dicom_codes.QUALITY, grading.quality, codes.UCUM.NoUnits),
            (dicom_codes.OEDEMA_PROBABILITY, grading.oedema_probability, codes.UCUM.NoUnits),
        )
        if value is not None
    ]
    return MeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(uid=generate_uid(entropy_srcs=[source.SOPInstanceUID, grading.model]), identifier=name),
        finding_type=dicom_codes.DIABETIC_RETINOPATHY,
        finding_sites=[retina_of(grading)],
        algorithm_id=algorithm,
        measurements=[Measurement(code, float(f"{value:.6g}"), unit) for code, value, unit in measurements],
        qualitative_evaluations=[*(QualitativeEvaluation(*each) for each in evaluations), *_decisions(grading)],
        source_images=[SourceImageForMeasurementGroup(source.SOPClassUID, source.SOPInstanceUID)],
    )


def _decisions(result: Grading | StudyGrading) -> list[QualitativeEvaluation]:
    return [
        QualitativeEvaluation(name, _ANSWERS[answer])
        for name, answer in (
            (dicom_codes.REFERABLE, result.referable),
            (dicom_codes.THREATENING, result.vision_threatening),
            *([] if result.oedema is None else [(dicom_codes.HAS_OEDEMA, result.oedema)]),
            (dicom_codes.REVIEW, result.needs_review),
        )
    ]


def _algorithm(metadata: Metadata) -> AlgorithmIdentification:
    thresholds = {
        "referable": metadata.referable,
        "vision-threatening": metadata.vision_threatening,
        "macular oedema": metadata.oedema,
    }
    return AlgorithmIdentification(
        metadata.name,
        metadata.version,
        parameters=[
            *(f"{name} from a probability of {at.threshold:.6g}" for name, at in thresholds.items() if at is not None),
            f"referable for {metadata.referral.replace('-', ' ')}",
        ],
    )


def _identity(result: Grading | StudyGrading) -> str:
    """Returns all of a result but its time: equal results have equal UIDs."""
    return repr(replace(result, graded_at=None))


def _uids(instances: Sequence[Dataset]) -> list[str]:
    return [each.SOPInstanceUID for each in instances]


def _comment(text: str) -> TextContentItem:
    return TextContentItem(codes.DCM.Comment, text, RelationshipTypeValues.CONTAINS)

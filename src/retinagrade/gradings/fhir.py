"""Results in FHIR R4: a DiagnosticReport for each study, and Observations for the study and each photograph.

Source: HL7 FHIR R4 (4.0.1), DiagnosticReport, Observation, Device and Bundle. The names of components are those of the
fields of :class:`~retinagrade.gradings.grading.Grading` and :class:`~retinagrade.gradings.studies.StudyGrading`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid5

from retinagrade import __version__
from retinagrade.grades import PROBABILITY_COLUMNS, Grade
from retinagrade.gradings import codes
from retinagrade.gradings.grading import NOTICE, Grading, describe_grade
from retinagrade.gradings.studies import (
    SIDES,
    StudyGrading,
    describe_study,
    grade_study,
    group_by_study,
    has_several_patients,
)

MEDIA_TYPE: Final = "application/fhir+json"
FIELDS: Final = "urn:uuid:c22ac192-bc6c-4974-aa31-ffa338f50e96"
"""The code system whose codes are the names of our fields."""
_IDS: Final = UUID("c22ac192-bc6c-4974-aa31-ffa338f50e96")
_SYSTEMS: Final = {"LN": "http://loinc.org", "SCT": "http://snomed.info/sct"}
_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem"
_UID: Final = re.compile(r"[0-2](\.(0|[1-9]\d*)){3,}")
"""A UID of DICOM, which no id of a patient looks like."""
_ELSEWHERE: Final = frozenset(
    {
        *("path", "study", "laterality", "patient", "predicted_grade", "label", "probabilities", "error"),
        *("graded_at", "photographs"),
    }
)
"""Fields that other elements state; a path may hold a name, and a pseudonym names a patient to this software only."""


@dataclass(frozen=True)
class Subject:
    """The facts about a patient and a study that a report refers to.

    Attributes:
        patient: Id of the patient; ``None`` where it is unknown.
        issuer: Who gave this id.
        study_uid: ``StudyInstanceUID`` of DICOM; ``None`` where the photographs are no DICOM files.
        accession: Accession number.
        date: Date of the study, ``YYYY-MM-DD``.
    """

    patient: str | None = None
    issuer: str | None = None
    study_uid: str | None = None
    accession: str | None = None
    date: str | None = None


def subject_of(study: str) -> Subject:
    """Returns what the id of a study says: DICOM's UID, or the patient, without the folder of a file name."""
    return Subject(study_uid=study) if _UID.fullmatch(study) else Subject(patient=study.rpartition("/")[2] or study)


def report_id(study: str, grader_digest: str) -> str:
    """Returns the id of the report of a study by a grader file; each later result of both has the same one."""
    return str(uuid5(_IDS, f"report {study} {grader_digest}"))


def make_bundle(gradings: Iterable[Grading], subjects: Mapping[str, Subject] | None = None) -> dict[str, Any]:
    """Makes a transaction that stores results on a FHIR server, and replaces earlier results of the same photographs.

    Args:
        gradings: Results of photographs. Those of a study share a report; those of no study have none.
            Where those of a study name several patients, its resources name none.
        subjects: Patients by study; where one is missing, :func:`subject_of` says what is known.

    Returns:
        A Bundle as JSON. Resources refer to each other by ``urn:uuid:``.
    """
    every = list(gradings)
    known = subjects or {}
    resources = {(each.grader_digest, each.model): _device(each) for each in every}
    devices = list(resources.values())
    made: list[dict[str, Any]] = []
    for study, members in group_by_study(every).items():
        subject = known.get(study) or subject_of(study)
        if has_several_patients(members):
            subject = Subject(study_uid=subject.study_uid)
        made += _study_resources(grade_study(study, members), members, subject)
    made += [_photograph(each, Subject()) for each in every if each.study is None]
    return {"resourceType": "Bundle", "type": "transaction", "entry": [_entry(each) for each in (*devices, *made)]}


def _entry(resource: dict[str, Any]) -> dict[str, Any]:
    kind, own_id = resource["resourceType"], resource["id"]
    return {
        "fullUrl": f"urn:uuid:{own_id}",
        "resource": resource,
        "request": {"method": "PUT", "url": f"{kind}/{own_id}"},
    }


def _study_resources(study: StudyGrading, members: Sequence[Grading], subject: Subject) -> list[dict[str, Any]]:
    photographs = [_photograph(each, subject) for each in members]
    own_id = report_id(study.study, study.grader_digest)
    observation = {
        **_observation(str(uuid5(_IDS, f"study {own_id}")), study, subject),
        "code": _field("predicted_grade", "ICDR grade of the worse eye"),
        **_grade_or_reason(study.predicted_grade, "unknown", "; ".join(study.undecided)),
        "hasMember": [_reference(each) for each in photographs],
        "component": _components(study),
    }
    report = {
        "resourceType": "DiagnosticReport",
        "id": own_id,
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{own_id}"}],
        "status": "preliminary",
        "code": {
            "coding": [_coding(codes.CAMERA_FUNDOSCOPY)],
            "text": "Diabetic retinopathy: grading of fundus photographs by software",
        },
        **_about(study, subject),
        "result": [_reference(each) for each in (observation, *photographs)],
        "conclusion": f"{describe_study(study)}. {NOTICE}",
    }
    if subject.accession:
        report["basedOn"] = [{"type": "ServiceRequest", "identifier": {"value": subject.accession}}]
    if subject.study_uid:
        report["imagingStudy"] = [_imaging_study(subject.study_uid)]
    if study.predicted_grade is not None:
        report["conclusionCode"] = [_grade(study.predicted_grade)]
    return [report, observation, *photographs]


def _photograph(grading: Grading, subject: Subject) -> dict[str, Any]:
    identity = f"{grading.study} {grading.image_id} {grading.digest} {grading.grader_digest}"
    severity = None if grading.laterality is None else codes.SEVERITY[grading.laterality]
    code = _field("predicted_grade", "ICDR grade of a photograph")
    code["coding"] += [] if severity is None else [_coding(severity)]
    eye = "" if grading.laterality is None else f", {SIDES[grading.laterality]} eye"
    probabilities = dict(zip(PROBABILITY_COLUMNS, grading.probabilities or (), strict=False))
    if grading.error is not None:
        value = _grade_or_reason(None, "error", grading.error.removeprefix(f"{grading.path}: "))
    else:
        value = _grade_or_reason(grading.predicted_grade, "unknown", "; ".join(grading.quality_reasons))
    observation = {
        **_observation(str(uuid5(_IDS, f"photograph {identity}")), grading, subject),
        "code": code,
        **value,
        "bodySite": {"coding": [_coding(codes.RETINA)], "text": f"retina{eye}"},
        "component": [*_components(grading), *(_component(*each) for each in probabilities.items())],
    }
    if subject.study_uid:
        observation["derivedFrom"] = [_imaging_study(subject.study_uid)]
    return observation


def _observation(own_id: str, result: Grading | StudyGrading, subject: Subject) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": own_id,
        "status": "preliminary",
        "category": [{"coding": [{"system": f"{_TERMINOLOGY}/observation-category", "code": "imaging"}]}],
        **_about(result, subject),
        "method": {"coding": [_coding(codes.CAMERA_FUNDOSCOPY)]},
        "device": _reference(_device(result)),
        "note": [{"text": NOTICE}],
    }


def _about(result: Grading | StudyGrading, subject: Subject) -> dict[str, Any]:
    """Returns patient, date of the photographs and time of the grading, as far as they are known."""
    identifier = {"value": subject.patient} | ({"assigner": {"display": subject.issuer}} if subject.issuer else {})
    return {
        **({"subject": {"type": "Patient", "identifier": identifier}} if subject.patient else {}),
        **({"effectiveDateTime": subject.date} if subject.date else {}),
        **({"issued": result.graded_at} if result.graded_at else {}),
    }


def _device(result: Grading | StudyGrading) -> dict[str, Any]:
    """Describes the grader file and the software; every result of both refers to the same device."""
    return {
        "resourceType": "Device",
        "id": str(uuid5(_IDS, f"device {result.model} {result.grader_digest} {__version__}")),
        "identifier": [{"type": {"text": "grader_digest"}, "value": result.grader_digest or result.model}],
        "manufacturer": "retinagrade",
        "deviceName": [{"name": result.model, "type": "model-name"}],
        "version": [{"type": {"text": "retinagrade"}, "value": __version__}],
        "note": [{"text": NOTICE}],
    }


def _grade_or_reason(grade: int | None, absent: str, reason: str) -> dict[str, Any]:
    if grade is not None:
        return {"valueCodeableConcept": _grade(grade)}
    coding = {"system": f"{_TERMINOLOGY}/data-absent-reason", "code": absent}
    return {"dataAbsentReason": {"coding": [coding]} | ({"text": reason} if reason else {})}


def _grade(grade: int) -> dict[str, Any]:
    published = dict.fromkeys((codes.ANSWERS[Grade(grade)], codes.GRADES[Grade(grade)]))
    return {"coding": [_coding(code) for code in published], "text": describe_grade(grade)}


def _components(result: Grading | StudyGrading) -> list[dict[str, Any]]:
    values = {name: value for name, value in result.to_json().items() if name not in _ELSEWHERE}
    return [_component(name, value) for name, value in values.items() if value not in (None, "", ())]


def _component(name: str, value: Any) -> dict[str, Any]:
    return {"code": _field(name), **_value(value)}


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"valueBoolean": value}
    if isinstance(value, int):
        return {"valueInteger": value}
    if isinstance(value, float):
        return {"valueQuantity": {"value": value, "system": "http://unitsofmeasure.org", "code": "1"}}
    return {"valueString": ", ".join(map(str, value)) if isinstance(value, tuple) else value}


def _field(name: str, text: str | None = None) -> dict[str, Any]:
    return {"coding": [{"system": FIELDS, "code": name}], "text": text or name.replace("_", " ")}


def _coding(code: codes.PublishedCode) -> dict[str, str]:
    return {"system": _SYSTEMS[code.scheme], "code": code.value, "display": code.meaning}


def _imaging_study(uid: str) -> dict[str, Any]:
    return {"type": "ImagingStudy", "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}}


def _reference(resource: dict[str, Any]) -> dict[str, str]:
    return {"reference": f"urn:uuid:{resource['id']}"}

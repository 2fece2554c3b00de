"""Published codes of grades, for results in DICOM and FHIR; ``docs/dicom.md`` and ``docs/results.md`` name sources."""

from __future__ import annotations

from typing import Final, NamedTuple

from retinagrade.grades import Grade


class PublishedCode(NamedTuple):
    """A code that somebody else has published.

    Attributes:
        value: The code.
        scheme: ``SCT`` for SNOMED CT, ``LN`` for LOINC.
        meaning: Its meaning, in the words of the scheme.
    """

    value: str
    scheme: str
    meaning: str


DIABETIC_RETINOPATHY: Final = PublishedCode("4855003", "SCT", "Diabetic retinopathy")
CAMERA_FUNDOSCOPY: Final = PublishedCode("314971001", "SCT", "Camera fundoscopy")
RETINA: Final = PublishedCode("5665001", "SCT", "Retina")
GRADES: Final = {
    # SNOMED CT has no code for the absence of retinopathy; LOINC's answer list LL2117-1 has one.
    Grade.NONE: PublishedCode("LA18643-9", "LN", "No apparent retinopathy"),
    Grade.MILD: PublishedCode("312903003", "SCT", "Mild nonproliferative diabetic retinopathy"),
    Grade.MODERATE: PublishedCode("312904009", "SCT", "Moderate nonproliferative diabetic retinopathy"),
    Grade.SEVERE: PublishedCode("312905005", "SCT", "Severe nonproliferative diabetic retinopathy"),
    Grade.PROLIFERATIVE: PublishedCode("59276001", "SCT", "Proliferative diabetic retinopathy"),
}
ANSWERS: Final = {
    Grade.NONE: GRADES[Grade.NONE],
    Grade.MILD: PublishedCode("LA18644-7", "LN", "Mild non-proliferative retinopathy"),
    Grade.MODERATE: PublishedCode("LA18645-4", "LN", "Moderate non-proliferative retinopathy"),
    Grade.SEVERE: PublishedCode("LA18646-2", "LN", "Severe non-proliferative retinopathy"),
    Grade.PROLIFERATIVE: PublishedCode("LA18648-8", "LN", "Proliferative retinopathy"),
}
"""LOINC's answers to the severity of retinopathy, its list LL2117-1."""
SEVERITY: Final = {
    "L": PublishedCode("71490-7", "LN", "Left eye Diabetic retinopathy severity level by Ophthalmoscopy"),
    "R": PublishedCode("71491-5", "LN", "Right eye Diabetic retinopathy severity level by Ophthalmoscopy"),
}
"""LOINC's terms for the severity of retinopathy in an eye, which take the answers of LL2117-1."""

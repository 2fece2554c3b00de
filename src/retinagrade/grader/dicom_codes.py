"""Codes of results in DICOM: public codes where they exist, else codes of a private scheme (``docs/dicom.md``)."""

from __future__ import annotations

from typing import Final

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.sr.coding import Code

from retinagrade.grades import N_GRADES, Grade

SCHEME: Final = "99RETINAGRADE"


def _private(value: str, meaning: str) -> Code:
    return Code(value, SCHEME, meaning)


DIABETIC_RETINOPATHY: Final = Code("4855003", "SCT", "Diabetic retinopathy")
CAMERA_FUNDOSCOPY: Final = Code("314971001", "SCT", "Camera fundoscopy")
GRADES: Final = {
    # SNOMED CT has no code for the absence of retinopathy; LOINC's answer list LL2117-1 has one.
    Grade.NONE: Code("LA18643-9", "LN", "No apparent retinopathy"),
    Grade.MILD: Code("312903003", "SCT", "Mild nonproliferative diabetic retinopathy"),
    Grade.MODERATE: Code("312904009", "SCT", "Moderate nonproliferative diabetic retinopathy"),
    Grade.SEVERE: Code("312905005", "SCT", "Severe nonproliferative diabetic retinopathy"),
    Grade.PROLIFERATIVE: Code("59276001", "SCT", "Proliferative diabetic retinopathy"),
}
ICDR: Final = _private("ICDR", "ICDR grade of diabetic retinopathy")
UNGRADABLE: Final = _private("UNGRADABLE", "Ungradable photograph")
UNREADABLE: Final = _private("UNREADABLE", "Unreadable photograph")
IN_SET: Final = _private("SET", "Grade in the conformal prediction set")
REFERABLE: Final = _private("REFERABLE", "Referable diabetic retinopathy")
THREATENING: Final = _private("THREATENING", "Vision-threatening diabetic retinopathy")
REVIEW: Final = _private("REVIEW", "Review by a person recommended")
EXPECTED: Final = _private("EXPECTED", "Expected ICDR grade")
QUALITY: Final = _private("QUALITY", "Image quality, from 0 to 1")
QUALITY_REASON: Final = _private("REASON", "Reason for poor image quality")
REASONS: Final = {
    name: _private(value, name)
    for name, value in {
        "dark": "DARK",
        "over-exposed": "OVEREXPOSED",
        "blurred": "BLURRED",
        "field of view cut": "CUT",
        "not a fundus photograph": "NO-FUNDUS",
    }.items()
}
"""Codes by the names of :mod:`retinagrade.images.quality`."""
PROBABILITIES: Final = tuple(_private(f"P{grade}", f"Probability of ICDR grade {grade}") for grade in range(N_GRADES))


def coding_scheme() -> CodingSchemeIdentificationItem:
    """Returns the description of the private scheme that a file carries."""
    return CodingSchemeIdentificationItem(
        designator=SCHEME, name="retinagrade", version="1", responsible_organization="The retinagrade developers"
    )

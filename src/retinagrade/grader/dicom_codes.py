"""Codes of results in DICOM: public ones where there are any, else those of a private scheme (``docs/dicom.md``)."""

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
    # SNOMED CT says nothing of a disease that isn't there; LOINC's answer list LL2117-1 does.
    Grade.NONE: Code("LA18643-9", "LN", "No apparent retinopathy"),
    Grade.MILD: Code("312903003", "SCT", "Mild nonproliferative diabetic retinopathy"),
    Grade.MODERATE: Code("312904009", "SCT", "Moderate nonproliferative diabetic retinopathy"),
    Grade.SEVERE: Code("312905005", "SCT", "Severe nonproliferative diabetic retinopathy"),
    Grade.PROLIFERATIVE: Code("59276001", "SCT", "Proliferative diabetic retinopathy"),
}
ICDR: Final = _private("ICDR", "ICDR grade of diabetic retinopathy")
UNGRADABLE: Final = _private("UNGRADABLE", "Not good enough to be graded")
UNREADABLE: Final = _private("UNREADABLE", "Could not be read")
IN_SET: Final = _private("SET", "Grade in the conformal set")
REFERABLE: Final = _private("REFERABLE", "Referable diabetic retinopathy")
THREATENING: Final = _private("THREATENING", "Vision-threatening diabetic retinopathy")
PERSON: Final = _private("PERSON", "A person should look")
EXPECTED: Final = _private("EXPECTED", "Expected ICDR grade")
QUALITY: Final = _private("QUALITY", "Quality of the photograph, from 0 to 1")
POOR_BECAUSE: Final = _private("REASON", "What is wrong with the photograph")
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
"""By the names that :mod:`retinagrade.images.quality` gives them."""
PROBABILITIES: Final = tuple(_private(f"P{grade}", f"Probability of ICDR grade {grade}") for grade in range(N_GRADES))


def coding_scheme() -> CodingSchemeIdentificationItem:
    """What a reader of the file is told of the private scheme."""
    return CodingSchemeIdentificationItem(
        designator=SCHEME, name="retinagrade", version="1", responsible_organization="The retinagrade developers"
    )

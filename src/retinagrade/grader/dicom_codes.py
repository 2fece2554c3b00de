"""Codes of results in DICOM: public codes where they exist, else codes of a private scheme (``docs/dicom.md``)."""

from __future__ import annotations

from typing import Final

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.sr.coding import Code

from retinagrade.gate.names import ADVICE, describe_reason
from retinagrade.grades import N_GRADES
from retinagrade.gradings import codes

SCHEME: Final = "99RETINAGRADE"


def _private(value: str, meaning: str) -> Code:
    return Code(value, SCHEME, meaning)


DIABETIC_RETINOPATHY: Final = Code(*codes.DIABETIC_RETINOPATHY)
CAMERA_FUNDOSCOPY: Final = Code(*codes.CAMERA_FUNDOSCOPY)
GRADES: Final = {grade: Code(*code) for grade, code in codes.GRADES.items()}
ICDR: Final = _private("ICDR", "ICDR grade of diabetic retinopathy")
UNGRADABLE: Final = _private("UNGRADABLE", "Ungradable photograph")
UNREADABLE: Final = _private("UNREADABLE", "Unreadable photograph")
IN_SET: Final = _private("SET", "Grade in the conformal prediction set")
REFERABLE: Final = _private("REFERABLE", "Referable diabetic retinopathy")
THREATENING: Final = _private("THREATENING", "Vision-threatening diabetic retinopathy")
REVIEW: Final = _private("REVIEW", "Review by a person recommended")
AGREES: Final = _private("AGREES", "Reader agrees with the program")
EXPECTED: Final = _private("EXPECTED", "Expected ICDR grade")
QUALITY: Final = _private("QUALITY", "Image quality, from 0 to 1")
QUALITY_REASON: Final = _private("REASON", "Reason for poor image quality")
REASONS: Final = {
    describe_reason(reason): _private(reason.upper().replace(" ", "-").removeprefix("OPTIC-"), describe_reason(reason))
    for reason in ADVICE
}
"""Codes by the reasons of :mod:`retinagrade.gate.names`."""
QUALITY_LEVEL: Final = _private("QUALITY-LEVEL", "Level of image quality")
QUALITY_LEVELS: Final = {
    "good": _private("LEVEL-GOOD", "Good: graded"),
    "usable": _private("LEVEL-USABLE", "Usable: graded with a warning"),
    "reject": _private("LEVEL-REJECT", "Rejected: not graded"),
    "unchecked": _private("LEVEL-UNCHECKED", "Not checked: graded with the gate off"),
}
PROBABILITIES: Final = tuple(_private(f"P{grade}", f"Probability of ICDR grade {grade}") for grade in range(N_GRADES))

# Lesions. SNOMED CT's codes come from DICOM PS3.16 (haemorrhage; optic disc: CID 4209) and from published code lists of
# diabetes (microaneurysm). We found no published code that tells hard exudates from cotton-wool spots (HL7's "Posterior
# Segment Observation Codes" have 39832008, "Retinal exudates", for both), so these two are private.
LESIONS: Final = {
    "microaneurysms": Code("25412000", "SCT", "Microaneurysm of retinal artery due to diabetes mellitus"),
    "haemorrhages": Code("50960005", "SCT", "Hemorrhage"),
    "hard_exudates": _private("HARD-EXUDATE", "Hard exudate of the retina"),
    "soft_exudates": _private("SOFT-EXUDATE", "Soft exudate of the retina (cotton-wool spot)"),
}
"""Codes by the kinds of lesions that results count. Each is used with the site retina."""
OPTIC_DISC: Final = Code("81016008", "SCT", "Optic disc structure")
LESION_COUNT: Final = Code("246206008", "SCT", "Number of lesions")
LESION_AREA: Final = _private("LESION-AREA", "Area of lesions, as a share of the field of view")
RULE: Final = _private("RULE", "ICDR grade that clinical rules give to counted lesions")
HAS_OEDEMA: Final = _private("HAS-OEDEMA", "Macular oedema is likely")
OEDEMA: Final = _private("OEDEMA", "Risk of macular oedema")
OEDEMA_RISKS: Final = (
    _private("OEDEMA-0", "No hard exudates"),
    _private("OEDEMA-1", "Hard exudates beyond one disc diameter of the fovea"),
    _private("OEDEMA-2", "Hard exudates within one disc diameter of the fovea"),
)
OEDEMA_PROBABILITY: Final = _private("P-OEDEMA", "Probability of a risk of macular oedema")


def coding_scheme() -> CodingSchemeIdentificationItem:
    """Returns the description of the private scheme that a file carries."""
    return CodingSchemeIdentificationItem(
        designator=SCHEME, name="retinagrade", version="1", responsible_organization="The retinagrade developers"
    )

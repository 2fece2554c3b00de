"""Clinical rules as a second opinion: the grade that counted lesions give by the definitions of the ICDR scale.

Source: C. P. Wilkinson et al., "Proposed International Clinical Diabetic Retinopathy and Diabetic Macular Edema Disease
Severity Scales", Ophthalmology 110(9), 2003. The scale's further signs (venous beading, intraretinal microvascular
abnormalities, new vessels) are not outlined, so the rules never give grade 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from retinagrade.lesion_maps.measurements import CountedLesions
from retinagrade.messages import counted

_SEVERE_HAEMORRHAGES: Final = 20
"""More haemorrhages than this in each of four quadrants are severe (the first part of the 4-2-1 rule)."""
_BEYOND_MILD: Final = ("haemorrhages", "hard_exudates", "soft_exudates")
_NAMES: Final = {"haemorrhages": "haemorrhage", "hard_exudates": "hard exudate", "soft_exudates": "soft exudate"}


@dataclass(frozen=True)
class RuleGrade:
    """The grade of the rules, and its reason.

    Attributes:
        grade: 0 to 3.
        reason: The signs that led to it, in words.
    """

    grade: int
    reason: str


def grade_by_rules(lesions: CountedLesions) -> RuleGrade:
    """Grades a photograph by its counted lesions.

    Args:
        lesions: Numbers of lesions by kind and quadrant.

    Returns:
        Grade 3 with more than 20 haemorrhages in each quadrant, 2 with any sign beyond microaneurysms, 1 with
        microaneurysms only, otherwise 0.
    """
    by_quadrant = lesions.counts_by_quadrant("haemorrhages")
    if min(by_quadrant) > _SEVERE_HAEMORRHAGES:
        return RuleGrade(3, f"more than {_SEVERE_HAEMORRHAGES} haemorrhages in each of four quadrants")
    beyond = [kind for kind in _BEYOND_MILD if lesions.count(kind)]
    if beyond:
        return RuleGrade(2, " and ".join(counted(lesions.count(kind), _NAMES[kind]) for kind in beyond))
    microaneurysms = lesions.count("microaneurysms")
    if microaneurysms:
        return RuleGrade(1, f"{counted(microaneurysms, 'microaneurysm')} only")
    return RuleGrade(0, "no lesions")

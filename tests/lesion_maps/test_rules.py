"""The clinical rules, by the definitions of the scale."""

from __future__ import annotations

import pytest

from retinagrade.lesion_maps.measurements import CountedKind, CountedLesions
from retinagrade.lesion_maps.rules import grade_by_rules


@pytest.mark.parametrize(
    ("counts", "grade"),
    [
        ({}, 0),
        ({"microaneurysms": (1, 0, 0, 0)}, 1),
        ({"microaneurysms": (9, 9, 9, 9), "haemorrhages": (0, 1, 0, 0)}, 2),
        ({"hard_exudates": (0, 0, 0, 1)}, 2),
        ({"soft_exudates": (0, 0, 0, 1)}, 2),
        ({"haemorrhages": (21, 21, 21, 20)}, 2),
        ({"haemorrhages": (21, 21, 21, 21)}, 3),
    ],
)
def test_counted_lesions_give_the_grade_of_the_scale(counts: dict[str, tuple[int, int, int, int]], grade: int) -> None:
    lesions = CountedLesions({kind: CountedKind(each, (0, 0, 0, 0)) for kind, each in counts.items()})
    assert grade_by_rules(lesions).grade == grade

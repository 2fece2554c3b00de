import pytest

from retinagrade.grades import PROBABILITY_COLUMNS, REFERABLE, VISION_THREATENING, Grade, grade_from_name


def test_index_is_severity() -> None:
    assert [grade.label for grade in Grade] == ["none", "mild", "moderate", "severe", "proliferative"]
    assert PROBABILITY_COLUMNS == ("p0", "p1", "p2", "p3", "p4")
    assert (REFERABLE, VISION_THREATENING) == (2, 3)


@pytest.mark.parametrize(
    ("names", "grade"),
    [
        ("0 No_DR no_dr NO_DR NoDR Normal healthy none", 0),
        ("1 Mild mild MILD mild_npdr Mild-NPDR Mild_DR", 1),
        ("2 Moderate moderate_npdr", 2),
        ("3 Severe SEVERE", 3),
        ("4 Proliferate_DR Proliferative PDR proliferative_dr", 4),
    ],
)
def test_public_names(names: str, grade: int) -> None:
    assert {grade_from_name(name) for name in names.split()} == {Grade(grade)}


@pytest.mark.parametrize("name", ["5", "-1", "", "dr", "Mild or worse", "cataract", "00", "1.0", "no mild"])
def test_unknown_names_are_not_guessed(name: str) -> None:
    assert grade_from_name(name) is None

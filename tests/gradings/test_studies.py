"""Studies: the worse eye counts, and an eye without a gradable photograph never counts as healthy."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from retinagrade.grades import REFERABLE, Grade
from retinagrade.gradings.grading import SEVERAL_PATIENTS, Grading
from retinagrade.gradings.studies import StudyGrading, describe_study, grade_studies, mark_mixed_studies

HEALTHY = Grading("l", None, "s", "L", 0, "none", referable=False, vision_threatening=False, needs_review=False)


def eye(side: str | None, grade: int | None, study: str | None = "s", **changed: object) -> Grading:
    """Makes a grading of a photograph; without a grade, the photograph is ungradable."""
    if grade is None:
        bad = {
            "predicted_grade": None,
            "label": None,
            "referable": None,
            "vision_threatening": None,
            "needs_review": True,
        }
        changed = {"quality_reasons": ("dark",), **bad, **changed}
    else:
        changed = {"referable": grade >= REFERABLE, "vision_threatening": grade >= 3, **changed}
        changed = {"label": Grade(grade).label, "predicted_grade": grade, **changed}
    return replace(HEALTHY, image_id=f"{side}{grade}", laterality=side, study=study, **changed)  # type: ignore[arg-type]


def only(*gradings: Grading) -> StudyGrading:
    (study,) = grade_studies(gradings)
    return study


def test_the_worse_eye_counts() -> None:
    study = only(eye("L", 1), eye("R", 3), eye("L", 0))
    assert (study.predicted_grade, study.label, study.left, study.right) == (3, "severe", 1, 3)
    assert (study.referable, study.vision_threatening, study.needs_review) == (True, True, False)
    assert study.photographs == ("L1", "R3", "L0")
    healthy = only(eye("L", 0), eye("R", 1))
    assert (healthy.predicted_grade, healthy.referable, healthy.needs_review, healthy.undecided) == (
        1,
        False,
        False,
        (),
    )
    assert describe_study(healthy) == "grade 1, mild non-proliferative diabetic retinopathy, not referable"


def test_an_ungradable_eye_never_counts_as_healthy() -> None:
    dark = only(eye("L", 0), eye("R", None))
    assert (dark.predicted_grade, dark.referable, dark.vision_threatening, dark.needs_review) == (0, None, None, True)
    assert dark.undecided == ("right eye ungradable (dark)",)
    assert describe_study(dark).endswith("right eye ungradable (dark); needs review by a person")
    assert only(eye("L", 2), eye("R", None)).referable is True
    assert only(eye("L", 0)).undecided == ("no photograph of the right eye",)
    assert only(eye("L", 0), eye(None, 0)).undecided == ("no photograph known to be of the right eye",)
    broken = only(eye("L", 0), eye("R", None, quality_reasons=(), error="eye.jpg: corrupt"))
    assert broken.undecided == ("right eye ungradable (could not be read)",)
    nothing = only(eye("L", None), eye("R", None))
    assert (nothing.predicted_grade, nothing.referable, len(nothing.undecided)) == (None, None, 2)
    assert only(eye("L", None), eye("L", 0), eye("R", 0)).referable is False  # another photograph shows the eye


def test_oedema_of_one_eye_is_oedema_of_the_study() -> None:
    assert only(eye("L", 0, oedema=False), eye("R", 2, oedema=True)).oedema is True
    assert only(eye("L", 0, oedema=False), eye("R", 0, oedema=False)).oedema is False
    assert only(eye("L", 0, oedema=False)).oedema is None
    assert only(eye("L", 0), eye("R", 0)).oedema is None


def test_photographs_of_several_patients_get_no_common_grade() -> None:
    study = only(eye("L", 0, patient="a"), eye("R", 4, patient="b"))
    assert (study.predicted_grade, study.left, study.right, study.referable) == (None, None, None, None)
    assert study.needs_review
    assert study.undecided
    assert only(eye("L", 0, patient="a"), eye("R", 4, patient="a")).predicted_grade == 4
    assert (
        only(eye("L", 0, patient="a"), eye("R", 4)).predicted_grade == 4
    )  # a photograph without an id is in no conflict


def test_each_photograph_of_a_mixed_study_needs_review() -> None:
    left, right, other = eye("L", 0, patient="a"), eye("R", None, patient="b"), eye("L", 0, study="t", patient="a")
    marked = mark_mixed_studies([left, right, other])
    assert marked[0].needs_review
    assert marked[0].review_reasons == (SEVERAL_PATIENTS,)
    assert marked[1:] == [right, other]  # an ungradable photograph needs review already
    assert mark_mixed_studies(marked) == marked
    assert mark_mixed_studies([left, other]) == [left, other]


def test_a_study_says_how_urgent_it_is() -> None:
    described = describe_study(only(eye("L", 3, oedema=True), eye("R", 0)))
    assert "may threaten vision" in described
    assert "macular oedema" in described


def test_without_a_threshold_there_is_no_decision() -> None:
    assert only(eye("L", 0, referable=None), eye("R", 0, referable=None)).referable is None


def test_studies_are_separate_and_photographs_without_a_study_are_left_out() -> None:
    studies = grade_studies([eye("L", 0, "b"), eye("R", 1, "a"), eye("R", 2, "b"), eye("L", 4, None)])
    assert [(study.study, study.predicted_grade) for study in studies] == [("b", 2), ("a", 1)]


SIDES, GRADES = st.sampled_from(["L", "R", None]), st.sampled_from([0, 1, 2, 3, 4, None])


@given(st.lists(st.builds(eye, SIDES, GRADES), min_size=1, max_size=6))
def test_no_referral_only_where_both_eyes_are_known_to_need_none(gradings: list[Grading]) -> None:
    study = only(*gradings)
    worst = {
        side: max(
            (g.predicted_grade for g in gradings if g.laterality == side and g.predicted_grade is not None), default=9
        )
        for side in "LR"
    }
    highest = max((g.predicted_grade for g in gradings if g.predicted_grade is not None), default=None)
    assert study.predicted_grade == highest
    assert (study.referable is True) == (highest is not None and highest >= REFERABLE)
    assert (study.referable is False) == (max(*worst.values(), highest or 0) < REFERABLE)
    assert study.needs_review or max(worst.values()) < 9
    assert bool(study.undecided) == (9 in worst.values())

"""Results follow the standard, and both forms of the page say the same."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from pydicom import Dataset, dcmread

from retinagrade import Grader
from retinagrade.grader.dicom_codes import GRADES, LESIONS, PROBABILITIES, REASONS, RULE
from retinagrade.grades import Grade
from retinagrade.gradings.grading import GRADED_KINDS, Grading
from retinagrade.gradings.studies import grade_study
from retinagrade.node.page import PageFacts, advise, choose_eyes, draw_page, summarise_grades, title_eyes
from retinagrade.node.results import make_results
from retinagrade.node.rows import ResultKind
from tests.node.nodes import write_eye
from tests.programs import require_program


def test_every_result_follows_the_standard(tmp_path: Path, lesion_file: Path) -> None:
    checker = require_program("dciodvfy", "dicom3tools")
    files = [write_eye(tmp_path, side, side, "1") for side in "LR"]
    grader = Grader.load(lesion_file)
    graded = [*grader.stream(files)]
    study = graded[0].grading.study
    assert study is not None
    results = make_results(study, graded, grader.metadata, [])
    kinds = [row.kind for row, _ in results]
    assert kinds == sorted(kinds, key=[*ResultKind].index)
    assert len(kinds) == 7
    for row, data in results:
        path = tmp_path / f"{row.uid}.dcm"
        path.write_bytes(data)
        instance = dcmread(path)
        assert (instance.SOPInstanceUID, instance.SOPClassUID) == (row.uid, row.sop_class)
        assert (instance.PatientID, instance.StudyInstanceUID) == ("SECRET-7", study)
        checked = subprocess.run([checker, str(path)], capture_output=True, text=True)
        assert "Error" not in checked.stderr, (row.kind, checked.stderr)
        if row.kind is ResultKind.DOCUMENT:
            assert instance.EncapsulatedDocument.startswith(b"%PDF")
        if row.kind is ResultKind.PAGE:
            assert np.ptp(instance.pixel_array) == 255
            assert (instance.get("Laterality"), instance.ImageLaterality) == (None, "B")
            assert "Laterality" not in checked.stderr


def test_a_photograph_without_an_id_gets_the_patient_of_its_study(tmp_path: Path, lesion_file: Path) -> None:
    files = [write_eye(tmp_path, "L", "L", "1", PatientID="", PatientName=""), write_eye(tmp_path, "R", "R", "1")]
    grader = Grader.load(lesion_file)
    results = make_results("1.2", [*grader.stream(files)], grader.metadata, [])
    for kind in (ResultKind.PAGE, ResultKind.DOCUMENT, ResultKind.REPORT):
        (instance,) = (dcmread(BytesIO(data)) for row, data in results if row.kind is kind)
        assert (instance.PatientID, str(instance.PatientName)) == ("SECRET-7", "Müller^Änne")


def draw(gradings: list[Grading], monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[float]]:
    """Draws the page; returns its texts and their heights, from the top down."""
    texts = list[tuple[float, str]]()

    class NotingFigure(Figure):
        def text(self, x: float, y: float, s: str, fontdict: Any = None, **settings: Any) -> Text:
            texts.append((y, s))
            return super().text(x, y, s, fontdict, **settings)

    monkeypatch.setattr("retinagrade.node.page.Figure", NotingFigure)
    facts = PageFacts("Müller Änne", "SECRET-7", "2 January 1960", "female", "5 January 2026", "A1")
    draw_page(facts, grade_study("1", gradings), choose_eyes(gradings), {})
    texts.sort(key=lambda each: -each[0])
    return [text for _, text in texts], [y for y, _ in texts]


def test_the_page_has_the_advice_at_the_top_and_a_decision_for_each_eye(monkeypatch: pytest.MonkeyPatch) -> None:
    fields: dict[str, Any] = {"predicted_grade": 2, "label": "moderate", "referable": True, "needs_review": False}
    eyes = [Grading(side, None, "1", side, graded_at="2026-11-27T20:15:09+00:00", **fields) for side in "LR"]
    texts, heights = draw(eyes, monkeypatch)
    (advice,) = (number for number, text in enumerate(texts) if text.startswith("Refer the patient"))
    assert any("SECRET-7" in text for text in texts[:advice])
    assert any("Sex: female" in text for text in texts[:advice])
    assert advice < texts.index("Right eye")
    assert sum("another grade" in text for text in texts) == 2
    assert {"Right eye:", "Left eye:"} <= {*texts}
    assert any("27 November 2026, 20:15 UTC" in text for text in texts)
    assert min(heights) > 0


def test_the_longest_page_has_room_for_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = tuple(REASONS)
    seen: dict[str, Any] = dict.fromkeys(GRADED_KINDS, 12)
    left = Grading(
        "a",
        None,
        "1",
        "L",
        predicted_grade=3,
        referable=True,
        vision_threatening=True,
        confidence=0.5,
        oedema=True,
        review_reasons=reasons,
        **seen,
    )
    texts, heights = draw([left, Grading("b", None, "1", "R", gradable=False, quality_reasons=reasons)], monkeypatch)
    reader = texts.index("Decision of the reader")
    assert [text for text in texts[:reader] if text.startswith("Soft exudates")]
    assert heights[reader - 1] - heights[reader] > 0.01


def test_the_grade_is_that_of_an_eye_which_has_one() -> None:
    right, left = (Grading(side, None, "1", side, predicted_grade=grade) for side, grade in (("R", 1), ("L", 2)))
    unknown = replace(left, laterality=None, predicted_grade=3)
    none = replace(left, predicted_grade=None)
    assert "worse eye: grade 2" in summarise_grades(grade_study("1", [right, left]))
    for gradings in ([right], [right, none]):
        text = summarise_grades(grade_study("1", gradings))
        assert text.startswith("The right eye: grade 1")
        assert "left eye has no grade" in text
    assert "not stated: grade 3" in summarise_grades(grade_study("1", [right, unknown]))
    assert "No eye has a grade" in summarise_grades(grade_study("1", [none]))


def test_an_ungradable_photograph_looks_healthy_nowhere(tmp_path: Path, lesion_file: Path) -> None:
    grader = Grader.load(lesion_file)
    (graded,) = grader.stream([write_eye(tmp_path, "L", "L", "1")])
    study = str(graded.grading.study)
    refused = replace(
        graded.grading, gradable=False, predicted_grade=None, prediction_set=None, quality_reasons=tuple(REASONS)[:1]
    )
    results = make_results(study, [replace(graded, grading=refused)], grader.metadata, [])
    assert [row.kind for row, _ in results] == [ResultKind.PAGE, ResultKind.DOCUMENT, ResultKind.REPORT]
    report = dcmread(BytesIO(results[-1][1]))
    assert not _codes(report) & {
        GRADES[Grade.NONE].value,
        PROBABILITIES[0].value,
        RULE.value,
        LESIONS["microaneurysms"].value,
    }


def _codes(report: Dataset) -> set[str]:
    """Returns every code in a report."""
    return {str(each.CodeValue) for each in _items(report) if "CodeValue" in each}


def _items(part: Dataset) -> Iterator[Dataset]:
    yield part
    for element in part:
        if element.VR == "SQ":
            for item in element.value:
                yield from _items(item)


def test_the_page_shows_the_photograph_that_decides_for_its_eye() -> None:
    grades = {"a": 0, "b": 3, "c": 1}
    one, two, three = (Grading(name, None, laterality="R", predicted_grade=grade) for name, grade in grades.items())
    unknown = replace(one, image_id="d", laterality=None)
    assert choose_eyes([one, two, three]) == (two, None)
    assert choose_eyes([unknown, two]) == (two, unknown)
    assert choose_eyes([]) == (None, None)
    assert title_eyes([unknown, unknown]) == ["Eye not stated"] * 2
    assert title_eyes([two, unknown]) == ["Right eye", "Eye not stated"]
    assert title_eyes([unknown, None]) == ["Eye not stated", "Other eye"]
    assert title_eyes([two, None]) == ["Right eye", "Left eye"]


def test_advice_follows_the_decision() -> None:
    eyes = [Grading(side, None, "1", side, predicted_grade=0, label="none", referable=False) for side in "LR"]
    healthy = grade_study("1", eyes)
    assert "No referral" in advise(healthy)
    assert "No decision" in advise(grade_study("1", eyes[:1]))
    assert "Refer" in advise(grade_study("1", [replace(eyes[0], referable=True), eyes[1]]))

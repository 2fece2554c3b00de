"""Results follow the standard, and both forms of the page say the same."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

from retinagrade import Grader
from retinagrade.grader.dicom_codes import GRADES, LESIONS, PROBABILITIES, REASONS, RULE
from retinagrade.grades import Grade
from retinagrade.gradings.grading import Grading
from retinagrade.gradings.studies import grade_study
from retinagrade.node.page import advise, choose_eyes, title_eyes
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

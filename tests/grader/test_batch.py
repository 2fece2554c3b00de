"""Folders of the outputs that grading writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retinagrade.grader.batch import SideOutputs, grade_files
from retinagrade.grader.inputs import PhotographFile
from retinagrade.grader.runtime import GradedPhotograph
from retinagrade.gradings.grading import Grading


@pytest.mark.parametrize("image_id", ["eye", "a/eye", "/a/eye", "../../eye", "....//eye", "./a/..../../eye"])
def test_an_overlay_stays_in_its_folder_for_every_id(image_id: str, tmp_path: Path) -> None:
    graded = GradedPhotograph(
        Grading(image_id, "eye.jpg", predicted_grade=2),
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((5, 4, 4), np.float32),
    )
    folder = tmp_path / "in" / "saliency"
    grade_files(lambda *_: [graded], [PhotographFile(image_id, "eye.jpg")], SideOutputs(saliency=folder))
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in written] == ["eye.jpg"]
    assert written[0].is_relative_to(folder)

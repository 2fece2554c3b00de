"""Where what is written of each photograph goes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retinagrade.grader.batch import SideOutputs, grade_files
from retinagrade.grader.inputs import PhotographFile
from retinagrade.grader.results import Grading
from retinagrade.grader.runtime import GradedPhotograph


@pytest.mark.parametrize("image_id", ["eye", "a/eye", "/a/eye", "../../eye", "....//eye", "./a/..../../eye"])
def test_a_heatmap_stays_in_its_folder_whatever_the_id(image_id: str, tmp_path: Path) -> None:
    seen = GradedPhotograph(
        Grading(image_id, "eye.jpg", grade=2), np.zeros((32, 32, 3), np.uint8), np.zeros((5, 4, 4), np.float32)
    )
    grade_files(
        lambda *_: [seen], [PhotographFile(image_id, "eye.jpg")], SideOutputs(heatmaps=tmp_path / "in" / "heat")
    )
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in written] == ["eye.jpg"]
    assert written[0].is_relative_to(tmp_path / "in" / "heat")

"""Polygons of lesions beside a table of results: the drawn marks, in pixels of the original, as published."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import retinagrade
from retinagrade.grader.lesion_files import OutlinesRecord
from tests.grader.lesion_graders import draw_photograph, write_lesion_grader
from tests.schemas import require_schema


def test_polygons_are_the_drawn_marks(tmp_path: Path) -> None:
    picture, masks = draw_photograph(960, 720)
    (tmp_path / "photographs").mkdir()
    Image.fromarray(picture).save(tmp_path / "photographs" / "eye.png")
    model = write_lesion_grader(tmp_path / "lesions.onnx", 320)
    retinagrade.grade(tmp_path / "photographs", model=model, lesions=tmp_path / "outlines")
    document = json.loads((tmp_path / "outlines" / "eye.json").read_text(encoding="utf-8"))
    require_schema(OutlinesRecord, document)
    rows, columns = np.nonzero(masks["optic_disc"])
    disc = document["optic_disc"]
    assert (disc["x"], disc["y"]) == pytest.approx((columns.mean(), rows.mean()), abs=3)
    assert disc["diameter"] == pytest.approx(2 * np.sqrt(len(rows) / np.pi), rel=0.05)
    lesions = {each["kind"]: each for each in document["lesions"]}
    for kind in ("haemorrhages", "hard_exudates"):
        rows, columns = np.nonzero(masks[kind])
        assert lesions[kind]["area"] == pytest.approx(len(rows), rel=0.1)
        low, high = np.min(lesions[kind]["polygon"], axis=0), np.max(lesions[kind]["polygon"], axis=0)
        assert [*low, *high] == pytest.approx([columns.min(), rows.min(), columns.max(), rows.max()], abs=4)

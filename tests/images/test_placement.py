"""The place of a prepared photograph in its original: a mark is found again where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest

from retinagrade.grader.runtime import prepare_for_grading
from retinagrade.images.prepare import PreparationSettings
from tests.images.encoded_files import encoded


@pytest.mark.parametrize("square", ["pad", "crop", "frame"])
@pytest.mark.parametrize(("width", "height"), [(900, 700), (1800, 1400), (3600, 2800), (700, 900)])
def test_a_mark_is_found_where_it_was(
    square: Literal["pad", "crop", "frame"], width: int, height: int, tmp_path: Path
) -> None:
    picture = np.zeros((height, width, 3), np.uint8)
    middle, radius = (round(0.52 * width), round(0.49 * height)), round(0.44 * min(width, height))
    cv2.circle(picture, middle, radius, (150, 80, 30), -1)
    mark = (middle[0] + radius // 3, middle[1] - radius // 4)
    cv2.circle(picture, mark, radius // 30, (20, 230, 20), -1)
    (tmp_path / "eye.jpg").write_bytes(encoded(picture, "JPEG", quality=95))
    size = 320
    photograph = prepare_for_grading(tmp_path / "eye.jpg", "eye", PreparationSettings(size, square=square), size)
    assert photograph.square is not None
    assert photograph.placement is not None
    green = photograph.square[..., 1].astype(int) - photograph.square[..., 0] > 80
    rows, columns = np.nonzero(green)
    found = photograph.placement.to_original(np.array([columns.mean(), rows.mean()]))
    pixel = photograph.placement.width / size
    np.testing.assert_allclose(found, mark, atol=0.6 * pixel + 0.5)

"""The place of a prepared photograph in its original: a mark is found again where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
from PIL import Image

from retinagrade.datasets.prepare_file import prepare_file
from retinagrade.grader.runtime import prepare_for_grading
from retinagrade.images.placement import Placement
from retinagrade.images.prepare import PreparationSettings
from retinagrade.images.read import read_photograph
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


HEIGHT, WIDTH = 500, 800


def photograph_with_a_spot(path: Path, spot: tuple[int, int]) -> None:
    """A disc that the frame cuts at top and bottom, with a bright spot at (x, y)."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    cv2.circle(pixels, (380, 250), 300, (150, 80, 40), cv2.FILLED)
    cv2.circle(pixels, spot, 12, (255, 255, 255), cv2.FILLED)
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("square", ["pad", "crop", "frame"])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])  # JPEGs are decoded at reduced scale
def test_a_map_is_projected_to_its_place_in_the_file(
    tmp_path: Path, square: Literal["pad", "crop", "frame"], suffix: str
) -> None:
    spot = (330, 400)
    path = tmp_path / f"photograph{suffix}"
    photograph_with_a_spot(path, spot)
    settings = PreparationSettings(96, square=square)
    outcome = prepare_file(("one", "one", path), settings, tmp_path / "set")
    prepared = read_photograph(tmp_path / "set" / "photographs" / "one.jpg")
    values = (prepared[..., 2] > 150).astype(np.float32)  # a correct map: only the spot is blue
    projected = outcome.place(WIDTH, settings).project(values, HEIGHT, WIDTH)
    assert projected.shape == (HEIGHT, WIDTH)
    y, x = np.argwhere(projected > 0.5).mean(axis=0)
    assert abs(x - spot[0]) < WIDTH / 96
    assert abs(y - spot[1]) < WIDTH / 96


def test_a_map_is_0_outside_the_square_and_complete_inside() -> None:
    projected = Placement(25, 10, 50, 50, 4).project(np.ones((4, 4), np.float32), 100, 100)
    np.testing.assert_allclose(projected[10:60, 25:75], 1, rtol=1e-5)
    assert np.count_nonzero(projected) == 50 * 50

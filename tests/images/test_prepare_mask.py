"""Masks are cropped and resized exactly like their photographs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from retinagrade.images.prepare import PreparationSettings, Square, prepare_mask, prepare_photograph

HEIGHT, WIDTH = 720, 1080


def spotted(path: Path, cut: int, suffix: str) -> tuple[Path, NDArray[np.bool_]]:
    """An orange disc, off the middle and cut at top and bottom, with blue spots; and where these are."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    cv2.circle(pixels, (500, HEIGHT // 2), 330 + cut, (60, 110, 190), cv2.FILLED)  # BGR
    spots = np.zeros((HEIGHT, WIDTH), np.uint8)
    for x, y, radius in ((300, 250, 12), (520, 380, 26), (700, 500, 14)):
        cv2.circle(spots, (x, y), radius, 1, cv2.FILLED)
    pixels[spots > 0] = (250, 40, 40)
    file = path.with_suffix(suffix)
    cv2.imwrite(str(file), pixels, [cv2.IMWRITE_JPEG_QUALITY, 98])
    return file, spots > 0


def centre(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Returns the mean row and column of a region."""
    return np.asarray(np.argwhere(region).mean(axis=0))


@pytest.mark.parametrize("square", ["pad", "crop", "frame"])
@pytest.mark.parametrize(
    ("size", "cut", "suffix"), [(224, 0, ".png"), (224, 60, ".jpg"), (512, 60, ".png"), (900, 0, ".png")]
)
def test_a_mask_covers_the_pixels_that_it_marks(
    tmp_path: Path, square: Square, size: int, cut: int, suffix: str
) -> None:
    file, spots = spotted(tmp_path / "spotted", cut, suffix)
    settings = PreparationSettings(size, square=square)
    pixels, fov, shape = prepare_photograph(file, settings)
    covered = prepare_mask(spots, fov, shape, settings)
    assert covered.shape == (size, size)
    assert covered.dtype == np.float32
    assert 0 <= covered.min() <= covered.max() <= 1
    blue = pixels[..., 2].astype(float) - pixels[..., 0] > 40
    assert blue.any()
    expected = covered > 0.5
    # The same pixels but for single ones on outlines, which thresholds and JPEG decide.
    outline = cv2.morphologyEx(blue.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    assert not (expected ^ blue)[~outline].any()
    np.testing.assert_allclose(centre(expected), centre(blue), atol=0.3)


def test_a_mask_at_another_scale_covers_the_same_pixels(tmp_path: Path) -> None:
    file, spots = spotted(tmp_path / "spotted", 60, ".png")
    settings = PreparationSettings(224)
    _, fov, shape = prepare_photograph(file, settings)
    half = cv2.resize(spots.astype(np.uint8), (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA) > 0
    whole, small = (prepare_mask(mask, fov, shape, settings) > 0.5 for mask in (spots, half))
    assert (whole ^ small).mean() < 0.004
    np.testing.assert_allclose(centre(whole), centre(small), atol=0.5)

"""Small parts of drawings: smooth noise, colours, words, and what every stored picture goes through."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

FONTS: Final = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_PLAIN,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
)
_LETTERS: Final = "ABCDEFGHIKLMNOPRSTUabcdefghiklmnoprstu0123456789  .:-/"
_QUALITY: Final = (40, 95)
_LOSSLESS: Final = 0.15


def smooth_noise(rng: np.random.Generator, height: int, width: int, size: float) -> NDArray[np.float32]:
    """Draws noise of mean 0 and standard deviation 1.

    Args:
        rng: Random number generator.
        height: Height, in pixels.
        width: Width, in pixels.
        size: Size of the noise's structures, in pixels.

    Returns:
        Values (height, width).
    """
    step = max(1, int(size / 3))
    coarse = rng.standard_normal((max(4, height // step), max(4, width // step)), dtype=np.float32)
    coarse = np.asarray(cv2.GaussianBlur(coarse, (0, 0), max(0.5, size / step)), np.float32)
    noise = np.asarray(cv2.resize(coarse, (width, height)), np.float32)
    return np.asarray((noise - noise.mean()) / (noise.std() + 1e-6), np.float32)


def any_colour(rng: np.random.Generator, darkest: float, brightest: float) -> NDArray[np.float64]:
    """Draws a colour (3,), grey in every second draw; its brightest channel is between the limits."""
    tint = np.ones(3) if rng.random() < 0.5 else rng.uniform(0, 1, 3)
    return np.asarray(rng.uniform(darkest, brightest) * tint / tint.max())


def words(rng: np.random.Generator, length: int | None = None) -> str:
    """Draws letters, digits and blanks; between 4 and 15 by default."""
    count = int(rng.integers(4, 16)) if length is None else length
    return "".join(_LETTERS[int(place)] for place in rng.integers(len(_LETTERS), size=count))


def store(rng: np.random.Generator, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Stores a picture as JPEG of any quality, or without loss, and reads it again."""
    if rng.random() < _LOSSLESS:
        return np.ascontiguousarray(pixels)
    quality = int(rng.integers(_QUALITY[0], _QUALITY[1] + 1))
    _, code = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])


def to_pixels(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Returns values (…), clipped to 0 to 255, as uint8."""
    return np.asarray(np.clip(values, 0, 255).astype(np.uint8))

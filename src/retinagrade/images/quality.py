"""Gradability of a photograph, with reasons. It gives warnings; no photograph is dropped because of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.images.field_of_view import FieldOfView, crop_square

SIDE: Final = 200
"""Side, in pixels, of the reduced field of view that is assessed, so that the photograph's size doesn't matter."""
POOR: Final = 0.5
"""Score below which a reason counts."""
_RIM: Final = 15
_LINE_WIDTH: Final = 1.5
_LINE_QUANTILE: Final = 0.93


@dataclass(frozen=True)
class Quality:
    """Gradability of a photograph.

    Attributes:
        score: Lowest of the single scores, 0 to 1.
        scores: Score of each possible problem, from 0 (certainly present) to 1 (certainly absent): ``dark``,
            ``over-exposed``, ``blurred``, ``field of view cut``, ``not a fundus photograph``.
    """

    score: float
    scores: dict[str, float]

    @property
    def reasons(self) -> list[str]:
        """Problems with a score below :data:`POOR`, the gravest first."""
        return [name for name, score in sorted(self.scores.items(), key=lambda item: item[1]) if score < POOR]


def assess_quality(photograph: NDArray[np.uint8], fov: FieldOfView) -> Quality:
    """Scores a photograph by brightness, saturation, sharpness, and the shape and colours of its field of view.

    All measures use a copy of :data:`SIDE` pixels without its rim. A logistic curve turns each measure into a score.
    Its middle lies between the values of IDRiD's photographs and those of degraded copies (``benchmarks/quality.py``).

    Args:
        photograph: RGB pixels (H, W, 3), uint8.
        fov: Its field of view.
    """
    square = _fit(crop_square(photograph, fov))
    inside = (_fit(crop_square(fov.full_mask(photograph), fov)) > 127).astype(np.uint8)
    # The rim is sharp however blurred the retina is. Where no pixel is left without the rim, use all of them.
    inner = cv2.erode(inside, np.ones((_RIM, _RIM), np.uint8), borderValue=0).astype(bool)
    if not inner.any():
        inner = inside.astype(bool)
    pixels = square[inner].astype(np.float32)
    red, green, blue = pixels.T
    fine, middle = _detail(square[..., 1], inner)
    luminance = 0.3 * red + 0.59 * green + 0.11 * blue
    retinal = np.mean((red > 1.15 * green) & (green > 0.8 * blue))
    scores = {
        "dark": _rising(float(luminance.mean()), middle=32, width=4),
        "over-exposed": _falling(float(np.mean(luminance > 190)), middle=0.15, width=0.03),
        "blurred": _rising(float(np.log(fine / middle)), middle=-0.5, width=0.09) if middle > 0 else 0.0,
        "field of view cut": _rising(_visible(fov, photograph.shape[1]), middle=0.7, width=0.04),
        "not a fundus photograph": min(
            _shape_and_hue(float(retinal), fov),
            _texture(middle, float(green.mean())),
            _falling(fov.rival, middle=0.4, width=0.03),
            _rising(_longest_lines(square[..., 1], inner), middle=0.36, width=0.02),
        ),
    }
    return Quality(min(scores.values()), scores)


def _shape_and_hue(retinal: float, fov: FieldOfView) -> float:
    """Scores the shape of the disc and its hue. Without a disc, all pixels must have the hue of a retina."""
    if fov.method == "full-frame":
        return _rising(retinal, middle=0.95, width=0.01)
    return min(_rising(retinal, middle=0.75, width=0.05), _rising(fov.confidence, middle=0.88, width=0.015))


def _texture(detail: float, brightness: float) -> float:
    """Scores the contrast: everyday scenes have several times the contrast of a retina."""
    return _falling(detail / max(1.0, brightness), middle=0.075, width=0.006)


def _longest_lines(green: NDArray[np.uint8], inner: NDArray[np.bool_]) -> float:
    """Measures how far dark lines reach: the sum of the three longest extents, as a share of the square's side.

    A retina has vessels, which cross much of it. The grain of other round things, such as a fruit's skin, is short. A
    line is where the second derivative is large across and small along (the eigenvalues of the Hessian).

    Source: A. Frangi et al., "Multiscale vessel enhancement filtering", MICCAI, 1998.

    Args:
        green: Green channel (S, S).
        inner: True (S, S) inside the field of view, without its rim.
    """
    smooth = cv2.GaussianBlur(green.astype(np.float32), (0, 0), _LINE_WIDTH)
    across, down, mixed = (cv2.Sobel(smooth, cv2.CV_32F, x, y, ksize=3) for x, y in ((2, 0), (0, 2), (1, 1)))
    mean, spread = (across + down) / 2, np.hypot((across - down) / 2, mixed)
    line = np.maximum(mean + spread - np.abs(mean - spread), 0)
    lines = ((line > np.quantile(line[inner], _LINE_QUANTILE)) & inner).astype(np.uint8)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(lines, connectivity=8)
    extents = np.hypot(boxes[1:, cv2.CC_STAT_WIDTH], boxes[1:, cv2.CC_STAT_HEIGHT])
    return float(np.sort(extents)[-3:].sum() / green.shape[0])


def _fit(square: NDArray[np.uint8]) -> NDArray[np.uint8]:
    shrinks = square.shape[0] > SIDE
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (SIDE, SIDE), interpolation=interpolation), np.uint8)


def _detail(green: NDArray[np.uint8], inner: NDArray[np.bool_]) -> tuple[float, float]:
    """Returns the contrast of structures about one and two pixels wide, in grey levels."""
    blurred = [cv2.GaussianBlur(green.astype(np.float32), (0, 0), sigma) for sigma in (1, 2, 4)]
    return tuple(float((blurred[i] - blurred[i + 1])[inner].std()) for i in (0, 1))  # type: ignore[return-value]


def _visible(fov: FieldOfView, width: int) -> float:
    """Returns the share of the camera's disc that the photograph shows; 1 where no disc is found."""
    if fov.circle is None:
        return 1.0
    radius = fov.circle.radius * fov.mask.shape[1] / width
    return float(min(1.0, fov.mask.sum() / (np.pi * radius**2)))


def _rising(value: float, middle: float, width: float) -> float:
    return float(1 / (1 + np.exp(np.clip((middle - value) / width, -50, 50))))


def _falling(value: float, middle: float, width: float) -> float:
    return _rising(-value, -middle, width)

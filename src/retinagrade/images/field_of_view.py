"""The field of view of a fundus photograph: detection, and the crop of the square around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.errors import ImageError

Pixel = TypeVar("Pixel", np.uint8, np.float32)
_Integer = TypeVar("_Integer", np.uint8, np.int64)

SEARCH_SIDE: Final = 256
"""Approximate longer side, in pixels, of the reduced copy in which the field of view is detected."""
LOW_CONFIDENCE: Final = 0.92
"""Confidence below which a person should look at the crop."""
_SMALLEST_SHARE: Final = 0.1
"""Share of the frame below which a lit region is a reflex, a label or noise, not a fundus."""
_LEVEL: Final = 0.12
"""Share of the way from background to bright retina above which a pixel counts as lit."""
_FAINTEST: Final = 6.0
"""Smallest difference between background and retina, in grey levels."""
_DARK: Final = 40
"""Grey level of the brightest channel below which a pixel counts as background, whatever its hue."""
_BACKGROUND_SHARE: Final = 0.06
"""Share of the frame's border that must have the colour of the background."""
_DRAWS: Final = np.random.default_rng(0).random((80, 3), dtype=np.float32)
"""Three points for each trial circle, as positions along the edge from 0 to 1."""
_VOTERS: Final = 100
"""Approximate number of points on the edge that vote for a circle."""


@dataclass(frozen=True)
class Circle:
    """A circle in pixels of the photograph; its centre may lie outside."""

    x: float
    y: float
    radius: float

    def scaled(self, factor: float) -> Circle:
        """Scales the circle to a photograph ``factor`` times as large. Centres of pixels have whole coordinates."""
        return Circle((self.x + 0.5) * factor - 0.5, (self.y + 0.5) * factor - 0.5, self.radius * factor)


@dataclass(frozen=True)
class FieldOfView:
    """The lit region of a photograph.

    Attributes:
        x: Left edge of its bounding rectangle, in pixels of the photograph.
        y: Top edge.
        width: Width of the rectangle, in pixels.
        height: Height of the rectangle, in pixels.
        circle: The camera's disc, parts of which the frame or the camera's mask may cut off; ``None`` where no edge is
            visible.
        method: ``background`` where the photograph has a background, ``full-frame`` where it has none.
        confidence: 0 to 1. With a background: agreement of the region with a disc. Without: share of pixels that have
            the hue of a retina. A person should look at crops below :data:`LOW_CONFIDENCE`.
        mask: True (h, w) inside the lit region of a reduced copy of the whole photograph; holes are filled.
    """

    x: int
    y: int
    width: int
    height: int
    circle: Circle | None
    method: Literal["background", "full-frame"]
    confidence: float
    mask: NDArray[np.bool_]

    @property
    def side(self) -> int:
        """Side of the square around the rectangle, in pixels."""
        return max(self.width, self.height)

    def full_mask(self, photograph: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Enlarges the mask to the size of the photograph.

        Args:
            photograph: Pixels (H, W, 3), uint8.

        Returns:
            Values (H, W), uint8, from 0 (outside) to 255 (inside).
        """
        mask = cv2.resize(self.mask.astype(np.uint8) * 255, photograph.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(mask, np.uint8)


def find_field_of_view(photograph: NDArray[np.uint8]) -> FieldOfView:
    """Finds the lit disc of a fundus photograph (grey → threshold → bounding rectangle; report §2.1).

    The method is robust where a fixed threshold is not. The background is the most frequent neutral or dark colour on
    the frame's border, so it may be black, grey, white or noisy. A pixel is lit when it differs enough from this
    colour, relative to the photograph's brightness, so dark photographs work. Only the largest connected region counts,
    so hot pixels, sensor noise, date stamps and labels don't widen the rectangle. Without such a background, the whole
    frame is the field of view. Finally, a circle is fitted to the region's edge; its agreement gives the confidence.

    Args:
        photograph: RGB pixels (H, W, 3), uint8.

    Returns:
        The field of view.

    Raises:
        ImageError: No region is lit, or no lit region is large enough.
    """
    height, width = photograph.shape[:2]
    factor = max(1, round(max(height, width) / SEARCH_SIDE))  # to average whole blocks of pixels is fastest
    # Averaging removes noise as well, so a smaller median is enough after it.
    small = np.asarray(cv2.medianBlur(_averaged(photograph, factor), 3 if factor > 2 else 5), np.uint8)
    if _quantile(_brightest(small[::4, ::4]), 0.99) < 2 * _FAINTEST:
        raise ImageError("no field of view: the photograph is black")
    background = _background(small)
    if background is None:
        everything = np.ones(small.shape[:2], bool)
        return FieldOfView(0, 0, width, height, None, "full-frame", float(_retinal(small).mean()), everything)
    region, outline = _region(small, background)
    circle = _fit_circle(outline, region.shape)
    left, top, right, bottom = _edges(region, circle)
    x, y = max(0, round(left * factor)), max(0, round(top * factor))
    return FieldOfView(
        x,
        y,
        min(width, round(right * factor)) - x,
        min(height, round(bottom * factor)) - y,
        None if circle is None else circle.scaled(factor),
        "background",
        _agreement(region, circle),
        region.astype(bool),
    )


def whole_frame(photograph: NDArray[np.uint8]) -> FieldOfView:
    """Returns the whole frame as the field of view, with confidence 1 and without detection.

    Args:
        photograph: RGB pixels (H, W, 3), uint8.
    """
    height, width = photograph.shape[:2]
    return FieldOfView(0, 0, width, height, None, "full-frame", 1.0, np.ones((height, width), bool))


def crop_square(photograph: NDArray[Pixel], fov: FieldOfView, square: Literal["pad", "crop"] = "pad") -> NDArray[Pixel]:
    """Crops the square around the field of view; pixels beyond the photograph are black.

    Args:
        photograph: Pixels (H, W) or (H, W, C).
        fov: Its field of view.
        square: ``pad`` adds black along the shorter side and keeps all of the retina. ``crop`` cuts the longer side, as
            in the report: where the camera has cut the disc at top and bottom, retina at the sides is lost.

    Returns:
        Pixels (side, side) or (side, side, C).
    """
    box = photograph[fov.y : fov.y + fov.height, fov.x : fov.x + fov.width]
    if square == "crop":
        side = min(fov.width, fov.height)
        top, left = (fov.height - side) // 2, (fov.width - side) // 2
        return box[top : top + side, left : left + side]
    padded = np.zeros((fov.side, fov.side, *photograph.shape[2:]), photograph.dtype)
    top, left = (fov.side - fov.height) // 2, (fov.side - fov.width) // 2
    padded[top : top + fov.height, left : left + fov.width] = box
    return padded


def detect_and_crop(photograph: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Finds the field of view and crops the square around it (report §2.1).

    Args:
        photograph: RGB pixels (H, W, 3), uint8.

    Returns:
        RGB pixels (S, S, 3), uint8; S is the longer side of the field of view.

    Raises:
        ImageError: The photograph has no field of view.
    """
    return crop_square(photograph, find_field_of_view(photograph))


def _background(small: NDArray[np.uint8]) -> NDArray[np.int64] | None:
    """Returns the most frequent colour (3,) of the frame's border; ``None`` where it could be that of a retina."""
    border = np.concatenate([small[:3].reshape(-1, 3), small[-3:].reshape(-1, 3), small[:, 0], small[:, -1]])
    brightest = _brightest(border).astype(int)
    neutral = brightest < _DARK
    has_colours = _quantile(_chroma(small[::4, ::4]), 0.9) >= 12
    if has_colours:  # grey photographs have only dark backgrounds
        neutral |= _chroma(border) < 10 + 0.08 * brightest
    if neutral.mean() < _BACKGROUND_SHARE:
        return None
    candidates = border[neutral].astype(int)
    most_frequent = int(np.bincount((candidates // 16) @ (256, 16, 1)).argmax())
    centre = np.array([most_frequent // 256, most_frequent // 16 % 16, most_frequent % 16]) * 16 + 8
    near = _brightest(np.abs(candidates - centre)) < 20
    if near.sum() < _BACKGROUND_SHARE * len(border):
        return None
    return np.array([_quantile(channel, 0.5) for channel in candidates[near].astype(np.uint8).T])


def _region(small: NDArray[np.uint8], background: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Returns the largest connected region that is not background (h, w), without holes, and its outline (n, 2)."""
    distance = _brightest(cv2.absdiff(small, np.array([*background, 0.0])).astype(np.uint8, copy=False))
    bright = _quantile(distance[::2, ::2], 0.9)
    if bright < _FAINTEST:
        raise ImageError("no field of view: nothing stands out from the background")
    lit = (distance > max(_LEVEL * bright, _FAINTEST / 2)).astype(np.uint8)
    lit = cv2.morphologyEx(lit, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8), borderValue=0).astype(np.uint8, copy=False)
    contours, _ = cv2.findContours(lit, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=cv2.contourArea, default=None)
    region = np.zeros_like(lit)
    if outline is not None:
        cv2.drawContours(region, [outline], -1, 1, cv2.FILLED)
    if outline is None or cv2.countNonZero(region) < _SMALLEST_SHARE * region.size:
        raise ImageError("no field of view: no lit region is large enough to be a fundus")
    return region, np.asarray(outline, np.int32)[:, 0]


def _fit_circle(outline: NDArray[np.int32], shape: tuple[int, ...]) -> Circle | None:
    """Fits the circle through most of an outline (n, 2), in pixels of the copy; ``None`` where the edge is too short.

    The method is random sample consensus with a fixed seed, followed by least squares on the points that agree. Edges
    along the frame and straight cuts of the camera's mask don't agree with the circle, so they don't count.

    Source: M. Fischler and R. Bolles, "Random sample consensus", Communications of the ACM 24(6), 1981.
    """
    (height, width), (x, y) = shape, outline.T
    points = outline[(x > 1) & (y > 1) & (x < width - 2) & (y < height - 2)].astype(np.float32)
    if len(points) < 30:
        return None
    drawn = points[(_DRAWS * len(points)).astype(int)]
    centres, radii = _through(drawn)
    longest = max(x.max() - x.min(), y.max() - y.min()) + 1
    possible = np.isfinite(radii) & (radii > 0.4 * longest) & (radii < 1.5 * longest)
    if not possible.any():
        return None
    centres, radii = centres[possible], radii[possible]
    voters = points[:: max(1, len(points) // _VOTERS)]
    best = _on_line(voters[None], centres[:, None], radii[:, None]).sum(axis=1).argmax()
    agreeing = _on_line(points, centres[best], radii[best])
    if agreeing.sum() < 20:
        return None
    # x² + y² = 2ax + 2by + c, linear in a, b and c.
    middle = points[agreeing].mean(axis=0, dtype=float)  # normal equations are well conditioned around the mean
    x, y = (points[agreeing] - middle).T
    terms = np.stack([2 * x, 2 * y, np.ones_like(x)])
    try:
        a, b, c = np.linalg.solve(terms @ terms.T, terms @ (x * x + y * y))
    except np.linalg.LinAlgError:
        return None
    if c + a * a + b * b <= 0:
        return None
    return Circle(float(a + middle[0]), float(b + middle[1]), float(np.sqrt(c + a * a + b * b)))


def _edges(region: NDArray[np.uint8], circle: Circle | None) -> tuple[float, float, float, float]:
    """Returns the left, top, right and bottom edge of the region in pixels of the copy; the circle's where they agree.

    A circle is accurate to a tenth of a pixel. Other edges are moved one pixel outwards, so that no retina is cut off.
    """
    x, y, w, h = cv2.boundingRect(region)
    edges = np.array([x, y, x + w, y + h], float)
    outwards = np.array([-1.0, -1.0, 1.0, 1.0])
    wider = edges + outwards
    if circle is not None:
        circle_edges = np.array([circle.x, circle.y, circle.x, circle.y]) + 0.5 + outwards * (circle.radius + 0.5)
        wider = np.where(np.abs(circle_edges - edges) < 1.5, circle_edges, wider)
    left, top, right, bottom = wider.tolist()
    return left, top, right, bottom


def _on_line(
    points: NDArray[np.float32], centre: NDArray[np.float32], radius: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Returns True (…) for points (…, 2) within a pixel and a half of a circle."""
    x, y = points[..., 0] - centre[..., 0], points[..., 1] - centre[..., 1]
    on_line: NDArray[np.bool_] = np.abs(x * x + y * y - radius**2) < 3 * radius
    return on_line


def _through(triples: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns centres (n, 2) and radii (n,) of circles through triples (n, 3, 2) of points; NaN for collinear ones."""
    first, second, third = triples[:, 0], triples[:, 1], triples[:, 2]
    chords = np.stack([second - first, third - first], axis=1)
    squares = (chords**2).sum(axis=2)
    cross = 2 * (chords[:, 0, 0] * chords[:, 1, 1] - chords[:, 0, 1] * chords[:, 1, 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        x = (chords[:, 1, 1] * squares[:, 0] - chords[:, 0, 1] * squares[:, 1]) / cross
        y = (chords[:, 0, 0] * squares[:, 1] - chords[:, 1, 0] * squares[:, 0]) / cross
    offsets = np.stack([x, y], axis=1)
    return first + offsets, np.linalg.norm(offsets, axis=1)


def _agreement(region: NDArray[np.uint8], circle: Circle | None) -> float:
    """Returns the intersection over union of the region and its circle, both within the region's rectangle."""
    if circle is None:
        return 0.0
    x, y, w, h = cv2.boundingRect(region)
    disc = np.zeros_like(region)
    centre = round(circle.x * 16), round(circle.y * 16)
    cv2.circle(disc, centre, round(circle.radius * 16), 1, cv2.FILLED, shift=4)
    disc, inside = disc[y : y + h, x : x + w], region[y : y + h, x : x + w]
    return cv2.countNonZero(disc & inside) / cv2.countNonZero(disc | inside)


def _averaged(photograph: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Reduces the photograph by a whole factor; at right and bottom, the remainder of less than a pixel is cut off."""
    height, width = photograph.shape[0] // factor, photograph.shape[1] // factor
    whole = photograph[: height * factor, : width * factor]
    # Linear interpolation takes the four pixels in the middle of each block, which is enough, and fastest.
    middle = factor >= 4 and factor % 2 == 0
    interpolation = cv2.INTER_LINEAR if middle else cv2.INTER_AREA
    return np.asarray(cv2.resize(whole, (width, height), interpolation=interpolation), np.uint8)


def _brightest(pixels: NDArray[_Integer]) -> NDArray[_Integer]:
    """Returns the largest channel (…) of pixels (…, 3). NumPy's reduction of so short an axis is ten times slower."""
    brightest: NDArray[_Integer] = np.maximum(np.maximum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])
    return brightest


def _chroma(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the difference (…) between the largest and the smallest channel of pixels (…, 3)."""
    darkest: NDArray[np.uint8] = np.minimum(np.minimum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])
    chroma: NDArray[np.uint8] = _brightest(pixels) - darkest
    return chroma


def _quantile(values: NDArray[np.uint8], share: float) -> int:
    """Returns a quantile of uint8 values, from their histogram."""
    counts = cv2.calcHist([np.ascontiguousarray(values).reshape(-1, 1)], [0], None, [256], [0, 256])
    return int(np.searchsorted(counts.ravel().cumsum(), share * values.size))


def _retinal(small: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Returns True (h, w) for the hue of a retina, from red to yellow: red above green, green not below blue."""
    red, green, blue = np.moveaxis(small.astype(np.int16), 2, 0)
    retinal: NDArray[np.bool_] = (red > 1.15 * green) & (green >= 0.8 * blue)
    return retinal

"""Detect and crop: the field of view of a fundus photograph, and the square around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np

from retinagrade.errors import ImageError

SEARCH_SIDE: Final = 256
"""Longer side, in pixels, that the copy in which the field of view is looked for has about."""
LOW_CONFIDENCE: Final = 0.92
"""Confidence under which a person should look at the crop."""
_SMALLEST_SHARE: Final = 0.1
"""A lit region under this share of the frame is a reflex, a label or noise, not a fundus."""
_LEVEL: Final = 0.12
"""Share of the way from background to bright retina above which a pixel counts as lit."""
_FAINTEST: Final = 6.0
"""Least difference, in grey levels, between background and retina."""
_DARK: Final = 40
"""Brightest channel, in grey levels, of what is background whatever its hue."""
_BACKGROUND_SHARE: Final = 0.06
"""Share of the frame's border that must be background for there to be one."""
_DRAWS: Final = np.random.default_rng(0).random((80, 3), dtype=np.float32)
"""Places on the edge, as shares of its length, of the three points of each trial circle."""
_VOTERS: Final = 100
"""Points of the edge that vote for a circle."""


@dataclass(frozen=True)
class Circle:
    """A circle in pixels of the photograph; its centre may lie outside."""

    x: float
    y: float
    radius: float

    def scaled(self, factor: float) -> Circle:
        """The same circle in a photograph that is ``factor`` times as large; pixel centres have whole coordinates."""
        return Circle((self.x + 0.5) * factor - 0.5, (self.y + 0.5) * factor - 0.5, self.radius * factor)


@dataclass(frozen=True)
class FieldOfView:
    """The lit region of a photograph.

    Attributes:
        x: Left edge of its bounding rectangle, in pixels of the photograph.
        y: Top edge.
        width: Width of the rectangle, in pixels.
        height: Height of the rectangle, in pixels.
        circle: The disc that the camera saw, of which the frame or the camera's mask may have cut parts; ``None``
            where no edge shows.
        method: ``background`` where a background was told from the retina, ``full-frame`` where there is none.
        confidence: 0 to 1. With a background: how well the region is a disc, cut straight or not. Without: the share
            of pixels that have a retina's hue. Under :data:`LOW_CONFIDENCE`, look at the crop.
        mask: True (h, w) where a reduced copy of the whole photograph is lit; holes are filled.
    """

    x: int
    y: int
    width: int
    height: int
    circle: Circle | None
    method: Literal["background", "full-frame"]
    confidence: float
    mask: np.ndarray

    @property
    def side(self) -> int:
        """Side of the square around it, in pixels."""
        return max(self.width, self.height)


def find_field_of_view(photograph: np.ndarray) -> FieldOfView:
    """Finds the lit disc of a fundus photograph (grey → threshold → bounding rectangle; report §2.1).

    Robust where a fixed threshold is not. The background is the neutral or dark colour that most of the frame's border
    has, so it may be black, grey, white or noisy. A pixel is lit when it is far enough from that colour, by the
    photograph's own brightness, so dark photographs work. The largest connected region counts, so hot pixels, sensor
    noise, date stamps and labels don't widen the rectangle. Without such a background the whole frame is taken. At last
    a circle is fitted to the region's edge, and says how much to trust it.

    Args:
        photograph: RGB pixels (H, W, 3), uint8.

    Returns:
        The field of view.

    Raises:
        ImageError: Nothing is lit, or no lit region is large enough.
    """
    height, width = photograph.shape[:2]
    factor = max(1, round(max(height, width) / SEARCH_SIDE))  # averaging whole blocks of pixels is fastest
    small = cv2.medianBlur(_averaged(photograph, factor), 3 if factor > 2 else 5)  # averaging takes noise away as well
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


def whole_frame(photograph: np.ndarray) -> FieldOfView:
    """The whole frame as field of view, whatever it shows: nothing is looked for, and nothing is in doubt.

    Args:
        photograph: RGB pixels (H, W, 3), uint8.
    """
    height, width = photograph.shape[:2]
    return FieldOfView(0, 0, width, height, None, "full-frame", 1.0, np.ones((height, width), bool))


def crop_square(photograph: np.ndarray, fov: FieldOfView, square: Literal["pad", "crop"] = "pad") -> np.ndarray:
    """Cuts a square to the field of view, black where it reaches beyond the photograph.

    Args:
        photograph: Pixels (H, W) or (H, W, C), any type.
        fov: Its field of view.
        square: ``pad`` makes the shorter side longer with black and loses nothing. ``crop`` cuts the longer side down,
            as the report does: where the camera has cut the disc at top and bottom, that takes retina from the sides.

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


def detect_and_crop(photograph: np.ndarray) -> np.ndarray:
    """Finds the field of view and cuts the square around it (report §2.1).

    Args:
        photograph: RGB pixels (H, W, 3), uint8.

    Returns:
        RGB pixels (S, S, 3), uint8; S is the longer side of the field of view.

    Raises:
        ImageError: No field of view.
    """
    return crop_square(photograph, find_field_of_view(photograph))


def _background(small: np.ndarray) -> np.ndarray | None:
    """Colour (3,) that the border of the frame has most often, if it is dark or neutral as no retina is."""
    border = np.concatenate([small[:3].reshape(-1, 3), small[-3:].reshape(-1, 3), small[:, 0], small[:, -1]])
    brightest = _brightest(border).astype(int)
    plain = brightest < _DARK
    has_colours = _quantile(_chroma(small[::4, ::4]), 0.9) >= 12
    if has_colours:  # in a grey photograph only darkness tells
        plain |= _chroma(border) < 10 + 0.08 * brightest
    if plain.mean() < _BACKGROUND_SHARE:
        return None
    candidates = border[plain].astype(int)
    commonest = int(np.bincount((candidates // 16) @ (256, 16, 1)).argmax())
    centre = np.array([commonest // 256, commonest // 16 % 16, commonest % 16]) * 16 + 8
    near = _brightest(np.abs(candidates - centre)) < 20
    if near.sum() < _BACKGROUND_SHARE * len(border):
        return None
    return np.array([_quantile(channel, 0.5) for channel in candidates[near].astype(np.uint8).T])


def _region(small: np.ndarray, background: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest connected region that is not background, as uint8 (h, w) without holes, and its outline (n, 2)."""
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
    return region, np.asarray(outline)[:, 0]


def _fit_circle(outline: np.ndarray, shape: tuple[int, ...]) -> Circle | None:
    """The circle through most of an outline (n, 2), in pixels of the copy; ``None`` where too little edge shows.

    Random sample consensus with a fixed seed, then least squares on the points that agree; edges along the frame and
    straight cuts of the camera's mask find no agreement and drop out.

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
    agree = _on_line(points, centres[best], radii[best])
    if agree.sum() < 20:
        return None
    # x² + y² = 2ax + 2by + c, linear in a, b and c.
    middle = points[agree].mean(axis=0, dtype=float)  # near the middle the normal equations are well conditioned
    x, y = (points[agree] - middle).T
    terms = np.stack([2 * x, 2 * y, np.ones_like(x)])
    try:
        a, b, c = np.linalg.solve(terms @ terms.T, terms @ (x * x + y * y))
    except np.linalg.LinAlgError:
        return None
    if c + a * a + b * b <= 0:
        return None
    return Circle(float(a + middle[0]), float(b + middle[1]), float(np.sqrt(c + a * a + b * b)))


def _edges(region: np.ndarray, circle: Circle | None) -> tuple[float, float, float, float]:
    """Left, top, right and bottom edge of the region in pixels of the copy, those of the circle where they agree.

    A circle is known to a tenth of a pixel. Elsewhere, one pixel more is taken, so that rounding costs no retina.
    """
    x, y, w, h = cv2.boundingRect(region)
    edges = np.array([x, y, x + w, y + h], float)
    outwards = np.array([-1.0, -1.0, 1.0, 1.0])
    wider = edges + outwards
    if circle is not None:
        of_circle = np.array([circle.x, circle.y, circle.x, circle.y]) + 0.5 + outwards * (circle.radius + 0.5)
        wider = np.where(np.abs(of_circle - edges) < 1.5, of_circle, wider)
    left, top, right, bottom = wider.tolist()
    return left, top, right, bottom


def _on_line(points: np.ndarray, centre: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Whether points (…, 2) lie within a pixel and a half of a circle's line."""
    x, y = points[..., 0] - centre[..., 0], points[..., 1] - centre[..., 1]
    on_line: np.ndarray = np.abs(x * x + y * y - radius**2) < 3 * radius
    return on_line


def _through(triples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres (n, 2) and radii (n,) of the circles through three points each (n, 3, 2); NaN where they are in line."""
    first, second, third = triples[:, 0], triples[:, 1], triples[:, 2]
    chords = np.stack([second - first, third - first], axis=1)
    squares = (chords**2).sum(axis=2)
    cross = 2 * (chords[:, 0, 0] * chords[:, 1, 1] - chords[:, 0, 1] * chords[:, 1, 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        x = (chords[:, 1, 1] * squares[:, 0] - chords[:, 0, 1] * squares[:, 1]) / cross
        y = (chords[:, 0, 0] * squares[:, 1] - chords[:, 1, 0] * squares[:, 0]) / cross
    offsets = np.stack([x, y], axis=1)
    return first + offsets, np.linalg.norm(offsets, axis=1)


def _agreement(region: np.ndarray, circle: Circle | None) -> float:
    """Intersection over union of the region and its circle, both within the region's rectangle."""
    if circle is None:
        return 0.0
    x, y, w, h = cv2.boundingRect(region)
    disc = np.zeros_like(region)
    centre = round(circle.x * 16), round(circle.y * 16)
    cv2.circle(disc, centre, round(circle.radius * 16), 1, cv2.FILLED, shift=4)
    disc, inside = disc[y : y + h, x : x + w], region[y : y + h, x : x + w]
    return cv2.countNonZero(disc & inside) / cv2.countNonZero(disc | inside)


def _averaged(photograph: np.ndarray, factor: int) -> np.ndarray:
    """The photograph reduced by a whole factor; what is left over at right and bottom is less than a pixel."""
    height, width = photograph.shape[0] // factor, photograph.shape[1] // factor
    whole = photograph[: height * factor, : width * factor]
    # The four pixels in the middle of each block, which linear interpolation takes, are enough, and the fastest.
    middle = factor >= 4 and factor % 2 == 0
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_LINEAR if middle else cv2.INTER_AREA)


def _brightest(pixels: np.ndarray) -> np.ndarray:
    """The largest channel (…) of pixels (…, 3); NumPy's own reduction of so short an axis is ten times slower."""
    brightest: np.ndarray = np.maximum(np.maximum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])
    return brightest


def _chroma(pixels: np.ndarray) -> np.ndarray:
    """Largest less smallest channel (…) of pixels (…, 3)."""
    darkest: np.ndarray = np.minimum(np.minimum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])
    chroma: np.ndarray = _brightest(pixels) - darkest
    return chroma


def _quantile(values: np.ndarray, share: float) -> int:
    """The value that a share of numbers, uint8, doesn't exceed, by counting."""
    counts = cv2.calcHist([np.ascontiguousarray(values).reshape(-1, 1)], [0], None, [256], [0, 256])
    return int(np.searchsorted(counts.ravel().cumsum(), share * values.size))


def _retinal(small: np.ndarray) -> np.ndarray:
    """Where pixels have the hue of a retina, from red to yellow: more red than green and no less green than blue."""
    red, green, blue = np.moveaxis(small.astype(np.int16), 2, 0)
    retinal: np.ndarray = (red > 1.15 * green) & (green >= 0.8 * blue)
    return retinal

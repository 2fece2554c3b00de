"""Photographs as other cameras would have taken them: an augmentation, and a test of how well a network generalises.

A :class:`Camera` describes the changes. :func:`draw_camera` draws one over the ranges that real cameras have
(``docs/cameras.md``), and :func:`apply_camera` applies it to a photograph, or to a crop of one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Self, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

CameraChange = Literal["colour", "light", "resolution", "sharpness", "cut"]
"""A family of changes: ``colour`` (mean colour, gamma), ``light`` (light that falls off, haze), ``resolution`` (stored
size, JPEG compression), ``sharpness`` (blur, sharpening, noise), or ``cut`` (a disc that the frame cuts)."""
CAMERA_CHANGES: Final[tuple[CameraChange, ...]] = get_args(CameraChange)

REFERENCE_DIAMETER: Final = 1024.0
"""Diameter of the field of view, in pixels, that the widths of blur and sharpening refer to."""
_SHARES: Final[dict[CameraChange, float]] = {
    "colour": 0.75, "light": 0.6, "resolution": 0.6, "sharpness": 0.7, "cut": 0.2,
}  # fmt: skip
"""Share of the photographs that each family changes in training; the rest keeps the look of its own camera."""
_RED: Final = (60.0, 215.0)
_RED_BY_GREEN: Final = (1.08, 3.2)
_GREEN_BY_BLUE: Final = (1.1, 30.0)
_GREEN: Final = (28.0, 155.0)
_BLUE: Final = (1.0, 130.0)
_GAMMA: Final = (0.7, 1.4)
_TILT: Final = 0.65
_RIM: Final = (0.65, 1.4)
_HAZE: Final = 0.4
_DIAMETER: Final = (300.0, 1024.0)
_QUALITY: Final = (40, 95)
_BLUR: Final = (0.3, 2.0)
_SHARPENING: Final = (0.2, 1.5)
_SHARPENING_WIDTH: Final = 1.5
_NOISE: Final = (0.5, 8.0)
_CUT: Final = (0.72, 1.0)
_LIT: Final = 16
"""Brightest channel, 0 to 255, of the darkest pixel that certainly belongs to the field of view."""
_Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Haze:
    """A bright veil, such as a reflection or an opaque lens.

    Attributes:
        x: Position of its centre, in radii of the disc to the right of the disc's centre.
        y: The same, downwards.
        radius: Standard deviation of its extent, in radii of the disc.
        strength: Share of its colour at the centre, 0 to 1.
        colour: Red, green and blue, 0 to 255.
    """

    x: float
    y: float
    radius: float
    strength: float
    colour: _Colour


@dataclass(frozen=True)
class Camera:
    """The changes that a camera makes to a photograph; the default makes none.

    Attributes:
        mean: Mean red, green and blue inside the field of view, 0 to 255; ``None`` keeps the photograph's own.
        gamma: Exponent of each channel, before the gain that reaches ``mean``.
        borrowed: Share of the blue channel that is taken from green: a blue channel that is black has no structure that
            a gain could show.
        tilt: Light that falls off to one side: the logarithm of its gain at the right and at the lower rim.
        rim: Brightness at the rim, relative to that in the middle.
        haze: A bright veil.
        cut: Half width and half height of the visible part of the disc, in radii.
        blur: Standard deviation of a Gaussian, in pixels at a field of view of :data:`REFERENCE_DIAMETER`.
        sharpening: Weight of an unsharp mask.
        noise: Standard deviation, in grey levels.
        diameter: Diameter of the field of view, in pixels, of the stored photograph; ``None`` keeps its own.
        quality: JPEG quality of the stored photograph; ``None`` for no loss.
        seed: Seed of the noise.
    """

    mean: _Colour | None = None
    gamma: _Colour = (1.0, 1.0, 1.0)
    borrowed: float = 0.0
    tilt: tuple[float, float] = (0.0, 0.0)
    rim: float = 1.0
    haze: Haze | None = None
    cut: tuple[float, float] | None = None
    blur: float = 0.0
    sharpening: float = 0.0
    noise: float = 0.0
    diameter: float | None = None
    quality: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Place:
    """The place of a photograph's pixels in the disc: ``x, y = origin + column · across + row · down``, in radii.

    Attributes:
        origin: Position of the first pixel; the disc's centre is (0, 0).
        across: Step to the next column.
        down: Step to the next row.
    """

    origin: tuple[float, float]
    across: tuple[float, float]
    down: tuple[float, float]

    @classmethod
    def whole(cls, side: int) -> Self:
        """Returns the place of a square photograph of ``side`` pixels that the disc fills.

        Example:
            >>> Place.whole(4).positions((4, 4))[0][0].tolist()
            [-0.75, -0.25, 0.25, 0.75]
        """
        step = 2 / side
        return cls((step / 2 - 1, step / 2 - 1), (step, 0.0), (0.0, step))

    @property
    def diameter(self) -> float:
        """Diameter of the disc, in pixels."""
        return 2 / float(np.hypot(*self.across))

    def positions(self, shape: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns x and y, (h, w) float32 in radii, of the pixels of a photograph of that shape."""
        columns, rows = np.arange(shape[1], dtype=np.float32)[None], np.arange(shape[0], dtype=np.float32)[:, None]
        x, y = (
            (self.origin[axis] + columns * self.across[axis] + rows * self.down[axis]).astype(np.float32)
            for axis in (0, 1)
        )
        return x, y


def draw_camera(
    rng: np.random.Generator, changes: Sequence[CameraChange] = CAMERA_CHANGES, always: bool = False
) -> Camera:
    """Draws a camera over the ranges of real cameras.

    Every number is drawn in any case, so that leaving a family out doesn't change the draws of the rest.

    Args:
        rng: Random number generator.
        changes: The families of changes.
        always: True to make every one of these changes; False to make each in some draws only, so that a network also
            sees the look of its own camera.

    Returns:
        The camera.
    """
    camera = Camera(seed=int(rng.integers(2**31)))
    for change, share in _SHARES.items():
        happens, values = rng.random() < share, _DRAWERS[change](rng)
        if change in changes and (happens or always):
            camera = replace(camera, **values)
    return camera


def camera_of(image_id: str, changes: Sequence[CameraChange]) -> Camera:
    """Draws the camera of a photograph, which its id determines; every one of the changes is made.

    Args:
        image_id: Id of the photograph.
        changes: The families of changes.
    """
    seed = int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:8], "big")
    return draw_camera(np.random.default_rng(seed), changes, always=True)


def apply_camera(
    camera: Camera,
    photograph: NDArray[np.uint8],
    inside: NDArray[np.bool_],
    place: Place | None = None,
    histogram: NDArray[np.float64] | None = None,
) -> NDArray[np.uint8]:
    """Changes a photograph, or a crop of one, as a camera would.

    Args:
        camera: The camera.
        photograph: RGB pixels (H, W, 3), uint8.
        inside: True (H, W) inside the field of view.
        place: The place of a crop in the disc; ``None`` for a square photograph that the disc fills.
        histogram: :func:`channel_histogram` of the whole photograph, for a crop; ``None`` takes the pixels given.

    Returns:
        RGB pixels (H, W, 3), uint8, black outside the visible part of the disc.
    """
    place = Place.whole(photograph.shape[1]) if place is None else place
    x, y = place.positions(photograph.shape)
    visible = inside & visible_part(camera, x, y)
    pixels = photograph.astype(np.float32)
    if camera.mean is not None:
        histogram = channel_histogram(photograph, inside) if histogram is None else histogram
        pixels = _change_colours(camera, camera.mean, photograph, histogram)
    pixels = _change_light(camera, pixels, x, y)
    if camera.blur:
        pixels = _blur(pixels, camera.blur * place.diameter / REFERENCE_DIAMETER)
    pixels[~visible] = 0
    return _store(camera, pixels, visible, place.diameter)


def visible_part(camera: Camera, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Returns True where positions (H, W), in radii of the disc, lie in the part of it that the frame doesn't cut."""
    if camera.cut is None:
        return np.ones(x.shape, bool)
    return np.asarray((np.abs(x) < camera.cut[0]) & (np.abs(y) < camera.cut[1]))


def channel_histogram(photograph: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Computes the share of each of 256 values in each channel inside the field of view, (3, 256)."""
    lit = photograph[inside]
    counts = np.stack([np.bincount(lit[:, channel], minlength=256) for channel in range(3)])
    return np.asarray(counts / max(1, len(lit)), np.float64)


def lit_region(photograph: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Finds the field of view of a prepared photograph: the convex hull of its lit pixels.

    A prepared photograph is black outside its field of view, which is a disc, whole or cut by straight edges.

    Args:
        photograph: RGB pixels (H, W, 3), uint8.

    Returns:
        True (H, W) inside; everywhere where nothing is lit.
    """
    red, green, blue = cv2.split(photograph)
    lit = cv2.medianBlur(cv2.threshold(cv2.max(cv2.max(red, green), blue), _LIT, 1, cv2.THRESH_BINARY)[1], 5) > 0
    rows = np.flatnonzero(lit.any(axis=1))
    if not len(rows):
        return np.ones(lit.shape, bool)
    # The hull of each row's first and last lit pixel is the hull of all.
    first, last = lit[rows].argmax(axis=1), lit.shape[1] - 1 - lit[rows, ::-1].argmax(axis=1)
    points = np.column_stack([np.concatenate([first, last]), np.concatenate([rows, rows])]).astype(np.int32)
    hull = cv2.fillConvexPoly(np.zeros(lit.shape, np.uint8), cv2.convexHull(points), 1)
    return np.asarray(hull > 0)


def _change_colours(
    camera: Camera, mean: _Colour, photograph: NDArray[np.uint8], histogram: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Applies gamma, borrows blue from green, and reaches the mean colour by gains."""
    curves = (np.arange(256)[None] / 255) ** np.array(camera.gamma)[:, None]
    gains = np.array(mean) / ((histogram * curves).sum(axis=1) + 1e-4)
    tables = (gains[:, None] * curves).astype(np.float32)
    red, green, blue = (tables[channel][photograph[..., channel]] for channel in range(3))
    if camera.borrowed:
        blue = np.float32(1 - camera.borrowed) * blue + np.float32(camera.borrowed * mean[2] / mean[1]) * green
    return np.stack([red, green, blue], axis=2)


def _change_light(
    camera: Camera, pixels: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Lets light fall off to one side and to the rim, and adds haze."""
    if camera.tilt != (0.0, 0.0) or camera.rim != 1.0:
        gain = np.exp(np.float32(camera.tilt[0]) * x + np.float32(camera.tilt[1]) * y)
        gain *= (1 + np.float32(camera.rim - 1) * (x * x + y * y)) / np.float32((1 + camera.rim) / 2)
        pixels = pixels * gain[..., None]
    if (haze := camera.haze) is not None:
        distance = (x - np.float32(haze.x)) ** 2 + (y - np.float32(haze.y)) ** 2
        share = np.float32(haze.strength) * np.exp(-distance / np.float32(2 * haze.radius**2))
        pixels = pixels + share[..., None] * (np.array(haze.colour, np.float32) - pixels)
    return np.asarray(pixels, np.float32)


def _store(
    camera: Camera, pixels: NDArray[np.float32], visible: NDArray[np.bool_], diameter: float
) -> NDArray[np.uint8]:
    """Samples at the stored size, adds noise, sharpens and compresses; returns the photograph at its own size."""
    height, width = pixels.shape[:2]
    factor = 1.0 if camera.diameter is None else min(1.0, camera.diameter / diameter)
    if factor < 1:
        size = max(8, round(width * factor)), max(8, round(height * factor))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.float32)
    if camera.noise:
        noise = np.random.default_rng(camera.seed).standard_normal(pixels.shape, dtype=np.float32)
        shown = cv2.resize(visible.astype(np.float32), pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
        pixels = pixels + np.float32(camera.noise) * noise * shown[..., None]
    if camera.sharpening:
        pixels = pixels + np.float32(camera.sharpening) * (pixels - _blur(pixels, _SHARPENING_WIDTH))
    stored = np.clip(pixels + 0.5, 0, 255).astype(np.uint8)
    if camera.quality is not None:
        _, code = cv2.imencode(".jpg", stored[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, camera.quality])
        stored = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
    if factor < 1:
        stored = np.asarray(cv2.resize(stored, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    return np.ascontiguousarray(stored)


def _blur(pixels: NDArray[np.float32], width: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), width), np.float32)


def _draw_colour(rng: np.random.Generator) -> dict[str, Any]:
    red = rng.uniform(*_RED)
    green = float(np.clip(red / _log_uniform(rng, _RED_BY_GREEN), *_GREEN))
    blue = float(np.clip(green / _log_uniform(rng, _GREEN_BY_BLUE), *_BLUE))
    gamma = _log_uniform(rng, _GAMMA) * np.exp(rng.normal(0, 0.1, 3))
    return {"mean": (red, green, blue), "gamma": tuple(gamma.tolist()), "borrowed": rng.uniform(0.0, 0.9)}


def _draw_light(rng: np.random.Generator) -> dict[str, Any]:
    angle, strength = rng.uniform(0, 2 * np.pi), _TILT * rng.random() ** 1.5
    tilt, rim = (strength * np.cos(angle), strength * np.sin(angle)), _log_uniform(rng, _RIM)
    hazy, towards = rng.random() < 0.5, rng.uniform(0, 2 * np.pi)
    distance = rng.choice([0.0, rng.random(), 1.0])  # in the middle, anywhere, or a crescent at the rim
    colour = rng.uniform(90, 210) * rng.uniform((0.8, 1.0, 0.85), (1.15, 1.1, 1.25))
    haze = Haze(
        distance * np.cos(towards),
        distance * np.sin(towards),
        _log_uniform(rng, (0.25, 3.0)),
        _HAZE * rng.random(),
        tuple(colour.tolist()),
    )
    return {"tilt": tilt, "rim": rim, "haze": haze if hazy else None}


def _draw_resolution(rng: np.random.Generator) -> dict[str, Any]:
    diameter, quality = _log_uniform(rng, _DIAMETER), int(rng.integers(_QUALITY[0], _QUALITY[1] + 1))
    return {"diameter": diameter if rng.random() < 0.7 else None, "quality": quality}


def _draw_sharpness(rng: np.random.Generator) -> dict[str, Any]:
    blur, sharpening, noise = (_log_uniform(rng, bounds) for bounds in (_BLUR, _SHARPENING, _NOISE))
    blurred, sharpened, noisy = rng.random(3) < (0.45, 0.55, 0.4)
    return {"blur": blur * blurred, "sharpening": sharpening * sharpened, "noise": noise * noisy}


def _draw_cut(rng: np.random.Generator) -> dict[str, Any]:
    return {"cut": (rng.uniform(*_CUT), rng.uniform(*_CUT))}


_DRAWERS: Final[dict[CameraChange, Callable[[np.random.Generator], dict[str, Any]]]] = {
    "colour": _draw_colour,
    "light": _draw_light,
    "resolution": _draw_resolution,
    "sharpness": _draw_sharpness,
    "cut": _draw_cut,
}


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]))))

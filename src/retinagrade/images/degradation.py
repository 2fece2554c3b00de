"""Photographs that went wrong: faults that make a photograph hard or impossible to grade.

A :class:`Degradation` is a kind of fault, its strength and a seed. :func:`draw_degradation` draws one, and
:func:`degrade` applies it to the retina; the edge of the camera's disc stays sharp, and the background stays as it was.
Colours and framing that a camera gives to all its photographs are no fault (:mod:`retinagrade.images.camera`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.images.camera import Place

DegradationKind = Literal[
    "defocus",
    "motion",
    "haze",
    "flare",
    "lashes",
    "lid",
    "shade",
    "dark",
    "over-exposed",
    "dust",
    "smear",
    "cover",
    "tone",
    "clutter",
]
"""A kind of fault: ``defocus`` and ``motion`` blur, ``haze`` of a cataract, ``flare`` (light at the rim, reflections),
``lashes``, a ``lid`` that covers a part, ``shade`` (a part without light), a photograph that is ``dark`` or
``over-exposed`` as a whole, or ``dust`` on the lens. The others have no cause of their own, so that no network learns
causes alone: ``smear`` blurs in any shape, ``cover`` hides a part by anything, ``tone`` takes the contrast at any
brightness, and ``clutter`` lies before the retina in any shape and colour."""
DEGRADATION_KINDS: Final[tuple[DegradationKind, ...]] = get_args(DegradationKind)

GradingQuality = Literal["good", "usable", "reject"]
"""Fit for grading: ``good``; ``usable``, with a warning; or ``reject``, not at all."""
USABLE_FROM: Final = 1 / 3
"""Strength from which a degraded photograph is only usable."""
REJECT_FROM: Final = 2 / 3
"""Strength from which nobody should grade the photograph."""

_WIDTH: Final = (0.0026, 2.6)
"""Standard deviation of blur at strength 0, in radii of the disc, and its factor for each third of strength."""
_COVERED: Final = (0.03, 2.75)
"""Share of the retina that a fault covers at strength 0, and its factor for each third of strength."""
_VEIL: Final = 1.75
"""Logarithm of the contrast that haze of strength 1 takes away."""
_DARK: Final = (80.0, 0.5)
"""Mean luminance at strength 0, and its factor for each third of strength."""
_BRIGHT: Final = (125.0, 250.0)
"""Mean luminance of an over-exposed photograph at strengths 0 and 1, before values are clipped."""
_TONE: Final = 2.0
"""Logarithm of the contrast that a tone of strength 1 takes away."""
_OTHER: Final = 70.0
"""Difference, in grey levels, from which a colour certainly differs from the retina's."""
_LUMINANCE: Final = np.array([0.3, 0.59, 0.11], np.float32)
_Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Degradation:
    """A fault of a photograph.

    Attributes:
        kind: The kind of fault.
        strength: 0 (none) to 1; the thirds are the limits of :attr:`quality`.
        seed: Seed of everything else, such as place, direction and colour.
    """

    kind: DegradationKind
    strength: float
    seed: int = 0

    @property
    def quality(self) -> GradingQuality:
        """Quality of a good photograph with this fault.

        Example:
            >>> [Degradation("haze", strength).quality for strength in (0.2, 0.5, 0.8)]
            ['good', 'usable', 'reject']
        """
        if self.strength < USABLE_FROM:
            return "good"
        return "usable" if self.strength < REJECT_FROM else "reject"


@dataclass(frozen=True)
class _Retina:
    """A photograph whose retina is degraded.

    Attributes:
        pixels: RGB (H, W, 3), 0 to 255.
        inside: True (H, W) inside the field of view.
        x: Horizontal position (H, W) in radii of the disc.
        y: Vertical position (H, W), downwards.
        middle: Column and row (2,) of the disc's centre, which may lie outside the photograph.
        radius: Radius of the disc, in pixels.
    """

    pixels: _Pixels
    inside: NDArray[np.bool_]
    x: _Pixels
    y: _Pixels
    middle: NDArray[np.float64]
    radius: float

    @property
    def colour(self) -> _Pixels:
        """Mean colour (3,) of the retina."""
        return np.asarray(self.pixels[self.inside].mean(axis=0), np.float32)


def draw_degradation(rng: np.random.Generator, kinds: Sequence[DegradationKind] = DEGRADATION_KINDS) -> Degradation:
    """Draws a degradation of any strength.

    Args:
        rng: Random number generator.
        kinds: The kinds to choose from.
    """
    kind = kinds[int(rng.integers(len(kinds)))]
    return Degradation(kind, float(rng.random()), int(rng.integers(2**31)))


def degrade(
    degradation: Degradation, photograph: NDArray[np.uint8], inside: NDArray[np.bool_], place: Place | None = None
) -> NDArray[np.uint8]:
    """Degrades the retina of a photograph.

    Args:
        degradation: The fault.
        photograph: RGB pixels (H, W, 3), uint8.
        inside: True (H, W) inside the field of view.
        place: Place of the pixels in the disc; ``None`` for a square photograph that the disc fills.

    Returns:
        RGB pixels (H, W, 3), uint8, unchanged outside the field of view.
    """
    if degradation.strength <= 0 or not inside.any():
        return photograph.copy()
    place = Place.whole(photograph.shape[1]) if place is None else place
    x, y = place.positions(photograph.shape)
    middle = -np.array([place.origin[0] / place.across[0], place.origin[1] / place.down[1]])
    retina = _Retina(photograph.astype(np.float32), inside, x, y, middle, place.diameter / 2)
    changed = _KINDS[degradation.kind](retina, degradation.strength, np.random.default_rng(degradation.seed))
    pixels = np.clip(changed + 0.5, 0, 255).astype(np.uint8)
    return np.where(inside[..., None], pixels, photograph)


def _defocus(retina: _Retina, strength: float, rng: np.random.Generator) -> _Pixels:
    """Blurs with the image of a point out of focus: a small disc."""
    radius = 2 * _at(_WIDTH, strength) * retina.radius  # a disc's standard deviation is half its radius
    across, down = _offsets(radius)
    return _convolve(retina, np.clip(radius + 0.5 - np.hypot(across, down), 0, 1))


def _motion(retina: _Retina, strength: float, rng: np.random.Generator) -> _Pixels:
    """Blurs along a line, the way of the eye during the exposure; or shows the retina twice."""
    length = 4.5 * _at(_WIDTH, strength) * retina.radius
    angle, twice = rng.uniform(0, np.pi), rng.random() < 0.2
    across, down = _offsets(length / 2)
    along, beside = across * np.cos(angle) + down * np.sin(angle), down * np.cos(angle) - across * np.sin(angle)
    line = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1)
    if twice:
        apart, share = 0.2 * length, rng.uniform(0.6, 1.0)
        line = np.exp(-((along - apart) ** 2)) + share * np.exp(-((along + apart) ** 2))
    return _convolve(retina, line * np.exp(-(beside**2) / 0.8))


def _haze(retina: _Retina, strength: float, rng: np.random.Generator) -> _Pixels:
    """Lays a milky veil over the retina, thicker in some places, and scatters the light."""
    grey = float(retina.colour @ _LUMINANCE)
    tint = np.array([1.1, 1.0, 0.75]) + rng.uniform(-0.15, 0.15, 3)
    veil = 0.4 * retina.colour + 0.6 * grey * tint
    wide = _blur_inside(retina, 0.3 * retina.radius)
    veiled = rng.uniform(0.9, 1.35) * (0.6 * wide + 0.4 * veil.astype(np.float32))
    share = 1 - np.exp(-_VEIL * strength * (1 + 0.35 * _clouds(retina, rng, 0.5)))
    scattered = _blur_inside(retina, 0.008 * strength * retina.radius)
    return np.asarray(scattered + share[..., None] * (veiled - scattered), np.float32)


def _flare(retina: _Retina, strength: float, rng: np.random.Generator) -> _Pixels:
    """Covers a part with bright light: a crescent at the rim, the whole rim, or reflections on the retina."""
    x, y = retina.x, retina.y
    form, angle = rng.choice(3, p=(0.6, 0.2, 0.2)), rng.uniform(0, 2 * np.pi)
    if form == 0:
        away = rng.uniform(0.4, 1.2)
        covered = np.hypot(x - away * np.cos(angle), y - away * np.sin(angle))
    elif form == 1:
        away = rng.uniform(0.0, 0.25)
        covered = np.hypot(x - away * np.cos(angle), y - away * np.sin(angle))
    else:
        centres = rng.uniform(-0.7, 0.7, (int(rng.integers(1, 4)), 2))
        covered = -np.min([np.hypot(x - across, y - down) for across, down in centres], axis=0)
    softness = np.exp(rng.uniform(np.log(0.03), np.log(0.6)))
    share = _cover(retina, covered, strength, softness) * rng.uniform(0.75, 1.0)
    share *= np.clip(1 - 0.12 * _clouds(retina, rng, 0.4), 0, 1)
    light = rng.uniform(185, 255) * rng.uniform((0.9, 0.85, 0.6), (1.0, 1.0, 1.05))
    brighter = np.maximum(retina.pixels, light.astype(np.float32))
    return np.asarray(retina.pixels + share[..., None] * (brighter - retina.pixels), np.float32)


def _lashes(retina: _Retina, strength: float, rng: np.random.Generator) -> _Pixels:
    """Draws blurred lashes, dark or bright, from the lower or the upper rim."""
    from_below = rng.random() < 0.7
    share = np.zeros(retina.inside.shape, np.float32)
    thickness = max(1, round(retina.radius * rng.uniform(0.015, 0.035)))
    for _ in range(round(4 + 40 * strength**2)):
        angle = np.pi / 2 + rng.normal(0, 0.5)
        start = 1.02 * np.array([np.cos(angle), np.sin(angle)])
        length, bend = (0.15 + strength) * rng.uniform(0.5, 1.1), rng.normal(0, 0.35)
        way = np.linspace(0, 1, 12)[:, None]
        inwards = np.array([rng.normal(0, 0.35), -1.0])
        points = start + way * length * inwards + way**2 * length * bend * np.array([1.0, 0.0])
        points[:, 1] *= 1 if from_below else -1
        lash = np.round((retina.middle + points * retina.radius) * 8).astype(np.int32)
        cv2.polylines(share, [lash], False, float(rng.uniform(0.5, 1.0)), thickness, cv2.LINE_AA, 3)
    share = np.asarray(cv2.GaussianBlur(share, (0, 0), retina.radius * rng.uniform(0.008, 0.03)), np.float32)
    bright = rng.random() < 0.3
    colour = retina.colour * np.float32(rng.uniform(1.3, 1.9) if bright else rng.uniform(0.0, 0.3))
    return np.asarray(retina.pixels + share[..., None] * (colour - retina.pixels), np.float32)


def _lid(retina: _Retina, strength: float, rng: np.random.Generator) -> _Pixels:
    """Covers the retina from above or below with a lid, dark or of the colour of skin; a blink covers most of it."""
    upwards, tilt, bend = rng.choice([-1.0, 1.0]), rng.normal(0, 0.15), rng.normal(0, 0.2)
    covered = upwards * (retina.y + tilt * retina.x) + bend * retina.x**2
    share = _cover(retina, covered, strength, rng.uniform(0.02, 0.2))
    brightness = rng.uniform(0, 25) if rng.random() < 0.6 else rng.uniform(40, 200)
    lid = brightness * np.array([1.0, rng.uniform(0.4, 0.8), rng.uniform(0.2, 0.6)])
    skin = lid.astype(np.float32) * (1 + 0.3 * _clouds(retina, rng, 0.3)[..., None])
    return np.asarray(retina.pixels + share[..., None] * (skin - retina.pixels), np.float32)


def _shade(retina: _Retina, strength: float, rng: np.random.Generator) -> _Pixels:
    """Takes the light from a side, or from the middle, as a small pupil does."""
    angle = rng.uniform(0, 2 * np.pi)
    away = np.array([np.cos(angle), np.sin(angle)]) * rng.uniform(0, 0.4)
    distance = np.hypot(retina.x - away[0], retina.y - away[1])
    covered = retina.x * np.cos(angle) + retina.y * np.sin(angle) if rng.random() < 0.7 else -distance
    share = _cover(retina, covered, strength, rng.uniform(0.05, 0.3)) * rng.uniform(0.8, 0.98)
    return np.asarray(retina.pixels * (1 - share[..., None]), np.float32)


def _dark(retina: _Retina, strength: float, rng: np.random.Generator) -> _Pixels:
    """Lowers the light, and adds the noise of a sensor."""
    luminance = float(retina.colour @ _LUMINANCE)
    gain = min(1.0, _at(_DARK, strength) / max(1.0, luminance))
    noise = cv2.GaussianBlur(rng.standard_normal(retina.pixels.shape, dtype=np.float32), (0, 0), 0.7)
    return np.asarray(retina.pixels * np.float32(gain) + noise * np.float32(4 * strength * rng.random()), np.float32)


def _over_expose(retina: _Retina, strength: float, rng: np.random.Generator) -> _Pixels:
    """Raises the light beyond the range of the sensor."""
    luminance = float(retina.colour @ _LUMINANCE)
    target = _BRIGHT[0] + (_BRIGHT[1] - _BRIGHT[0]) * strength
    gain = max(1.0, target / max(1.0, luminance))
    pixels = retina.pixels * np.float32(gain)
    spilled = np.maximum(pixels - 255, 0).mean(axis=2, keepdims=True)  # a full red channel spills into the others
    return np.asarray(pixels + np.float32(0.7) * spilled, np.float32)


def _dust(retina: _Retina, strength: float, rng: np.random.Generator) -> _Pixels:
    """Puts dark or pale specks, rings and smears before the retina."""
    share = np.zeros(retina.inside.shape, np.float32)
    places = np.argwhere(retina.inside)
    for _ in range(round(3 + 90 * strength**2)):
        row, column = places[rng.integers(len(places))]
        size = retina.radius * np.exp(rng.uniform(np.log(0.006), np.log(0.02 + 0.08 * strength)))
        thickness = cv2.FILLED if rng.random() < 0.7 else max(1, round(size / 3))
        centre = int(column) * 8, int(row) * 8
        cv2.circle(share, centre, max(4, round(size * 8)), float(rng.uniform(0.3, 1)), thickness, cv2.LINE_AA, 3)
    width = max(0.5, retina.radius * rng.uniform(0.002, 0.012))
    share = np.asarray(cv2.GaussianBlur(share, (0, 0), width), np.float32)
    smears = np.clip(_clouds(retina, rng, 0.15) - 1.2 + strength, 0, 1) * np.float32(strength)
    colour = retina.colour * np.float32(rng.uniform(1.2, 1.6) if rng.random() < 0.3 else rng.uniform(0.1, 0.6))
    covered = np.maximum(share * np.float32(0.4 + 0.6 * strength), smears)
    return np.asarray(retina.pixels + covered[..., None] * (colour - retina.pixels), np.float32)


def _smear(retina: _Retina, strength: float, rng: np.random.Generator) -> _Pixels:
    """Blurs along a random walk, or stores the retina at a size that is too small."""
    width = _at(_WIDTH, strength) * retina.radius
    if rng.random() < 0.25:
        block = max(1.0, 3 * width)
        lit = retina.inside.astype(np.float32)[..., None]
        size = max(2, round(lit.shape[1] / block)), max(2, round(lit.shape[0] / block))
        small = cv2.resize(retina.pixels * lit + retina.colour * (1 - lit), size, interpolation=cv2.INTER_AREA)
        enlarged = cv2.INTER_NEAREST if rng.random() < 0.5 else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(small, lit.shape[1::-1], interpolation=enlarged), np.float32)
    walk = np.cumsum(rng.normal(0, 1, (40, 2)) + rng.normal(0, 0.5, 2), axis=0)
    walk = (walk - walk.mean(axis=0)) * 1.4 * width / np.hypot(*walk.std(axis=0))
    across, down = _offsets(float(np.abs(walk).max()))
    away = (across[..., None] - walk[:, 0]) ** 2 + (down[..., None] - walk[:, 1]) ** 2
    return _convolve(retina, np.exp(-away / 0.8).sum(axis=2).astype(np.float32))


def _cover_part(retina: _Retina, strength: float, rng: np.random.Generator) -> _Pixels:
    """Hides a part of any shape behind any colour."""
    angle, towards = rng.uniform(0, 2 * np.pi), rng.uniform(0, 1.5)
    covered = _clouds(retina, rng, rng.uniform(0.2, 0.8))
    covered += np.float32(towards) * (retina.x * np.float32(np.cos(angle)) + retina.y * np.float32(np.sin(angle)))
    share = _cover(retina, covered, strength, rng.uniform(0.02, 0.5)) * rng.uniform(0.75, 1.0)
    colour = _draw_other_colour(retina, rng)
    texture = 1 + rng.uniform(0, 0.4) * _clouds(retina, rng, rng.uniform(0.08, 0.4))[..., None]
    return np.asarray(retina.pixels + share[..., None] * (colour * texture - retina.pixels), np.float32)


def _change_tone(retina: _Retina, strength: float, rng: np.random.Generator) -> _Pixels:
    """Moves all pixels towards one colour, dark or bright, or clips the dark or the bright ones."""
    if rng.random() < 0.4:
        limit = np.quantile(retina.pixels[retina.inside][::7], rng.uniform(0.05, 0.95), axis=0).astype(np.float32)
        gain = np.float32(np.exp(2.5 * strength * rng.uniform(0.8, 1.2)))
        away = (retina.pixels - limit) * gain * np.float32(rng.choice((-1.0, 1.0)))
        kept = np.float32(1 - strength) * (retina.pixels - limit)
        return np.asarray(np.where(away > 0, limit + np.sign(retina.pixels - limit) * np.abs(away), limit + kept))
    own = retina.colour / max(1.0, float(retina.colour.max()))
    level = rng.uniform(0, 255) * (own + rng.random() * (1 - own))
    contrast = np.exp(-_TONE * strength * rng.uniform(0.9, 1.2))
    noise = rng.standard_normal(retina.pixels.shape, dtype=np.float32) * np.float32(4 * strength * rng.random())
    return np.asarray(level + contrast * (retina.pixels - level) + noise, np.float32)


def _clutter(retina: _Retina, strength: float, rng: np.random.Generator) -> _Pixels:
    """Puts lines, spots and patches of any colour before the retina."""
    share = np.zeros(retina.inside.shape, np.float32)
    places, enough = np.argwhere(retina.inside), 0.7 * _at(_COVERED, strength)
    form, size = rng.integers(3), retina.radius * np.exp(rng.uniform(np.log(0.01), np.log(0.03 + 0.1 * strength)))
    for count in range(400):
        row, column = places[rng.integers(len(places))]
        opaque = float(rng.uniform(0.5, 1))
        if form == 0:
            steps = np.cumsum(rng.normal(0, 1, (6, 2)) + rng.normal(0, 1, 2), axis=0) * retina.radius * 0.08
            points = np.round((np.array([column, row]) + steps) * 8).astype(np.int32)
            cv2.polylines(share, [points], False, opaque, max(1, round(size * rng.uniform(0.3, 1))), cv2.LINE_AA, 3)
        elif form == 1:
            axes = tuple(max(4, round(each)) for each in size * 8 * rng.uniform(0.3, 2, 2))
            angle = float(rng.uniform(0, 180))
            cv2.ellipse(share, (column * 8, row * 8), axes, angle, 0, 360, opaque, cv2.FILLED, cv2.LINE_AA, 3)
        else:
            corners = np.array([column, row]) + size * rng.uniform(-2, 2, (4, 2))
            cv2.fillConvexPoly(share, np.round(corners * 8).astype(np.int32), opaque, cv2.LINE_AA, 3)
        if count % 8 == 7 and share[retina.inside].mean() > enough:
            break
    share = np.asarray(cv2.GaussianBlur(share, (0, 0), max(0.4, retina.radius * rng.uniform(0, 0.02))), np.float32)
    colour = _draw_other_colour(retina, rng)
    return np.asarray(retina.pixels + share[..., None] * (colour - retina.pixels), np.float32)


_KINDS: Final[dict[DegradationKind, Callable[[_Retina, float, np.random.Generator], _Pixels]]] = {
    "defocus": _defocus,
    "motion": _motion,
    "haze": _haze,
    "flare": _flare,
    "lashes": _lashes,
    "lid": _lid,
    "shade": _shade,
    "dark": _dark,
    "over-exposed": _over_expose,
    "dust": _dust,
    "smear": _smear,
    "cover": _cover_part,
    "tone": _change_tone,
    "clutter": _clutter,
}


def _draw_other_colour(retina: _Retina, rng: np.random.Generator) -> _Pixels:
    """Draws a colour (3,) that differs from the retina's."""
    for _ in range(20):
        colour = rng.uniform(0, 255) * rng.uniform(0.6, 1.0, 3)
        if np.abs(colour - retina.colour).max() > _OTHER:
            break
    return colour.astype(np.float32)


def _at(scale: tuple[float, float], strength: float) -> float:
    """Returns the value of a scale that grows by a factor for each third of strength."""
    first, factor = scale
    return float(first * factor ** (3 * strength))


def _cover(retina: _Retina, covered: _Pixels, strength: float, softness: float) -> _Pixels:
    """Returns the share (H, W), 0 to 1, of a fault that covers the places with the highest values.

    Args:
        retina: The retina.
        covered: Order (H, W) in which the places are covered, in radii.
        strength: Strength of the fault, which says how much it covers.
        softness: Width of its edge, in radii.
    """
    limit = np.quantile(covered[retina.inside][::7], 1 - min(1.0, _at(_COVERED, strength)))
    return np.asarray(1 / (1 + np.exp(-np.clip((covered - limit) / (softness / 2), -30, 30))), np.float32)


def _clouds(retina: _Retina, rng: np.random.Generator, width: float) -> _Pixels:
    """Returns smooth noise (H, W) of mean 0 and standard deviation 1; ``width`` is that of its structures, in radii."""
    side = 33
    noise = cv2.GaussianBlur(rng.standard_normal((side, side), dtype=np.float32), (0, 0), max(0.6, 8 * width))
    noise = (noise - noise.mean()) / noise.std()
    column, row = ((axis + 2) * np.float32((side - 1) / 4) for axis in (retina.x, retina.y))
    return np.asarray(cv2.remap(noise, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), np.float32)


def _offsets(reach: float) -> tuple[_Pixels, _Pixels]:
    """Returns the columns and rows of a square kernel around 0 that reaches that far, in pixels."""
    half = int(np.ceil(reach)) + 1
    line = np.arange(-half, half + 1, dtype=np.float32)
    return np.broadcast_to(line[None], (len(line),) * 2), np.broadcast_to(line[:, None], (len(line),) * 2)


def _convolve(retina: _Retina, kernel: _Pixels) -> _Pixels:
    """Convolves the retina alone: pixels outside the field of view count neither as dark nor as bright."""
    kernel = np.asarray(kernel / kernel.sum(), np.float32)
    lit = retina.inside.astype(np.float32)
    weight = cv2.filter2D(lit, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    light = cv2.filter2D(retina.pixels * lit[..., None], -1, kernel, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(light / np.maximum(weight, 1e-3)[..., None], np.float32)


def _blur_inside(retina: _Retina, width: float) -> _Pixels:
    """Blurs the retina alone with a Gaussian of that standard deviation, in pixels."""
    if width < 0.3:
        return retina.pixels
    lit = retina.inside.astype(np.float32)
    # A wide Gaussian needs no detail: a reduced copy gives the same at a fraction of the time.
    factor = max(1, int(width / 6))
    size = max(1, lit.shape[1] // factor), max(1, lit.shape[0] // factor)
    parts = [cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (retina.pixels * lit[..., None], lit)]
    light, weight = (cv2.GaussianBlur(each, (0, 0), width / factor) for each in parts)
    blurred = light / np.maximum(weight, 1e-3)[..., None]
    return np.asarray(cv2.resize(blurred, lit.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)

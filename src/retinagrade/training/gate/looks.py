"""Looks: what surrounds the disc in a camera's photographs, such as a notch, text, a background or a coloured bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.training.gate.drawing import FONTS, any_colour, smooth_noise, words
from retinagrade.training.gate.views import Shot

_SHARES: Final = {
    "notch": 0.3, "text": 0.25, "background": 0.12, "vignette": 0.15, "bar": 0.12, "rim line": 0.08, "corners": 0.1,
    "glow": 0.1,
}  # fmt: skip
"""Share of the cameras that have each part of a look."""
PARTS: Final = tuple(_SHARES)
"""Names of all parts."""
_TEXT_COLOURS: Final = ((255, 255, 255), (255, 255, 0), (0, 255, 0), (200, 200, 200), (0, 0, 0))
_Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Look:
    """The parts of a look, and the seed of everything else.

    Attributes:
        parts: ``notch`` at the edge of the disc; ``text``; a ``background`` that isn't black; a ``vignette`` (a soft
            edge of the disc); a ``bar`` beside the photograph; a ``rim line`` around the disc; ``corners`` cut off by
            the camera's mask; a ``glow`` of scattered light outside the disc.
        seed: Seed.
    """

    parts: frozenset[str]
    seed: int


def draw_look(rng: np.random.Generator) -> Look:
    """Draws a look."""
    parts = frozenset(part for part, share in _SHARES.items() if rng.random() < share)
    return Look(parts, int(rng.integers(2**31)))


def apply_look(look: Look, pixels: NDArray[np.uint8], shot: Shot) -> NDArray[np.uint8]:
    """Surrounds a retina with the look of a camera.

    Args:
        look: The look.
        pixels: RGB (H, W, 3), uint8, black outside the disc.
        shot: The shot that the pixels were made from.

    Returns:
        RGB pixels, uint8, larger than the shot where a bar stands beside it.
    """
    rng, parts = np.random.default_rng(look.seed), look.parts
    x, y = shot.place.positions(pixels.shape)
    away = np.hypot(x, y)
    retina: _Pixels = pixels.astype(np.float32)
    share: NDArray[np.floating] = shot.inside.astype(np.float32)
    if "corners" in parts:
        share[_cut_corners(rng, x, y)] = 0
    if "notch" in parts:
        retina, share = _cut_notch(rng, retina, share, x, y, shot.inside)
    if "vignette" in parts:
        width = rng.uniform(0.03, 0.2)
        share = share * np.clip((1 - away) / width, 0, 1) ** rng.uniform(0.5, 1.5)
    else:
        share = np.asarray(cv2.GaussianBlur(share, (0, 0), rng.uniform(0.6, 1.5)), np.float32)
    surroundings = _draw_surroundings(rng, parts, away, retina, shot.inside)
    whole = retina * share[..., None] + surroundings * (1 - share[..., None])
    if "rim line" in parts:
        line = np.exp(-(((away - rng.uniform(0.985, 1.02)) / rng.uniform(0.004, 0.015)) ** 2)) * rng.uniform(0.4, 1)
        whole = whole + line[..., None] * (any_colour(rng, 40, 255) - whole)
    if "background" in parts or rng.random() < 0.3:
        grain = rng.standard_normal(away.shape, dtype=np.float32) * np.float32(rng.uniform(0, 2))
        whole = whole + grain[..., None]
    picture = np.clip(whole, 0, 255).astype(np.uint8)
    if "bar" in parts:
        picture = _add_bar(rng, picture)
    return _write(rng, picture) if "text" in parts else picture


def _draw_surroundings(
    rng: np.random.Generator, parts: frozenset[str], away: _Pixels, retina: _Pixels, inside: NDArray[np.bool_]
) -> _Pixels:
    """Draws what lies outside the disc (H, W, 3)."""
    colour = np.clip(rng.normal(2, 3, 3), 0, 12)
    if "background" in parts:
        grey = rng.choice([20, 35, 60, 120, 200, 235, 255])
        colour = np.clip(grey * np.ones(3) + rng.normal(0, 4, 3), 0, 255)
        if rng.random() < 0.25:
            colour = any_colour(rng, 20, 255)
    height, width = away.shape
    surroundings: NDArray[np.floating] = np.broadcast_to(colour.astype(np.float32), (height, width, 3))
    if "background" in parts and rng.random() < 0.3:
        shade = 1 + rng.uniform(0.02, 0.2) * smooth_noise(rng, height, width, rng.uniform(10, 200))
        surroundings = surroundings * shade[..., None]
    if "glow" in parts and inside.any():
        light = np.exp(-np.maximum(away - 1, 0) / rng.uniform(0.02, 0.3)) * rng.uniform(0.03, 0.25)
        surroundings = surroundings + light[..., None] * np.median(retina[inside][::7], axis=0)
    return np.asarray(surroundings, np.float32)


def _cut_corners(rng: np.random.Generator, x: _Pixels, y: _Pixels) -> NDArray[np.bool_]:
    """Returns True (H, W) outside the mask of a camera: an octagon, a rounded rectangle, or other straight edges."""
    form = int(rng.integers(3))
    if form == 0:
        return np.asarray(np.abs(x) + np.abs(y) > rng.uniform(1.1, 1.3))
    if form == 1:
        across, down = rng.uniform(0.75, 1.0, 2)
        return np.asarray((np.abs(x) / across) ** 6 + (np.abs(y) / down) ** 6 > 1)
    outside = np.zeros(x.shape, bool)
    for _ in range(int(rng.integers(1, 4))):
        angle = rng.uniform(0, 2 * np.pi)
        outside |= x * np.cos(angle) + y * np.sin(angle) > rng.uniform(0.8, 0.97)
    return outside


def _cut_notch(
    rng: np.random.Generator,
    retina: _Pixels,
    share: NDArray[np.floating],
    x: _Pixels,
    y: _Pixels,
    inside: NDArray[np.bool_],
) -> tuple[_Pixels, _Pixels]:
    """Cuts a notch into the edge of the disc, or adds a tab outside it."""
    form, size = int(rng.integers(3)), rng.uniform(0.03, 0.1)
    angle = rng.integers(8) * np.pi / 4 + rng.normal(0, 0.1)
    along, beside = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    depth = 1 - along
    notch = (
        np.hypot(along - 1, beside) < size,
        (depth < size) & (np.abs(beside) < size - depth),
        (depth < size) & (np.abs(beside) < 0.8 * size),
    )[form]
    share = np.where(notch, 0, share).astype(np.float32)
    if rng.random() < 0.4 and inside.any():
        tab = (np.hypot(along - 1, beside) < size) & (x * x + y * y >= 1)
        retina, share = retina.copy(), np.where(tab, 1, share).astype(np.float32)
        retina[tab] = np.median(retina[inside][::7], axis=0)
    return retina, share


def _add_bar(rng: np.random.Generator, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Adds a bar of one colour, with or without text, at one side of the picture."""
    side, at_end = int(rng.integers(2)), bool(rng.random() < 0.5)
    length = max(4, round(picture.shape[side] * rng.uniform(0.03, 0.2)))
    shape = (length, picture.shape[1], 3) if side == 0 else (picture.shape[0], length, 3)
    bar = np.ascontiguousarray(np.broadcast_to(any_colour(rng, 0, 255).astype(np.uint8), shape))
    if rng.random() < 0.5:
        bar = _write(rng, bar)
    return np.concatenate([picture, bar] if at_end else [bar, picture], axis=side)


def _write(rng: np.random.Generator, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Writes a few words near the edges, and now and then draws a stamp."""
    picture = np.ascontiguousarray(picture)
    height, width = picture.shape[:2]
    for _ in range(int(rng.integers(1, 4))):
        size = rng.uniform(0.3, 0.9) * width / 500
        colour = _TEXT_COLOURS[int(rng.integers(len(_TEXT_COLOURS)))]
        place = int(rng.choice([0.02, 0.65, 0.35]) * width), int(rng.choice([0.04, 0.97, 0.09]) * height)
        font = FONTS[int(rng.integers(len(FONTS)))]
        cv2.putText(picture, words(rng), place, font, size, colour, 1, cv2.LINE_AA)
    if rng.random() < 0.3:
        stamp = [int(value) for value in rng.integers(0, 255, 3)]
        corners = (int(0.02 * width), int(0.02 * height)), (int(0.1 * width), int(0.08 * height))
        cv2.rectangle(picture, *corners, stamp, cv2.FILLED)
    return picture

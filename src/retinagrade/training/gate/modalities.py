"""Photographs of a fundus that aren't colour photographs: red-free, fluorescence and wide-field, all simulated."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.gate.names import MODALITIES
from retinagrade.training.gate.drawing import smooth_noise, store, to_pixels
from retinagrade.training.gate.fundus import draw_fundus
from retinagrade.training.gate.picture import Picture
from retinagrade.training.gate.retinas import RETINA_SIDE, Retina

_CLEAN: Final = 0.6
_INNER: Final = 0.8
"""Radius, in radii of the retina, within which a wide-field photograph shows it; the periphery is invented."""
_Pixels = NDArray[np.float32]


def draw_other_modality(rng: np.random.Generator, retina: Retina, modality: str) -> Picture:
    """Draws a photograph of another modality.

    Args:
        rng: Random number generator.
        retina: The retina.
        modality: ``red-free``, ``fluorescence`` or ``wide-field``.
    """
    assert modality in MODALITIES
    if modality == "wide-field":
        return Picture(store(rng, _wide_field(rng, retina)), modality, modality, frozenset({modality}), retina.image_id)
    picture = draw_fundus(rng, retina, is_clean=bool(rng.random() < _CLEAN))
    pixels = _red_free(rng, picture.pixels) if modality == "red-free" else _fluorescence(rng, picture.pixels)
    return replace(picture, pixels=pixels, modality=modality, kind=modality, families=picture.families | {modality})


def _red_free(rng: np.random.Generator, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    green = pixels[..., 1].astype(np.float32)
    low, high = np.quantile(green, [0.02, 0.995])
    grey = np.clip((green - low) / (high - low + 1) * rng.uniform(150, 240), 0, 255)
    tint = np.ones(3) if rng.random() < 0.75 else np.array([rng.uniform(0, 0.5), 1, rng.uniform(0, 0.5)])
    return to_pixels(grey[..., None] * tint)


def _fluorescence(rng: np.random.Generator, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Simulates autofluorescence (vessels and optic disc dark) or an angiogram (vessels bright)."""
    green = np.asarray(cv2.GaussianBlur(pixels[..., 1].astype(np.float32), (0, 0), 0.7), np.float32)
    inside = green > 8
    local = np.asarray(cv2.GaussianBlur(green, (0, 0), 18), np.float32) + 1
    if rng.random() < 0.5:
        relative = np.clip(green / local, 0, 1.25)
        folded = np.clip(np.where(relative > 1.15, 1.9 - relative, relative), 0, 1.2)
        grey = folded * rng.uniform(70, 150) * (0.6 + 0.4 * local / local.max())
    else:
        darker = np.clip(1 - green / local, -0.4, 0.6)
        grey = np.clip(60 + 400 * darker, 5, 255) * rng.uniform(0.6, 1.0)
    grey = grey * inside + rng.normal(0, rng.uniform(2, 8), grey.shape)
    return np.repeat(to_pixels(grey)[..., None], 3, 2)


def _wide_field(rng: np.random.Generator, retina: Retina) -> NDArray[np.uint8]:
    """Simulates a photograph of an ultra-wide-field camera: green and red, an ellipse between lids and lashes."""
    width = int(rng.integers(380, 520))
    height, radius = int(width * rng.uniform(0.72, 1.0)), rng.uniform(0.3, 0.5) * width / 2
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    middle = width * rng.uniform(0.42, 0.58), height * rng.uniform(0.42, 0.58)
    across, down = (columns - middle[0]) / radius, (rows - middle[1]) / radius
    away = np.hypot(across, down) + 1e-6
    shown = _show(rng, retina, across, down, away)
    periphery = _draw_periphery(rng, retina, shown, middle, radius)
    periphery *= (1 - 0.15 * np.clip(away - 1, 0, 2))[..., None]
    share = np.clip((_INNER - away) / 0.15 + 0.5, 0, 1)[..., None]
    whole = share * shown + (1 - share) * periphery
    red, green = whole[..., 0] * rng.uniform(0.5, 1.0), whole[..., 1]
    greener, bluer = (green * 1.2 + 10) * rng.uniform(0.8, 1.4), green * rng.uniform(0.02, 0.35)
    whole = _lids(rng, np.stack([red, greener, bluer], axis=2), rows, columns)
    return to_pixels(whole + rng.normal(0, 2, whole.shape))


def _show(rng: np.random.Generator, retina: Retina, across: _Pixels, down: _Pixels, away: _Pixels) -> _Pixels:
    """Shows the retina in the middle, and outside the ring around it folded and twisted."""
    fold, twist = rng.uniform(0.25, 0.45), rng.normal(0, 0.3)
    beyond = np.maximum(away - _INNER, 0)
    shown_at = np.where(away < _INNER, away, np.abs(_INNER - beyond * fold))
    angle = np.arctan2(down, across) + beyond * twist
    half = RETINA_SIDE / 2
    column, row = ((shown_at * turn * half + half).astype(np.float32) for turn in (np.cos(angle), np.sin(angle)))
    return np.asarray(cv2.remap(retina.pixels, column, row, cv2.INTER_LINEAR), np.float32)


def _draw_periphery(
    rng: np.random.Generator, retina: Retina, shown: _Pixels, middle: tuple[float, float], radius: float
) -> _Pixels:
    height, width = shown.shape[:2]
    colour = retina.pixels[retina.inside][::7].mean(axis=0)
    grain = 0.07 * smooth_noise(rng, height, width, rng.uniform(3, 9)) + 0.08 * smooth_noise(rng, height, width, 30)
    periphery = (0.35 * cv2.GaussianBlur(shown, (0, 0), 14) + 0.65 * colour) * (1 + grain)[..., None]
    vessels = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(8, 22))):
        away = np.arange(0.8 * _INNER, 2.6, 0.1)
        angle = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.05, len(away)))
        points = np.array(middle) + radius * away[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        line = np.round(points * 8).astype(np.int32)
        cv2.polylines(vessels, [line], False, 1.0, int(rng.integers(1, 3)), cv2.LINE_AA, 3)
    soft = np.asarray(cv2.GaussianBlur(vessels, (0, 0), 0.8), np.float32)
    return np.asarray(periphery * (1 - rng.uniform(0.2, 0.45) * soft)[..., None], np.float32)


def _lids(rng: np.random.Generator, whole: NDArray[np.floating], rows: _Pixels, columns: _Pixels) -> _Pixels:
    height, width = rows.shape
    across = (columns - width / 2) / (width * rng.uniform(0.48, 0.6))
    down = (rows - height / 2) / (height * rng.uniform(0.46, 0.62))
    open_share = 1 / (1 + np.exp((across**2 + down**2 - 1) * rng.uniform(8, 40)))[..., None]
    skin = rng.uniform(0, (50, 60, 20)) * (0.6 + 0.4 * np.sin(columns / 7 + rows / 11))[..., None]
    picture = np.ascontiguousarray(whole * open_share + skin * (1 - open_share), np.float32)
    for _ in range(int(rng.integers(0, 25))):
        start, slope, bend = rng.uniform(0.1, 0.9) * width, rng.normal(0, 30), rng.normal(0, 15)
        way = np.linspace(0, 1, 8)
        points = np.stack([start + slope * way + bend * way**2, height * (1 - rng.uniform(0.1, 0.25) * way)], axis=1)
        colour = [float(value) for value in rng.uniform(0, 30, 3)]
        cv2.polylines(picture, [points.astype(np.int32)], False, colour, int(rng.integers(1, 4)), cv2.LINE_AA)
    return picture

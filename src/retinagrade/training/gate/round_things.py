"""Drawn pictures of round things that are no fundus: balls, fruit, eyes from outside, and discs with any texture."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.training.gate.drawing import any_colour, smooth_noise, to_pixels

_HUES: Final = np.array(
    [
        (230, 130, 25), (200, 40, 30), (180, 150, 90), (120, 120, 120), (90, 140, 60), (220, 200, 160), (150, 60, 30),
        (240, 180, 60), (60, 90, 170), (210, 170, 180),
    ],
    float,
)  # fmt: skip
_IRISES: Final = np.array([(110, 70, 40), (80, 110, 140), (70, 100, 60), (50, 35, 25)], float)
_BACKGROUNDS: Final = (0, 0, 0, 0, 5, 20, 120, 250)
_Pixels = NDArray[np.float32]


def draw_ball(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draws a ball under a lamp: an orange, a planet, a billiard ball."""
    height = int(rng.integers(260, 480))
    width, radius = int(height * rng.uniform(1, 1.6)), height * rng.uniform(0.25, 0.52)
    across, down = _grid(rng, height, width, radius)
    squared = across**2 + down**2
    depth = np.sqrt(np.clip(1 - squared, 0, 1))
    angle, tilt = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.9)
    light = depth * np.cos(tilt) + (across * np.cos(angle) + down * np.sin(angle)) * np.sin(tilt)
    light = np.clip(light, 0, 1) * rng.uniform(0.5, 1) + rng.uniform(0.1, 0.5)
    pores = smooth_noise(rng, height, width, np.exp(rng.uniform(0, np.log(25)))) * rng.uniform(0.01, 0.15)
    skin = pores + smooth_noise(rng, height, width, rng.uniform(20, 80)) * rng.uniform(0, 0.15)
    if rng.random() < 0.2:
        skin = skin + 0.1 * np.sin(down * rng.uniform(5, 30) + rng.uniform(0, 3) * skin)
    reflex = (across - rng.normal(0, 0.3)) ** 2 + (down - rng.normal(0, 0.3)) ** 2
    shine = rng.uniform(0, 0.6) * np.exp(-reflex / rng.uniform(0.003, 0.1))
    hue = _HUES[int(rng.integers(len(_HUES)))] * rng.uniform(0.6, 1.1, 3)
    ball = ((light * (1 + skin) + shine)[..., None] * hue) * np.clip((1 - np.sqrt(squared)) * radius, 0, 1)[..., None]
    picture = np.where((squared < 1)[..., None], ball, rng.choice(_BACKGROUNDS))
    if rng.random() < 0.15:
        ring = np.abs(squared - rng.uniform(0.3, 0.8)) < 0.05
        picture = np.where(ring[..., None], picture * 0.6, picture)
    return to_pixels(picture)


def draw_fruit(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draws a fruit that was cut through: rind, segments, a core, pips."""
    height = int(rng.integers(260, 460))
    width, radius = int(height * rng.uniform(1, 1.5)), height * rng.uniform(0.3, 0.5)
    across, down = _grid(rng, height, width, radius)
    away, angle = np.hypot(across, down), np.arctan2(down, across)
    edge = 1 + rng.uniform(0, 0.06) * np.sin(angle * rng.integers(1, 5) + rng.uniform(0, 6))
    flesh, rind = (_HUES[int(rng.integers(len(_HUES)))] * rng.uniform(0.7, 1.1, 3) for _ in range(2))
    grain = 1 + rng.uniform(0.02, 0.15) * smooth_noise(rng, height, width, rng.uniform(2, 20))
    picture = np.broadcast_to(flesh, (height, width, 3)) * grain[..., None]
    if (segments := int(rng.integers(0, 14))) > 2:
        walls = np.abs(np.sin(angle * segments / 2)) * away < rng.uniform(0.02, 0.08)
        picture = np.where(walls[..., None], 0.4 * picture + 0.6 * np.array([240, 225, 190]), picture)
    inner, core = rng.uniform(0.82, 0.97), rng.uniform(0, 0.25)
    picture = np.where((away > inner * edge)[..., None], rind, picture)
    picture = np.where((away < core)[..., None], any_colour(rng, 60, 240), picture)
    for _ in range(int(rng.integers(0, 12))):
        turn, out = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.7)
        pip = np.hypot(across - out * np.cos(turn), down - out * np.sin(turn)) < rng.uniform(0.02, 0.06)
        picture = np.where(pip[..., None], rng.uniform(10, 90) * np.array([1, 0.7, 0.4]), picture)
    shade = 1 - rng.uniform(0, 0.4) * np.clip(across * np.cos(1) + down * np.sin(1), -1, 1)
    picture = np.where((away < edge)[..., None], picture * shade[..., None], rng.choice(_BACKGROUNDS))
    return to_pixels(np.asarray(cv2.GaussianBlur(picture.astype(np.float32), (0, 0), rng.uniform(0.6, 2))))


def draw_rings(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draws concentric rings and spokes: a plate, a target, a coin, a lens, a wheel."""
    height = int(rng.integers(240, 440))
    width, radius = int(height * rng.uniform(1, 1.5)), height * rng.uniform(0.3, 0.5)
    across, down = _grid(rng, height, width, radius)
    away, angle = np.hypot(across, down), np.arctan2(down, across)
    picture = np.broadcast_to(any_colour(rng, 40, 255), (height, width, 3)).astype(float)
    for _ in range(int(rng.integers(1, 8))):
        inner = rng.uniform(0, 0.95)
        ring = (away > inner) & (away < inner + rng.uniform(0.02, 0.3))
        picture = np.where(ring[..., None], any_colour(rng, 20, 255), picture)
    if (spokes := int(rng.integers(0, 24))) > 2:
        line = np.abs(np.sin(angle * spokes / 2)) * away < rng.uniform(0.02, 0.1)
        picture = np.where((line & (away > rng.uniform(0, 0.4)))[..., None], any_colour(rng, 20, 255), picture)
    grain = 1 + rng.uniform(0, 0.2) * smooth_noise(rng, height, width, rng.uniform(2, 60))
    shade = 1 - rng.uniform(0, 0.6) * np.clip(across * np.cos(2) + down * np.sin(2), -1, 1)
    picture = np.where((away < 1)[..., None], picture * (grain * shade)[..., None], rng.choice(_BACKGROUNDS))
    return to_pixels(np.asarray(cv2.GaussianBlur(picture.astype(np.float32), (0, 0), rng.uniform(0.6, 2))))


def draw_textured_disc(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draws a disc with any texture in any colours, often those of a fundus; the frame may cut it."""
    side = int(rng.integers(240, 420))
    hue = np.array([rng.uniform(120, 250), rng.uniform(50, 150), rng.uniform(5, 80)])
    base = hue if rng.random() < 0.65 else any_colour(rng, 60, 250)
    grey = np.ones((side, side), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        grey = grey + _texture(rng, side) * np.float32(rng.uniform(0.05, 0.35))
    picture = np.clip(grey, 0, 2)[..., None] * base
    if rng.random() < 0.3:
        other = any_colour(rng, 30, 255)
        share = np.clip(0.5 + 0.5 * _texture(rng, side), 0, 1)[..., None]
        picture = picture * (1 - share) + share * other
    pixels = to_pixels(picture)
    return put_on_disc(rng, shade_like_a_ball(rng, pixels) if rng.random() < 0.5 else pixels)


def draw_collage(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draws a scene of textures and shapes that fills the frame, sometimes in the colours of a fundus."""
    height, width = int(rng.integers(220, 420)), int(rng.integers(220, 500))
    side = max(height, width)
    hue = np.array([rng.uniform(120, 250), rng.uniform(50, 150), rng.uniform(5, 80)])
    is_like_fundus = rng.random() < 0.5
    picture = np.zeros((side, side, 3))
    for layer in range(int(rng.integers(1, 9))):
        shape = np.ones((side, side), np.float32)
        if layer:
            shape = np.zeros((side, side), np.float32)
            middle, corners = rng.uniform(0, side, 2), int(rng.integers(3, 12))
            turns = np.sort(rng.uniform(0, 2 * np.pi, corners))
            out = side * rng.uniform(0.05, 0.45) * rng.uniform(0.5, 1, corners)
            points = middle + out[:, None] * np.stack([np.cos(turns), np.sin(turns)], axis=1)
            cv2.fillPoly(shape, [np.round(points * 8).astype(np.int32)], 1.0, cv2.LINE_AA, 3)
        colour = hue * rng.uniform(0.3, 1.2) if is_like_fundus else any_colour(rng, 20, 255)
        grain = 1 + rng.uniform(0, 0.5) * _texture(rng, side)
        picture += shape[..., None] * (grain[..., None] * colour - picture)
    pixels = to_pixels(np.asarray(cv2.GaussianBlur(picture.astype(np.float32), (0, 0), rng.uniform(0.4, 3))))
    return np.ascontiguousarray(pixels[:height, :width])


def shade_like_a_ball(rng: np.random.Generator, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lights the middle of a picture (H, W, 3) as if it were the surface of a ball."""
    height, width = pixels.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    radius = min(height, width) / 2
    across, down = (columns - width / 2) / radius, (rows - height / 2) / radius
    depth = np.sqrt(np.clip(1 - across**2 - down**2, 0, 1))
    angle, tilt = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.9)
    light = depth * np.cos(tilt) + (across * np.cos(angle) + down * np.sin(angle)) * np.sin(tilt)
    ambient = rng.uniform(0.1, 0.6)
    return to_pixels(pixels * (ambient + (1.2 - ambient) * np.clip(light, 0, 1))[..., None])


def draw_eye(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draws an eye from outside: skin, lids, sclera, iris, pupil, lashes, reflexes."""
    height = int(rng.integers(240, 420))
    width = int(height * rng.uniform(1, 1.6))
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    x, y = width / 2 + rng.normal(0, 0.06) * width, height / 2 + rng.normal(0, 0.05) * height
    red = rng.uniform(90, 230)
    skin = np.array([red, red * rng.uniform(0.6, 0.8), red * rng.uniform(0.45, 0.7)])
    picture = skin * (1 + 0.06 * smooth_noise(rng, height, width, rng.uniform(3, 20)))[..., None]
    wide, high = width * rng.uniform(0.3, 0.6), height * rng.uniform(0.16, 0.5)
    is_open = np.abs((columns - x) / wide) ** 2 + np.abs((rows - y) / high) ** rng.uniform(1.3, 2) < 1
    white = np.array([225, 215, 210]) * rng.uniform(0.7, 1)
    sclera = white * (1 + 0.03 * smooth_noise(rng, height, width, 8))[..., None]
    picture = np.where(is_open[..., None], sclera, picture)
    picture = _draw_iris(rng, picture, is_open, columns - x, rows - y)
    picture = np.asarray(cv2.GaussianBlur(picture.astype(np.float32), (0, 0), rng.uniform(0.8, 3)), np.float32)
    for _ in range(int(rng.integers(0, 60))):
        along = rng.uniform(-1, 1)
        start = x + along * wide, y - high * (1 - along * along)
        end = start[0] + along * 20 + rng.normal(0, 5), start[1] - rng.uniform(0.05, 0.15) * height
        points = [(int(each[0]), int(each[1])) for each in (start, end)]
        cv2.line(picture, points[0], points[1], (20, 15, 10), int(rng.integers(1, 3)), cv2.LINE_AA)
    pixels = to_pixels(picture * rng.uniform(0.6, 1.15) + rng.normal(0, 3, picture.shape))
    return put_on_disc(rng, pixels) if rng.random() < 0.15 else pixels


def put_on_disc(rng: np.random.Generator, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shows the middle of a picture on a disc with black around it, as a camera shows a fundus.

    Args:
        rng: Random number generator.
        pixels: RGB (H, W, 3), uint8.
    """
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[top : top + side, left : left + side]
    rows, columns = np.mgrid[:side, :side]
    away = np.hypot(columns - side / 2 + 0.5, rows - side / 2 + 0.5) / (side / 2)
    disc = square * np.clip((rng.uniform(0.93, 1) - away) * side / 4, 0, 1)[..., None]
    wide, high = int(side * rng.uniform(0, 0.25)), int(side * rng.uniform(0, 0.05))
    framed = np.pad(disc, ((high, high), (wide, wide), (0, 0)))
    if rng.random() < 0.3:
        cut = max(1, int(side * rng.uniform(0.02, 0.12)))
        framed = framed[cut:-cut, cut:-cut] if rng.random() < 0.4 else framed[cut:-cut]
    return np.ascontiguousarray(framed.astype(np.uint8))


def _draw_iris(
    rng: np.random.Generator, picture: NDArray[np.floating], is_open: NDArray[np.bool_], across: _Pixels, down: _Pixels
) -> NDArray[np.floating]:
    height = picture.shape[0]
    away, angle = np.hypot(across, down), np.arctan2(down, across)
    radius = height * rng.uniform(0.16, 0.34)
    pupil = radius * rng.uniform(0.2, 0.75)
    fibres = 1 + 0.25 * np.sin(angle * rng.integers(20, 60) + away / 5)
    iris = _IRISES[int(rng.integers(len(_IRISES)))] * (fibres * (1 - 0.4 * away / radius))[..., None]
    picture = np.where((is_open & (away < radius))[..., None], iris, picture)
    red_reflex = np.array([190, 70, 50]) if rng.random() < 0.35 else np.array([5, 5, 5])
    picture = np.where((is_open & (away < pupil))[..., None], red_reflex, picture)
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.normal(0, 0.4, 2) * radius
        spot = np.hypot(across - x, down - y) < height * rng.uniform(0.008, 0.03)
        picture = np.where(spot[..., None], 250, picture)
    return picture


def _grid(rng: np.random.Generator, height: int, width: int, radius: float) -> tuple[_Pixels, _Pixels]:
    """Returns x and y (height, width) in radii of a disc near the middle."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    x, y = width / 2 + rng.normal(0, 0.05) * width, height / 2 + rng.normal(0, 0.03) * height
    return (columns - np.float32(x)) / np.float32(radius), (rows - np.float32(y)) / np.float32(radius)


def _texture(rng: np.random.Generator, side: int) -> _Pixels:
    """Draws a texture (side, side) of mean about 0 and standard deviation about 1."""
    form = int(rng.integers(7))
    rows, columns = np.mgrid[:side, :side].astype(np.float32) / side - 0.5
    if form <= 1:
        return smooth_noise(rng, side, side, np.exp(rng.uniform(0, np.log(side / 3))))
    if form == 2:  # stripes, straight or bent
        angle, waves = rng.uniform(0, np.pi), rng.uniform(2, 40)
        bend = rng.uniform(0, 2) * smooth_noise(rng, side, side, side / 4)
        return np.asarray(np.sin(2 * np.pi * waves * (columns * np.cos(angle) + rows * np.sin(angle)) + bend))
    if form == 3:  # one or several glows
        glow = np.zeros((side, side), np.float32)
        for _ in range(int(rng.integers(1, 5))):
            x, y = rng.uniform(-0.4, 0.4, 2)
            glow += np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / rng.uniform(0.003, 0.1)).astype(np.float32)
        return np.asarray((glow - glow.mean()) / (glow.std() + 1e-6), np.float32)
    drawn = np.zeros((side, side), np.float32)
    for _ in range(int(rng.integers(4, 60))):
        value, start = float(rng.choice([-1.0, 1.0])), rng.uniform(0, side, 2)
        if form == 4:  # spots
            place = int(start[0]), int(start[1])
            cv2.circle(drawn, place, int(rng.integers(1, max(2, side // 12))), value, cv2.FILLED, cv2.LINE_AA)
        elif form == 5:  # straight scratches and beams
            end = rng.uniform(0, side, 2)
            points = [(int(each[0]), int(each[1])) for each in (start, end)]
            cv2.line(drawn, points[0], points[1], value, int(rng.integers(1, 6)), cv2.LINE_AA)
        else:  # tiles
            size = rng.uniform(0.03, 0.3, 2) * side
            corner = int(start[0] + size[0]), int(start[1] + size[1])
            cv2.rectangle(drawn, (int(start[0]), int(start[1])), corner, value, cv2.FILLED)
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), rng.uniform(0.5, 5)), np.float32) * 2

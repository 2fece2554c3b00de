"""Drawn pictures of flat things: documents, screens, charts, scans and X-rays, and pictures of nothing."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.training.gate.drawing import FONTS, smooth_noise, to_pixels, words
from retinagrade.training.gate.round_things import put_on_disc

_Ink = list[int]


def draw_document(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draws a page of text, straight or askew."""
    height, width = int(rng.integers(280, 480)), int(rng.integers(220, 480))
    paper = rng.uniform(200, 255) * np.array([1, rng.uniform(0.93, 1), rng.uniform(0.8, 1)])
    page = np.ascontiguousarray(np.broadcast_to(paper, (height, width, 3)).astype(np.uint8))
    ink = [int(value) for value in rng.uniform(0, 90, 3)]
    _write_lines(rng, page, ink)
    if rng.random() < 0.4:
        lower = int(width * rng.uniform(0.4, 0.9)), int(height * rng.uniform(0.4, 0.7))
        cv2.rectangle(page, (int(width * 0.1), int(height * 0.3)), lower, ink, 1)
    if rng.random() < 0.3:
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.normal(0, 5), 1)
        table = tuple(int(value) for value in rng.integers(0, 80, 3))
        page = np.asarray(cv2.warpAffine(page, turn, (width, height), borderValue=table), np.uint8)
    return page if rng.random() < 0.9 else 255 - page


def draw_screen(rng: np.random.Generator, shown: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Draws a screenshot: windows, buttons, words, and in it a photograph or none.

    Args:
        rng: Random number generator.
        shown: RGB (H, W, 3) of the photograph in it.
    """
    height, width = int(rng.integers(260, 420)), int(rng.integers(340, 520))
    desk = rng.integers(200, 255, 3) if rng.random() < 0.5 else rng.integers(10, 70, 3)
    screen = np.ascontiguousarray(np.broadcast_to(desk.astype(np.uint8), (height, width, 3)))
    for _ in range(int(rng.integers(2, 9))):
        x, y = int(rng.integers(0, width - 30)), int(rng.integers(0, height - 20))
        corner = x + int(rng.integers(20, width // 2)), y + int(rng.integers(10, height // 2))
        cv2.rectangle(screen, (x, y), corner, _ink(rng), cv2.FILLED if rng.random() < 0.7 else 1)
    for _ in range(int(rng.integers(3, 20))):
        place = int(rng.integers(0, width - 40)), int(rng.integers(8, height))
        cv2.putText(screen, words(rng), place, FONTS[int(rng.integers(3))], rng.uniform(0.25, 0.5), _ink(rng), 1)
    cv2.rectangle(screen, (0, 0), (width, int(rng.integers(10, 26))), _ink(rng), cv2.FILLED)
    if shown is not None:
        part = shown[: height - 30, :width]
        y, x = int(rng.integers(26, max(27, height - len(part) + 1))), int(rng.integers(0, width - part.shape[1] + 1))
        part = part[: height - y]
        screen[y : y + len(part), x : x + part.shape[1]] = part
    return screen


def draw_chart(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draws a chart: bars, lines, points, a heat map, a pie."""
    height, width = int(rng.integers(260, 420)), int(rng.integers(300, 480))
    is_dark = bool(rng.random() < 0.3)
    ink = [220, 220, 220] if is_dark else [30, 30, 30]
    chart = np.full((height, width, 3), 15 if is_dark else 255, np.uint8)
    colours = [[int(value) for value in rng.integers(20, 240, 3)] for _ in range(8)]
    form = int(rng.integers(5))
    if form == 4:
        _draw_pie(rng, chart, colours)
        return chart
    cv2.line(chart, (40, 10), (40, height - 30), ink, 1)
    cv2.line(chart, (40, height - 30), (width - 10, height - 30), ink, 1)
    for tick in range(6):
        place = 8, 20 + tick * (height - 50) // 6
        cv2.putText(chart, str(int(rng.integers(0, 100))), place, FONTS[0], 0.3, ink, 1)
    if form == 0:
        for bar in range(7):
            x = 50 + bar * (width - 60) // 7
            top = int(rng.uniform(20, height - 40))
            cv2.rectangle(chart, (x, top), (x + (width - 60) // 10, height - 30), colours[bar], cv2.FILLED)
    elif form == 1:
        for line in range(4):
            values = np.clip(np.cumsum(rng.normal(0, 12, 40)) + height / 2, 10, height - 32)
            points = np.column_stack([np.linspace(42, width - 12, 40), values]).astype(np.int32)
            cv2.polylines(chart, [points], False, colours[line], int(rng.integers(1, 3)), cv2.LINE_AA)
    elif form == 2:
        for point in range(200):
            y = int(np.clip(rng.normal(height / 2, height / 6), 10, height - 32))
            place, size = (int(rng.uniform(45, width - 10)), y), int(rng.integers(1, 4))
            cv2.circle(chart, place, size, colours[point % 8], cv2.FILLED, cv2.LINE_AA)
    else:
        heat = smooth_noise(rng, height - 50, width - 60, 20)
        grey = ((heat - heat.min()) / np.ptp(heat) * 255).astype(np.uint8)
        chart[10 : height - 40, 45 : width - 15] = cv2.applyColorMap(grey, int(rng.integers(0, 12)))
    return chart


def draw_scan(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draws an optical coherence tomogram, or an X-ray."""
    height, width = int(rng.integers(240, 420)), int(rng.integers(300, 500))
    grey = _tomogram(rng, height, width) if rng.random() < 0.5 else _x_ray(rng, height, width)
    return np.repeat(to_pixels(grey)[..., None], 3, 2)


def draw_nothing(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draws noise, one colour, clouds, a gradient, waves or darkness; sometimes on a disc."""
    height, width, form = int(rng.integers(200, 420)), int(rng.integers(200, 480)), int(rng.integers(6))
    whole = np.ones((height, width, 3))
    if form == 0:
        values = rng.integers(0, 255, (height, width, 3)).astype(float)
    elif form == 1:
        values = whole * rng.uniform(0, 255, 3) + rng.normal(0, rng.uniform(0, 8), (height, width, 3))
    elif form == 2:
        clouds = [smooth_noise(rng, height, width, rng.uniform(2, 60)) for _ in range(3)]
        values = 128 + 60 * np.stack(clouds, axis=2) * rng.uniform(0.2, 1)
    elif form == 3:
        along = np.linspace(0, 1, width)[None, :, None]
        values = whole * (rng.uniform(0, 255, 3) * (1 - along) + rng.uniform(0, 255, 3) * along)
    elif form == 4:
        rows, columns = np.mgrid[:height, :width]
        waves = np.sin(columns / rng.uniform(1, 30) + rows / rng.uniform(1, 30))
        values = 127 + 120 * waves[..., None] * rng.uniform(0, 1, 3)
    else:
        values = whole * rng.uniform(0, 12) + rng.normal(0, 2, (height, width, 3))
    pixels = to_pixels(values)
    return put_on_disc(rng, pixels) if form in (0, 2, 4) and rng.random() < 0.3 else pixels


def _ink(rng: np.random.Generator) -> _Ink:
    return [int(value) for value in rng.integers(0, 255, 3)]


def _write_lines(rng: np.random.Generator, page: NDArray[np.uint8], ink: _Ink) -> None:
    height, width = page.shape[:2]
    size, y = rng.uniform(0.25, 0.6), 0.08 * height + 10
    while y < 0.95 * height - 4:
        if rng.random() < 0.9:
            line = " ".join(words(rng, int(rng.integers(2, 10))) for _ in range(12))
            fitting = line[: max(1, int(0.84 * width / (size * 18)))]
            font = FONTS[int(rng.integers(3))]
            cv2.putText(page, fitting, (int(0.08 * width), int(y)), font, size, ink, 1, cv2.LINE_AA)
        y += size * rng.uniform(24, 34)


def _draw_pie(rng: np.random.Generator, chart: NDArray[np.uint8], colours: list[_Ink]) -> None:
    height, width = chart.shape[:2]
    middle, start = (width // 2, height // 2), 0.0
    axes = (int(min(height, width) * rng.uniform(0.3, 0.48)),) * 2
    for colour in colours:
        end = min(360.0, start + rng.uniform(15, 80))
        cv2.ellipse(chart, middle, axes, 0, start, end, colour, cv2.FILLED)
        start = end
    if start < 360:
        cv2.ellipse(chart, middle, axes, 0, start, 360, colours[0], cv2.FILLED)


def _tomogram(rng: np.random.Generator, height: int, width: int) -> NDArray[np.floating]:
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    across = columns / width - 0.5
    pit = height * 0.1 * np.exp(-across * across / 0.01) * rng.uniform(0.3, 1.2)
    top = height * (0.4 + rng.normal(0, 0.05)) + height * 0.15 * across * rng.normal(0, 1) + pit
    top = top + 3 * smooth_noise(rng, height, width, 30)
    layers, depth = np.zeros((height, width), np.float32), 0.0
    for brightness in rng.uniform(0.2, 1, 7):
        thickness = height * rng.uniform(0.015, 0.05)
        layers[(rows > top + depth) & (rows < top + depth + thickness)] = brightness
        depth += thickness
    choroid = np.clip((rows - top - depth) / height * -1.5 + 0.35, 0, 0.4) * (rows > top + depth)
    whole = np.asarray(cv2.GaussianBlur(layers, (0, 0), 1.5), np.float32) + choroid
    return np.asarray(255 * np.clip(whole + 0.08, 0, 1) * rng.gamma(4, 0.25, (height, width)))


def _x_ray(rng: np.random.Generator, height: int, width: int) -> NDArray[np.floating]:
    grey = 40 + 30 * smooth_noise(rng, height, width, 60)
    for _ in range(int(rng.integers(3, 14))):
        bone = np.zeros((height, width), np.float32)
        ends = [(int(rng.uniform(0, width)), int(rng.uniform(0, height))) for _ in range(2)]
        cv2.line(bone, ends[0], ends[1], 1.0, int(rng.integers(8, 50)), cv2.LINE_AA)
        soft = np.asarray(cv2.GaussianBlur(bone, (0, 0), rng.uniform(2, 8)), np.float32)
        grey = grey + soft * np.float32(rng.uniform(30, 90))
    return np.asarray(grey + rng.normal(0, 5, grey.shape))

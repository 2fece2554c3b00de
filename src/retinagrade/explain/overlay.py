"""Overlays: heat drawn on a photograph at its own resolution, in the frame of the square that the network saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import simplejpeg
from PIL import Image, ImageDraw, ImageFont

from retinagrade.images.prepare import Square

_COVER: Final = 0.5
"""How much colour hides of the photograph where it is hottest: lesions must be seen through it."""
_BRIGHT: Final = 230
"""What the brightest hundredth of a red-free photograph is raised to, in grey levels."""
_QUANTILE: Final = 0.995
"""Where the colour scale ends: single pixels, as integrated gradients have, would leave all others dark."""
_MIDDLE: Final = 128
"""The grey under the colours of the scale, where photographs have their own."""
_INK: Final = (24, 24, 24)
_FINEST: Final = 64
"""Values a side that a drawn map has at most."""
_ON_PAGE: Final = 400
_QUALITY: Final = 90
_COLOURS: Final = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1].copy()
"""Matplotlib's viridis (256, 3), RGB uint8: rises evenly for any colour vision, and differs from a retina's orange."""


@dataclass(frozen=True)
class SquarePlacement:
    """Where the square that a network saw lies in a photograph, in widths of it; it may reach beyond it.

    Attributes:
        x: Its left edge.
        y: Its top edge.
        side: Its side.
    """

    x: float
    y: float
    side: float


WHOLE: Final = SquarePlacement(0, 0, 1)
"""A square photograph is itself what the network saw."""


def square_placement(field_of_view: dict[str, Any], square: Square) -> SquarePlacement:
    """The square that preparation made of a photograph.

    Args:
        field_of_view: As :class:`~retinagrade.datasets.prepare_file.PreparedFile` has it.
        square: How the field of view became a square.

    Example:
        >>> fov = {"x": 25, "y": 0, "width": 300, "height": 240, "decoded_width": 400, "decoded_height": 240}
        >>> place_of(fov, "pad")
        Place(x=0.0625, y=-0.075, side=0.75)
    """
    lengths = field_of_view["width"], field_of_view["height"]
    side = min(lengths) if square == "crop" else max(lengths)
    x, y = field_of_view["x"] + (lengths[0] - side) / 2, field_of_view["y"] + (lengths[1] - side) / 2
    width = field_of_view["decoded_width"]
    return SquarePlacement(x / width, y / width, side / width)


def project_map(heat: np.ndarray, place: SquarePlacement, height: int, width: int) -> np.ndarray:
    """A map of heat at a photograph's resolution, pixel by pixel; 0 outside the square that the network saw.

    Args:
        heat: Heat (h, w), float32, at least 0.
        place: Where its square lies in the photograph.
        height: The photograph's height in pixels.
        width: The photograph's width in pixels.

    Returns:
        Heat (height, width), float32, at least 0; enlarged by cubic interpolation.
    """
    x, y, side = round(place.x * width), round(place.y * width), max(1, round(place.side * width))
    shrinks = side < heat.shape[0]
    square = cv2.resize(heat, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    over = np.zeros((height, width), np.float32)
    top, left, bottom, right = max(0, y), max(0, x), min(height, y + side), min(width, x + side)
    over[top:bottom, left:right] = square[top - y : bottom - y, left - x : right - x].clip(0)
    return over


def smooth_for_display(heat: np.ndarray) -> np.ndarray:
    """A map (h, w) as it is drawn: one of single pixels as means around each, so that dust becomes density."""
    sigma = heat.shape[0] / _FINEST
    return cv2.GaussianBlur(heat, (0, 0), sigma) if sigma > 1 else heat


def scale_end(heat: np.ndarray) -> float:
    """The heat (h, w) at which the colour scale ends; 0 where there is none."""
    end = float(np.quantile(heat, _QUANTILE))
    return end if end > 0 else float(heat.max())


def overlay_map(photograph: np.ndarray, heat: np.ndarray, end: float) -> np.ndarray:
    """Heat in colour over the photograph's green channel in grey, and a line where half the scale is reached.

    Green shows vessels, haemorrhages and exudates best, as red-free photographs do, and heat on grey can't be taken for
    the retina's own orange.

    Args:
        photograph: RGB pixels (H, W, 3), uint8.
        heat: Heat (H, W), float32.
        end: Heat that has the scale's last colour, as :func:`scale_end` gives it.

    Returns:
        RGB pixels (H, W, 3), uint8.
    """
    green = photograph[..., 1]
    grey = green * np.float32(max(1.0, _BRIGHT / max(1.0, float(np.quantile(green, 0.99)))))
    level = np.minimum(heat / end, 1) if end > 0 else np.zeros_like(heat)
    drawn = _tinted(np.minimum(grey, 255), level)
    outlines, _ = cv2.findContours((level >= 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, outlines, -1, (255, 255, 255), max(1, photograph.shape[1] // 500), cv2.LINE_AA)
    return drawn


def _tinted(grey: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Grey (H, W), 0 to 255, under the colours of a level (H, W), 0 to 1, the higher the less of it showing through."""
    cover = (np.sqrt(level) * _COVER)[..., None]
    shades = _COLOURS[(level * 255).astype(np.uint8)]
    tinted: np.ndarray = (grey[..., None] * (1 - cover) + shades * cover).astype(np.uint8)
    return tinted


def add_colour_scale(picture: np.ndarray, end: float, says: str = "") -> np.ndarray:
    """A picture with the scale of its colours, and a line of text, in a strip below it.

    Args:
        picture: RGB pixels (H, W, 3), uint8; its pixels stay where they are.
        end: Where the scale ends.
        says: What the picture shows.

    Returns:
        RGB pixels (H + strip, W, 3), uint8.
    """
    width = picture.shape[1]
    letters = max(10, min(width // 55, 2 * width // len(says)) if says else width // 26)
    font = ImageFont.load_default(letters)
    strip = Image.new("RGB", (width, letters * (4 if says else 2)), "white")
    draw = ImageDraw.Draw(strip)
    margin, bar = letters // 2, width // 3
    levels = np.tile(np.linspace(0, 1, bar, dtype=np.float32), (letters, 1))
    strip.paste(Image.fromarray(_tinted(np.full_like(levels, _MIDDLE), levels)), (margin + letters, margin))
    draw.text((margin, margin), "0", _INK, font)
    about = f"{end:.3g} or more; line at half" if end > 0 else "no heat anywhere"
    draw.text((2 * margin + letters + bar, margin), about, _INK, font)
    if says:
        draw.text((margin, 2 * letters + margin // 2), says, _INK, font)
    return np.vstack([picture, np.asarray(strip)])


def grey_png(heat: np.ndarray, end: float) -> bytes:
    """A map of heat (H, W) as a grey PNG of 16 bits: 0 is none, 65535 the end of the scale and more."""
    level = np.minimum(heat / end, 1) if end > 0 else np.zeros_like(heat)
    grey = (level * 65535).round().astype(np.uint16)
    return cv2.imencode(".png", grey, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def page_thumbnail(photograph: np.ndarray) -> np.ndarray:
    """A photograph (H, W, 3) for a page: its width at most 400 px."""
    factor = _ON_PAGE / photograph.shape[1]
    if factor >= 1:
        return photograph
    size = _ON_PAGE, max(1, round(photograph.shape[0] * factor))
    return cv2.resize(photograph, size, interpolation=cv2.INTER_AREA)


def encode_jpeg(picture: np.ndarray) -> bytes:
    """RGB pixels (H, W, 3), uint8, as JPEG."""
    encoded: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), _QUALITY, colorspace="RGB")
    return encoded

"""Saliency overlays: maps drawn on a photograph at its own resolution."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from retinagrade.explanations.style import DrawingStyle
from retinagrade.images.own_pictures import mark_jpeg, mark_png

_COVER: Final = 0.5
"""Opacity of the colours at the end of the scale: lesions must stay visible through them."""
_BRIGHT: Final = 230
"""Grey level to which the 99th percentile of the green channel is raised."""
_QUANTILE: Final = 0.995
"""Quantile of a map at which the colour scale ends: a few large values, as integrated gradients have, would otherwise
make the rest dark."""
_MIDDLE: Final = 128
"""Grey level below the colours of the scale."""
_INK: Final = (24, 24, 24)
_FINEST: Final = 64
"""Largest number of distinguishable values per side of a drawn map."""
_ON_PAGE: Final = 400
_QUALITY: Final = 90


def smooth_for_display(saliency: NDArray[np.float32]) -> NDArray[np.float32]:
    """Smooths a map (h, w) of many single pixels, so that scattered pixels are drawn as a density."""
    sigma = saliency.shape[0] / _FINEST
    return np.asarray(cv2.GaussianBlur(saliency, (0, 0), sigma)) if sigma > 1 else saliency


def scale_maximum(saliency: NDArray[np.float32]) -> float:
    """Computes the saliency at which the colour scale of a map (h, w) ends; 0 for a map of zeros."""
    maximum = float(np.quantile(saliency, _QUANTILE))
    return maximum if maximum > 0 else float(saliency.max())


def draw_overlay(
    photograph: NDArray[np.uint8], saliency: NDArray[np.float32], maximum: float, style: DrawingStyle
) -> NDArray[np.uint8]:
    """Draws a saliency map in colour over the photograph's green channel in grey, with a line at half of the scale.

    The green channel shows vessels, haemorrhages and exudates best, like red-free photographs. Colours on grey can't be
    mistaken for the orange of the retina.

    Args:
        photograph: RGB pixels (H, W, 3).
        saliency: Saliency map (H, W).
        maximum: Saliency at the end of the colour scale, see :func:`scale_maximum`.
        style: The colours.

    Returns:
        RGB pixels (H, W, 3).
    """
    green = photograph[..., 1]
    grey = green * np.float32(max(1.0, _BRIGHT / max(1.0, float(np.quantile(green, 0.99)))))
    level = np.minimum(saliency / maximum, 1) if maximum > 0 else np.zeros_like(saliency)
    drawn = _tint(np.minimum(grey, 255), level, style)
    outlines, _ = cv2.findContours((level >= 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, outlines, -1, (255, 255, 255), max(1, photograph.shape[1] // 500), cv2.LINE_AA)
    return drawn


def _tint(grey: NDArray[np.floating], level: NDArray[np.floating], style: DrawingStyle) -> NDArray[np.uint8]:
    """Lays the colours of a level (H, W), 0 to 1, over grey (H, W), 0 to 255; higher levels are more opaque."""
    cover = (np.sqrt(level) * _COVER)[..., None]
    shades = style.colours[(level * 255).astype(np.uint8)]
    tinted: NDArray[np.uint8] = (grey[..., None] * (1 - cover) + shades * cover).astype(np.uint8)
    return tinted


def add_colour_scale(
    picture: NDArray[np.uint8], maximum: float, style: DrawingStyle, caption: str = ""
) -> NDArray[np.uint8]:
    """Adds a strip with the colour scale and a caption below a picture.

    Args:
        picture: RGB pixels (H, W, 3).
        maximum: Saliency at the end of the colour scale.
        style: The colours.
        caption: One line of text.

    Returns:
        RGB pixels (H + strip, W, 3).
    """
    width = picture.shape[1]
    letters = max(10, min(width // 55, 2 * width // len(caption)) if caption else width // 26)
    font = ImageFont.load_default(letters)
    strip = Image.new("RGB", (width, letters * (4 if caption else 2)), "white")
    draw = ImageDraw.Draw(strip)
    margin, bar = letters // 2, width // 3
    levels = np.tile(np.linspace(0, 1, bar, dtype=np.float32), (letters, 1))
    strip.paste(Image.fromarray(_tint(np.full_like(levels, _MIDDLE), levels, style)), (margin + letters, margin))
    draw.text((margin, margin), "0", _INK, font)
    label = f"{maximum:.3g} or more; line at half" if maximum > 0 else "0 everywhere"
    draw.text((2 * margin + letters + bar, margin), label, _INK, font)
    if caption:
        draw.text((margin, 2 * letters + margin // 2), caption, _INK, font)
    return np.vstack([picture, np.asarray(strip)])


def grey_png(saliency: NDArray[np.float32], maximum: float) -> bytes:
    """Encodes a saliency map (H, W) as a grey PNG of 16 bits; ``maximum`` and larger values become 65535."""
    level = np.minimum(saliency / maximum, 1) if maximum > 0 else np.zeros_like(saliency)
    grey = (level * 65535).round().astype(np.uint16)
    return mark_png(cv2.imencode(".png", grey, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())


def page_thumbnail(photograph: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrinks a photograph (H, W, 3) for a page to a width of at most 400 px."""
    factor = _ON_PAGE / photograph.shape[1]
    if factor >= 1:
        return photograph
    size = _ON_PAGE, max(1, round(photograph.shape[0] * factor))
    return np.asarray(cv2.resize(photograph, size, interpolation=cv2.INTER_AREA))


def encode_jpeg(picture: NDArray[np.uint8]) -> bytes:
    """Encodes RGB pixels (H, W, 3) as JPEG, marked as a picture of retinagrade's own."""
    return mark_jpeg(simplejpeg.encode_jpeg(np.ascontiguousarray(picture), _QUALITY, colorspace="RGB"))

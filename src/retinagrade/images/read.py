"""Reading photographs: really decoded, at the scale that is needed, in RGB."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from retinagrade.errors import ImageError

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"})
"""Suffixes of photographs, in lower case."""

_ORIENTATION: Final = 0x0112
_SMALLEST = 16
_HARMLESS = "extraneous bytes"


def read_photograph(path: Path, min_side: int | None = None) -> np.ndarray:
    """Decodes a photograph completely, or says why it can't be used.

    Args:
        path: A JPEG, PNG, TIFF, WebP or BMP file.
        min_side: The shorter side, in pixels, that is enough. JPEGs are then decoded at the smallest of libjpeg's
            scales that has it; other formats, and photographs that are smaller, come as they are.

    Returns:
        RGB pixels (H, W, 3), uint8, 0 to 255, turned upright as the EXIF orientation says.

    Raises:
        ImageError: Missing, empty, not a photograph, truncated, otherwise corrupt, or in a colour mode that has no
            one right conversion. The message names the file and what to do.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: can't be read ({error.strerror}): check the path and its permissions") from error
    if not data:
        raise ImageError(f"{path}: the file is empty: copy it again from its source")
    is_jpeg = data.startswith(b"\xff\xd8")
    pixels = _decode_jpeg(data, path, min_side) if is_jpeg else _decode_other(data, path)
    if min(pixels.shape[:2]) < _SMALLEST:
        raise ImageError(f"{path}: {pixels.shape[1]} × {pixels.shape[0]} pixels are no photograph: replace the file")
    return _upright(pixels, data) if is_jpeg else pixels


def _decode_jpeg(data: bytes, path: Path, min_side: int | None) -> np.ndarray:
    try:
        height, width, colourspace, _ = simplejpeg.decode_jpeg_header(data)
        if colourspace.upper() in ("CMYK", "YCCK"):
            return _decode_other(data, path)  # Pillow knows Adobe's inverted inks
        side = min_side or 0
        reduced = {"min_height": side, "min_width": side, "min_factor": 1} if side and min(height, width) > side else {}
        pixels: np.ndarray
        try:
            pixels = simplejpeg.decode_jpeg(data, "RGB", **reduced)
        except ValueError as error:
            if _HARMLESS not in str(error):
                raise
            pixels = simplejpeg.decode_jpeg(data, "RGB", strict=False, **reduced)
        return pixels
    except ValueError as error:
        raise ImageError(f"{path}: corrupt JPEG ({error}): copy it again from its source, or remove it") from error


def _decode_other(data: bytes, path: Path) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            upright = _turn(image, image.getexif().get(_ORIENTATION, 1))
            if upright.mode.startswith(("I", "F")):
                return _from_high_depth(np.asarray(upright), path)
            return np.asarray(upright.convert("RGB"))
    except UnidentifiedImageError:
        raise ImageError(f"{path}: not a photograph in any known format: remove it, or export it as PNG") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: refused, {error}") from None
    except (OSError, ValueError, SyntaxError) as error:  # Pillow's decoders raise all three for corrupt files
        raise ImageError(f"{path}: corrupt ({error}): copy it again from its source, or remove it") from error


def _from_high_depth(pixels: np.ndarray, path: Path) -> np.ndarray:
    if pixels.dtype == np.float32 or pixels.min() < 0 or pixels.max() > 0xFFFF:
        raise ImageError(f"{path}: its pixels are not 8 or 16-bit integers: export it as 8-bit RGB")
    return np.repeat((pixels >> 8).astype(np.uint8)[..., None], 3, axis=2)


def _upright(pixels: np.ndarray, data: bytes) -> np.ndarray:
    """Turns a decoded JPEG as its EXIF orientation says; simplejpeg leaves it as the sensor saw it."""
    with Image.open(io.BytesIO(data)) as header:
        orientation = header.getexif().get(_ORIENTATION, 1)
        if header.mode == "CMYK":  # Pillow has turned it already
            return pixels
    return pixels if orientation == 1 else np.asarray(_turn(Image.fromarray(pixels), orientation))


def _turn(image: Image.Image, orientation: int) -> Image.Image:
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image

"""Reading of photographs: complete decoding to RGB, at the needed scale."""

from __future__ import annotations

import ctypes
import io
import struct
import warnings
import zlib
from contextlib import suppress
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, _imaging
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from retinagrade.errors import ImageError
from retinagrade.images.decoding import (
    MAX_MEGAPIXELS,
    File,
    as_image_errors,
    decode_jpeg,
    jpeg_size,
    read_photograph_bytes,
    require_size,
)
from retinagrade.images.dicom import decode_dicom, dicom_size
from retinagrade.images.formats import DICOM, HEAD, JPEG, recognise_file

_PLAIN: Final = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LA", "PA", "RGBA"})
_EXIF, _HEADERS = b"Exif\0\0", 1 << 20
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _POLARITY, _ORIENTATION = 254, 256, 257, 258, 262, 274
_SHORT: Final = 3
_LYING: Final = (5, 6, 7, 8)
"""EXIF orientations whose pictures are stored on their side."""
_RUN_LENGTH: Final = (1, 2)
_MOST_RUN_LENGTH: Final = 25.0
"""Largest run-length BMP, in megapixels: Pillow decodes it in Python, and holds it several times."""
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_BAND: Final = 512
"""Rows of a photograph that are converted at a time."""


def read_photograph(
    path: File, min_side: int | None = None, *, max_megapixels: float = MAX_MEGAPIXELS
) -> NDArray[np.uint8]:
    """Decodes a photograph completely.

    The content of a file decides its format, not its name. Grey is repeated in all three channels, transparency is
    blended with black, and 16-bit values keep their high byte, whatever the range of values in one photograph.

    Args:
        path: A file of one picture: JPEG, JPEG 2000, PNG, TIFF, WebP, AVIF, GIF, BMP, or (with the extras ``heic`` and
            ``dicom``) HEIC or DICOM.
        min_side: Shorter side, in pixels, that is needed. JPEGs are decoded at the smallest scale of libjpeg that has
            this size; other formats and smaller photographs at full size.
        max_megapixels: Limit of width × height, in millions of pixels. It is checked before decoding.

    Returns:
        RGB pixels (H, W, 3), uint8, 0 to 255, turned upright by the EXIF orientation.

    Raises:
        ImageError: The file is missing, empty, not a photograph, truncated or otherwise corrupt, too large, has several
            pages, a format that this machine can't read, or a colour mode without a unique conversion to RGB. The
            message names the file and a remedy.
        ModuleNotFoundError: The file is DICOM, and pydicom isn't installed.
    """
    data = read_photograph_bytes(path)
    known = recognise_file(str(path), data[:HEAD])
    if known is DICOM:
        return decode_dicom(data, path, min_side, max_megapixels)
    if known is JPEG:
        pixels = decode_jpeg(data, path, min_side, max_megapixels)
        return _upright(pixels, _jpeg_orientation(data))
    return _decode_other(data, path, max_megapixels)


def photograph_size(path: File) -> tuple[int, int]:
    """Reads width and height, in pixels, from a photograph's header, before it is turned upright. Decodes no pixels.

    Raises:
        ImageError: The file is missing, empty, not a photograph, or has a corrupt header.
        ModuleNotFoundError: The file is DICOM, and pydicom isn't installed.
    """
    data = read_photograph_bytes(path)
    known = recognise_file(str(path), data[:HEAD])
    if known is DICOM:
        return dicom_size(data, path)
    if known is JPEG:
        return jpeg_size(data, path)
    opener = _opener(data, path)
    with as_image_errors(path, str(opener.format)), opener(io.BytesIO(data)) as image:
        if isinstance(image, TiffImageFile):  # Pillow gives the size of the upright picture
            return int(image.tag_v2[_WIDTH]), int(image.tag_v2[_HEIGHT])
        return image.size


def upright_size(path: File) -> tuple[int, int]:
    """Reads width and height, in pixels, of the picture that :func:`read_photograph` returns. Decodes no pixels.

    Raises:
        ImageError: As for :func:`photograph_size`.
        ModuleNotFoundError: The file is DICOM, and pydicom isn't installed.
    """
    width, height = photograph_size(path)
    data = read_photograph_bytes(path)
    known = recognise_file(str(path), data[:HEAD])
    if known is DICOM:
        return width, height
    if known is JPEG:
        orientation = _jpeg_orientation(data)
    else:
        opener = _opener(data, path)
        with as_image_errors(path, str(opener.format)), opener(io.BytesIO(data)) as image:
            orientation = _orientation(image)
    return (height, width) if orientation in _LYING else (width, height)


def _silence_libtiff() -> None:
    """Keeps lines of libtiff from standard error: a picture that it can't decode is an error of ours."""
    with suppress(OSError, AttributeError):  # Pillow may be built without libtiff, or hide its functions
        library = ctypes.CDLL(_imaging.__file__)
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)


_silence_libtiff()
# Pillow warns of damaged metadata while it decodes; filters change for the process, since threads share them.
warnings.filterwarnings("ignore", module=r"PIL\..*", category=UserWarning)


def _opener(data: bytes, path: File) -> type[ImageFile]:
    # Image.open has its own limit of size, which only a global variable changes.
    known = recognise_file(str(path), data[:HEAD])
    if known is None:
        raise ImageError(f"{path}: not a photograph in any known format: remove it, or export it as PNG")
    if known.opener is None:
        raise ImageError(f"{path}: {known.name}: {known.remedy}")
    try:
        return known.opener()
    except ModuleNotFoundError as error:
        missing = (
            "pillow-heif: pip install 'retinagrade[heic]'"
            if str(error.name).startswith("pillow_heif")
            else "a newer pillow"
        )
        raise ImageError(f"{path}: {known.name}: reading it needs {missing}, or export it as JPEG or PNG") from None


def _decode_other(data: bytes, path: File, max_megapixels: float) -> NDArray[np.uint8]:
    opener = _opener(data, path)
    with as_image_errors(path, str(opener.format)), opener(io.BytesIO(data)) as image:
        run_length = isinstance(image, BmpImageFile) and image.info.get("compression") in _RUN_LENGTH
        require_size(
            *image.size, path, min(max_megapixels, _MOST_RUN_LENGTH) if run_length else max_megapixels, len(data)
        )
        _require_one_picture(image, opener, data, path)
        if opener is PngImageFile:
            _require_checksums(data)
        image.load()
        pixels = _from_deep(image, path) if image.mode.startswith(("I", "F")) else _from_plain(image, path)
        return _upright(pixels, _orientation(image))


def _require_one_picture(image: ImageFile, opener: type[ImageFile], data: bytes, path: File) -> None:
    """Refuses files of several pictures. To count all pages of a TIFF or GIF takes a time that grows with them."""
    if opener in (TiffImageFile, GifImageFile):
        with opener(io.BytesIO(data)) as second, suppress(EOFError):
            second.seek(1)
            raise ImageError(f"{path}: has several pages or frames: export the one that is the photograph")
    elif getattr(image, "n_frames", 1) > 1:
        raise ImageError(f"{path}: has several pages or frames: export the one that is the photograph")
    if isinstance(image, TiffImageFile) and int(image.tag_v2.get(_SUBFILE, 0)) & 1:
        raise ImageError(
            f"{path}: a small copy of another picture, as in a camera's raw file: export it as JPEG or PNG"
        )


def _require_checksums(png: bytes) -> None:
    """Raises a ValueError where a chunk of a PNG differs from its checksum: Pillow checks none of the pixels."""
    view, start = memoryview(png), len(_PNG)
    while start + 12 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, start)
        end = start + 8 + length
        if zlib.crc32(view[start + 4 : end]) != int.from_bytes(png[end : end + 4]):
            raise ValueError("a checksum is wrong")
        if kind == b"IEND":
            break
        start = end + 4


def _from_plain(image: Image.Image, path: File) -> NDArray[np.uint8]:
    if image.mode not in _PLAIN:
        raise ImageError(f"{path}: its colours are {image.mode}: export it as 8-bit RGB")
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    transparent = image.has_transparency_data
    for top in range(0, height, _BAND):  # in bands, because Pillow's copies take four bytes for each pixel
        band = image.crop((0, top, width, min(height, top + _BAND)))
        if transparent:
            black = Image.new("RGBA", band.size, "black")
            band = Image.alpha_composite(black, band.convert("RGBA"))
        pixels[top : top + _BAND] = np.asarray(band.convert("RGB"))
    return pixels


def _from_deep(image: Image.Image, path: File) -> NDArray[np.uint8]:
    """Converts grey values deeper than 8 bits to RGB. Pillow itself reduces 16-bit colours to their high bytes."""
    bits = _bits(image)
    values = np.asarray(image)
    if bits is None or values.min() < 0 or values.max() >= 1 << bits:
        raise ImageError(f"{path}: its pixels are not unsigned integers of 8, 12 or 16 bits: export it as 8-bit RGB")
    grey = (values >> (bits - 8)).astype(np.uint8)
    if isinstance(image, TiffImageFile) and image.tag_v2.get(_POLARITY) == 0:  # Pillow inverts 8-bit values only
        grey = 255 - grey
    return np.repeat(grey[..., None], 3, axis=2)


def _bits(image: Image.Image) -> int | None:
    """Returns the bits of a stored grey value; ``None`` where values aren't unsigned integers."""
    if isinstance(image, TiffImageFile):
        return int(image.tag_v2[_BITS][0]) if image.mode.startswith("I;16") else None
    return None if image.mode.startswith("F") else 16


def _jpeg_orientation(data: bytes) -> int:
    exif = data.find(_EXIF, 0, _HEADERS)
    if exif < 0 or not _names_orientation(data, exif + len(_EXIF)):
        return 1
    try:
        return _orientation(JpegImageFile(io.BytesIO(data)))
    except Exception:  # the header is corrupt, but the JPEG has been decoded strictly
        return 1


def _names_orientation(data: bytes, start: int) -> bool:
    """Whether the first EXIF directory has an orientation other than 1. Pillow takes twenty times as long."""
    order = "<" if data[start : start + 2] == b"II" else ">"
    try:
        directory = start + struct.unpack_from(f"{order}I", data, start + 4)[0]
        (count,) = struct.unpack_from(f"{order}H", data, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", data, entry)
            if tag == _ORIENTATION:
                return bool(kind != _SHORT or struct.unpack_from(f"{order}H", data, entry + 8)[0] != 1)
    except struct.error:
        return True  # corrupt: Pillow may still find an orientation
    return False


def _orientation(image: Image.Image) -> int:
    """Reads the EXIF orientation, 1 to 8; 1 where it is absent, or the EXIF block is unreadable."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow raises many types here, and many cameras write corrupt blocks
        return 1


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    if orientation not in turns:
        return pixels
    return np.array(Image.fromarray(pixels).transpose(turns[orientation]))

"""Reading of bytes, limits of size, and strict decoding of JPEG: the parts that all decoders share."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Final, Literal

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from retinagrade import paths
from retinagrade.errors import ImageError

MAX_MEGAPIXELS: Final = float(os.environ.get("RETINAGRADE_MAX_MEGAPIXELS", "200"))
"""Default limit of width × height, in millions of pixels. A photograph of 4288 × 2848 pixels has 12."""

_SMALLEST: Final = 16
_LFS_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_FRAME_HEADERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_LOSSLESS: Final = 0xC3
_HARMLESS = "extraneous bytes"
_LAYOUTS: Final = {"GRAY": "GRAY", "CMYK": "CMYK", "YCCK": "CMYK"}


@dataclass(frozen=True)
class InMemory:
    """The bytes of a file, which can be read instead of a path wherever a photograph is read.

    Attributes:
        name: Name of the file, for messages.
        data: Content of the file.
    """

    name: str
    data: bytes = field(repr=False)

    def __str__(self) -> str:
        """Returns the name."""
        return self.name

    @property
    def stem(self) -> str:
        """Name without folders and suffix."""
        return PurePath(self.name).stem

    @property
    def parent(self) -> PurePath:
        """Folder in the name."""
        return PurePath(self.name).parent

    def read_bytes(self) -> bytes:
        """Returns the content."""
        return self.data

    def open(self, mode: Literal["rb"]) -> io.BytesIO:
        """Opens a stream of the content."""
        return io.BytesIO(self.data)


File = Path | InMemory
"""A photograph's file: a path, or bytes in memory."""


def read_photograph_bytes(path: File) -> bytes:
    """Reads a whole file.

    Raises:
        ImageError: The file is missing, unreadable, empty, or a Git LFS pointer.
    """
    try:
        data = path.data if isinstance(path, InMemory) else paths.read_bytes(path)
    except (OSError, ValueError) as error:  # ValueError: an impossible file name
        raise unreadable_error(path, error) from error
    if not data:
        raise ImageError(f"{path}: the file is empty: copy it again from its source")
    if data.startswith(_LFS_POINTER):
        raise ImageError(f"{path}: is a Git LFS pointer, not the photograph: run `git lfs pull`")
    return data


def unreadable_error(path: File, error: Exception) -> ImageError:
    """Returns the error for a file that the system can't read."""
    reason = getattr(error, "strerror", None) or error
    return ImageError(f"{path}: can't be read ({reason}): check the path and its permissions")


@contextmanager
def as_image_errors(path: File, kind: str) -> Iterator[None]:
    """Turns any exception of a decoder into an :class:`ImageError`; decoders have no common base class for theirs.

    Args:
        path: The decoded file, for the message.
        kind: Name of the format, for the message.
    """
    try:
        yield
    except ImageError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path}: corrupt {kind} ({reason}): copy it again from its source, or remove it") from error


def require_size(width: int, height: int, path: File, max_megapixels: float) -> None:
    """Refuses photographs that are too small or too large. Call this before decoding.

    Args:
        width: Width in pixels, from the file's header.
        height: Height in pixels, from the file's header.
        path: The file, for the message.
        max_megapixels: The limit of width × height, in millions of pixels.

    Raises:
        ImageError: The shorter side is below 16 pixels, or the area above the limit.
    """
    if min(width, height) < _SMALLEST:
        raise ImageError(f"{path}: {width} × {height} pixels are no photograph: replace the file")
    if width * height > max_megapixels * 1e6:
        raise ImageError(
            f"{path}: {width} × {height} pixels are {width * height / 1e6:.1f} megapixels, more than the limit of "
            f"{max_megapixels:g}: replace the file, or shrink it, or set RETINAGRADE_MAX_MEGAPIXELS"
        )


def decode_jpeg(
    data: bytes, path: File, min_side: int | None = None, max_megapixels: float = MAX_MEGAPIXELS
) -> NDArray[np.uint8]:
    """Decodes a JPEG, lossy or lossless, and treats each warning of libjpeg as an error.

    Args:
        data: Content of the JPEG file.
        path: The file, for messages.
        min_side: Shorter side, in pixels, that is needed; ``None`` decodes at full size.
        max_megapixels: The limit of width × height, in millions of pixels.

    Returns:
        RGB pixels (H, W, 3), uint8, as stored: the EXIF orientation is not applied.

    Raises:
        ImageError: The JPEG is corrupt, too small or too large.
    """
    with as_image_errors(path, "JPEG"):
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        require_size(width, height, path, max_megapixels)
        # libjpeg can't scale lossless JPEGs, and simplejpeg would write past the end of its smaller buffer.
        scales = min_side is not None and 0 < min_side < min(height, width) and not is_lossless(data)
        reduced = {"min_height": min_side, "min_width": min_side, "min_factor": 1} if scales else {}
        layout = _LAYOUTS.get(colours.upper(), "RGB")
        try:
            pixels = simplejpeg.decode_jpeg(data, layout, **reduced)
        except ValueError as error:
            if _HARMLESS not in str(error):
                raise
            pixels = simplejpeg.decode_jpeg(data, layout, strict=False, **reduced)
        if layout == "CMYK":
            return _from_inks(pixels)
        return np.repeat(pixels, 3, axis=2) if layout == "GRAY" else pixels


def jpeg_size(data: bytes, path: File) -> tuple[int, int]:
    """Reads width and height of a JPEG, in pixels, from its header.

    Raises:
        ImageError: The header is corrupt.
    """
    with as_image_errors(path, "JPEG"):
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        return width, height


def is_lossless(jpeg: bytes) -> bool:
    """Whether a JPEG uses the lossless process (ITU T.81 B.1.1.3). Also true where its markers are corrupt."""
    position = 2
    while position + 3 < len(jpeg) and jpeg[position] == 0xFF:
        marker = jpeg[position + 1]
        if marker in _FRAME_HEADERS:
            return marker == _LOSSLESS
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker in _WITHOUT_LENGTH:
            position += 2
        else:
            position += 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
    return True


def _from_inks(inks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Converts the inks of a CMYK JPEG to RGB. They are stored inverted, by Adobe's convention."""
    size = inks.shape[1], inks.shape[0]
    return np.array(Image.frombytes("CMYK", size, (255 - inks).tobytes()).convert("RGB"))

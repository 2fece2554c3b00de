"""What every decoder shares: bytes of files, limits of size, and JPEGs, decoded strictly."""

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
from PIL import Image

from retinagrade import paths as places
from retinagrade.errors import ImageError

MAX_MEGAPIXELS: Final = float(os.environ.get("RETINAGRADE_MAX_MEGAPIXELS", "200"))
"""What a photograph may have unless the caller or the environment say otherwise; 4288 × 2848 pixels are 12."""

_SMALLEST: Final = 16
_LFS_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_FRAME_HEADERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_LOSSLESS: Final = 0xC3
_HARMLESS = "extraneous bytes"
_LAYOUTS: Final = {"GRAY": "GRAY", "CMYK": "CMYK", "YCCK": "CMYK"}


@dataclass(frozen=True)
class InMemory:
    """A file that was never on a disk; it stands in for a path wherever a photograph is read.

    Attributes:
        name: What messages call it.
        data: What it holds.
    """

    name: str
    data: bytes = field(repr=False)

    def __str__(self) -> str:
        """Its name, as a path says its own."""
        return self.name

    @property
    def stem(self) -> str:
        """Its name without folders and suffix."""
        return PurePath(self.name).stem

    @property
    def parent(self) -> PurePath:
        """The folder that its name says."""
        return PurePath(self.name).parent

    def read_bytes(self) -> bytes:
        """All of it."""
        return self.data

    def open(self, mode: Literal["rb"]) -> io.BytesIO:
        """A stream of it."""
        return io.BytesIO(self.data)


File = Path | InMemory
"""Where a photograph's bytes are."""


def read_photograph_bytes(path: File) -> bytes:
    """Reads a file whole.

    Raises:
        ImageError: Missing, not readable, empty, or a Git LFS pointer in place of the file.
    """
    try:
        data = path.data if isinstance(path, InMemory) else places.read_bytes(path)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise unreadable_error(path, error) from error
    if not data:
        raise ImageError(f"{path}: the file is empty: copy it again from its source")
    if data.startswith(_LFS_POINTER):
        raise ImageError(f"{path}: is a Git LFS pointer, not the photograph: run `git lfs pull`")
    return data


def unreadable_error(path: File, error: Exception) -> ImageError:
    """The error for a file that the system refuses to give."""
    reason = getattr(error, "strerror", None) or error
    return ImageError(f"{path}: can't be read ({reason}): check the path and its permissions")


@contextmanager
def as_image_errors(path: File, kind: str) -> Iterator[None]:
    """Turns whatever a decoder raises for corrupt bytes into an :class:`ImageError`; there is no narrower base.

    Args:
        path: The file that is decoded, for the message.
        kind: Its format, for the message.
    """
    try:
        yield
    except ImageError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path}: corrupt {kind} ({reason}): copy it again from its source, or remove it") from error


def require_size(width: int, height: int, path: File, max_megapixels: float) -> None:
    """Demands that a picture be neither a stamp nor a bomb. To be called before it is decoded.

    Args:
        width: In pixels, as the file's header says.
        height: Likewise.
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
) -> np.ndarray:
    """Decodes a JPEG, lossy or lossless, and refuses whatever libjpeg only warns of.

    Args:
        data: The JPEG.
        path: Its file, for messages.
        min_side: The shorter side, in pixels, that is enough; ``None`` for all there is.
        max_megapixels: The limit of width × height, in millions of pixels.

    Returns:
        RGB pixels (H, W, 3), uint8, as they are stored: the EXIF orientation is not applied.

    Raises:
        ImageError: Corrupt in any way, too small or too large.
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
    """Width and height of a JPEG in pixels, from its header.

    Raises:
        ImageError: The header is corrupt.
    """
    with as_image_errors(path, "JPEG"):
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        return width, height


def is_lossless(jpeg: bytes) -> bool:
    """Whether a JPEG is of the lossless process (ITU T.81 B.1.1.3); where its markers make no sense, it might be."""
    place = 2
    while place + 3 < len(jpeg) and jpeg[place] == 0xFF:
        marker = jpeg[place + 1]
        if marker in _FRAME_HEADERS:
            return marker == _LOSSLESS
        if marker == 0xFF:  # a fill byte
            place += 1
        else:
            place += 2 if marker in _WITHOUT_LENGTH else 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
    return True


def _from_inks(inks: np.ndarray) -> np.ndarray:
    """RGB of a CMYK JPEG, whose inks stand inverted, as Adobe has them."""
    size = inks.shape[1], inks.shape[0]
    return np.array(Image.frombytes("CMYK", size, (255 - inks).tobytes()).convert("RGB"))

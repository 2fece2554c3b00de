"""Reading of bytes, limits of size, and strict decoding of JPEG: the parts that all decoders share."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import BinaryIO, Final, Literal

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from retinagrade.errors import ImageError
from retinagrade.images.jpeg_stream import count_scans, is_lossless, is_whole
from retinagrade.storage import paths
from retinagrade.storage.environment import environment_number

MAX_MEGAPIXELS: Final = environment_number("RETINAGRADE_MAX_MEGAPIXELS", 150)
"""Default limit of width × height, in millions of pixels. A photograph of 4288 × 2848 pixels has 12."""

MAX_BYTES: Final = 1 << 29
"""Limit of the size of a photograph's file, in bytes."""
_SMALLEST: Final = 16
_LONGEST: Final = 16
"""Ratio of the sides up to which a picture may be a photograph."""
_LARGE: Final = 25e6
_PIXELS_A_BYTE: Final = 250
"""Pixels for each byte of a file, above which a large picture is no photograph: it is nearly one colour."""
_MOST_SCANS: Final = 100
_MOST_SCANNED: Final = 1000.0
"""Scans of a JPEG times its megapixels: the work of decoding it."""
_LFS_POINTER: Final = b"version https://git-lfs.github.com/spec/"
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


def read_file_bytes(path: File) -> bytes:
    """Reads a whole file, which may be empty.

    Raises:
        ImageError: The file is missing, unreadable, no regular file, or larger than :data:`MAX_BYTES`.
    """
    if isinstance(path, InMemory):
        return path.data
    try:
        return paths.read_bytes(path, MAX_BYTES)
    except (OSError, ValueError) as error:  # ValueError: an impossible file name
        if getattr(error, "errno", None) == errno.EFBIG:
            raise ImageError(f"{path}: the file is {error.args[1]}: replace it, or shrink the photograph") from None
        raise unreadable_error(path, error) from error


def read_photograph_bytes(path: File) -> bytes:
    """Reads a whole file that may hold a photograph.

    Raises:
        ImageError: The file is missing, unreadable, no regular file, too large, empty, or a Git LFS pointer.
    """
    data = read_file_bytes(path)
    if not data:
        raise ImageError(f"{path}: the file is empty: copy it again from its source")
    if data.startswith(_LFS_POINTER):
        raise ImageError(f"{path}: is a Git LFS pointer, not the photograph: run `git lfs pull`")
    return data


def open_file(path: File) -> BinaryIO:
    """Opens a file as a stream of bytes.

    Raises:
        OSError: The file is missing, unreadable, or no regular file.
        ValueError: The path can't be one of a file.
    """
    return io.BytesIO(path.data) if isinstance(path, InMemory) else paths.open_regular(path)


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
    except (MemoryError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path}: too large for the memory of this machine: replace the file, or shrink it") from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path}: corrupt {kind} ({reason}): copy it again from its source, or remove it") from error


@contextmanager
def as_photograph_errors(path: File | str) -> Iterator[None]:
    """Turns an unexpected exception about one photograph into an :class:`ImageError`, so that it ends no batch.

    Args:
        path: The photograph, for the message.
    """
    try:
        yield
    except (ImageError, ModuleNotFoundError):
        raise
    except MemoryError as error:
        raise ImageError(f"{path}: too large for the memory of this machine: replace the file, or shrink it") from error
    except Exception as error:
        reason = " ".join(str(error).split()) or "no reason"
        raise ImageError(
            f"{path}: can't be measured ({type(error).__name__}: {reason}): leave it out, and report the message"
        ) from error


def require_size(width: int, height: int, path: File, max_megapixels: float, size: int | None = None) -> None:
    """Refuses photographs that are too small, too long or too large. Call this before decoding.

    Args:
        width: Width in pixels, from the file's header.
        height: Height in pixels, from the file's header.
        path: The file, for the message.
        max_megapixels: The limit of width × height, in millions of pixels.
        size: Size of the encoded picture, in bytes; ``None`` where its format can't promise many pixels in few bytes.

    Raises:
        ImageError: The shorter side is below 16 pixels, or the longer side above 16 times as long; the area is above
            the limit; or a large picture has too few bytes for a photograph of its area.
    """
    if min(width, height) < _SMALLEST or max(width, height) > _LONGEST * min(width, height):
        raise ImageError(f"{path}: {width} × {height} pixels are no photograph: replace the file")
    if width * height > max_megapixels * 1e6:
        raise ImageError(
            f"{path}: {width} × {height} pixels are {width * height / 1e6:.1f} megapixels, more than the limit of "
            f"{max_megapixels:g}: replace the file, or shrink it, or set RETINAGRADE_MAX_MEGAPIXELS"
        )
    if size is not None and width * height > max(_LARGE, _PIXELS_A_BYTE * size):
        raise ImageError(
            f"{path}: {width} × {height} pixels in {size} bytes are too large for a photograph: replace the file, or "
            "shrink it"
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
        require_size(width, height, path, max_megapixels, len(data))
        _require_few_scans(data, width * height / 1e6, path)
        # libjpeg can't scale lossless JPEGs, and simplejpeg would write past the end of its smaller buffer.
        scales = min_side is not None and 0 < min_side < min(height, width) and not is_lossless(data)
        reduced = {"min_height": min_side, "min_width": min_side, "min_factor": 1} if scales else {}
        layout = _LAYOUTS.get(colours.upper(), "RGB")
        try:
            pixels = simplejpeg.decode_jpeg(data, layout, **reduced)
        except ValueError as error:
            if not is_whole(data, str(error)):
                raise
            pixels = simplejpeg.decode_jpeg(data, layout, strict=False, **reduced)
        if layout == "CMYK":
            return _from_inks(pixels)
        return np.repeat(pixels, 3, axis=2) if layout == "GRAY" else pixels


def _require_few_scans(jpeg: bytes, megapixels: float, path: File) -> None:
    """Refuses a JPEG whose scans take minutes: each scan may change all pixels."""
    most = int(min(_MOST_SCANS, max(3.0, _MOST_SCANNED / megapixels)))
    if count_scans(jpeg, most + 1) > most:
        raise ImageError(f"{path}: more than {most} scans of {megapixels:.1f} megapixels: export it as a plain JPEG")


def jpeg_size(data: bytes, path: File) -> tuple[int, int]:
    """Reads width and height of a JPEG, in pixels, from its header.

    Raises:
        ImageError: The header is corrupt.
    """
    with as_image_errors(path, "JPEG"):
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        return width, height


def _from_inks(inks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Converts the inks of a CMYK JPEG to RGB. They are stored inverted, by Adobe's convention."""
    size = inks.shape[1], inks.shape[0]
    return np.array(Image.frombytes("CMYK", size, (255 - inks).tobytes()).convert("RGB"))

"""Formats of pictures, recognised by the first bytes of a file, and the decoders that read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, TypeVar

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

PHOTOGRAPH_SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jp2", ".j2k", ".jpf", ".jpx", ".png", ".tif", ".tiff", ".webp"}
    | {".bmp", ".dib", ".gif", ".avif", ".heic", ".heif", ".hif", ".dcm", ".dicom"}
)
"""Suffixes of photographs that are read, in lower case."""
HEAD: Final = 512
"""Number of bytes at the beginning of a file that identify its format."""

AnyPath = TypeVar("AnyPath", bound=PurePath)
_DICOM: Final = b"DICM"
_BARE_DICOM: Final = b"\x02\x00\x00\x00UL"  # the first element of a file without a preamble
_BMP_HEADERS: Final = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_EXPORT: Final = "export it as JPEG, PNG or TIFF"
_UNPACK: Final = "unpack it"


@dataclass(frozen=True)
class Format:
    """A format of files that hold photographs, or may hold them.

    Attributes:
        name: Name with its article, such as ``a GIF``.
        opener: Returns Pillow's class for files of this format; ``None`` where retinagrade has a decoder of its own, or
            doesn't read the format.
        remedy: Advice for a format that isn't read; ``None`` for one that is.
    """

    name: str
    opener: Callable[[], type[ImageFile]] | None = None
    remedy: str | None = None


def _avif() -> type[ImageFile]:
    from PIL import features
    from PIL.AvifImagePlugin import AvifImageFile

    if not features.check("avif"):
        raise ModuleNotFoundError("this Pillow has no AVIF decoder", name="pillow")
    return AvifImageFile


def _heic() -> type[ImageFile]:
    from pillow_heif.as_plugin import HeifImageFile

    opener: type[ImageFile] = HeifImageFile
    return opener


JPEG: Final = Format("a JPEG")
DICOM: Final = Format("a DICOM file")
_PNG: Final = Format("a PNG", lambda: PngImageFile)
_TIFF: Final = Format("a TIFF", lambda: TiffImageFile)
_WEBP: Final = Format("a WebP picture", lambda: WebPImageFile)
_BMP: Final = Format("a BMP", lambda: BmpImageFile)
_GIF: Final = Format("a GIF", lambda: GifImageFile)
_JPEG_2000: Final = Format("a JPEG 2000 picture", lambda: Jpeg2KImageFile)
_AVIF: Final = Format("an AVIF picture", _avif)
_HEIC: Final = Format("a HEIC picture", _heic)
_RAW: Final = Format("a camera's raw picture", remedy=_EXPORT)
_JPEG_XL: Final = Format("a JPEG XL picture", remedy=_EXPORT)
_OTHER_PICTURE: Final = Format("a picture in a format that isn't read", remedy=_EXPORT)
_COMPRESSED: Final = Format("a compressed file", remedy=_UNPACK)
_ARCHIVE: Final = Format("an archive", remedy=_UNPACK)

_MAGIC: Final[dict[bytes, Format]] = {
    b"\xff\xd8": JPEG,
    b"\x89PNG\r\n\x1a\n": _PNG,
    b"GIF87a": _GIF,
    b"GIF89a": _GIF,
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": _JPEG_2000,
    b"\xff\x4f\xff\x51": _JPEG_2000,
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": _JPEG_XL,
    b"8BPS": _OTHER_PICTURE,  # Photoshop
    b"FUJIFILMCCD-RAW": _RAW,
    b"IIU\0": _RAW,  # Panasonic
    b"IIRO": _RAW,  # Olympus
    b"IIRS": _RAW,
    b"\x1f\x8b": _COMPRESSED,
    b"BZh": _COMPRESSED,
    b"\xfd7zXZ\0": _COMPRESSED,
    b"\x28\xb5\x2f\xfd": _COMPRESSED,
    b"7z\xbc\xaf\x27\x1c": _ARCHIVE,
    b"Rar!\x1a\x07": _ARCHIVE,
}
_TIFF_MAGIC: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_RAW_SUFFIXES: Final = (
    ".3fr .arw .cr2 .cr3 .crw .dng .erf .iiq .kdc .mrw .nef .nrw .orf .pef .raf .raw .rw2 .rwl .sr2 .srf .srw .x3f"
)
_OTHER_SUFFIXES: Final = (
    ".psd .psb .pcx .tga .ppm .pgm .pnm .pbm .exr .jxr .wdp .hdp .jls .qoi .xcf .sgi .ras .e2e .fda .fds .vol .oct .ima"
)
_SUFFIXES: Final[dict[str, Format]] = {
    **dict.fromkeys(_RAW_SUFFIXES.split(), _RAW),
    ".jxl": _JPEG_XL,
    **dict.fromkeys(_OTHER_SUFFIXES.split(), _OTHER_PICTURE),
    **dict.fromkeys((".gz", ".bz2", ".xz", ".zst", ".lz4", ".z"), _COMPRESSED),
    **dict.fromkeys((".zip", ".7z", ".rar", ".tar", ".tgz", ".tbz2", ".txz"), _ARCHIVE),
}
"""Suffixes of formats that aren't read; some of these formats begin like others, or with no bytes of their own."""
_TABLES: Final = frozenset({".csv", ".json", ".jsonl", ".md", ".sql", ".tsv", ".txt", ".xml", ".yaml", ".yml"})


def recognise(head: bytes) -> Format | None:
    """Recognises a format that photographs may have by the first :data:`HEAD` bytes of a file; else ``None``."""
    if is_dicom(head):
        return DICOM
    for magic, known in _MAGIC.items():
        if head.startswith(magic):
            return known
    if head.startswith(_TIFF_MAGIC):
        return _RAW if head[8:10] == b"CR" else _TIFF  # Canon's raw pictures are TIFF with a mark
    if head.startswith(b"RIFF") and b"WEBP".startswith(head[8:12]):  # a damaged file may end here
        return _WEBP
    if head.startswith(b"BM") and (len(head) < 18 or int.from_bytes(head[14:18], "little") in _BMP_HEADERS):
        return _BMP
    if head[4:8] == b"ftyp":
        return _recognise_brand(head)
    return _ARCHIVE if head[257:262] == b"ustar" else None


def recognise_file(name: str, head: bytes) -> Format | None:
    """Recognises a format that photographs may have by the first bytes of a file and by its name; else ``None``.

    The bytes decide, except for compressed tables, which hold no photographs, and for raw pictures, many of which are
    TIFFs of a small copy.
    """
    by_content, by_suffix = recognise(head), recognise_suffix(name)
    if by_content is _COMPRESSED:
        return None if PurePath(name).with_suffix("").suffix.lower() in _TABLES else by_content
    is_raw = by_suffix is _RAW and by_content is _TIFF
    return by_content if by_content is not None and not is_raw else by_suffix


def recognise_suffix(name: str) -> Format | None:
    """Recognises a format that isn't read by the suffix of a file's name; ``None`` for all other names."""
    return _SUFFIXES.get(PurePath(name).suffix.lower())


def is_dicom(head: bytes) -> bool:
    """Whether bytes begin like a DICOM file; 132 bytes are enough."""
    return head[128:132] == _DICOM or head.startswith(_BARE_DICOM)


def without_photograph_suffix(path: AnyPath) -> AnyPath:
    """Removes the suffix of a photograph, and no other: the last part of a UID is no suffix."""
    return path.with_suffix("") if path.suffix.lower() in PHOTOGRAPH_SUFFIXES else path


def _recognise_brand(head: bytes) -> Format | None:
    """Recognises a file of the ISO base media format by its brands; films have others."""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[start : start + 4] for start in (8, *range(16, length - 3, 4))}
    if brands & {b"avif", b"avis"}:
        return _AVIF
    if brands & {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}:
        return _HEIC
    return _RAW if b"crx " in brands else None

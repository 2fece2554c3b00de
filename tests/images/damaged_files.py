"""Whole files of every format, files that are no photographs, and ways to damage a file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image
from pydicom import uid

from tests.images.dicom_files import lossless_jpeg, write_dicom
from tests.images.encoded_files import encoded, giant, gradient, jpeg

NAMES = [
    "a b.jpg",
    'it\'s "quoted".jpg',
    "new\nline.jpg",
    "глаз.jpg",
    "眼底.jpg",
    "👁.jpg",
    "percent%s{0}.jpg",
    "-rf.jpg",
]
"""File names that are hard to print or to pass on."""
SIZE = (60, 90)
"""Height and width of the photographs, in pixels."""
DAMAGE = st.one_of(
    st.tuples(st.just("flip"), st.floats(0, 1), st.integers(1, 255)),
    st.tuples(st.just("cut"), st.floats(0, 1), st.just(0)),
    st.tuples(st.just("insert"), st.floats(0, 1), st.integers(1, 40)),
    st.tuples(st.just("remove"), st.floats(0, 1), st.integers(1, 40)),
    st.tuples(st.just("zero"), st.floats(0, 1), st.integers(1, 400)),
)
"""Kind of damage, where in the file (0 to 1), and how much."""


def whole_files(folder: Path) -> dict[str, bytes]:
    """One good file of every kind; ``folder`` is for files on the way."""
    pixels = gradient(*SIZE)
    raw = write_dicom(folder / "raw.dcm", pixels.tobytes(), SIZE)
    lossy = write_dicom(folder / "lossy.dcm", jpeg(pixels), SIZE, "YBR_FULL_422", uid.JPEGBaseline8Bit)
    lossless = write_dicom(folder / "lossless.dcm", lossless_jpeg(pixels), SIZE, "RGB", uid.JPEGLosslessSV1)
    ink = io.BytesIO()
    Image.fromarray(pixels).convert("CMYK").save(ink, "JPEG")
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "turned.jpg": jpeg(pixels, exif=exif),
        "progressive.jpg": jpeg(pixels, progressive=True),
        "cmyk.jpg": ink.getvalue(),
        "lossless.jpg": lossless_jpeg(pixels),
        "a.png": encoded(pixels, "PNG", exif=exif),
        "deep.png": encoded(pixels[..., 0].astype(np.uint16) << 8, "PNG"),
        "a.tif": encoded(pixels, "TIFF"),
        "lzw.tif": encoded(pixels, "TIFF", compression="tiff_lzw"),
        "jpeg.tif": encoded(pixels, "TIFF", compression="jpeg"),
        "deep.tif": encoded(pixels[..., 0].astype(np.uint16) << 8, "TIFF"),
        "a.webp": encoded(pixels, "WEBP"),
        "a.bmp": encoded(pixels, "BMP"),
        "raw.dcm": raw.read_bytes(),
        "lossy.dcm": lossy.read_bytes(),
        "lossless.dcm": lossless.read_bytes(),
    }


def no_photographs() -> dict[str, bytes]:
    """Contents of files that pass for photographs by their name alone."""
    contents = {
        "empty": b"",
        "one": b"\0",
        "zeros": bytes(5000),
        "ones": b"\xff" * 5000,
        "text": "Auge, глаз, 眼\n".encode() * 40,
        "html": b"<!doctype html><title>404</title>",
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
        "zip": b"PK\3\4" + bytes(400),
        "pdf": b"%PDF-1.7\n" + bytes(400),
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\nshowpage\n",
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='100' height='100'/>",
        "dot": encoded(gradient(60, 90)[:1, :1], "PNG"),
        "strip": jpeg(gradient(15, 90)),
        **{f"bomb-{kind}": giant(kind, 60000, 50000) for kind in ("JPEG", "PNG", "BMP", "TIFF")},
    }
    magics = (
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"II*\0",
        b"MM\0*",
        b"II+\0",
        b"RIFF\0\0\0\0WEBP",
        b"BM",
        b"GIF89a",
    )
    contents |= {f"magic-{number}": magic for number, magic in enumerate(magics)}
    contents |= {f"magic-{number}-zeros": magic + bytes(500) for number, magic in enumerate(magics)}
    return contents | {"DICM": bytes(128) + b"DICM", "DICM-zeros": bytes(128) + b"DICM" + bytes(500)}


def damaged(data: bytes, damage: list[tuple[str, float, int]], early: bool) -> bytes:
    """Applies each damage at a share of the file, or of its first 600 bytes, where the headers are."""
    changed = bytearray(data)
    for kind, share, amount in damage:
        place = int(share * max(0, (min(600, len(changed)) if early else len(changed)) - 1))
        if kind == "flip" and changed:
            changed[place] ^= amount
        elif kind == "cut" and not early:
            del changed[place:]
        elif kind == "insert":
            changed[place:place] = bytes(range(amount))
        elif kind == "remove":
            del changed[place : place + amount]
        elif kind == "zero":
            changed[place : place + amount] = bytes(len(changed[place : place + amount]))
    return bytes(changed)

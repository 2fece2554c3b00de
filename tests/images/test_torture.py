"""Whatever a file holds and however it is called: it gives pixels, or an ImageError that names it. Nothing else."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import uid

from retinagrade.errors import ImageError
from retinagrade.images.read import photograph_size, read_photograph
from tests.images.dicom_files import lossless_jpeg, write_dicom
from tests.images.test_read import encoded, giant, gradient, jpeg

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
SIZE = (60, 90)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return whole_files(tmp_path_factory.mktemp("whole"))


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


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Pillow and pydicom may warn of what they then refuse."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def outcome(path: Path, min_side: int | None = None) -> np.ndarray | str:
    """The pixels, checked to be a photograph, or the message, checked to name the file."""
    with suppress(ImageError):
        width, height = photograph_size(path)
        assert isinstance(width, int)
        assert isinstance(height, int)
    try:
        pixels = read_photograph(path, min_side, max_megapixels=1)
    except ImageError as error:
        message = str(error)
        return message if message.startswith(f"{path}: ") else pytest.fail(f"doesn't begin with its file: {message}")
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert min(pixels.shape[:2]) >= 16
    assert pixels.flags.writeable
    return pixels


def test_good_files_are_read_under_any_name(tmp_path: Path, whole: dict[str, bytes]) -> None:
    for name, data in whole.items():
        for called in (name, "wrong.png", "wrong.jpg", "without"):
            (tmp_path / called).write_bytes(data)
            assert isinstance(outcome(tmp_path / called), np.ndarray), name
    for called in NAMES:
        (tmp_path / called).write_bytes(whole["turned.jpg"])
        assert isinstance(outcome(tmp_path / called), np.ndarray)
        (tmp_path / called).write_bytes(b"text")
        assert isinstance(outcome(tmp_path / called), str)


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


def test_what_is_no_photograph_never_is(tmp_path: Path) -> None:
    for name, content in no_photographs().items():
        (tmp_path / f"{name}.jpg").write_bytes(content)
        assert isinstance(outcome(tmp_path / f"{name}.jpg"), str), name
    (tmp_path / "folder.jpg").mkdir()
    assert "can't be read" in outcome(tmp_path / "folder.jpg")
    assert "can't be read" in outcome(tmp_path / "gone.jpg")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path: Path, whole: dict[str, bytes]) -> None:
    for name, data in whole.items():
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).chmod(0)
        assert "Permission denied" in outcome(tmp_path / name)


def test_truncated_files_never_pass_for_whole_ones(tmp_path: Path, whole: dict[str, bytes]) -> None:
    for name, data in whole.items():
        path = tmp_path / name
        path.write_bytes(data)
        good = outcome(path)
        for share in np.linspace(0.01, 0.995, 25):
            path.write_bytes(data[: int(len(data) * share)])
            result = outcome(path)
            # What ends in tables that aren't pixels (TIFF), or in a tail nobody needs, may lose it.
            assert isinstance(result, str) or np.array_equal(result, good), (name, share)


DAMAGE = st.one_of(
    st.tuples(st.just("flip"), st.floats(0, 1), st.integers(1, 255)),
    st.tuples(st.just("cut"), st.floats(0, 1), st.just(0)),
    st.tuples(st.just("insert"), st.floats(0, 1), st.integers(1, 40)),
    st.tuples(st.just("remove"), st.floats(0, 1), st.integers(1, 40)),
    st.tuples(st.just("zero"), st.floats(0, 1), st.integers(1, 400)),
)


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


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), damage=st.lists(DAMAGE, min_size=1, max_size=4), early=st.booleans(), scaled=st.booleans())
def test_corrupt_files_give_pixels_or_an_image_error(
    tmp_path: Path,
    whole: dict[str, bytes],
    data: st.DataObject,
    damage: list[tuple[str, float, int]],
    early: bool,
    scaled: bool,
) -> None:
    name = data.draw(st.sampled_from(sorted(whole)))
    path = tmp_path / name
    path.write_bytes(damaged(whole[name], damage, early))
    outcome(path, 20 if scaled else None)

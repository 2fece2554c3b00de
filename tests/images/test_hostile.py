"""Files that promise much are refused by their headers, cheaply and with the right word; damaged ones are damaged."""

from __future__ import annotations

import io
import os
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import Image
from pydicom import uid

from retinagrade.errors import ImageError
from retinagrade.images import decoding
from retinagrade.images.decoding import InMemory
from retinagrade.images.jpeg_stream import count_scans
from retinagrade.images.read import photograph_size, read_photograph
from tests.images.dicom_files import write_dicom
from tests.images.encoded_files import AVIF, gradient, jpeg
from tests.images.folder_trees import photograph_bytes
from tests.images.hostile_files import (
    many_pages,
    many_scans,
    plain,
    run_length_bmp,
    with_restarts,
    with_stray_bytes,
)

NOISE = np.random.default_rng(0).integers(0, 255, (304, 400, 3), np.uint8)


def reason(data: bytes, name: str = "a.jpg") -> str:
    with pytest.raises(ImageError) as error:
        read_photograph(InMemory(name, data))
    return str(error.value)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (many_pages(40_000), "pages"),
        (run_length_bmp(14_000, 14_000), "megapixels"),
        (run_length_bmp(12_000, 12_000), "megapixels"),
        (run_length_bmp(6000, 6000), "megapixels"),
        (plain("PNG", 7000, 7000, "P"), "too large"),
        (plain("PNG", 7000, 7000, "P", transparency=3), "too large"),
        (plain("TIFF", 14_140, 14_100, "L", compression="tiff_lzw"), "megapixels"),
        (plain("JPEG", 16, 9000), "no photograph"),
        (plain("PNG", 9000, 16), "no photograph"),
        (many_scans(12_000), "scans"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_promises_too_much_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch, data: bytes, word: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("pixels were decoded")

    for decoder in (Image.Image, *Image.Image.__subclasses__()):
        monkeypatch.setattr(decoder, "load", fail)
    monkeypatch.setattr(simplejpeg, "decode_jpeg", fail)
    said = reason(data)
    assert word in said
    assert "corrupt" not in said


def test_a_segmented_palette_is_refused(tmp_path: Path) -> None:
    # One discrete segment, and indirect segments that repeat all that comes before: each doubles the palette.
    segments = np.array([0, 2, 0, 65535, *[2, 1, 0, 0] * 40], np.uint16).tobytes()
    palette: dict[str, Any] = {}
    for colour in ("Red", "Green", "Blue"):
        palette[f"{colour}PaletteColorLookupTableDescriptor"] = [0, 0, 16]
        palette[f"Segmented{colour}PaletteColorLookupTableData"] = segments
    path = write_dicom(tmp_path / "a.dcm", bytes(60 * 90), (60, 90), "PALETTE COLOR", **palette)
    with pytest.raises(ImageError, match="expand without limit"):
        read_photograph(path)


def test_a_jpeg_2000_frame_larger_than_its_header_is_refused(tmp_path: Path) -> None:
    frame = plain("JPEG2000", 900, 600, no_jp2=True)
    path = write_dicom(tmp_path / "a.dcm", frame, (60, 90), "YBR_RCT", uid.JPEG2000Lossless)
    with pytest.raises(ImageError, match="promises 90 × 60"):
        read_photograph(path)


def test_a_large_palette_takes_little_more_than_its_pixels(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1, 3000), np.uint8).repeat(3000, axis=0)
    Image.fromarray(noise, "L").convert("P").save(tmp_path / "a.png", transparency=7)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pixels = read_photograph(tmp_path / "a.png")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1024 if sys.platform != "darwin" else 1)
    assert grown < 2.5 * pixels.nbytes
    assert np.array_equal(pixels[0, noise[0] != 7, 0], noise[0][noise[0] != 7])
    assert not pixels[0, noise[0] == 7].any()


def test_no_memory_and_too_many_bytes_are_called_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(photograph_bytes("PNG"))
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "MAX_BYTES", 100)
        with pytest.raises(ImageError, match="too large"):
            read_photograph(tmp_path / "a.png")

    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", no_memory)
    assert "too large" in reason(photograph_bytes("PNG"))


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/random", "pipe.jpg", "/proc/self/mem"])
def test_devices_and_pipes_are_refused_at_once(tmp_path: Path, path: str) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for read in (read_photograph, photograph_size):
        with pytest.raises(ImageError, match=r"can't be read|is empty"):
            read(tmp_path / path)


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize(
    "options", [{"restart_marker_rows": 1}, {"restart_marker_rows": 3}, {"restart_marker_blocks": 7}]
)
def test_stray_bytes_hide_no_damage(options: dict[str, int], grey: bool) -> None:
    pixels = NOISE[..., 0] if grey else NOISE
    whole = with_restarts(pixels, **options)
    good = read_photograph(InMemory("a.jpg", whole))
    for marks in ((1,), (0, 3), (2, 3, 4)):
        stray = with_stray_bytes(whole, *marks)
        assert np.array_equal(read_photograph(InMemory("a.jpg", stray)), good)
        assert np.array_equal(
            read_photograph(InMemory("a.jpg", stray), 100), read_photograph(InMemory("a.jpg", whole), 100)
        )
        for share in (0.65, 0.7, 0.75, 0.8, 0.85, 0.98, 0.999):
            cut = stray[: int(len(stray) * share)]
            assert "corrupt" in reason(cut)
            assert "corrupt" in reason(cut + b"\xff\xd9")
    longer = with_stray_bytes(whole, 1, stray=b"\x12" * 400)
    assert "corrupt" in reason(longer)  # so many bytes are no accident of a camera


def test_missing_and_swapped_restart_intervals_are_damage() -> None:
    whole = with_stray_bytes(with_restarts(NOISE, restart_marker_rows=1), 1)
    fifth, sixth = whole.index(b"\xff\xd4"), whole.index(b"\xff\xd5")
    assert "corrupt" in reason(whole[:fifth] + whole[sixth:])


def test_scans_are_counted_without_decoding() -> None:
    assert count_scans(jpeg(gradient(60, 90)), 50) == 1
    assert 5 < count_scans(jpeg(gradient(60, 90), progressive=True), 50) < 20
    assert count_scans(many_scans(300), 50) == 50
    assert count_scans(b"\xff\xd8" + bytes(50), 50) == 0


@pytest.mark.parametrize("kind", ["GIF", "JPEG2000", AVIF])
def test_further_formats_are_read_whole_or_named_damaged(kind: str) -> None:
    data = photograph_bytes(kind)
    pixels = read_photograph(InMemory("a", data))
    expected = read_photograph(InMemory("a", photograph_bytes("PNG")))
    assert np.abs(pixels.astype(int) - expected).mean() < 6
    assert photograph_size(InMemory("a", data)) == (48, 48)
    assert "corrupt" in reason(data[: len(data) // 2])


def test_every_flipped_bit_of_a_png_is_damage() -> None:
    stream = io.BytesIO()
    Image.fromarray(NOISE[:40, :48]).save(stream, "PNG")
    whole = stream.getvalue()
    np.testing.assert_array_equal(read_photograph(InMemory("a.png", whole + b"behind")), NOISE[:40, :48])
    for place in np.random.default_rng(0).integers(0, len(whole), 400).tolist():
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(ImageError):
            read_photograph(InMemory("a.png", bytes(damaged)))


def test_heic_is_read_where_its_package_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("pillow_heif")
    package.register_heif_opener()
    data = photograph_bytes("HEIF", side=64)
    pixels = read_photograph(InMemory("a.jpg", data))
    expected = read_photograph(InMemory("a", photograph_bytes("PNG", side=64)))
    assert np.abs(pixels.astype(int) - expected).mean() < 8
    for name in [name for name in sys.modules if name.startswith("pillow_heif")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert "pip install 'retinagrade[heic]'" in reason(data)


@pytest.mark.parametrize("name", ["a.cr2", "a.nef", "a.dng"])
def test_a_raw_picture_is_never_read_by_its_small_copy(name: str) -> None:
    assert "raw" in reason(photograph_bytes("TIFF"), name)
    tagged = plain("TIFF", 64, 64, tiffinfo={254: 1})
    assert "raw" in reason(tagged, "a.tif")


def test_a_damaged_tiff_prints_nothing_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    stream = io.BytesIO()
    Image.fromarray(NOISE).save(stream, "TIFF", compression="tiff_lzw")
    data = bytearray(stream.getvalue())
    data[2000:4000] = b"\xff" * 2000
    assert "corrupt TIFF" in reason(bytes(data), "a.tif")
    assert capfd.readouterr() == ("", "")

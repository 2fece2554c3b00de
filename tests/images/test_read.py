"""Every file is really decoded, and colours, orientation and scale come out right."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from retinagrade.errors import ImageError
from retinagrade.images.read import read_photograph


def gradient(height: int, width: int) -> np.ndarray:
    """Smooth colours with no symmetry, so that JPEG loses little and any turn or swap shows."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return (np.stack([40 + 200 * x, 30 + 150 * y, 90 - 60 * x * y], axis=2)).astype(np.uint8)


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


def near(first: np.ndarray, second: np.ndarray, limit: float = 4) -> bool:
    return first.shape == second.shape and float(np.abs(first.astype(int) - second.astype(int)).mean()) < limit


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "bmp"])
def test_formats_come_as_rgb(tmp_path: Path, suffix: str) -> None:
    pixels = gradient(60, 90)
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
    assert near(read_photograph(tmp_path / f"a.{suffix}"), pixels)


def test_what_a_file_is_counts_not_what_it_is_called(tmp_path: Path) -> None:
    Image.fromarray(gradient(60, 90)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert near(read_photograph(tmp_path / "a.jpg"), gradient(60, 90))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_pillows(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "a.jpg").write_bytes(jpeg(gradient(60, 90), exif=exif))
    from PIL import ImageOps

    with Image.open(tmp_path / "a.jpg") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert near(read_photograph(tmp_path / "a.jpg"), expected, limit=2)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "LA"])
def test_other_colour_modes(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(gradient(60, 90)).convert(mode)
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    image.save(path)
    expected = np.asarray(image.convert("RGB"))
    assert near(read_photograph(path), expected)


def test_sixteen_bit_grey_keeps_its_high_byte(tmp_path: Path) -> None:
    deep = (gradient(60, 90)[..., 0].astype(np.uint16) << 8) + 17
    cv2.imwrite(str(tmp_path / "a.png"), deep)
    assert np.array_equal(read_photograph(tmp_path / "a.png"), np.repeat((deep >> 8)[..., None], 3, axis=2))
    cv2.imwrite(str(tmp_path / "a.tif"), np.ones((60, 90), np.float32))
    with pytest.raises(ImageError, match="export it as 8-bit"):
        read_photograph(tmp_path / "a.tif")


@pytest.mark.parametrize("min_side", [50, 100, 101, 299, 300, 400, 2000])
def test_a_jpeg_is_decoded_no_smaller_than_asked(tmp_path: Path, min_side: int) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(gradient(800, 1200)))
    reduced = read_photograph(tmp_path / "a.jpg", min_side)
    assert min(reduced.shape[:2]) >= min(min_side, 800)
    if 100 <= min_side <= 400:  # libjpeg's smallest scale is an eighth
        assert min(reduced.shape[:2]) < 2 * min_side
    full = read_photograph(tmp_path / "a.jpg")
    size = reduced.shape[1], reduced.shape[0]
    assert near(reduced, cv2.resize(full, size, interpolation=cv2.INTER_AREA), limit=2)


def noisy_jpeg() -> bytes:
    rng = np.random.default_rng(0)
    data: bytes = simplejpeg.encode_jpeg(rng.integers(0, 255, (300, 400, 3), np.uint8), 90, colorspace="RGB")
    return data


@pytest.mark.parametrize("min_side", [None, 64])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.98])
def test_a_truncated_jpeg_is_corrupt(tmp_path: Path, share: float, min_side: int | None) -> None:
    data = noisy_jpeg()
    (tmp_path / "cut.jpg").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match=r"cut\.jpg: corrupt JPEG .*copy it again"):
        read_photograph(tmp_path / "cut.jpg", min_side)


def test_a_jpeg_whose_tail_is_zeros_is_corrupt(tmp_path: Path) -> None:
    data = noisy_jpeg()
    (tmp_path / "zeros.jpg").write_bytes(data[: len(data) // 2] + bytes(len(data) // 2))
    with pytest.raises(ImageError, match="corrupt"):
        read_photograph(tmp_path / "zeros.jpg")


def test_a_jpeg_with_bytes_after_its_end_is_fine(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(gradient(60, 90)) + b"camera's own data")
    assert near(read_photograph(tmp_path / "a.jpg"), gradient(60, 90))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"<html>404</html>", "not a photograph"),
        (b"\xff\xd8\xff", "corrupt JPEG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "not a photograph|corrupt"),
    ],
)
def test_what_is_no_photograph_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "bad.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=said) as error:
        read_photograph(tmp_path / "bad.jpg")
    assert "bad.jpg" in str(error.value)


def test_truncated_png_missing_file_and_stamp_sized(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(gradient(60, 90)).save(stream, "PNG")
    (tmp_path / "cut.png").write_bytes(stream.getvalue()[:-200])
    with pytest.raises(ImageError, match="corrupt"):
        read_photograph(tmp_path / "cut.png")
    with pytest.raises(ImageError, match="can't be read"):
        read_photograph(tmp_path / "absent.jpg")
    (tmp_path / "tiny.jpg").write_bytes(jpeg(gradient(8, 90)))
    with pytest.raises(ImageError, match="90 × 8 pixels are no photograph"):
        read_photograph(tmp_path / "tiny.jpg")

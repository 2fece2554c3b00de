"""Files are decoded completely, with the right colours, orientation and scale."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from retinagrade.errors import ImageError
from retinagrade.images.decoding import InMemory
from retinagrade.images.read import photograph_size, read_photograph
from tests.images.dicom_files import lossless_jpeg
from tests.images.encoded_files import AVIF, encoded, giant, gradient, jpeg, near


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "bmp"])
def test_formats_come_as_rgb(tmp_path: Path, suffix: str) -> None:
    pixels = gradient(60, 90)
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
    assert near(read_photograph(tmp_path / f"a.{suffix}"), pixels)


def test_the_content_decides_the_format_not_the_name(tmp_path: Path) -> None:
    Image.fromarray(gradient(60, 90)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert near(read_photograph(tmp_path / "a.jpg"), gradient(60, 90))


def test_a_file_in_memory_is_read_like_a_file_on_disk(tmp_path: Path) -> None:
    for kind in ("JPEG", "PNG"):
        path = tmp_path / "folder" / f"a.{kind.lower()}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(gradient(60, 90), kind))
        held = InMemory(f"folder/{path.name}", path.read_bytes())
        assert np.array_equal(read_photograph(held), read_photograph(path))
        assert photograph_size(held) == photograph_size(path)
        assert (held.stem, str(held.parent)) == ("a", "folder")
    with pytest.raises(ImageError, match=r"^cut\.jpg: corrupt JPEG"):
        read_photograph(InMemory("cut.jpg", jpeg(gradient(60, 90))[:500]))
    with pytest.raises(ImageError, match=r"^none\.jpg: the file is empty"):
        read_photograph(InMemory("none.jpg", b""))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_as_exif_defines_it(tmp_path: Path, orientation: int, kind: str) -> None:
    pixels = gradient(60, 90)
    upright = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, -1),
        7: np.rot90(pixels, 2).transpose(1, 0, 2),
        8: np.rot90(pixels),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "a").write_bytes(encoded(pixels, kind, exif=exif))
    assert near(read_photograph(tmp_path / "a"), upright[orientation], limit=2)
    with Image.open(tmp_path / "a") as image:
        assert near(read_photograph(tmp_path / "a"), np.asarray(ImageOps.exif_transpose(image)), limit=2)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_the_size_is_the_headers(tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a").write_bytes(encoded(gradient(60, 90), kind, exif=exif))
    assert photograph_size(tmp_path / "a") == (90, 60)
    if kind != "WEBP":
        (tmp_path / "a").write_bytes(giant(kind, 40000, 30000))
        assert photograph_size(tmp_path / "a") == (40000, 30000)
    (tmp_path / "a").write_bytes(encoded(gradient(60, 90), kind)[:10])
    with pytest.raises(ImageError, match="a: corrupt"):
        photograph_size(tmp_path / "a")


def test_deep_photographs_are_turned_as_well(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = gradient(60, 90)[..., 0].astype(np.uint16) << 8
    for kind in ("PNG", "TIFF"):
        (tmp_path / "a").write_bytes(encoded(deep, kind, exif=exif))
        assert np.array_equal(read_photograph(tmp_path / "a")[..., 0], np.rot90(deep >> 8, -1))


@pytest.mark.parametrize("block", [b"no block at all", b"II*\0\x08\0\0\0\1\0\x12\1\2\0\4\0\0\0top\0\0\0\0\0"])
def test_an_unreadable_exif_block_is_ignored(tmp_path: Path, block: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(gradient(60, 90), exif=b"Exif\0\0" + block))
    assert near(read_photograph(tmp_path / "a.jpg"), gradient(60, 90))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "LA"])
def test_other_colour_modes(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(gradient(60, 90)).convert(mode)
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    image.save(path)
    expected = np.asarray(image.convert("RGB"))
    assert near(read_photograph(path), expected)


@pytest.mark.parametrize("colours", ["RGBA", "LA"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_lies_over_black(tmp_path: Path, kind: str, colours: str) -> None:
    pixels = gradient(60, 90)
    alpha = np.linspace(0, 255, 90).astype(np.uint8)[None].repeat(60, axis=0)
    image = Image.fromarray(np.dstack([pixels, alpha])).convert(colours)
    image.save(tmp_path / "a", kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    opaque = np.asarray(image.convert("RGB")).astype(float)
    read = read_photograph(tmp_path / "a")
    assert np.abs(read - opaque * alpha[..., None] / 255).max() <= 1


def test_a_transparent_colour_becomes_black(tmp_path: Path) -> None:
    pixels = gradient(60, 90)
    pixels[:10] = 200, 1, 2
    Image.fromarray(pixels).save(tmp_path / "a.png", transparency=(200, 1, 2))
    pixels[:10] = 0
    assert np.array_equal(read_photograph(tmp_path / "a.png"), pixels)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("bright", [1, 20])
def test_sixteen_bits_keep_their_high_byte_whatever_they_span(tmp_path: Path, suffix: str, bright: int) -> None:
    deep = (gradient(60, 90).astype(np.uint16) << 8) // bright + 17
    cv2.imwrite(str(tmp_path / f"grey.{suffix}"), deep[..., 0])
    assert np.array_equal(
        read_photograph(tmp_path / f"grey.{suffix}"), np.repeat((deep[..., :1] >> 8).astype(np.uint8), 3, axis=2)
    )
    cv2.imwrite(str(tmp_path / f"rgb.{suffix}"), deep[..., ::-1])
    assert np.array_equal(read_photograph(tmp_path / f"rgb.{suffix}"), deep >> 8)
    opaque = np.full((60, 90, 1), 0xFFFF, np.uint16)
    cv2.imwrite(str(tmp_path / f"rgba.{suffix}"), np.concatenate([deep[..., ::-1], opaque], axis=2))
    assert np.array_equal(read_photograph(tmp_path / f"rgba.{suffix}"), deep >> 8)


def test_twelve_bits_and_white_zeros_in_tiff(tmp_path: Path) -> None:
    levels = gradient(60, 90)[..., 0].astype(np.uint16) << 4
    Image.fromarray((levels << 4) + 5).save(tmp_path / "white.tif", tiffinfo={262: 0})
    assert np.array_equal(read_photograph(tmp_path / "white.tif")[..., 0], 255 - (levels >> 4))
    first, second = levels[:, ::2], levels[:, 1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=2).astype(np.uint8).tobytes()
    tags = ImageFileDirectory_v2()
    for tag, value in ((256, 90), (257, 60), (258, 12), (259, 1), (262, 1), (273, 0), (277, 1), (279, len(packed))):
        tags[tag] = value
    (tmp_path / "twelve.tif").write_bytes(b"II*\0" + struct.pack("<I", 8) + tags.tobytes(8) + packed)
    assert np.array_equal(read_photograph(tmp_path / "twelve.tif")[..., 0], levels >> 4)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int16])
def test_what_has_no_range_of_its_own_is_refused(tmp_path: Path, dtype: type) -> None:
    cv2.imwrite(str(tmp_path / "a.tif"), gradient(60, 90)[..., 0].astype(dtype))
    with pytest.raises(ImageError, match=r"a\.tif: .*export it as 8-bit RGB"):
        read_photograph(tmp_path / "a.tif")


def test_lab_is_refused(tmp_path: Path) -> None:
    Image.fromarray(gradient(60, 90), "LAB").save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="its colours are LAB: export it"):
        read_photograph(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "WEBP", "GIF", AVIF])
def test_several_pages_or_frames_are_refused(tmp_path: Path, kind: str) -> None:
    first, second = (Image.fromarray(gradient(60, 90) + shift) for shift in (0, 9))
    first.save(tmp_path / "many", kind, save_all=True, append_images=[second])
    with pytest.raises(ImageError, match="many: has several pages or frames: export the one"):
        read_photograph(tmp_path / "many")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF"])
def test_bombs_are_refused_before_they_are_decoded(tmp_path: Path, kind: str) -> None:
    (tmp_path / "bomb.jpg").write_bytes(giant(kind, 40000, 30000))
    with pytest.raises(ImageError, match=r"bomb\.jpg: 40000 × 30000 pixels are 1200\.0 megapixels, more than .* 150:"):
        read_photograph(tmp_path / "bomb.jpg")
    (tmp_path / "a.png").write_bytes(encoded(gradient(60, 90), kind))
    with pytest.raises(ImageError, match=r"more than the limit of 0\.005"):
        read_photograph(tmp_path / "a.png", max_megapixels=0.005)
    assert near(read_photograph(tmp_path / "a.png", max_megapixels=0.0054), gradient(60, 90))


def test_the_environment_sets_the_limit(tmp_path: Path) -> None:
    Image.fromarray(gradient(60, 90)).save(tmp_path / "a.png")
    read = "read_photograph(pathlib.Path(sys.argv[1]))"
    code = f"import pathlib, sys; from retinagrade.images.read import read_photograph; {read}"
    environment = {**os.environ, "RETINAGRADE_MAX_MEGAPIXELS": "0.005"}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a.png"], env=environment, capture_output=True, text=True, check=False
    )
    assert "more than the limit of 0.005" in done.stderr


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF"])
def test_the_limit_of_pillow_does_not_apply(tmp_path: Path, kind: str) -> None:
    (tmp_path / "large.jpg").write_bytes(giant(kind, 12000, 16000))  # Pillow warns above 89 and refuses above 179
    with pytest.raises(ImageError, match="too large for a photograph"):
        read_photograph(tmp_path / "large.jpg", 100, max_megapixels=200)


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


def test_a_lossless_jpeg_is_never_scaled(tmp_path: Path) -> None:
    # Asked to, simplejpeg 1.9 writes past the end of its buffer.
    for pixels in (gradient(60, 90), gradient(60, 90)[..., 0]):
        data = lossless_jpeg(pixels)
        expected = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        for filled in (data, data[:2] + b"\xff\xff" + data[2:], data[:2] + b"\xff\xfe\0\4\xff\xc0" + data[2:]):
            (tmp_path / "a.jpg").write_bytes(filled)
            assert np.array_equal(read_photograph(tmp_path / "a.jpg", 20), expected)


def test_a_jpeg_that_only_looks_lossless_is_scaled(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(gradient(400, 600), comment=b"\xff\xc3 within a comment"))
    assert read_photograph(tmp_path / "a.jpg", 100).shape == (100, 150, 3)


@pytest.mark.parametrize("transform", [0, 2])
def test_cmyk_jpegs_are_decoded_strictly_into_pillows_colours(tmp_path: Path, transform: int) -> None:
    stream = io.BytesIO()
    Image.fromarray(gradient(400, 600)).convert("CMYK").save(stream, "JPEG", quality=95)
    data = bytearray(stream.getvalue())
    data[data.index(b"Adobe") + 11] = transform  # 2 is YCCK: the same bytes, other colours
    (tmp_path / "a.jpg").write_bytes(data)
    with Image.open(tmp_path / "a.jpg") as image:
        expected = np.asarray(image.convert("RGB"))
    assert near(read_photograph(tmp_path / "a.jpg"), expected, limit=1)
    reduced = read_photograph(tmp_path / "a.jpg", 100)
    assert reduced.shape == (100, 150, 3)
    assert near(reduced, cv2.resize(expected, (150, 100), interpolation=cv2.INTER_AREA), limit=3)
    (tmp_path / "a.jpg").write_bytes(data[:-200])
    with pytest.raises(ImageError, match="corrupt JPEG"):
        read_photograph(tmp_path / "a.jpg")


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
        (b"GIF89a" + bytes(40), "corrupt"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "LFS pointer.*run `git lfs pull`"),
        (b"\xff\xd8\xff", "corrupt JPEG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "not a photograph|corrupt"),
    ],
)
def test_files_without_a_photograph_are_named(tmp_path: Path, content: bytes, said: str) -> None:
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


def test_files_that_the_system_refuses(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(ImageError, match=r"folder\.jpg: can't be read \(Is a directory\): check the path"):
        read_photograph(tmp_path / "folder.jpg")
    with pytest.raises(ImageError, match="can't be read"):
        read_photograph(tmp_path / "no\0name.jpg")
    (tmp_path / "a.jpg").write_bytes(jpeg(gradient(60, 90)))
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(ImageError, match=r"link\.jpg: can't be read \(No such file"):
        read_photograph(tmp_path / "link.jpg")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(gradient(60, 90)))
    (tmp_path / "a.jpg").chmod(0)
    with pytest.raises(ImageError, match=r"a\.jpg: can't be read \(Permission denied\)"):
        read_photograph(tmp_path / "a.jpg")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [3, 4])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_in_either_byte_order_and_of_any_length(
    tmp_path: Path, order: str, kind: int, orientation: int
) -> None:
    value = struct.pack(f"{order}HH", orientation, 0) if kind == 3 else struct.pack(f"{order}I", orientation)
    others = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, 7) for tag in (256, 257))
    entry = struct.pack(f"{order}HHI", 274, kind, 1) + value
    magic = b"II*\0" if order == "<" else b"MM\0*"
    header = magic + struct.pack(f"{order}I", 20) + bytes(12) + struct.pack(f"{order}H", 3)
    (tmp_path / "a.jpg").write_bytes(jpeg(gradient(60, 90), exif=b"Exif\0\0" + header + others + entry + bytes(4)))
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.getexif()[274] == orientation
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert near(read_photograph(tmp_path / "a.jpg"), expected, limit=2)

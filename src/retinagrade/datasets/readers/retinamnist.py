"""RetinaMNIST (MedMNIST): one NumPy archive of small photographs, unpacked to PNG files.

Source: J. Yang et al., "MedMNIST v2 – a large-scale lightweight benchmark for 2D and 3D biomedical image
classification", Scientific Data 10, 2023; the photographs are DeepDRiD's, cropped and reduced.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retinagrade.datasets.reader import reader
from retinagrade.errors import LayoutError, ManifestError, UsageError
from retinagrade.grades import N_GRADES
from retinagrade.manifest import Manifest
from retinagrade.storage.files import write_bytes
from retinagrade.storage.system_errors import reason

_SPLITS: Final = ("train", "val", "test")
_LARGEST_ARRAY: Final = 1 << 31
"""Largest size of an array, in bytes; the official archive at 224 pixels has arrays of up to 163 MB."""
_DAMAGE: Final = (OSError, ValueError, EOFError, AttributeError, TypeError, MemoryError, RecursionError)
"""Errors that NumPy raises for damaged archives; a header may claim terabytes."""


def is_retinamnist(source: Path) -> bool:
    """Whether a file is a NumPy archive with images and labels of a split, as all archives of MedMNIST are."""
    if source.suffix.lower() != ".npz" or not source.is_file() or not zipfile.is_zipfile(source):
        return False
    with zipfile.ZipFile(source) as archive:
        names = set(archive.namelist())
    return any({f"{split}_images.npy", f"{split}_labels.npy"} <= names for split in _SPLITS)


@reader("retinamnist", "a file such as retinamnist.npz", is_retinamnist)
def read_retinamnist(source: Path, unpack: Path | None) -> Manifest:
    """Unpacks the archive, in any of its official sizes, and reads its labels.

    Args:
        source: ``retinamnist.npz``, ``retinamnist_64.npz`` or a similar archive; splits may be absent.
        unpack: The folder for the photographs, ``train-0000.png`` and so on, in the archive's order. Existing files
            with the right bytes stay untouched.

    Returns:
        A manifest of that folder with the official splits.

    Raises:
        LayoutError: The file is no NumPy archive, or has none of the splits.
        ManifestError: Images have no labels, arrays have a different shape or type, or a label is no grade.
        UsageError: There is no folder for the photographs.
    """
    if unpack is None:
        raise UsageError(f"{source} is an archive: name a folder to unpack its photographs to")
    tables = []
    for split, (images, labels) in _read_arrays(source).items():
        ids = [f"{split}-{index:04d}" for index in range(len(images))]
        for image_id, image in zip(ids, images, strict=True):
            _unpack(image, unpack / f"{image_id}.png")
        paths = [f"{image_id}.png" for image_id in ids]
        tables.append(pd.DataFrame({"image_id": ids, "path": paths, "grade": labels, "split": split}))
    return Manifest.from_table(pd.concat(tables).assign(dataset="retinamnist"), unpack, str(source))


def _read_arrays(source: Path) -> dict[str, tuple[NDArray[np.uint8], NDArray[Any]]]:
    """Reads and checks images (N, H, W, 3) and integer labels (N,) by split."""
    try:
        _require_moderate_arrays(source)
        with np.load(source, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name.partition("_")[0] in _SPLITS}
    except (*_DAMAGE, zipfile.BadZipFile, zlib.error) as error:
        raise LayoutError(f"{source} is not a readable NumPy archive ({reason(error)}): download it again") from error
    checked = {
        split: _check_arrays(arrays, split, source)
        for split in _SPLITS
        if {f"{split}_images", f"{split}_labels"} & set(arrays)
    }
    if not checked:
        raise LayoutError(f"{source} is not RetinaMNIST: looked for arrays such as train_images and train_labels")
    return checked


def _require_moderate_arrays(source: Path) -> None:
    """Refuses arrays that are larger than their files, or than any RetinaMNIST, before memory is taken for them."""
    with zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            if not member.filename.endswith(".npy"):
                continue
            with archive.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                if version not in read_header:
                    raise ValueError(f"{member.filename} has version {version} of NumPy's format")
                shape, _, dtype = read_header[version](stream)
            size = math.prod(shape) * dtype.itemsize
            if size > min(member.file_size, _LARGEST_ARRAY):
                raise LayoutError(
                    f"{source}: the array {member.filename} claims {size:,} bytes, which is too large for its file or "
                    "for RetinaMNIST: download it again"
                )


def _check_arrays(arrays: dict[str, NDArray[Any]], split: str, source: Path) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    for name in (f"{split}_images", f"{split}_labels"):
        if name not in arrays:
            raise ManifestError(f"{source}: no array {name!r}; found {', '.join(arrays)}: download it again")
    images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or not len(images):
        raise ManifestError(
            f"{source}: {split}_images is {images.dtype} {images.shape}, not colour photographs as uint8 (N, H, W, 3): "
            "is it another set of MedMNIST?"
        )
    if labels.shape not in ((len(images),), (len(images), 1)) or labels.dtype.kind not in "iu":
        raise ManifestError(
            f"{source}: {split}_labels is {labels.dtype} {labels.shape}, not one whole number for each of "
            f"{len(images)} photographs: download it again"
        )
    labels = labels.reshape(-1)
    wrong = np.flatnonzero((labels < 0) | (labels >= N_GRADES))
    if len(wrong):
        raise ManifestError(
            f"{source}: {split}_labels[{wrong[0]}] is {labels[wrong[0]]}, not a grade 0 to {N_GRADES - 1}: is it "
            "another set of MedMNIST?"
        )
    return images, labels


def _unpack(image: NDArray[np.uint8], path: Path) -> None:
    """Writes a photograph (H, W, 3) as PNG, unless the file has its bytes already."""
    data: bytes = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    if not (path.is_file() and path.read_bytes() == data):
        write_bytes(path, data)

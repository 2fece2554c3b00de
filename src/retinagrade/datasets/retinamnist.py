"""RetinaMNIST (MedMNIST): one NumPy archive of small photographs, unpacked to PNG files.

Source: J. Yang et al., "MedMNIST v2 – a large-scale lightweight benchmark for 2D and 3D biomedical image
classification", Scientific Data 10, 2023; the photographs are DeepDRiD's, cropped and reduced.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pandas as pd

from retinagrade.errors import LayoutError, ManifestError
from retinagrade.files import write_bytes
from retinagrade.grades import N_GRADES
from retinagrade.manifest import Manifest

SPLITS: Final = ("train", "val", "test")


def is_retinamnist(source: Path) -> bool:
    """Whether a file is a NumPy archive with images and labels of a split, as all of MedMNIST's are."""
    if source.suffix.lower() != ".npz" or not zipfile.is_zipfile(source):
        return False
    with zipfile.ZipFile(source) as archive:
        names = set(archive.namelist())
    return any({f"{split}_images.npy", f"{split}_labels.npy"} <= names for split in SPLITS)


def read_retinamnist(source: Path, unpack: Path) -> Manifest:
    """Unpacks the archive, in any of its official sizes, and reads its labels.

    Args:
        source: ``retinamnist.npz``, ``retinamnist_64.npz`` or the like; splits may be absent.
        unpack: The folder for the photographs, ``train-0000.png`` and so on, in the archive's order. Files that are
            there already and right are left alone.

    Returns:
        A manifest of that folder with the official split.

    Raises:
        LayoutError: The file is no NumPy archive, or has none of the splits.
        ManifestError: Images without labels, arrays of other shapes or types, or a label that is no grade.
    """
    tables = []
    for split, (images, labels) in _arrays(source).items():
        ids = [f"{split}-{index:04d}" for index in range(len(images))]
        for image_id, image in zip(ids, images, strict=True):
            _unpack(image, unpack / f"{image_id}.png")
        paths = [f"{image_id}.png" for image_id in ids]
        tables.append(pd.DataFrame({"image_id": ids, "path": paths, "grade": labels, "split": split}))
    return Manifest.from_table(pd.concat(tables).assign(dataset="retinamnist"), unpack, str(source))


def _arrays(source: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images (N, H, W, 3) and labels (N,) by split, checked."""
    try:
        with np.load(source, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name.partition("_")[0] in SPLITS}
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise LayoutError(f"{source} is not a readable NumPy archive ({error}): download it again") from error
    found = {
        split: _checked(arrays, split, source)
        for split in SPLITS
        if {f"{split}_images", f"{split}_labels"} & set(arrays)
    }
    if not found:
        raise LayoutError(f"{source} is not RetinaMNIST: looked for arrays train_images, train_labels and the like")
    return found


def _checked(arrays: dict[str, np.ndarray], split: str, source: Path) -> tuple[np.ndarray, np.ndarray]:
    for name in (f"{split}_images", f"{split}_labels"):
        if name not in arrays:
            raise ManifestError(f"{source}: no array {name!r}; found {', '.join(arrays)}. Download it again")
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


def _unpack(image: np.ndarray, path: Path) -> None:
    data: bytes = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    if not (path.is_file() and path.read_bytes() == data):
        write_bytes(path, data)

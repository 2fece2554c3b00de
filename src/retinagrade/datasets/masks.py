"""Photographs with masks of their lesions: IDRiD's segmentation task, and synthetic sets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retinagrade.datasets.file_listing import photographs_in
from retinagrade.datasets.labels import index_by_name
from retinagrade.errors import ImageError, LayoutError
from retinagrade.images.read import photograph_size, read_photograph
from retinagrade.messages import count_and_first_few

LESIONS: Final = ("microaneurysms", "haemorrhages", "hard_exudates", "soft_exudates", "neovascularisation")
"""Kinds of lesions. IDRiD has no masks of new vessels."""
OPTIC_DISC: Final = "optic_disc"
"""The optic disc: bright and in every photograph, but no lesion, so saliency on it lies beside the lesions."""

_PART: Final = "A. Segmentation"
_IMAGES, _MASKS = "1. Original Images", "2. All Segmentation Groundtruths"
_HALVES: Final = {"train": "a. Training Set", "test": "b. Testing Set"}
_IDRID_KINDS: Final = {
    "microaneurysms": ("1. Microaneurysms", "MA"),
    "haemorrhages": ("2. Haemorrhages", "HE"),
    "hard_exudates": ("3. Hard Exudates", "EX"),
    "soft_exudates": ("4. Soft Exudates", "SE"),
    OPTIC_DISC: ("5. Optic Disc", "OD"),
}


@dataclass(frozen=True)
class MaskedPhotograph:
    """A photograph with masks.

    Attributes:
        image_id: The photograph's id.
        photograph: The photograph's file.
        masks: The files of its masks by kind: pixels that are not black are the lesion. The photograph shows none of an
            outlined kind that has no file.
        outlined: The kinds that people outlined in this data set, of :data:`LESIONS` and :data:`OPTIC_DISC`.
        split: The official split; ``None`` where the data set has none.
    """

    image_id: str
    photograph: Path
    masks: dict[str, Path]
    outlined: tuple[str, ...] = LESIONS
    split: str | None = None


def is_mask(file: str) -> bool:
    """True for a lesion mask of a known layout, by its path from the folder of the data set.

    Example:
        >>> is_mask("masks/microaneurysms/00001_left.png"), is_mask("photographs/00001_left.jpg")
        (True, False)
    """
    folders = PurePosixPath(file).parts[:-1]
    return _MASKS in folders or (len(folders) == 2 and folders[0] == "masks" and folders[1] in (*LESIONS, OPTIC_DISC))


def has_masks(source: Path) -> bool:
    """Whether a folder is in a known layout with lesion masks."""
    return (_root(source) / _MASKS).is_dir() or _is_synthetic(source)


def read_masked_photographs(source: Path) -> list[MaskedPhotograph]:
    """Reads a data set with lesion masks, downloaded or synthetic.

    Args:
        source: IDRiD's official tree, or its ``A. Segmentation``; or a folder that ``data synthesize`` has written.

    Returns:
        The photographs with at least one mask of a lesion, by id; ids of IDRiD start with the official half.

    Raises:
        LayoutError: Neither layout fits, a mask has no photograph, or there is no mask.
    """
    root = _root(source)
    if (root / _MASKS).is_dir():
        photographs = [each for split, half in _HALVES.items() for each in _read_idrid_half(root, split, half)]
    elif _is_synthetic(source):
        masks = {kind: index_by_name(_list_files(source / "masks" / kind)) for kind in (*LESIONS, OPTIC_DISC)}
        photographs = _join("", index_by_name(photographs_in(source / "photographs")), masks, source / "masks")
    else:
        raise LayoutError(
            f"{source} has no lesion masks in a known layout. Looked for IDRiD's {_PART!r} with {_MASKS!r}, and for "
            "the folders 'photographs' and 'masks' of `retinagrade data synthesize`"
        )
    with_lesions = [each for each in photographs if not each.masks.keys().isdisjoint(LESIONS)]
    if not with_lesions:
        raise LayoutError(f"{source}: no photograph has the mask of a lesion")
    return with_lesions


def _root(source: Path) -> Path:
    return source / _PART if (source / _PART).is_dir() else source


def _is_synthetic(source: Path) -> bool:
    return (source / "masks").is_dir() and (source / "photographs").is_dir()


def _read_idrid_half(root: Path, split: str, half: str) -> list[MaskedPhotograph]:
    masks = {}
    for kind, (folder, suffix) in _IDRID_KINDS.items():
        if not (root / _MASKS / half / folder).is_dir():
            continue  # an incomplete download says nothing about this kind
        files = index_by_name(_list_files(root / _MASKS / half / folder))
        masks[kind] = {name.removesuffix(f"_{suffix}"): path for name, path in files.items()}
    joined = _join(f"{split}-", index_by_name(_list_files(root / _IMAGES / half)), masks, root / _MASKS / half)
    return [replace(each, outlined=tuple(masks), split=split) for each in joined]


def _join(
    prefix: str, photographs: dict[str, Path], masks: dict[str, dict[str, Path]], folder: Path
) -> list[MaskedPhotograph]:
    unmatched = {name for files in masks.values() for name in files} - photographs.keys()
    if unmatched:
        raise LayoutError(
            f"{folder}: masks without a photograph ({count_and_first_few(unmatched)}): complete the download"
        )
    return [
        MaskedPhotograph(prefix + name, path, {kind: files[name] for kind, files in masks.items() if name in files})
        for name, path in sorted(photographs.items())
    ]


def _list_files(folder: Path) -> list[Path]:
    return photographs_in(folder) if folder.is_dir() else []


def read_mask(path: Path, photograph: Path) -> NDArray[np.bool_]:
    """Reads a mask.

    Args:
        path: The mask's file.
        photograph: Its photograph; the mask may have another size, but not another shape.

    Returns:
        True (h, w) where a pixel is not black.

    Raises:
        ImageError: The mask can't be read, or can't belong to the photograph.
    """
    mask = np.asarray(read_photograph(path).any(axis=2))
    width, height = photograph_size(photograph)
    if abs(mask.shape[1] / mask.shape[0] - width / height) > 0.01:
        raise ImageError(
            f"{path}: a mask of {mask.shape[1]} × {mask.shape[0]} px can't belong to {photograph} ({width} × {height} "
            "px)"
        )
    return mask

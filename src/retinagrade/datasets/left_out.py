"""Files of a source folder that a reader of data sets leaves out."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from retinagrade.datasets.masks import is_mask
from retinagrade.images.listing import FolderListing, LeftOutFile, relative_name
from retinagrade.storage.file_names import is_safe_id


def left_out_files(
    listing: FolderListing, folder: Path, photographs: Collection[Path], masks: Collection[Path] = (), *, labelled: bool
) -> tuple[LeftOutFile, ...]:
    """Returns every file of a source folder that its reader doesn't read, sorted by path.

    Args:
        listing: All files of the folder.
        folder: The folder.
        photographs: The photographs that are read, also where the listing leaves them out.
        masks: The lesion masks that are read.
        labelled: True where labels name the photographs: then pictures in other folders than the named photographs,
            such as lesion masks, need no attention.
    """
    kept = {real_place(path) for path in (*photographs, *masks)}
    beside = {real_place(path).parent for path in photographs}
    reason = "a picture that no label names" if labelled else "a picture without a place in this layout"
    unread = []
    for path in listing.photographs:
        name = relative_name(folder, path)
        if real_place(path) in kept:
            continue
        if not is_safe_id(name):
            unread.append(LeftOutFile(name, "its name can't be an id: rename it", True))
        else:
            own = "a lesion mask: prepare it with --masks" if is_mask(name) else reason
            unread.append(LeftOutFile(name, own, not labelled or real_place(path).parent in beside))
    others = [each for each in listing.left_out if real_place(folder / each.file) not in kept]
    return tuple(sorted([*unread, *others], key=lambda each: each.file))


def with_safe_names(listing: FolderListing, folder: Path) -> list[Path]:
    """Returns the photographs whose paths below a folder can be ids."""
    return [path for path in listing.photographs if is_safe_id(relative_name(folder, path))]


def real_place(path: Path) -> Path:
    """Returns a path that has no links, except the file itself."""
    return path.parent.resolve() / path.name

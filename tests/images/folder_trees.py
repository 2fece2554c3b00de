"""Folders of any files, as hypothesis draws them: photographs, other files, links, pipes and files without a name."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import socket
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from tests.images.encoded_files import encoded, gradient, jpeg

_PIXELS = gradient(40, 40)
CONTENTS = {
    "JPEG": jpeg(_PIXELS),
    "cut JPEG": jpeg(_PIXELS)[:300],
    "PNG": encoded(_PIXELS, "PNG"),
    "GIF": encoded(_PIXELS, "GIF"),
    "TIFF": encoded(_PIXELS, "TIFF"),
    "text": b"image,level\n",
    "empty": b"",
    "gzip": gzip.compress(b"DICM", mtime=0),
    "zeros": bytes(600),
    "macOS": b"\0\5\x16\7" + bytes(60),
}
_OTHER_KINDS = ("dangling link", "link to itself", "link to a file", "link to a folder", "link above", "pipe", "socket")
_STEMS = (
    "a",
    "b",
    "7_left",
    "7_right",
    "1.2.840.1",
    "._a",
    ".hidden",
    "Thumbs",
    "naïve é",
    "new\nline",
    "what?",
    "\udcff",
)
_SUFFIXES = ("", ".jpg", ".JPG", ".jfif", ".png", ".gif", ".heic", ".txt", ".dcm.gz", ".cr2", ".zip", ".db")
_FOLDERS = (
    "",
    "0",
    "1",
    "0/clinic",
    "1/clinic/deep",
    "2",
    ".git",
    "__MACOSX",
    "train/0",
    "masks",
    "empty folder/inner",
)
TREES = st.lists(
    st.tuples(
        st.sampled_from(_FOLDERS),
        st.builds(str.__add__, st.sampled_from(_STEMS), st.sampled_from(_SUFFIXES)),
        st.sampled_from((*CONTENTS, *_OTHER_KINDS)),
    ),
    max_size=14,
)
"""Folder, name and kind of each file."""


def write_tree(root: Path, outside: Path, tree: list[tuple[str, str, str]]) -> None:
    """Writes a tree into ``root``, which is emptied; links to folders lead to ``outside`` or above."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for folder, name, kind in tree:
        path = root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() or path.is_symlink():
            continue
        if kind in CONTENTS:
            path.write_bytes(CONTENTS[kind])
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            _write_socket(path)
        else:
            targets: dict[str, str | Path] = {
                "link to itself": path.name,
                "link to a file": outside / "linked.jpg",
                "link above": "..",
            }
            path.symlink_to(targets.get(kind, outside if kind == "link to a folder" else "absent"))


def _write_socket(path: Path) -> None:
    """Makes a socket by its name in its folder, because a socket's path is short."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name.encode("utf-8", "surrogateescape"))
    finally:
        os.chdir(before)


def files_found(root: Path) -> set[tuple[str, str]]:
    """All entries below a folder that are no folder, by their real folder and their name; links to folders count."""
    above = {os.path.realpath(root), *map(str, Path(os.path.realpath(root)).parents)}
    found, seen, waiting = set(), set(above), [os.path.realpath(root)]
    while waiting:
        folder = waiting.pop()
        for name in os.listdir(folder):  # noqa: PTH208  # another way than the package's
            path = os.path.realpath(os.path.join(folder, name))  # noqa: PTH118
            if not os.path.isdir(path):  # noqa: PTH112
                found.add((folder, name))
            elif path not in seen:
                seen.add(path)
                waiting.append(path)
    return found


def photograph_bytes(kind: str, side: int = 48) -> bytes:
    """A small picture of a lit disc in any of Pillow's formats."""
    y, x = np.mgrid[:side, :side]
    lit = np.hypot(y - side / 2, x - side / 2) < 0.46 * side
    pixels = np.where(lit[..., None], np.stack([150 + x, 70 + y, 30 + x // 2], axis=-1), 3).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()

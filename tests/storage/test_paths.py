"""Local paths and URLs work alike, on fsspec's file system in memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from retinagrade.storage.files import write_bytes
from retinagrade.storage.paths import (
    file_stats,
    is_local,
    join_path,
    list_files,
    read_bytes,
    read_head,
    table_path_problem,
    user_path,
)


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path if request.param == "local" else user_path(f"memory://{tmp_path.name}")


def test_written_files_are_read_and_listed(root: Path) -> None:
    contents = {"a.txt": b"1", "deep/er/.b": b"", "deep/c": b"\xff"}
    for name, data in contents.items():
        write_bytes(root / name, data)
    assert {path.relative_to(root).as_posix(): read_bytes(path) for path in list_files(root)} == contents
    asked = [root / "a.txt", root / "deep" / "c", root / "none" / "x", root / "deep" / "none"]
    assert {path: stat.st_size for path, stat in file_stats(asked).items()} == {asked[0]: 1, asked[1]: 1}
    with pytest.raises(FileNotFoundError) as missing:
        read_bytes(asked[2])
    assert missing.value.strerror == "No such file or directory"


def test_local_paths_stay_unchanged(tmp_path: Path) -> None:
    assert type(user_path(str(tmp_path))) is type(tmp_path)
    assert is_local(user_path("photographs/a:b.jpg"))
    assert join_path(tmp_path, "/elsewhere/a.jpg") == Path("/elsewhere/a.jpg")
    far = join_path(tmp_path, "memory://bucket/a.jpg")
    assert not is_local(far)
    assert str(far) == "memory://bucket/a.jpg"


@pytest.mark.parametrize(
    ("cell", "root", "is_allowed"),
    [
        ("photographs/a.jpg", "/table", True),
        ("/elsewhere/a::b.jpg", "/table", True),
        ("s3://bucket/a.jpg", "/table", True),
        ("gs://bucket/a.jpg", "memory://table", True),
        ("http://host/a.jpg", "/table", False),
        ("https://host/a.jpg", "memory://table", False),
        ("file:///dev/zero", "/table", False),
        ("reference://x", "/table", False),
        ("simplecache::s3://bucket/a.jpg", "/table", False),
        ("reference::s3://bucket/a.json", "/table", False),
        ("s3://bucket/a::file:///etc/passwd", "/table", False),
        ("zip://a.jpg::s3://bucket/b.zip", "/table", False),
        ("data://text", "/table", False),
        ("://a", "/table", False),
    ],
)
def test_a_table_names_paths_and_object_stores_only(cell: str, root: str, is_allowed: bool) -> None:
    assert (table_path_problem(cell, user_path(root)) is None) is is_allowed


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for path in (tmp_path / "pipe", tmp_path / "link", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match=r"regular|directory"):
            read_bytes(path)
        with pytest.raises(OSError, match=r"regular|directory"):
            read_head(path, 10)
    (tmp_path / "file").write_bytes(b"12345")
    assert read_head(tmp_path / "file", 3) == b"123"


def test_the_size_of_a_file_is_limited(root: Path) -> None:
    write_bytes(root / "a", b"12345")
    assert read_bytes(root / "a", 5) == b"12345"
    with pytest.raises(OSError, match="too large"):
        read_bytes(root / "a", 4)

"""Local paths and URLs work alike, on fsspec's file system in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from retinagrade.files import write_bytes
from retinagrade.paths import file_stats, is_local, join_path, list_files, read_bytes, user_path


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

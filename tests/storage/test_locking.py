"""Locks: one command writes a file at a time, and a folder that can't be written is named as such."""

from __future__ import annotations

from pathlib import Path

import pytest

from retinagrade.errors import UsageError
from retinagrade.storage.locking import locked, make_folder

PROC = Path("/proc")


def test_a_lock_keeps_others_out_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    with locked(path):
        with pytest.raises(UsageError, match="another command"), locked(path):
            pass
        with pytest.raises(UsageError, match=r"^my words$"), locked(path, "my words"):
            pass
    assert [*tmp_path.iterdir()] == []


@pytest.mark.skipif(not PROC.is_dir(), reason="no system folder that takes no files")
@pytest.mark.parametrize("path", [PROC / "x", PROC / "x" / "y", PROC / "self" / "x"])
def test_a_folder_that_takes_no_files_is_not_in_use(path: Path) -> None:
    with pytest.raises(UsageError, match="nothing can be written"), locked(path):
        pass
    with pytest.raises(UsageError, match="nothing can be written"):
        make_folder(path)

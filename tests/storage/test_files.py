import errno
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from retinagrade.storage import files
from retinagrade.storage.files import (
    GrowingFile,
    atomic_path,
    is_free_folder,
    is_temporary,
    naming,
    scratch_folder,
    sha256,
    write_bytes,
    write_json,
    write_text,
)
from tests.faulty_disk import small_files

_KILLED = """
import os, signal, sys
from pathlib import Path
from retinagrade.storage.files import atomic_path
with atomic_path(Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""
"""A program that is killed while it writes a file."""


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "result.csv"
    write_text(target, "old\n")

    def fail() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old\n"
    assert [path.name for path in target.parent.iterdir()] == ["result.csv"]


@pytest.mark.parametrize(
    ("names", "named"), [((), "r.csv"), ((".retinagrade-r-x1.csv", None, "r.csv"), "r.csv"), (("folder",), "folder")]
)
def test_an_error_names_a_file_that_a_person_knows(names: tuple[str | None, ...], named: str) -> None:
    with pytest.raises(OSError, match="No space") as failed, naming(Path("r.csv")):
        raise OSError(errno.ENOSPC, "No space left on device", *names)
    assert (failed.value.filename, failed.value.filename2) == (named, None)


def test_an_error_at_a_scratch_file_names_the_folder_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error, scratch_folder() as folder:
        (folder / "a.jpg").read_bytes()
    assert error.value.filename == tempfile.gettempdir()
    assert not folder.exists()
    with pytest.raises(FileNotFoundError) as error, scratch_folder():
        (tmp_path / "a.jpg").read_bytes()
    assert error.value.filename == str(tmp_path / "a.jpg")


def test_results_are_readable_by_others(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"x")
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_json_is_strict(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "é", "value": None})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"name": "é", "value": None}
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "b.json", float("nan"))
    assert not (tmp_path / "b.json").exists()


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"photograph")
    assert sha256(tmp_path / "a") == hashlib.sha256(b"photograph").hexdigest()


def test_a_result_takes_only_a_free_folder(tmp_path: Path) -> None:
    assert is_free_folder(tmp_path / "absent")
    (tmp_path / ".half-written.json").touch()
    assert is_free_folder(tmp_path)
    (tmp_path / "thesis.txt").touch()
    assert not is_free_folder(tmp_path)
    assert not is_free_folder(tmp_path / "thesis.txt")


def test_only_temporary_files_of_killed_commands_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path / "run.json")], capture_output=True, check=False
    )
    assert killed.returncode != 0
    (left,) = tmp_path.iterdir()
    assert is_temporary(left)
    (tmp_path / ".my-settings.json").touch()
    with atomic_path(tmp_path / "slow.json") as in_use:
        monkeypatch.setattr(files, "_CLEAN", set())
        write_bytes(tmp_path / "other.json", b"{}")
        assert in_use.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".my-settings.json", "other.json", "slow.json"]


def test_a_growing_file_holds_whole_lines_after_a_failed_write(tmp_path: Path) -> None:
    growing = GrowingFile(tmp_path / "rows.csv")
    growing.append("a,1\n")
    with small_files(7), pytest.raises(OSError, match="too large") as failed:
        growing.append("b,22222\n")
    assert failed.value.filename == str(tmp_path / "rows.csv")
    assert (tmp_path / "rows.csv").read_text() == "a,1\n"
    growing.append("c,3\n")
    growing.close()
    assert (tmp_path / "rows.csv").read_text() == "a,1\nc,3\n"

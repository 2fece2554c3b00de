import hashlib
import json
from pathlib import Path

import pytest

from retinagrade.storage.files import atomic_path, is_free_folder, sha256, write_bytes, write_json, write_text


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

"""A journal keeps its lines after a kill, in file systems and in object stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from retinagrade.execution import journal
from retinagrade.execution.journal import Journal
from retinagrade.storage.paths import is_local, list_files, user_path


@pytest.fixture(params=["local", "memory"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "set").mkdir()
    folder = tmp_path if request.param == "local" else user_path(f"memory://{tmp_path.name}")
    return folder / "set" / ".journal"


def test_lines_of_earlier_calls_come_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "PART_LINES", 2)
    for call in ("ab", "cdefg", "", "h"):
        with Journal(path) as one:
            for line in call:
                one.add(line)
    kept = Journal(path)
    assert "".join(kept.earlier) == "abcdefgh"
    kept.close()
    kept.remove()
    assert list(list_files(path.parent)) == []


def test_a_kill_costs_half_a_line_or_a_part(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "PART_LINES", 2)
    killed = Journal(path)
    for line in "abc":
        killed.add(line)
    if is_local(path):
        with path.open("a") as stream:
            stream.write("half a li")
    with Journal(path) as continued:
        assert continued.earlier == list("abc" if is_local(path) else "ab")
        continued.add("x")
    assert Journal(path).earlier[-1] == "x"

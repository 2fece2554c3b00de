"""Records name versions and the command, without passwords."""

from __future__ import annotations

import pytest

from retinagrade import __version__
from retinagrade.provenance import provenance_record


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("/usr/bin/retinagrade", "retinagrade"),
        ("/usr/lib/retinagrade/__main__.py", "retinagrade"),
        ("", "retinagrade"),
        ("studies/compare_cameras.py", "compare_cameras.py"),
    ],
)
def test_the_command_is_recorded(program: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [program, "tune", "--storage", "postgresql://me:secret@host/trials"])
    record = provenance_record()
    assert record["command"] == [name, "tune", "--storage", "postgresql://me:***@host/trials"]
    assert record["versions"]["retinagrade"] == __version__
    assert record["finished"].endswith("+00:00")

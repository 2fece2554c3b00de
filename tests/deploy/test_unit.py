"""The unit of systemd: its settings are known, its exposure is as documented, and the service runs under its limits."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

from typer.testing import CliRunner

from retinagrade.cli import app
from tests.programs import require_program

UNIT = Path(__file__).parents[2] / "deploy" / "retinagrade.service"
PAGE = Path(__file__).parents[2] / "docs" / "deployment.md"


def test_systemd_knows_every_setting(tmp_path: Path) -> None:
    analyze = require_program("systemd-analyze", "systemd")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/retinagrade/bin/retinagrade", "/bin/true"))
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if UNIT.name in line]) == (0, [])


def test_the_exposure_is_the_documented_one() -> None:
    analyze = require_program("systemd-analyze", "systemd")
    command = [analyze, "security", "--offline=true", "--no-pager", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (found,) = re.findall(r"Overall exposure level for .*: ([\d.]+)", done.stdout)
    assert float(found) <= 1.5
    assert f"exposure level {found}" in PAGE.read_text(encoding="utf-8")


def test_the_command_has_only_options_that_exist() -> None:
    (command,) = re.findall(r"(?m)^ExecStart=(.*)$", UNIT.read_text())
    options = [each for each in shlex.split(command) if each.startswith("--")]
    shown = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output
    assert len(options) == 4
    assert all(option in shown for option in options)

"""The units of systemd: their settings are known, their exposure is as documented, and their options exist."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from retinagrade.cli import app
from tests.programs import require_program

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = {"retinagrade.service": "serve", "retinagrade-node.service": "listen"}
PAGE = Path(__file__).parents[2] / "docs" / "deployment.md"


@pytest.mark.parametrize("name", UNITS)
def test_systemd_knows_every_setting(tmp_path: Path, name: str) -> None:
    analyze = require_program("systemd-analyze", "systemd")
    unit = tmp_path / name
    unit.write_text((DEPLOY / name).read_text().replace("/opt/retinagrade/bin/retinagrade", "/bin/true"))
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if name in line]) == (0, [])


@pytest.mark.parametrize("name", UNITS)
def test_the_exposure_is_the_documented_one(name: str) -> None:
    analyze = require_program("systemd-analyze", "systemd")
    command = [analyze, "security", "--offline=true", "--no-pager", str(DEPLOY / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (found,) = re.findall(r"Overall exposure level for .*: ([\d.]+)", done.stdout)
    assert float(found) <= 1.5
    assert f"| `{name}` | {found} |" in PAGE.read_text(encoding="utf-8")


def test_the_example_of_settings_has_the_names_of_the_unit() -> None:
    unit = (DEPLOY / "retinagrade-node.service").read_text()
    example = (DEPLOY / "retinagrade-node.conf").read_text()
    names = re.findall(r"(?m)^([A-Z]+)=", example)
    (line,) = re.findall(r"(?m)^ExecStart=(.*)$", unit)
    assert set(names) == {*re.findall(r"\$\{?([A-Z]+)", line)}
    assert all(f"Environment={name}=" in unit and f"| `{name}` |" in PAGE.read_text() for name in names)
    shown = CliRunner().invoke(app, ["listen", "--help"], env={"COLUMNS": "200"}).output
    assert all(option in shown for option in re.findall(r"(?m)(?<=[= ])--[a-z-]+", example.split("OPTIONS=")[1]))


@pytest.mark.parametrize(("name", "command"), UNITS.items())
def test_the_command_has_only_options_that_exist(name: str, command: str) -> None:
    (line,) = re.findall(r"(?m)^ExecStart=(.*)$", (DEPLOY / name).read_text())
    options = [each for each in shlex.split(line) if each.startswith("--")]
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    assert len(options) >= 4
    assert all(option in shown for option in options)

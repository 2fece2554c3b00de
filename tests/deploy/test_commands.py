"""The commands of docs/deployment.md that need neither systemd nor a network, in a folder that stands for the root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.programs import require_program

ROOT = Path(__file__).parents[2]
PLACES = re.compile(r"(?<![\w.])/(etc|opt|srv|var)/")


def test_the_commands_work(grader_file: Path, eyes: list[Path], tmp_path: Path) -> None:
    require_program("promtool", "prometheus")
    require_program("openssl", "openssl")
    for folder in ("srv/reference", "var/backups", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    for path in eyes[:2]:
        shutil.copy(path, tmp_path / "srv" / "reference")
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    program = tmp_path / "bin" / "retinagrade"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m retinagrade "$@" --model {grader_file}\n')
    program.chmod(0o755)
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 8
    script = PLACES.sub(rf"{tmp_path}/\1/", "".join(blocks)).replace("--directory / ", f"--directory {tmp_path} ")
    done = subprocess.run(
        ["bash", "-ec", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    decisions = (tmp_path / "srv" / "before.txt").read_text().splitlines()
    assert len(decisions) == 2
    assert all(line.startswith("image_id=") and " referable=" in line for line in decisions)
    assert "$apr1$" in (tmp_path / "etc" / "nginx" / "retinagrade.users").read_text()

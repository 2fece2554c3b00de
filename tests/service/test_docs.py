"""Every command in the documentation of the service works unchanged."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from retinagrade.images.read import read_photograph
from tests.grader.ophthalmic import write_ophthalmic
from tests.programs import require_program
from tests.service.served import Served

PAGE = Path(__file__).parents[2] / "docs" / "service.md"


def test_curl_examples(service: Served, eyes: list[Path], tmp_path: Path) -> None:
    require_program("curl", "curl")
    for path, name in zip(eyes, ("7_left.jpg", "7_right.jpg"), strict=False):
        shutil.copy(path, tmp_path / name)
    write_ophthalmic(tmp_path / "7_right.dcm", read_photograph(eyes[1]), "R")
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 6
    for block in blocks:
        script = block.replace("http://127.0.0.1:8000", service.url)
        done = subprocess.run(["bash", "-ec", script], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

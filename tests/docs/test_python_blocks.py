"""The blocks of Python in README and documentation run, one page after the other, as a reader runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, python_blocks


def _pages() -> list[object]:
    with_blocks = [page for page in PAGES if python_blocks(page)]
    trains = [any("retinagrade.train(" in block for block in python_blocks(page)) for page in with_blocks]
    return [
        pytest.param(page, marks=[pytest.mark.slow] if slow else [], id=str(page.relative_to(ROOT)))
        for page, slow in zip(with_blocks, trains, strict=True)
    ]


@pytest.mark.parametrize("page", _pages())
def test_the_blocks_run(page: Path, example_files: Path, tmp_path: Path) -> None:
    shutil.copytree(example_files, tmp_path, dirs_exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(python_blocks(page))],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout

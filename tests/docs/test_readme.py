"""The README: short, with links that hold anywhere, and with the real output of its commands."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
import python_pages
from typer.testing import CliRunner

from retinagrade.cli import app
from tests.docs.pages import ROOT, commands, python_blocks

README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
SITE, REPOSITORY = "https://retinagrade.github.io/retinagrade/", "https://github.com/retinagrade/retinagrade/blob/main/"
RAW = "https://raw.githubusercontent.com/retinagrade/retinagrade/main/"
OUTPUTS = re.findall(r"```text\n(.*?)```", TEXT, re.DOTALL)


def test_it_is_short() -> None:
    assert len(TEXT.splitlines()) <= 120


def test_every_link_is_absolute_and_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    generated = python_pages.python_pages()
    assert len(links) > 20
    for link in links:
        address, _, anchor = link.partition("#")
        if address.startswith(SITE):
            page = _page(address.removeprefix(SITE), generated)
            assert not anchor or f"# {anchor.replace('-', ' ')}" in page.lower(), link
        else:
            prefix = RAW if address.startswith(RAW) else REPOSITORY
            assert (ROOT / address.removeprefix(prefix)).is_file(), link


def _page(path: str, generated: dict[str, str]) -> str:
    """Returns the text of the page of the site with this address."""
    names = [f"{path.rstrip('/')}.md", f"{path}README.md", f"{path}index.md"]
    written = [ROOT / "docs" / name for name in names if (ROOT / "docs" / name).is_file()]
    return written[0].read_text(encoding="utf-8") if written else generated[names[-1]]


def test_the_command_prints_what_it_shows(example_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "eye.jpg").write_bytes((example_files / "eye.jpg").read_bytes())
    done = CliRunner().invoke(app, ["grade", "eye.jpg", "--lesions", "outlines"])
    assert done.stdout == OUTPUTS[0]
    assert (tmp_path / "outlines" / "eye.png").is_file()


def test_the_commands_train_and_evaluate(example_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "YOUR_FOLDER").symlink_to(example_files / "YOUR_FOLDER")
    steps = [line for line in commands(README) if " grade " not in line]
    assert len(steps) == 4
    for line in steps:
        quick = ["--set", "network.image_size=64", "--set", "training.epochs=1"] if " train " in line else []
        done = CliRunner().invoke(app, [*shlex.split(line)[1:], *quick])
        assert done.exit_code in (0, 1), done.output
    assert (tmp_path / "runs" / "first" / "evaluation" / "val" / "report.html").is_file()


def test_the_python_example_prints_what_it_shows(example_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(example_files)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(python_blocks(README)[0], {})
    assert printed.getvalue() == OUTPUTS[1]

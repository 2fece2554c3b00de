"""Builds the wheel and the source archive of a release, and checks what users get.

    python deploy/release_check.py [--tag v0.2.0]

The archives are in ``dist``, which is emptied first. Twine checks both. Pip installs the wheel, with the base
dependencies only, into a fresh virtual environment; the bundled grader then grades two made-up photographs there. Pip
installs the source archive into another one. At the end stand the sizes of wheel, source archive and environment,
without pip. The files that the packages bring must not be larger than ``LIMIT``; bytecode, which Python compiles from
them, comes on top.
"""

from __future__ import annotations

import argparse
import csv
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from retinagrade import __version__

ROOT: Final = Path(__file__).parents[1]
DIST: Final = ROOT / "dist"
LIMIT: Final = 350
"""Megabytes of the base environment, without pip and without bytecode."""

MODULE: Final = ("-I", "-m")
"""Runs a module of an environment alone: ``-I`` ignores PYTHONPATH, and the source tree with it."""


def run(*command: object) -> None:
    """Runs a command of the release; the check ends where the command fails."""
    print("$", *command, flush=True)
    subprocess.run([str(part) for part in command], check=True)


def megabytes(path: Path) -> float:
    """Returns the size of a file, or of all files of a folder, in megabytes (10⁶ bytes)."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if not file.is_dir()]
    return sum(file.lstat().st_size for file in files) / 1e6


def check_tag(tag: str, changelog: str) -> None:
    """Ends the check unless a tag names the version of the package, and the changelog dates this version.

    Args:
        tag: Tag of the release, such as ``v0.2.0``.
        changelog: Text of CHANGELOG.md.
    """
    if tag != f"v{__version__}":
        raise SystemExit(f"the tag {tag} does not name version {__version__} of src/retinagrade/__init__.py")
    if not re.search(rf"(?m)^## \[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d$", changelog):
        raise SystemExit(f"CHANGELOG.md has no line '## [{__version__}] - YYYY-MM-DD': give the version today's date")


def build() -> tuple[Path, Path]:
    """Builds the source archive, and the wheel from it; returns the wheel and the source archive."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "uv", "build", "--quiet", "--out-dir", DIST, ROOT)
    (wheel,), (archive,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, archive)
    return wheel, archive


def install(archive: Path, folder: Path) -> Path:
    """Makes a virtual environment with one archive and its base dependencies, and returns its Python."""
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    run(python, *MODULE, "pip", "install", "--quiet", "--disable-pip-version-check", archive)
    run(python, *MODULE, "pip", "check")
    return python


def grade(python: Path, folder: Path) -> None:
    """Grades two made-up photographs with the bundled grader; ends the check unless both have a grade.

    Args:
        python: Python of the environment to check.
        folder: Folder for the photographs and the results.
    """
    run(sys.executable, "-m", "retinagrade", "data", "synthesize", "--out", folder / "made-up", "--count", 2)
    photographs, results = folder / "made-up" / "photographs", folder / "results.csv"
    command = [str(python), *MODULE, "retinagrade", "grade", str(photographs), "--out", str(results)]
    print("$", *command, flush=True)
    code = subprocess.run(command, check=False).returncode
    if code not in (0, 1):  # 1: a person should look at a result
        raise SystemExit(f"'retinagrade grade' ended with exit code {code}")
    with results.open(encoding="utf-8", newline="") as stream:
        grades = [row["predicted_grade"] for row in csv.DictReader(stream)]
    if len(grades) != 2 or not set(grades) <= set("01234"):
        raise SystemExit(f"two photographs should have a grade each, and have {grades}")


def main() -> None:
    """Checks the release of this source tree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tag", help="tag of the release, which must name the version of the package")
    tag = parser.parse_args().tag
    if tag:
        check_tag(tag, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    wheel, archive = build()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        python = install(wheel, folder / "wheel")
        grade(python, folder)
        run(install(archive, folder / "sdist"), *MODULE, "retinagrade", "--version")
        run(python, *MODULE, "pip", "uninstall", "--quiet", "--yes", "setuptools", "pip")
        environment = megabytes(folder / "wheel")
        bytecode = sum(megabytes(each) for each in (folder / "wheel").rglob("__pycache__"))
    print(f"{megabytes(wheel):6.1f} MB  {wheel.name}")
    print(f"{megabytes(archive):6.1f} MB  {archive.name}")
    print(f"{environment - bytecode:6.1f} MB  base environment, without pip and bytecode")
    print(f"{bytecode:6.1f} MB  bytecode")
    if environment - bytecode > LIMIT:
        raise SystemExit(f"the base environment is larger than {LIMIT} MB, without pip and bytecode")


if __name__ == "__main__":
    main()

"""What a release contains: all of the package, all that tests and docs need, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest
import yaml
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

import retinagrade

ROOT = Path(__file__).parents[1]
PICTURES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".dcm", ".heic", ".npz"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    (file,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    return set(zipfile.ZipFile(file).namelist())


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    (file,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("sdist")), versions=["standard"])
    with tarfile.open(file) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


@pytest.fixture(scope="module")
def source() -> set[str]:
    """Returns the files of this source tree, as git knows them."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no git here: which files belong to the source is unknown")
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
    return {name for name in listed if name and (ROOT / name).exists()}


def test_the_wheel_is_the_package_and_its_metadata(wheel: set[str], source: set[str]) -> None:
    package = {name.removeprefix("src/") for name in source if name.startswith("src/")}
    assert {name for name in wheel if ".dist-info/" not in name} == package


def test_the_wheel_has_grader_experiments_page_and_languages(wheel: set[str]) -> None:
    assert {"retinagrade/grader/default.onnx", "retinagrade/grader/default.md", "retinagrade/py.typed"} <= wheel
    assert {f"retinagrade/service/page/{name}" for name in ("index.html", "page.js", "languages/it.js")} <= wheel
    experiments = {PurePosixPath(name).stem for name in wheel if name.startswith("retinagrade/experiments/")}
    assert set(retinagrade.experiment_names()) <= experiments


def test_the_source_archive_is_what_git_knows(sdist: set[str], source: set[str]) -> None:
    assert sdist - {"PKG-INFO"} <= source
    kept_out = {name for name in source - sdist if not name.startswith(".")}
    assert not kept_out, "pyproject.toml leaves these out of the source archive"


def test_no_archive_holds_photographs(wheel: set[str], sdist: set[str]) -> None:
    assert not {name for name in wheel if PurePosixPath(name).suffix.lower() in PICTURES}
    pictures = {PurePosixPath(name) for name in sdist if PurePosixPath(name).suffix.lower() in PICTURES}
    assert {picture.parts[0] for picture in pictures} <= {"docs"}


def test_stray_folders_stay_out_of_the_source_archive(tmp_path: Path) -> None:
    strays = ["env/lib/docs/conf.py", "env/lib/src/stray.py", "runs/tests/p.csv", "photographs/1.jpg", "notes.md"]
    own = ["README.md", "LICENSE", "src/retinagrade/__init__.py", "docs/service.md"]
    for name in strays:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("stray", encoding="utf-8")
    for name in (*own, "pyproject.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    files = {Path(file.path).relative_to(tmp_path) for file in SdistBuilder(str(tmp_path)).recurse_included_files()}
    assert files == {Path(name) for name in own}


def test_every_file_names_one_version_and_one_address() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == retinagrade.__version__
    assert f"version = {{{retinagrade.__version__}}}" in (ROOT / "docs" / "citing.md").read_text(encoding="utf-8")
    assert (citation["license"], citation["title"]) == (project["license"], project["name"])
    assert citation["repository-code"] == project["urls"]["Repository"]
    assert citation["url"] == project["urls"]["Documentation"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## [{retinagrade.__version__}]" in changelog

"""The image of the service: its packages are locked with hashes, listed in a bill of materials, and enough."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.version import Version

from tests.programs import require_program

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"(?m)^([\w.-]+)==(\S+)(?: ; (.*?))? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)")
IMAGE = {"python_full_version": "3.13.0", "python_version": "3.13", "sys_platform": "linux", "platform_system": "Linux"}


def locked(name: str) -> dict[str, Version]:
    """Returns the packages of a lock file that the image installs; each has a hash."""
    text = (ROOT / "deploy" / name).read_text()
    found = LINE.findall(text)
    assert len(found) == len(re.findall(r"(?m)^[\w.-]+==", text))
    return {
        package: Version(version)
        for package, version, marker, _ in found
        if not marker or Marker(marker).evaluate(IMAGE)
    }


def test_the_lock_has_what_the_service_requires() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    versions = locked("requirements.txt")
    for text in (*project["project"]["dependencies"], *extras["serve"], *extras["dicom"]):
        requirement = Requirement(text)
        assert requirement.specifier.contains(versions[requirement.name]), text
    nodes = locked("requirements-node.txt")
    for text in (*project["project"]["dependencies"], *extras["dicom"], *extras["node"][1:]):
        requirement = Requirement(text)
        assert requirement.specifier.contains(nodes[requirement.name]), text
    (builder,) = map(Requirement, project["build-system"]["requires"])
    assert builder.specifier.contains(locked("requirements-build.txt")[builder.name])


def test_the_bill_of_materials_lists_the_locked_packages() -> None:
    bill = json.loads((ROOT / "deploy" / "sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "retinagrade"
    listed = {each["name"].lower().replace("_", "-"): Version(each["version"]) for each in bill["components"]}
    assert listed == {name: version for name, version in locked("requirements.txt").items() if name != "colorama"}
    without = {each["name"] for each in bill["components"] if not each.get("licenses")}
    assert without <= {"protobuf"}  # BSD-3-Clause by its licence file; its metadata states none


@pytest.mark.slow  # the schema is large
def test_the_bill_of_materials_follows_its_schema() -> None:
    text = (ROOT / "deploy" / "sbom.cdx.json").read_text()
    version = SchemaVersion.from_version(json.loads(text)["specVersion"])
    assert JsonStrictValidator(version).validate_str(text) is None


@pytest.mark.slow
def test_the_steps_of_the_image_work(tmp_path: Path) -> None:
    require_program("mmdebstrap", "mmdebstrap")
    command = [sys.executable, str(ROOT / "deploy" / "image_steps.py"), str(tmp_path / "debian")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "retinagrade" in done.stdout.splitlines()[-1]

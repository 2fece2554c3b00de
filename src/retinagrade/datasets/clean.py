"""Cleaning: the manifest without what a check found to be wrong. Files are never touched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pandas as pd

from retinagrade.datasets.check import DataCheck, relative_path
from retinagrade.manifest import Manifest
from retinagrade.paths import is_local

REASONS: Final = {
    "unusable": "can't be used",
    "missing": "is not there",
    "conflict": "copies of it have other grades",
    "leak": "a copy of it, or its patient, is in the test set",
    "identical": "a copy of a photograph that is kept",
    "copy": "a copy of a photograph that is kept",
}
"""Why a photograph is left out, by the kind of finding; what is graver comes first."""


def clean_manifest(manifest: Manifest, check: DataCheck, place: Path) -> tuple[Manifest, pd.DataFrame]:
    """Leaves out of a manifest what would make results wrong.

    Left out are photographs that can't be used or are not there; all copies of one photograph that have different
    grades, because nobody knows which is right; whatever of training and validation belongs together with an official
    test set; and of other copies all but the first. Doubtful crops and poor photographs stay: a person decides.

    Args:
        manifest: The data set's labels.
        check: What was found in it.
        place: The folder that the cleaned manifest will be written to; its paths start there.

    Returns:
        The cleaned manifest, and what was left out: columns ``image_id``, ``file``, ``kind``, ``why``.
    """
    table = manifest.table
    files = [relative_path(check.root, manifest.file(path)) for path in table["path"]]
    by_file = dict(zip(files, table["split"], strict=True))
    reasons: dict[str, str] = {}
    for kind in REASONS:
        for found in check.of_kind(kind):
            for file in _losers(kind, [file for file in found.files if file in by_file], by_file, reasons):
                reasons.setdefault(file, kind)
    kept = [file not in reasons for file in files]
    cleaned = table[kept].reset_index(drop=True)
    cleaned["path"] = [_from(place, manifest.file(path)) for path in cleaned["path"]]
    left_out = pd.DataFrame(
        [
            {"image_id": image_id, "file": file, "kind": reasons[file], "why": REASONS[reasons[file]]}
            for image_id, file in zip(table["image_id"], files, strict=True)
            if file in reasons
        ],
        columns=["image_id", "file", "kind", "why"],
    )
    return Manifest(cleaned, place), left_out


def _from(place: Path, file: Path) -> str:
    """A file's path from a folder; of a file in an object store, its URL."""
    return os.path.relpath(file.resolve(), place.resolve()).replace(os.sep, "/") if is_local(file) else str(file)


def _losers(kind: str, files: list[str], splits: dict[str, str], gone: dict[str, str]) -> list[str]:
    """Which of a finding's files have to go."""
    if kind == "leak":
        tested = [file for file in files if not pd.isna(splits[file]) and str(splits[file]).startswith("test")]
        return [file for file in files if file not in tested] if tested else []
    if kind in ("identical", "copy"):
        return [file for file in files if file not in gone][1:]
    return files

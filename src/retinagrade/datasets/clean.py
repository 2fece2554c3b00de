"""Cleaning: a manifest without the photographs that would make results wrong. No photograph is changed or deleted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from retinagrade.datasets.file_listing import relative_path
from retinagrade.datasets.findings import DataFinding
from retinagrade.manifest import Manifest
from retinagrade.storage.paths import is_local

CLEANING_REASONS: Final = {
    "unusable": "can't be used",
    "missing": "the file is missing",
    "conflict": "its copies have different grades",
    "leak": "a copy of it, or its patient, is in the test set",
    "identical": "a copy of a photograph that is kept",
    "copy": "a copy of a photograph that is kept",
}
"""Reasons to leave a photograph out, by kind of finding; the gravest first."""


def clean_manifest(
    manifest: Manifest, findings: Sequence[DataFinding], root: Path, folder: Path
) -> tuple[Manifest, pd.DataFrame]:
    """Removes the photographs from a manifest that would make results wrong.

    These are unusable and missing photographs; all copies of one photograph with different grades, because nobody
    knows the right one; training and validation photographs that belong together with an official test set; and all
    copies but the first. Doubtful crops and poor photographs stay: a person decides.

    Args:
        manifest: The labels of the data set.
        findings: The findings of its check.
        root: The folder that was checked.
        folder: The folder for the cleaned manifest; its paths start there.

    Returns:
        The cleaned manifest, and a table of the removed photographs: columns ``image_id``, ``file``, ``kind`` and
        ``reason``.
    """
    table = manifest.table
    files = [relative_path(root, manifest.file(path)) for path in table["path"]]
    splits = dict(zip(files, table["split"], strict=True))
    kinds: dict[str, str] = {}
    for kind in CLEANING_REASONS:
        for finding in (finding for finding in findings if finding.kind == kind):
            for file in _files_to_remove(finding, splits, kinds):
                kinds.setdefault(file, kind)
    cleaned = table[[file not in kinds for file in files]].reset_index(drop=True)
    cleaned["path"] = [_path_from(folder, manifest.file(path)) for path in cleaned["path"]]
    removed = pd.DataFrame(
        [
            {"image_id": image_id, "file": file, "kind": kinds[file], "reason": CLEANING_REASONS[kinds[file]]}
            for image_id, file in zip(table["image_id"], files, strict=True)
            if file in kinds
        ],
        columns=["image_id", "file", "kind", "reason"],
    )
    return Manifest(cleaned, folder), removed


def _path_from(folder: Path, file: Path) -> str:
    """Returns a file's path from a folder; for a file in an object store, its URL."""
    return os.path.relpath(file.resolve(), folder.resolve()).replace(os.sep, "/") if is_local(file) else str(file)


def _files_to_remove(finding: DataFinding, splits: Mapping[str, str], removed: Mapping[str, str]) -> list[str]:
    """Returns the labelled files of a finding that must be removed.

    Args:
        finding: The finding.
        splits: The splits of all labelled files.
        removed: Files that graver findings have removed.
    """
    files = [file for file in finding.files if file in splits]
    if finding.kind == "leak":
        tested = [file for file in files if not pd.isna(splits[file]) and str(splits[file]).startswith("test")]
        return [file for file in files if file not in tested] if tested else []
    if finding.kind in ("identical", "copy"):
        return [file for file in files if file not in removed][1:]
    return files

"""The check of a data set before a network is trained on it."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from retinagrade.arguments import AT_LEAST_ONE, check_arguments
from retinagrade.datasets.copies import find_pairs
from retinagrade.datasets.data_check import DataCheck
from retinagrade.datasets.examine import ExaminedFile, examine_file
from retinagrade.datasets.file_listing import relative_path
from retinagrade.datasets.findings import (
    FINDING_KINDS,
    DataFinding,
    LabelRows,
    QualityThreshold,
    absent_photographs,
    conflicting_grades,
    copied_files,
    doubtful_crops,
    missing_files,
    poor_photographs,
    split_leaks,
    unlabelled_files,
    unnamed_eyes,
    unread_files,
    unusable_files,
)
from retinagrade.datasets.layouts import read_dataset
from retinagrade.datasets.masks import is_mask
from retinagrade.datasets.readers.retinamnist import is_retinamnist
from retinagrade.errors import LayoutError
from retinagrade.execution.engine import Engine, EngineName, choose_engine
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.images.listing import LeftOutFile, list_folder, relative_name
from retinagrade.manifest import Manifest
from retinagrade.storage.paths import file_stats, join_path, user_path


@check_arguments(workers=AT_LEAST_ONE)
def check(
    source: str | os.PathLike[str],
    *,
    layout: str | None = None,
    grade_names: Mapping[str, int] | None = None,
    quality: float | str | None = None,
    workers: int | None = None,
    engine: EngineName | Engine = "local",
    progress: Progress | None = None,
) -> DataCheck:
    """Decodes and measures every photograph of a data set, and compares photographs with each other and with labels.

    Nothing is changed or deleted.

    Args:
        source: The data set: its folder, a table of photographs, an archive, or the URL of one of these. All
            photographs in a folder and below it are checked; for a table, its photographs and the files beside them. A
            folder in no known layout is checked without labels.
        layout: The layout of the source; ``None`` detects it.
        grade_names: For a source with a folder for each grade: folder names and their grades.
        quality: Quality, 0 to 1, below which a photograph is a finding; or a share such as ``"5%"``: so many of the
            usable photographs, the worst, are findings; ``None`` for photographs that the bundled gate rejects.
        workers: Number of worker processes; ``None`` takes one per processor.
        engine: ``local`` for processes of this machine, ``ray`` for a Ray cluster, or an engine.
        progress: Callback for progress.

    Returns:
        The files, their measurements and all findings.

    Raises:
        LayoutError: The source is missing, fits several layouts, or is not in the named layout.
        ManifestError: A table of the source is malformed.
        UsageError: The quality is neither a number from 0 to 1 nor such a share.
    """
    threshold = QualityThreshold.parse(quality)
    path = user_path(source)
    unpacked = Path(tempfile.mkdtemp(prefix="retinagrade-check-"))
    try:
        manifest = _read_labels(path, layout, grade_names, unpacked)
        result = _check_files(path, manifest, threshold, choose_engine(engine, [path]), workers, progress)
    except BaseException:
        shutil.rmtree(unpacked, ignore_errors=True)
        raise
    # The page of an archive shows its photographs, so they exist as long as the result.
    weakref.finalize(result, shutil.rmtree, unpacked, ignore_errors=True)
    return result


def _read_labels(
    source: Path, layout: str | None, grade_names: Mapping[str, int] | None, unpacked: Path
) -> Manifest | None:
    """Reads the labels, complete or not; ``None`` for a folder in no known layout."""
    try:
        return read_dataset(source, layout, grade_names, unpack=unpacked, complete=False)
    except LayoutError:
        if layout is not None or grade_names is not None or not source.is_dir():
            raise
        return None


def _check_files(
    source: Path,
    manifest: Manifest | None,
    threshold: QualityThreshold,
    engine: Engine,
    workers: int | None,
    progress: Progress | None,
) -> DataCheck:
    root = source if source.is_dir() or manifest is None else manifest.root
    labelled = _label_rows(root, manifest)
    files, absent, left_out = _list_files(source, root, labelled)
    step = begin_stage(progress, "checking photographs", len(files))
    by_file: dict[str, ExaminedFile] = {}
    for each in engine(partial(examine_file, root=root), files, workers, _crashed):
        by_file[each.file] = each
        step()
    masks = {file for file in files if file not in labelled and is_mask(file)}
    left_out += [LeftOutFile(file, "a lesion mask", False) for file in files if file in masks]
    examined = [by_file[file] for file in files if file not in masks]
    # Unlabelled files beside labelled ones may be anything, such as lesion masks: only broken ones are findings.
    judged = [each for each in examined if each.file in labelled or manifest is None]
    photographs = labelled if manifest is not None else {each.file for each in examined}
    broken = [by_file[file] for file in files if file in photographs or not by_file[file].decoded]
    pairs = find_pairs(examined, root)
    findings = [
        *absent_photographs(examined),
        *unread_files(left_out),
        *unusable_files(broken),
        *missing_files(absent, labelled),
        *(unlabelled_files((each.file for each in examined), labelled) if manifest is not None else []),
        *copied_files(pairs, labelled),
        *conflicting_grades(pairs, labelled),
        *split_leaks(pairs, labelled),
        *unnamed_eyes(labelled),
        *doubtful_crops(judged),
        *poor_photographs(judged, threshold),
    ]
    in_order = _in_order(findings)
    return DataCheck(
        source,
        root,
        manifest,
        examined,
        in_order,
        tuple(sorted(left_out, key=lambda each: each.file)),
        unpacked=is_retinamnist(source),
    )


def _list_files(source: Path, root: Path, labelled: LabelRows) -> tuple[list[str], set[str], list[LeftOutFile]]:
    """Lists the files to examine, the labelled files that don't exist, and all other files, as paths from ``root``."""
    paths = {file: join_path(root, file) for file in labelled}
    stats = file_stats(paths.values())
    absent = {file for file, path in paths.items() if path not in stats}
    files, left_out = set(labelled) - absent, []
    folders = [source] if source.is_dir() else sorted({path.parent for path in paths.values() if path.parent.is_dir()})
    for folder in folders:
        listing = list_folder(folder, nested=source.is_dir())
        for path in listing.photographs:
            file = relative_path(root, path)
            if file.isprintable() or file in labelled:
                files.add(file)
            else:
                left_out.append(LeftOutFile(relative_name(root, path), "its name is no plain text: rename it", True))
        listed = [replace(each, file=relative_name(root, folder / each.file)) for each in listing.left_out]
        left_out += [each for each in listed if each.file not in labelled]
    return sorted(files), absent, left_out


def _label_rows(root: Path, manifest: Manifest | None) -> LabelRows:
    if manifest is None:
        return {}
    rows: list[dict[str, Any]] = manifest.table.to_dict("records")  # type: ignore[assignment]
    return {relative_path(root, manifest.file(row["path"])): row for row in rows}


def _in_order(findings: Sequence[DataFinding]) -> list[DataFinding]:
    kinds = list(FINDING_KINDS)
    return sorted(findings, key=lambda finding: (kinds.index(finding.kind), finding.files))


def _crashed(file: str) -> ExaminedFile:
    return ExaminedFile(file, reason="decoding it killed the process")

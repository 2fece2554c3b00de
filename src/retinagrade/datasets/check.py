"""Checking a data set before anything is learnt from it: what is wrong, where, and what to do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from retinagrade.datasets.copies import CopyPair, find_pairs, group_pairs
from retinagrade.datasets.examine import ExaminedFile, examine_file
from retinagrade.datasets.file_listing import photographs_in
from retinagrade.execution.engine import Engine
from retinagrade.execution.local import map_unordered
from retinagrade.grades import N_GRADES
from retinagrade.images.field_of_view import LOW_CONFIDENCE
from retinagrade.images.quality import POOR
from retinagrade.images.read import PHOTOGRAPH_SUFFIXES
from retinagrade.manifest import Manifest
from retinagrade.paths import file_stats, join_path, list_files

KINDS: Final = {
    "unusable": "files that can't be used",
    "missing": "labels without a photograph",
    "conflict": "copies with different grades",
    "leak": "copies or patients in more than one split",
    "identical": "copies, identical to the byte",
    "copy": "copies, encoded or sized differently",
    "same-eye": "two photographs of one eye that no patient_id joins",
    "crop": "fields of view to look at",
    "quality": "photographs that may not be gradable",
    "orphan": "folders with files that have no label",
}
"""Kinds of findings and what they are, the gravest first."""


@dataclass(frozen=True)
class DataFinding:
    """One finding.

    Attributes:
        kind: One of :data:`KINDS`.
        files: The files that it is about, as paths from the folder that was checked.
        message: What is wrong, in plain words.
    """

    kind: str
    files: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class DataCheck:
    """All that a check found.

    Attributes:
        root: The folder that was checked.
        manifest: The labelled photographs; ``None`` where no layout fits and all files are looked at as they are.
        examined: Every file, in order.
        findings: What needs attention, by kind.
    """

    root: Path
    manifest: Manifest | None
    examined: list[ExaminedFile]
    findings: list[DataFinding]

    def of_kind(self, kind: str) -> list[DataFinding]:
        """Findings of one kind."""
        return [found for found in self.findings if found.kind == kind]

    def grades(self) -> dict[str, int]:
        """Photographs by grade ``0`` … ``4`` and ``ungraded``."""
        if self.manifest is None:
            return {}
        known = self.manifest.table["grade"]
        counts = {str(grade): int((known == grade).sum()) for grade in range(N_GRADES)}
        return {**counts, "ungraded": int(known.isna().sum())}

    def majority_baseline(self) -> float | None:
        """Accuracy of always giving the most frequent grade; ``None`` without grades."""
        counts = [count for grade, count in self.grades().items() if grade != "ungraded"]
        return max(counts) / sum(counts) if sum(counts) else None

    def sizes(self) -> dict[str, int]:
        """Usable photographs by width and height, the most frequent first."""
        return _count(f"{one.width} × {one.height}" for one in self.examined if one.reason is None)

    def cameras(self) -> dict[str, int]:
        """Usable photographs by the shape of their field of view, the most frequent first."""
        return _count(one.framing for one in self.examined if one.framing is not None)

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "root": str(self.root),
            "files": len(self.examined),
            "usable": sum(one.reason is None for one in self.examined),
            "labelled": 0 if self.manifest is None else len(self.manifest),
            "grades": self.grades(),
            "majority_baseline": self.majority_baseline(),
            "sizes": self.sizes(),
            "cameras": self.cameras(),
            "counts": {kind: len(self.of_kind(kind)) for kind in KINDS},
            "findings": [
                {"kind": found.kind, "files": list(found.files), "message": found.message} for found in self.findings
            ],
        }

    def files_table(self) -> pd.DataFrame:
        """One row a file: what was measured."""
        return pd.DataFrame(
            [
                {
                    "file": one.file,
                    "bytes": one.bytes,
                    "sha256": one.sha256,
                    "width": one.width,
                    "height": one.height,
                    "crop_confidence": one.crop,
                    "crop_method": one.method,
                    "quality": one.quality,
                    "quality_problems": "; ".join(one.problems),
                    "unusable": one.reason,
                }
                for one in self.examined
            ]
        )


def check(
    source: Path,
    manifest: Manifest | None,
    *,
    workers: int | None = None,
    engine: Engine = map_unordered,
    poor: float = POOR,
    poorest: float | None = None,
    on_start: Callable[[int], None] = lambda total: None,
    on_done: Callable[[], None] = lambda: None,
) -> DataCheck:
    """Decodes and measures every photograph of a data set, and compares them with each other and with their labels.

    Args:
        source: The data set's folder, below which every photograph is looked at; or a table, for which its own
            photographs and those beside them are.
        manifest: Its labels, complete or not; ``None`` to look at the files alone.
        workers: Processes; by default one a processor.
        engine: Where they run.
        poor: Quality, 0 to 1, under which a photograph is named.
        poorest: Instead, the share of the usable photographs, 0 to 1, to name.
        on_start: Told how many files there are.
        on_done: Called after each file.

    Returns:
        Everything that was found; nothing is changed or deleted.
    """
    root = source if source.is_dir() or manifest is None else manifest.root
    labelled = _labelled(root, manifest)
    if source.is_dir():
        beside = list_photographs(source)
    else:
        beside = [path for folder in {(root / file).parent for file in labelled} for path in photographs_in(folder)]
    present = {relative_path(root, path) for path in beside}
    places = {file: join_path(root, file) for file in labelled}
    there = file_stats(places.values())
    absent = {file for file, place in places.items() if place not in there}
    files = sorted(present | (set(labelled) - absent))
    on_start(len(files))
    examined: dict[str, ExaminedFile] = {}
    for one in engine(partial(examine_file, root=root), files, workers, _died):
        examined[one.file] = one
        on_done()
    ordered = [examined[file] for file in files]
    pairs = find_pairs(ordered, root)
    # Files without a label may be anything, such as masks of lesions; only what is broken is worth saying of them.
    judged = [one for one in ordered if one.file in labelled or manifest is None]
    if poorest is not None:
        scores = [one.quality for one in judged if one.quality is not None]
        poor = float(np.quantile(scores, poorest)) if scores else 0.0
    findings = [
        *_unusable(one for one in ordered if one.file in labelled or manifest is None or not one.decoded),
        *(
            DataFinding("missing", (file,), f"{labelled[file]['image_id']} is labelled, but not there")
            for file in sorted(absent)
        ),
        *(_orphans(files, labelled) if manifest is not None else []),
        *_pairs(pairs, labelled),
        *_conflicts(pairs, labelled),
        *_leaks(pairs, labelled),
        *_crops(judged),
        *_poor(judged, poor),
    ]
    order = list(KINDS)
    return DataCheck(
        root, manifest, ordered, sorted(findings, key=lambda found: (order.index(found.kind), found.files))
    )


def list_photographs(root: Path) -> list[Path]:
    """All files below a folder that are photographs by their suffix; hidden files and folders are left out."""
    return sorted(
        path
        for path in list_files(root)
        if path.suffix.lower() in PHOTOGRAPH_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )


def relative_path(root: Path, path: Path) -> str:
    """A file's path from the folder that is checked, or as it is where it lies elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _labelled(root: Path, manifest: Manifest | None) -> dict[str, dict[str, Any]]:
    """Rows of the manifest by their file."""
    if manifest is None:
        return {}
    rows: list[dict[str, Any]] = manifest.table.to_dict("records")  # type: ignore[assignment]
    return {relative_path(root, manifest.file(row["path"])): row for row in rows}


def _died(file: str) -> ExaminedFile:
    return ExaminedFile(file, reason="decoding it killed the process")


def _unusable(examined: Iterable[ExaminedFile]) -> list[DataFinding]:
    return [DataFinding("unusable", (one.file,), one.reason) for one in examined if one.reason is not None]


def _orphans(files: Iterable[str], labelled: dict[str, dict[str, Any]]) -> list[DataFinding]:
    folders: dict[str, list[str]] = defaultdict(list)
    for file in files:
        if file not in labelled:
            folders[file.rpartition("/")[0] or "."].append(file)
    return [
        DataFinding("orphan", tuple(inside), f"{len(inside)} files in {folder!r} have no label")
        for folder, inside in folders.items()
    ]


def _pairs(pairs: Iterable[CopyPair], labelled: dict[str, dict[str, Any]]) -> list[DataFinding]:
    found = []
    for pair in pairs:
        files = (pair.first, pair.second)
        if pair.kind == "same-eye":
            patients = [labelled.get(file, {}).get("patient_id") for file in files]
            if pd.isna(patients).any() or patients[0] != patients[1]:
                what = f"show one eye (correlation {pair.correlation:.3f}): give them one patient_id"
                found.append(DataFinding("same-eye", files, what))
        else:
            copy = f"the same photograph in two files (correlation {pair.correlation:.3f})"
            found.append(DataFinding(pair.kind, files, "identical to the byte" if pair.kind == "identical" else copy))
    return found


def _conflicts(pairs: Sequence[CopyPair], labelled: dict[str, dict[str, Any]]) -> list[DataFinding]:
    found = []
    for group in group_pairs(pairs, {"identical", "copy"}):
        grades = {file: labelled[file]["grade"] for file in group if file in labelled}
        known = {file: int(grade) for file, grade in grades.items() if not pd.isna(grade)}
        if len(set(known.values())) > 1:
            said = ", ".join(f"{labelled[file]['image_id']} has grade {grade}" for file, grade in known.items())
            found.append(DataFinding("conflict", tuple(known), f"copies of one photograph, but {said}"))
    return found


def _leaks(pairs: Sequence[CopyPair], labelled: dict[str, dict[str, Any]]) -> list[DataFinding]:
    found = []
    groups = [(group, "copies of one photograph") for group in group_pairs(pairs, {"identical", "copy"})]
    patients: dict[tuple[str, str], list[str]] = defaultdict(list)
    for file, row in labelled.items():
        if not pd.isna(row["patient_id"]):
            patients[str(row["dataset"]), row["patient_id"]].append(file)
    groups += [(sorted(files), "photographs of one patient") for files in patients.values()]
    for group, what in groups:
        splits = {file: labelled[file]["split"] for file in group if file in labelled}
        known = {file: str(split) for file, split in splits.items() if not pd.isna(split)}
        if len(set(known.values())) > 1:
            said = ", ".join(f"{labelled[file]['image_id']} in {split}" for file, split in known.items())
            found.append(DataFinding("leak", tuple(known), f"{what} are in more than one split: {said}"))
    return found


def _crops(examined: Iterable[ExaminedFile]) -> list[DataFinding]:
    return [
        DataFinding("crop", (one.file,), f"the field of view is doubtful ({one.method}, confidence {one.crop:.2f})")
        for one in examined
        if one.crop is not None and one.crop < LOW_CONFIDENCE
    ]


def _poor(examined: Iterable[ExaminedFile], threshold: float) -> list[DataFinding]:
    return [
        DataFinding(
            "quality", (one.file,), f"{', '.join(one.problems) or 'below the threshold'} (quality {one.quality:.2f})"
        )
        for one in examined
        if one.quality is not None and one.quality < threshold
    ]


def _count(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())

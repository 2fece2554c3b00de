"""Findings of a data check: unusable and missing files, copies, conflicts, leaks, and photographs to look at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from retinagrade.datasets.copies import CopyPair, group_pairs
from retinagrade.datasets.examine import ExaminedFile
from retinagrade.datasets.eye_names import eye_of_path
from retinagrade.errors import UsageError
from retinagrade.images.field_of_view import LOW_CONFIDENCE
from retinagrade.images.listing import LeftOutFile
from retinagrade.messages import counted

FINDING_KINDS: Final = {
    "empty": "data sets without a photograph",
    "unread": "files that may be photographs and aren't read",
    "unusable": "files that can't be used",
    "missing": "labels without a photograph",
    "conflict": "copies with different grades",
    "leak": "copies or patients in more than one split",
    "identical": "copies, identical to the byte",
    "copy": "copies, encoded or resized differently",
    "same-eye": "two photographs of one eye without a common patient_id",
    "patient": "photographs whose names keep all others from having a patient",
    "crop": "doubtful fields of view",
    "quality": "photographs that can't be graded",
    "orphan": "folders with unlabelled files",
}
"""Kinds of findings and their meaning, the gravest first."""

LabelRows = dict[str, dict[str, Any]]
"""Rows of a manifest by the path of their file."""


@dataclass(frozen=True)
class DataFinding:
    """One finding.

    Attributes:
        kind: One of :data:`FINDING_KINDS`.
        files: The paths of the files concerned, from the folder that was checked.
        message: The problem, in plain words.
    """

    kind: str
    files: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class QualityThreshold:
    """Photographs to report: those that the gate rejects, those below a quality, or a share of them, the worst.

    Attributes:
        number: Quality or share, 0 to 1; ``None`` for those that the gate rejects.
        is_share: Whether the number is a share of the usable photographs.
    """

    number: float | None
    is_share: bool

    @classmethod
    def parse(cls, quality: float | str | None) -> QualityThreshold:
        """Reads a quality such as 0.4 or ``"0.4"``, a share such as ``"5%"``, or ``None`` for what the gate rejects.

        Raises:
            UsageError: The value is neither, or out of range.

        Example:
            >>> QualityThreshold.parse("5%")
            QualityThreshold(number=0.05, is_share=True)
        """
        if quality is None:
            return cls(None, False)
        text = str(quality).strip()
        is_share = text.endswith("%")
        try:
            number = float(text.removesuffix("%")) / (100 if is_share else 1)
        except ValueError:
            number = -1.0
        if not 0 <= number <= 1:
            raise UsageError(f"check: quality={quality!r}: write a number from 0 to 1, or a share such as '5%'")
        return cls(number, is_share)

    def find_poor(self, examined: Sequence[ExaminedFile]) -> list[ExaminedFile]:
        """Returns the photographs to report."""
        judged = [(each, each.quality) for each in examined if each.quality is not None]
        if self.number is None:
            return [each for each, _ in judged if each.quality_level == "reject"]
        lowest = self.number
        if self.is_share:
            lowest = float(np.quantile([quality for _, quality in judged], self.number)) if judged else 0.0
        return [each for each, quality in judged if quality < lowest]


def absent_photographs(examined: Sequence[ExaminedFile]) -> list[DataFinding]:
    """Finds out whether a data set has no photographs at all."""
    return [] if examined else [DataFinding("empty", (".",), "no photograph: name the folder that holds them")]


def unread_files(left_out: Iterable[LeftOutFile]) -> list[DataFinding]:
    """Finds files that may be photographs, but aren't read."""
    return [DataFinding("unread", (each.file,), each.reason) for each in left_out if each.may_be_photograph]


def unusable_files(examined: Iterable[ExaminedFile]) -> list[DataFinding]:
    """Finds files that can't be used."""
    return [DataFinding("unusable", (each.file,), each.reason) for each in examined if each.reason is not None]


def missing_files(absent: Iterable[str], labelled: LabelRows) -> list[DataFinding]:
    """Finds labels whose photographs don't exist."""
    return [
        DataFinding("missing", (file,), f"{labelled[file]['image_id']} has a label, but its file is missing")
        for file in sorted(absent)
    ]


def unlabelled_files(files: Iterable[str], labelled: LabelRows) -> list[DataFinding]:
    """Finds folders with photographs that have no label."""
    folders: dict[str, list[str]] = defaultdict(list)
    for file in files:
        if file not in labelled:
            folders[file.rpartition("/")[0] or "."].append(file)
    return [
        DataFinding("orphan", tuple(inside), f"{counted(len(inside), 'file')} in {folder!r} without a label")
        for folder, inside in folders.items()
    ]


def copied_files(pairs: Iterable[CopyPair], labelled: LabelRows) -> list[DataFinding]:
    """Finds copies, and photographs of one eye whose ``patient_id`` is unknown or different."""
    findings = []
    for pair in pairs:
        messages = {
            "identical": "identical to the byte",
            "copy": f"the same photograph in two files (correlation {pair.correlation:.3f})",
            "same-eye": f"both show one eye (correlation {pair.correlation:.3f}): give them one patient_id",
        }
        patients = {labelled.get(file, {}).get("patient_id") for file in (pair.first, pair.second)}
        if pair.kind != "same-eye" or len(patients) > 1 or pd.isna(patients.pop()):
            findings.append(DataFinding(pair.kind, (pair.first, pair.second), messages[pair.kind]))
    return findings


def conflicting_grades(pairs: Sequence[CopyPair], labelled: LabelRows) -> list[DataFinding]:
    """Finds copies of one photograph that have different grades."""
    findings = []
    for group in group_pairs(pairs, {"identical", "copy"}):
        grades = {file: labelled[file]["grade"] for file in group if file in labelled}
        known = {file: int(grade) for file, grade in grades.items() if not pd.isna(grade)}
        if len(set(known.values())) > 1:
            listed = ", ".join(f"{labelled[file]['image_id']} has grade {grade}" for file, grade in known.items())
            findings.append(DataFinding("conflict", tuple(known), f"copies of one photograph, but {listed}"))
    return findings


def split_leaks(pairs: Sequence[CopyPair], labelled: LabelRows) -> list[DataFinding]:
    """Finds copies of one photograph, and photographs of one patient, that are in more than one split."""
    groups = [(group, "copies of one photograph") for group in group_pairs(pairs, {"identical", "copy"})]
    patients: dict[tuple[str, str], list[str]] = defaultdict(list)
    for file, row in labelled.items():
        if isinstance(row["patient_id"], str):
            patients[str(row["dataset"]), row["patient_id"]].append(file)
    groups += [(sorted(files), "photographs of one patient") for files in patients.values()]
    findings = []
    for group, description in groups:
        splits = {file: labelled[file]["split"] for file in group if file in labelled}
        known = {file: str(split) for file, split in splits.items() if not pd.isna(split)}
        if len(set(known.values())) > 1:
            listed = ", ".join(f"{labelled[file]['image_id']} in {split}" for file, split in known.items())
            findings.append(DataFinding("leak", tuple(known), f"{description} are in more than one split: {listed}"))
    return findings


def unnamed_eyes(labelled: LabelRows) -> list[DataFinding]:
    """Finds the few names that tell no patient in a data set whose patients only the names can tell.

    A reader takes patients from names where every name tells one. If some don't, no photograph has a patient, and a
    split may separate both eyes of one.
    """
    if any(not pd.isna(row[key]) for row in labelled.values() for key in ("patient_id", "laterality")):
        return []
    unnamed = [file for file in sorted(labelled) if eye_of_path(file) is None]
    if not 0 < len(unnamed) < len(labelled) / 2:
        return []
    told = f"{len(labelled) - len(unnamed)} of {len(labelled)} names tell patient and eye, and these don't"
    remedy = "name them like 10_left, or give a table with patient_id; until then no photograph has a patient"
    return [DataFinding("patient", tuple(unnamed), f"{told}: {remedy}")]


def doubtful_crops(examined: Iterable[ExaminedFile]) -> list[DataFinding]:
    """Finds photographs whose field of view a person should look at."""
    return [
        DataFinding(
            "crop",
            (each.file,),
            f"the field of view is doubtful ({each.crop_method}, confidence {each.crop_confidence:.2f})",
        )
        for each in examined
        if each.crop_confidence is not None and each.crop_confidence < LOW_CONFIDENCE
    ]


def poor_photographs(examined: Sequence[ExaminedFile], threshold: QualityThreshold) -> list[DataFinding]:
    """Finds photographs of poor quality.

    Args:
        examined: The files.
        threshold: The photographs to report.
    """
    return [
        DataFinding(
            "quality",
            (each.file,),
            f"{', '.join(each.quality_reasons) or 'below the threshold'} (quality {each.quality:.2f})",
        )
        for each in threshold.find_poor(examined)
    ]

"""The result of a data check, and its files: a page, JSON for programs, and tables."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import pandas as pd
import simplejpeg

from retinagrade.datasets.clean import clean_manifest
from retinagrade.datasets.examine import ExaminedFile
from retinagrade.datasets.findings import FINDING_KINDS, DataFinding
from retinagrade.datasets.grade_counts import count_grades
from retinagrade.errors import ImageError, UsageError
from retinagrade.gate.folder import doubt_of_gate
from retinagrade.images.listing import LeftOutFile
from retinagrade.images.read import read_photograph
from retinagrade.manifest import Manifest
from retinagrade.messages import counted
from retinagrade.pages.page import render_page
from retinagrade.provenance import provenance_record
from retinagrade.storage.files import write_json, write_text
from retinagrade.storage.output_guard import FOLDER_RECORD, describe_origin, folder_output, guard_outputs
from retinagrade.storage.paths import join_path

_COMMAND: Final = "data check"
_PAGE_FINDINGS: Final = 40
_THUMBNAILS: Final = 6
_THUMBNAIL_WIDTH: Final = 200


@dataclass(frozen=True)
class CheckRecord:
    """``check.json``: the files of a data set, and what is wrong with them.

    Attributes:
        root: The folder that was checked; for an archive, a temporary folder.
        files: Number of examined files.
        usable: Number of them that are usable photographs.
        left_out: The files that were found and are no photographs, or can't be read as photographs.
        labelled: Number of photographs with a label; 0 where no layout fits and only the files were checked.
        grades: Number of labelled photographs by grade, ``0`` to ``4``, and ``ungraded``; empty without labels.
        majority_baseline: Accuracy of always predicting the most frequent grade, 0 to 1; ``None`` without grades.
        sizes: Number of usable photographs by width and height in pixels, the most frequent size first.
        cameras: Number of usable photographs by the shape of their field of view, the most frequent shape first.
        qualities: Number of usable photographs by the level of their quality (``good``, ``usable`` or ``reject``), the
            most frequent level first.
        doubt: Warning where so many photographs are refused for one reason that the gate may be wrong, else ``None``.
        counts: Number of findings of each kind, the gravest kind first.
        findings: All findings, in the order of their kinds, which are the names of ``counts``.
    """

    root: str
    files: int
    usable: int
    left_out: tuple[LeftOutFile, ...]
    labelled: int
    grades: dict[str, int]
    majority_baseline: float | None
    sizes: dict[str, int]
    cameras: dict[str, int]
    qualities: dict[str, int]
    doubt: str | None
    counts: dict[str, int]
    findings: list[DataFinding]


@dataclass(frozen=True, repr=False)
class DataCheck:
    """The result of a check.

    Attributes:
        source: The data set: its folder, table or archive.
        root: The folder that was checked.
        manifest: The labelled photographs; ``None`` if no layout fits and only the files were checked.
        examined: Every file, in order.
        findings: All problems, by kind, the gravest first.
        left_out: The files that were found and are no photographs, or can't be read as photographs.
        unpacked: True if ``root`` is a temporary folder with the photographs of an archive.
    """

    source: Path
    root: Path
    manifest: Manifest | None
    examined: list[ExaminedFile]
    findings: list[DataFinding]
    left_out: tuple[LeftOutFile, ...] = ()
    unpacked: bool = False

    def of_kind(self, kind: str) -> list[DataFinding]:
        """Returns the findings of one kind of :data:`~retinagrade.datasets.findings.FINDING_KINDS`."""
        return [finding for finding in self.findings if finding.kind == kind]

    def grades(self) -> dict[str, int]:
        """Counts the photographs by grade ``0`` to ``4`` and ``ungraded``; empty without labels."""
        return {} if self.manifest is None else count_grades(self.manifest.table)

    def majority_baseline(self) -> float | None:
        """Computes the accuracy of always predicting the most frequent grade; ``None`` without grades."""
        counts = [count for grade, count in self.grades().items() if grade != "ungraded"]
        return max(counts) / sum(counts) if sum(counts) else None

    def sizes(self) -> dict[str, int]:
        """Counts the usable photographs by width and height, the most frequent size first."""
        return _count(f"{each.width} × {each.height}" for each in self.examined if each.reason is None)

    def cameras(self) -> dict[str, int]:
        """Counts the usable photographs by the shape of their field of view, the most frequent shape first."""
        return _count(each.framing for each in self.examined if each.framing is not None)

    def qualities(self) -> dict[str, int]:
        """Counts the usable photographs by the level of their quality, the most frequent level first."""
        return _count(each.quality_level for each in self.examined if each.quality_level is not None)

    @property
    def doubt(self) -> str | None:
        """Warning where so many photographs are refused for one reason that the gate may be wrong."""
        judged = [each for each in self.examined if each.quality_level is not None]
        return doubt_of_gate(each.quality_reasons if each.quality_level == "reject" else () for each in judged)

    def findings_table(self) -> pd.DataFrame:
        """Returns a row for each file of each finding: columns ``kind``, ``file`` and ``message``."""
        rows = [
            {"kind": finding.kind, "file": file, "message": finding.message}
            for finding in self.findings
            for file in finding.files
        ]
        return pd.DataFrame(rows, columns=["kind", "file", "message"])

    def files_table(self) -> pd.DataFrame:
        """Returns a row of measurements for each file."""
        columns = (
            "file",
            "bytes",
            "sha256",
            "width",
            "height",
            "crop_confidence",
            "crop_method",
            "modality",
            "quality",
            "quality_level",
        )
        return pd.DataFrame(
            [
                {name: getattr(each, name) for name in columns}
                | {"quality_reasons": ", ".join(each.quality_reasons), "unusable": each.reason}
                for each in self.examined
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the content of ``check.json``."""
        record = CheckRecord(
            root=str(self.root),
            files=len(self.examined),
            usable=sum(each.reason is None for each in self.examined),
            left_out=self.left_out,
            labelled=0 if self.manifest is None else len(self.manifest),
            grades=self.grades(),
            majority_baseline=self.majority_baseline(),
            sizes=self.sizes(),
            cameras=self.cameras(),
            qualities=self.qualities(),
            doubt=self.doubt,
            counts={kind: len(self.of_kind(kind)) for kind in FINDING_KINDS},
            findings=self.findings,
        )
        return asdict(record)

    def write(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Writes ``check.html``, ``check.json``, ``findings.csv``, ``files.csv`` and ``run.json``.

        Args:
            folder: The folder to write to; created if it is missing.
            overwrite: Whether the folder may hold other files, which are replaced where they have the same names.

        Returns:
            The page.

        Raises:
            UsageError: The folder is, holds or lies in the data set, or holds other files.
        """
        out = Path(folder)
        guard_check(out, self.source, overwrite)
        write_json(out / FOLDER_RECORD, describe_origin(_COMMAND, [self.source], out) | provenance_record())
        write_json(out / "check.json", self.to_json())
        _write_table(self.findings_table(), out / "findings.csv")
        _write_table(self.files_table(), out / "files.csv")
        shown = {
            kind: [(finding, _thumbnails(self.root, finding)) for finding in self.of_kind(kind)[:_PAGE_FINDINGS]]
            for kind in FINDING_KINDS
        }
        title = f"Check of {self.root.name}"
        page = render_page("datasets/check.html.j2", title=title, check=self, kinds=FINDING_KINDS, shown=shown)
        write_text(out / "check.html", page)
        return out / "check.html"

    def write_cleaned(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> pd.DataFrame:
        """Writes a cleaned ``manifest.csv``, and ``left_out.csv`` with the removed photographs and the reasons.

        Args:
            folder: The folder to write to; created if it is missing.
            overwrite: As in :meth:`write`.

        Returns:
            The removed photographs: columns ``image_id``, ``file``, ``kind`` and ``reason``.

        Raises:
            UsageError: The data set has no labels, so there is no manifest to clean; it is an archive, so a
                manifest has no files to name; or the folder can't be used, as for :meth:`write`.
        """
        out = Path(folder)
        guard_check(out, self.source, overwrite)
        if self.unpacked:
            raise UsageError("a cleaned manifest needs photographs in a folder: unpack the archive, or prepare it")
        if self.manifest is None:
            raise UsageError(f"{self.root} has no labels in a known layout: there is no manifest to clean")
        write_json(out / FOLDER_RECORD, describe_origin(_COMMAND, [self.source], out) | provenance_record())
        cleaned, removed = clean_manifest(self.manifest, self.findings, self.root, out)
        cleaned.write(out / "manifest.csv")
        _write_table(removed, out / "left_out.csv")
        return removed

    def __repr__(self) -> str:
        """Describes the result in a line."""
        return f"<DataCheck of {str(self.root)!r}: {self._summary()}>"

    def _repr_html_(self) -> str:
        """Describes the result in a notebook, with a table of the findings."""
        kinds = [(len(self.of_kind(kind)), meaning) for kind, meaning in FINDING_KINDS.items() if self.of_kind(kind)]
        table = pd.DataFrame(kinds, columns=["findings", "meaning"]).to_html(index=False) if kinds else ""
        return f"<p>{self._summary()}</p>{table}"

    def _summary(self) -> str:
        counts = [f"{len(self.of_kind(kind))} {kind}" for kind in FINDING_KINDS if self.of_kind(kind)]
        return f"{counted(len(self.examined), 'file')}; {', '.join(counts) or 'nothing needs attention'}"


def guard_check(out: Path, source: Path, overwrite: bool = False) -> None:
    """Checks, before any work, that the result of a check can be written to a folder.

    Raises:
        UsageError: The folder is, holds or lies in the data set, or holds other files.
    """
    guard_outputs([folder_output(out, _COMMAND, [source])], [source], overwrite)


def _write_table(table: pd.DataFrame, path: Path) -> None:
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def _thumbnails(root: Path, finding: DataFinding) -> list[tuple[str, bytes]]:
    """Returns a finding's readable files with small pictures of them, as JPEG."""
    thumbnails = []
    for file in finding.files[:_THUMBNAILS]:
        try:
            photograph = read_photograph(join_path(root, file), _THUMBNAIL_WIDTH)
        except ImageError:
            continue
        height = max(1, round(_THUMBNAIL_WIDTH * photograph.shape[0] / photograph.shape[1]))
        small = cv2.resize(photograph, (_THUMBNAIL_WIDTH, height), interpolation=cv2.INTER_AREA)
        thumbnails.append((file, simplejpeg.encode_jpeg(small, 80, colorspace="RGB")))
    return thumbnails


def _count(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())

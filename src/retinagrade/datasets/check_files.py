"""A check as files: JSON for programs, tables, and a page with thumbnails of what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import pandas as pd
import simplejpeg
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from retinagrade.datasets.check import KINDS, DataCheck, DataFinding
from retinagrade.datasets.clean import clean_manifest
from retinagrade.errors import ImageError, UsageError
from retinagrade.files import write_json, write_text
from retinagrade.images.read import read_photograph
from retinagrade.pages.page import render_page
from retinagrade.paths import join_path
from retinagrade.provenance import provenance_record

_FINDINGS: Final = 40
_PICTURES: Final = 6
_SIDE: Final = 200


def write_check(check: DataCheck, out: Path) -> Path:
    """Writes ``check.html``, ``check.json``, ``findings.csv``, ``files.csv`` and ``run.json``.

    Args:
        check: What to write.
        out: The folder to write to; made where it is missing.

    Returns:
        The page.
    """
    write_json(out / "check.json", check.to_json())
    write_json(out / "run.json", provenance_record())
    findings = [
        {"kind": found.kind, "file": file, "message": found.message} for found in check.findings for file in found.files
    ]
    _write_table(pd.DataFrame(findings, columns=["kind", "file", "message"]), out / "findings.csv")
    _write_table(check.files_table(), out / "files.csv")
    shown = {kind: [(found, _pictures(check, found)) for found in check.of_kind(kind)[:_FINDINGS]] for kind in KINDS}
    page = render_page(
        "datasets/check.html.j2", title=f"Check of {check.root.name}", check=check, kinds=KINDS, shown=shown
    )
    write_text(out / "check.html", page)
    return out / "check.html"


def write_cleaned(check: DataCheck, out: Path) -> pd.DataFrame:
    """Writes the cleaned ``manifest.csv``, and ``left_out.csv`` with what it leaves out and why.

    Returns:
        What was left out: columns ``image_id``, ``file``, ``kind``, ``why``.

    Raises:
        UsageError: The data set has no labels, so there is no manifest to clean.
    """
    if check.manifest is None:
        raise UsageError(f"{check.root} has no labels in a known layout: there is no manifest to clean")
    manifest, left_out = clean_manifest(check.manifest, check, out)
    manifest.write(out / "manifest.csv")
    _write_table(left_out, out / "left_out.csv")
    return left_out


def findings_table(check: DataCheck) -> RenderableType:
    """What was found, by kind, with the first files of each; and what the data set holds."""
    about = Table("", "", show_header=False, box=None)
    about.add_row("files", str(len(check.examined)))
    if check.manifest is not None:
        about.add_row("grades", ", ".join(f"{grade}: {count}" for grade, count in check.grades().items() if count))
        baseline = check.majority_baseline()
        about.add_row("always the most frequent grade", "–" if baseline is None else f"right in {baseline:.1%}")
    about.add_row("sizes", _first(check.sizes()))
    about.add_row("cameras", f"{len(check.cameras())} shapes of the field of view")
    table = Table("findings", "what", "for example")
    for kind, meaning in KINDS.items():
        if found := check.of_kind(kind):
            table.add_row(str(len(found)), meaning, "\n".join(_example(one) for one in found[:5]))
    return Group(about, table if check.findings else Text("nothing needs attention", style="green"))


def _example(found: DataFinding) -> str:
    if found.kind == "orphan":
        return found.message
    return f"{', '.join(_short(file) for file in found.files[:2])}: {found.message}"


def _short(file: str) -> str:
    first, *rest = file.split("/")
    return f"{first}/…/{rest[-1]}" if len(rest) > 1 else file


def _first(counts: dict[str, int]) -> str:
    shown = ", ".join(f"{name} ({count})" for name, count in list(counts.items())[:4])
    return f"{shown}, …" if len(counts) > 4 else shown


def _write_table(table: pd.DataFrame, path: Path) -> None:
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def _pictures(check: DataCheck, found: DataFinding) -> list[tuple[str, bytes]]:
    """Thumbnails of a finding's files, those that can be read."""
    pictures = []
    for file in found.files[:_PICTURES]:
        try:
            photograph = read_photograph(join_path(check.root, file), _SIDE)
        except ImageError:
            continue
        height = max(1, round(_SIDE * photograph.shape[0] / photograph.shape[1]))
        small = cv2.resize(photograph, (_SIDE, height), interpolation=cv2.INTER_AREA)
        pictures.append((file, simplejpeg.encode_jpeg(small, 80, colorspace="RGB")))
    return pictures

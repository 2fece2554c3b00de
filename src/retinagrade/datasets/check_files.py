"""A check as files: JSON for programs, tables, and a page with thumbnails of what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import pandas as pd
import simplejpeg

from retinagrade.datasets.check import KINDS, Check, Found
from retinagrade.datasets.clean import clean
from retinagrade.errors import ImageError
from retinagrade.files import write_json, write_text
from retinagrade.images.read import read_photograph
from retinagrade.pages import render_page
from retinagrade.provenance import stamp

_FINDINGS: Final = 40
_PICTURES: Final = 6
_SIDE: Final = 200


def write_check(check: Check, out: Path) -> Path:
    """Writes ``check.html``, ``check.json``, ``findings.csv``, ``files.csv`` and ``run.json``.

    Args:
        check: What to write.
        out: The folder to write to; made where it is missing.

    Returns:
        The page.
    """
    write_json(out / "check.json", check.to_json())
    write_json(out / "run.json", stamp())
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


def write_cleaned(check: Check, out: Path) -> tuple[Path, pd.DataFrame]:
    """Writes the cleaned ``manifest.csv``, and ``left_out.csv`` with what it leaves out and why.

    Returns:
        The manifest's place, and the table of what was left out.
    """
    manifest, left_out = clean(check, out)
    manifest.write(out / "manifest.csv")
    _write_table(left_out, out / "left_out.csv")
    return out / "manifest.csv", left_out


def _write_table(table: pd.DataFrame, path: Path) -> None:
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def _pictures(check: Check, found: Found) -> list[tuple[str, bytes]]:
    """Thumbnails of a finding's files, those that can be read."""
    pictures = []
    for file in found.files[:_PICTURES]:
        try:
            photograph = read_photograph(check.root / file, _SIDE)
        except ImageError:
            continue
        height = max(1, round(_SIDE * photograph.shape[0] / photograph.shape[1]))
        small = cv2.resize(photograph, (_SIDE, height), interpolation=cv2.INTER_AREA)
        pictures.append((file, simplejpeg.encode_jpeg(small, 80, colorspace="RGB")))
    return pictures

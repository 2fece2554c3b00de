"""Photographs that earlier calls of ``prepare`` have prepared, and that need no second preparation."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from retinagrade.datasets.prepare_file import PreparedFile, prepared_path
from retinagrade.paths import file_stats, read_bytes


def reusable_outcomes(
    outcomes: Iterable[PreparedFile], items: Sequence[tuple[str, str, Path]], out: Path
) -> dict[str, PreparedFile]:
    """Finds the photographs whose prepared file exists and whose source file is unchanged.

    Args:
        outcomes: Outcomes of earlier calls; the last outcome of a photograph counts.
        items: The id, the path in the source's manifest, and the file of each photograph.
        out: The folder of the prepared set.

    Returns:
        The outcomes of these photographs by id.
    """
    by_id = {outcome.image_id: outcome for outcome in outcomes}
    candidates = [
        (by_id[image_id], file, prepared_path(out, image_id))
        for image_id, path, file in items
        if image_id in by_id and by_id[image_id].source == path
    ]
    stats = file_stats([path for _, file, prepared in candidates for path in (file, prepared)])
    return {
        outcome.image_id: outcome
        for outcome, file, prepared in candidates
        if _unchanged(outcome, file, stats.get(file), stats.get(prepared))
    }


def _unchanged(outcome: PreparedFile, file: Path, now: os.stat_result | None, prepared: os.stat_result | None) -> bool:
    if outcome.reason is not None or now is None or prepared is None:
        return False
    try:
        return now.st_size == outcome.bytes and (
            now.st_mtime_ns < prepared.st_mtime_ns or hashlib.sha256(read_bytes(file)).hexdigest() == outcome.sha256
        )
    except OSError:
        return False

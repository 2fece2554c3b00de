"""Photographs that earlier calls of ``prepare`` have prepared, and that need no second preparation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from retinagrade.datasets.prepare_file import PreparedFile, prepared_path
from retinagrade.execution.local import processors
from retinagrade.storage.paths import file_stats, is_local, read_bytes


def reusable_outcomes(
    outcomes: Iterable[PreparedFile],
    items: Sequence[tuple[str, str, Path]],
    out: Path,
    tags: Mapping[Path, str],
) -> dict[str, PreparedFile]:
    """Finds the photographs whose source file and prepared file still have the bytes that they had.

    Files are known by their digests, never by names, sizes or times. A source in an object store is known by its entity
    tag, and a prepared photograph there by its name, so that nothing is downloaded.

    Args:
        outcomes: Outcomes of earlier calls; the last outcome of a photograph counts.
        items: The id, the path in the source's manifest, and the file of each photograph.
        out: The folder of the prepared set.
        tags: Entity tags of the source files in object stores, from :func:`~retinagrade.storage.paths.entity_tags`.

    Returns:
        The outcomes of these photographs by id.
    """
    by_id = {outcome.image_id: outcome for outcome in outcomes}
    candidates = [
        (by_id[image_id], file, prepared_path(out, image_id))
        for image_id, path, file in items
        if image_id in by_id and by_id[image_id].source == path and by_id[image_id].reason is None
    ]
    stored = file_stats([prepared for _, _, prepared in candidates if not is_local(prepared)])

    def is_unchanged(candidate: tuple[PreparedFile, Path, Path]) -> bool:
        outcome, file, prepared = candidate
        is_kept = _has_digest(prepared, outcome.prepared_sha256) if is_local(prepared) else prepared in stored
        tag = tags.get(file)
        return is_kept and (tag == outcome.etag if tag and outcome.etag else _has_digest(file, outcome.sha256))

    with ThreadPoolExecutor(processors()) as pool:
        unchanged = list(pool.map(is_unchanged, candidates))
    return {outcome.image_id: outcome for (outcome, _, _), same in zip(candidates, unchanged, strict=True) if same}


def _has_digest(file: Path, sha256: str | None) -> bool:
    try:
        return hashlib.sha256(read_bytes(file)).hexdigest() == sha256
    except OSError:
        return False

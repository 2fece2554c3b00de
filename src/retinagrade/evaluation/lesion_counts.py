"""Files of lesion counts: everything that the metrics of lesion maps need, for each photograph and kind of lesion."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from retinagrade.errors import JoinError
from retinagrade.evaluation.lesion_metrics import LEVELS, LesionCounts

PhotographCounts = Mapping[str, Mapping[str, LesionCounts]]
"""Counts by ``image_id`` and kind of lesion; kinds that nobody outlined in a photograph are absent."""


def encode_counts(counts: PhotographCounts) -> bytes:
    """Encodes counts as a compressed NumPy archive, one row for each photograph and kind."""
    rows = [
        (image_id, kind, each) for image_id, kinds in sorted(counts.items()) for kind, each in sorted(kinds.items())
    ]
    stream = BytesIO()
    np.savez_compressed(
        stream,
        image_id=np.array([row[0] for row in rows], dtype=np.str_),
        kind=np.array([row[1] for row in rows], dtype=np.str_),
        inside=np.array([row[2].inside for row in rows], np.int64).reshape(-1, LEVELS),
        outside=np.array([row[2].outside for row in rows], np.int64).reshape(-1, LEVELS),
        found=np.concatenate([np.zeros(0), *(row[2].found for row in rows)]),
        found_numbers=np.array([len(row[2].found) for row in rows], np.int64),
        false=np.concatenate([np.zeros(0), *(row[2].false for row in rows)]),
        false_numbers=np.array([len(row[2].false) for row in rows], np.int64),
    )
    return stream.getvalue()


def read_counts(file: Path) -> dict[str, dict[str, LesionCounts]]:
    """Reads the counts that :func:`encode_counts` encoded.

    Raises:
        JoinError: The file can't be read, or holds something else.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            found = np.split(archive["found"], np.cumsum(archive["found_numbers"])[:-1])
            false = np.split(archive["false"], np.cumsum(archive["false_numbers"])[:-1])
            inside, outside = archive["inside"], archive["outside"]
            names = zip(archive["image_id"].tolist(), archive["kind"].tolist(), strict=True)
            counts: dict[str, dict[str, LesionCounts]] = {}
            for row, (image_id, kind) in enumerate(names):
                counts.setdefault(image_id, {})[kind] = LesionCounts(inside[row], outside[row], found[row], false[row])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise JoinError(
            f"{file}: not a readable file of lesion counts ({error}): `retinagrade train` writes it for networks that "
            "outline lesions"
        ) from error
    return counts

"""Files of lesion counts: everything that the metrics of lesion maps need, for each photograph and kind of lesion."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import NDArray

from retinagrade.errors import JoinError
from retinagrade.evaluation.lesion_metrics import LEVELS, LesionCounts
from retinagrade.messages import first_few
from retinagrade.models.settings import LesionName
from retinagrade.storage.system_errors import reason

_DTYPES: Final = {
    **dict.fromkeys(("image_id", "kind"), "U"),
    **dict.fromkeys(("found_numbers", "false_numbers", "inside", "outside"), "i"),
    **dict.fromkeys(("found", "false"), "f"),
}
"""Kind of number, or text, of each array of the file."""
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
        JoinError: The file can't be read, or holds something else: rows of other numbers or shapes, a photograph's kind
            twice, negative counts, or probabilities outside 0 to 1. The message names the first problem.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in _DTYPES}
        _require_valid(arrays)
    except Exception as error:  # damaged archives raise errors of zipfile, zlib, struct and NumPy
        why = reason(error)
        raise JoinError(
            f"{file}: not a readable file of lesion counts: {why}: train the network again, or take the file from a "
            "backup (`retinagrade train` writes it for networks that outline lesions)"
        ) from error
    found, false = (np.split(arrays[name], np.cumsum(arrays[f"{name}_numbers"])[:-1]) for name in ("found", "false"))
    counts: dict[str, dict[str, LesionCounts]] = {}
    for row, (image_id, kind) in enumerate(zip(arrays["image_id"].tolist(), arrays["kind"].tolist(), strict=True)):
        pixels = arrays["inside"][row], arrays["outside"][row]
        counts.setdefault(image_id, {})[kind] = LesionCounts(*pixels, found[row], false[row])
    return counts


def _require_valid(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raises a ValueError about the first array that :func:`encode_counts` can't have made."""
    rows = len(arrays["image_id"]) if arrays["image_id"].ndim == 1 else -1
    for name, kinds in _DTYPES.items():
        array = arrays[name]
        if name in ("found", "false"):
            shape: tuple[int, ...] = (int(arrays[f"{name}_numbers"].sum()),)
        else:
            shape = (rows, LEVELS) if name in ("inside", "outside") else (rows,)
        if array.dtype.kind != kinds or array.shape != shape:
            raise ValueError(f"{name} has {array.dtype} {array.shape}, not {shape}")
        if kinds == "U":
            continue
        if (array < 0).any() or (kinds == "f" and not (array <= 1).all()):
            raise ValueError(f"{name} has numbers below 0" + (", above 1 or undefined" if kinds == "f" else ""))
    pairs = list(zip(arrays["image_id"].tolist(), arrays["kind"].tolist(), strict=True))
    if len(set(pairs)) < len(pairs):
        raise ValueError("a photograph has a kind of lesion twice")
    if unknown := set(arrays["kind"].tolist()) - set(get_args(LesionName)):
        raise ValueError(f"{first_few(sorted(unknown))} is no kind of lesion")

"""The evaluation of lesion maps, and the files of counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from retinagrade.errors import JoinError, UsageError
from retinagrade.evaluation.lesion_counts import encode_counts, read_counts
from retinagrade.evaluation.lesion_evaluation import LesionEvaluationRecord, evaluate_lesion_counts
from retinagrade.evaluation.lesion_metrics import LesionCounts, average_precision, count_lesions
from retinagrade.storage.files import write_bytes
from tests.schemas import require_schema

SIDE = 48


def counts_of(seed: int, lesions: bool = True) -> LesionCounts:
    rng = np.random.default_rng(seed)
    outlined = np.zeros((SIDE, SIDE), bool)
    if lesions:
        outlined[10:14, 10:14] = outlined[30:33, 20:23] = True
    logits = rng.normal(-3, 1.5, (SIDE, SIDE)) + 3 * outlined
    return count_lesions((1 / (1 + np.exp(-logits))).astype(np.float32), outlined, np.ones((SIDE, SIDE), bool))


COUNTS = {
    **{f"eye-{seed}": {"haemorrhages": counts_of(seed), "optic_disc": counts_of(seed + 50)} for seed in range(6)},
    "healthy": {"haemorrhages": counts_of(9, lesions=False), "soft_exudates": counts_of(8, lesions=False)},
}
FEW = {name: COUNTS[name] for name in ("eye-1", "healthy")}


def test_counts_survive_their_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "counts.npz", encode_counts(COUNTS))
    read = read_counts(tmp_path / "counts.npz")
    assert read.keys() == COUNTS.keys()
    for image_id, kinds in COUNTS.items():
        assert read[image_id].keys() == kinds.keys()
        for kind, counts in kinds.items():
            for name in ("inside", "outside", "found", "false"):
                np.testing.assert_array_equal(getattr(read[image_id][kind], name), getattr(counts, name))


@pytest.mark.parametrize("content", [b"", b"no archive", encode_counts({})[:50]])
def test_a_broken_file_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "counts.npz").write_bytes(content)
    with pytest.raises(JoinError, match=r"counts\.npz"):
        read_counts(tmp_path / "counts.npz")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("inside", lambda inside: -inside),
        ("outside", lambda outside: outside[:, 1:]),
        ("found", lambda found: found + 2),
        ("false", lambda false: false * np.nan),
        ("false_numbers", lambda numbers: numbers + 1),
        ("kind", lambda kinds: np.full_like(kinds, "haemorrhages")),
        ("kind", lambda kinds: np.full_like(kinds, "freckles")),
        ("image_id", lambda ids: ids[1:]),
        ("image_id", lambda ids: ids.astype(object)),
    ],
)
def test_an_edited_file_is_refused_and_untouched(
    name: str, change: Callable[[NDArray[Any]], NDArray[Any]], tmp_path: Path
) -> None:
    file = tmp_path / "counts.npz"
    with np.load(BytesIO(encode_counts(COUNTS))) as archive:
        arrays = dict(archive)
    np.savez(file, **{**arrays, name: change(arrays[name])})
    content = file.read_bytes()
    with pytest.raises(JoinError, match=r"counts\.npz") as refused:
        read_counts(file)
    assert "\n" not in str(refused.value)
    assert file.read_bytes() == content


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_without_effect(place: float, bit: int) -> None:
    content = bytearray(encode_counts(FEW))
    content[int(place * len(content))] ^= 1 << bit
    with TemporaryDirectory() as folder:
        file = Path(folder) / "counts.npz"
        file.write_bytes(content)
        with suppress(JoinError):
            assert encode_counts(read_counts(file)) == encode_counts(FEW)


def test_every_kind_is_measured_with_intervals_or_a_reason(tmp_path: Path) -> None:
    evaluation = evaluate_lesion_counts(COUNTS, resamples=50)
    haemorrhages = evaluation.kinds["haemorrhages"]
    assert (haemorrhages.photographs, haemorrhages.lesions) == (7, 12)
    value, interval = haemorrhages.average_precision.value, haemorrhages.average_precision.interval
    assert value == average_precision([kinds["haemorrhages"] for kinds in COUNTS.values()])
    assert interval is not None
    assert interval[0] <= value <= interval[1]
    undefined = evaluation.kinds["soft_exudates"].average_precision
    assert (undefined.value, undefined.interval) == (None, None)
    assert undefined.reason
    sensitivities = [metric.value for metric in haemorrhages.sensitivity.values()]
    assert sensitivities == sorted(sensitivities)  # type: ignore[type-var]
    evaluation.write(tmp_path / "out")
    with pytest.raises(UsageError):  # nothing says that it is an earlier evaluation of the same file
        evaluation.write(tmp_path / "out")
    evaluation.write(tmp_path / "out", overwrite=True)
    written = json.loads((tmp_path / "out" / "lesions.json").read_text())
    require_schema(LesionEvaluationRecord, written)
    assert "reason" in written["kinds"]["soft_exudates"]["average_precision"]
    assert "reason" not in written["kinds"]["haemorrhages"]["average_precision"]
    assert written["kinds"]["haemorrhages"]["average_precision"]["value"] == value
    assert (tmp_path / "out" / "lesions.png").stat().st_size > 10_000
    assert "haemorrhages" in repr(evaluation)
    assert len(evaluation.table()) == 3


def test_intervals_take_groups(tmp_path: Path) -> None:
    single = evaluate_lesion_counts(COUNTS, resamples=50).kinds["haemorrhages"].average_precision
    together = evaluate_lesion_counts(COUNTS, dict.fromkeys(COUNTS, 0), resamples=50).kinds["haemorrhages"]
    assert single.interval is not None
    assert together.average_precision.interval is None  # one group can't be drawn again

"""A grader file with a single changed bit is refused; the same bytes are read as before."""

from __future__ import annotations

import random
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinagrade import Grader
from retinagrade.errors import GraderFileError
from retinagrade.grader.metadata import BUNDLED
from retinagrade.grader.seal import read_sealed, sealed
from tests.grader.graders import write_grader


def test_a_sealed_file_is_onnx_and_knows_its_digest(grader_file: Path) -> None:
    model = onnx.load(grader_file)
    onnx.checker.check_model(model)
    assert [entry.key for entry in model.metadata_props] == [
        "retinagrade",
        "retinagrade.gate-network",
        "retinagrade.sha256",
    ]
    assert read_sealed(grader_file) == grader_file.read_bytes()
    assert len(Grader.load(grader_file).metadata.digest) == 64


@given(st.integers(0), st.integers(1, 20))
def test_flipped_bits_are_refused(tmp_path_factory: pytest.TempPathFactory, seed: int, count: int) -> None:
    content = bytearray(sealed(b"some graph " * 20))
    for position in random.Random(seed).sample(range(8 * len(content)), count):
        content[position // 8] ^= 1 << position % 8
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(content)
    with pytest.raises(GraderFileError, match=r"damaged\.onnx"):
        read_sealed(path)


def test_a_damaged_copy_of_the_bundled_file_is_refused(tmp_path: Path) -> None:
    content = BUNDLED.read_bytes()
    for position in (100, len(content) // 2, len(content) - 1):
        damaged = bytearray(content)
        damaged[position] ^= 4
        (tmp_path / "damaged.onnx").write_bytes(damaged)
        with pytest.raises(GraderFileError, match="damaged"):
            Grader.load(tmp_path / "damaged.onnx")
    (tmp_path / "cut.onnx").write_bytes(content[:-1000])
    with pytest.raises(GraderFileError, match="copy it again"):
        Grader.load(tmp_path / "cut.onnx")


def test_a_run_that_is_exported_again_keeps_its_digest(grader_file: Path, tmp_path: Path) -> None:
    again = write_grader(tmp_path / "again.onnx", created="2027-01-01T00:00:00+00:00")
    other = write_grader(tmp_path / "other.onnx", temperature=2.0)
    first, same, changed = (Grader.load(file).metadata.digest for file in (grader_file, again, other))
    assert first == same != changed

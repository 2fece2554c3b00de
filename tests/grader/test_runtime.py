"""The runtime decodes while the network computes, on all processors, with at most a few batches in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from threading import Barrier, Event

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

from retinagrade import Grader
from retinagrade.execution.local import processors
from retinagrade.gate.inputs import FRAME, SQUARE
from retinagrade.grader import runtime
from retinagrade.grader.runtime import GateInputs
from retinagrade.grader.sessions import Outputs
from retinagrade.images.placement import Placement
from retinagrade.images.prepare import PreparationSettings
from tests.grader.lesion_graders import draw_photograph, write_lesion_grader

Prepared = tuple[NDArray[np.uint8], GateInputs, Placement]
PATIENCE = 30
"""Seconds that threads wait for one another; only a failing test waits so long."""


def nothing(side: int) -> Prepared:
    """A prepared photograph without content."""
    frame, square = (np.zeros((each, each, 3), np.uint8) for each in (FRAME, SQUARE))
    return np.zeros((side, side, 3), np.uint8), (frame, square), Placement(0, 0, side, side, side)


@pytest.fixture
def grader(grader_file: Path) -> Grader:
    return Grader.load(grader_file)


@pytest.fixture
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Photographs that take no time to prepare."""

    def prepared(item: Path | NDArray[np.uint8], settings: PreparationSettings) -> Prepared:
        return nothing(settings.size)

    monkeypatch.setattr(runtime, "prepare_with_gate_inputs", prepared)


def test_photographs_are_read_lazily(grader: Grader, squares: None) -> None:
    read = 0

    def endless() -> Iterator[NDArray[np.uint8]]:
        nonlocal read
        while True:
            read += 1
            yield np.zeros((64, 64, 3), np.uint8)

    ahead = [read - graded for graded, _ in enumerate(islice(grader.stream(endless()), 200))]
    assert len(ahead) == 200
    assert max(ahead) <= 3 * 8  # the batch in the network, and two that are decoded ahead


def test_every_processor_decodes_by_default(grader: Grader, monkeypatch: pytest.MonkeyPatch) -> None:
    together = Barrier(processors(), timeout=PATIENCE)

    def prepared(item: Path | NDArray[np.uint8], settings: PreparationSettings) -> Prepared:
        together.wait()  # the barrier breaks unless as many threads wait at once
        return nothing(settings.size)

    monkeypatch.setattr(runtime, "prepare_with_gate_inputs", prepared)
    assert len(grader.grade([np.zeros((64, 64, 3), np.uint8)] * 4 * processors())) == 4 * processors()


def test_the_network_computes_during_decoding(grader: Grader, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = Event()

    def network(squares: NDArray[np.uint8]) -> Outputs:
        begun.set()
        probabilities = np.full((len(squares), 5), 0.2, np.float32)
        return {"probabilities": probabilities, "saliency": np.zeros((len(squares), 5, 4, 4), np.float32)}

    def prepared(item: Path | NDArray[np.uint8], settings: PreparationSettings) -> Prepared:
        assert isinstance(item, np.ndarray)
        if item[0, 0, 0]:
            assert begun.wait(PATIENCE), "the network waited for a photograph of a later batch"
        return nothing(settings.size)

    monkeypatch.setattr(grader, "network", network)
    monkeypatch.setattr(runtime, "prepare_with_gate_inputs", prepared)
    late = [np.full((64, 64, 3), index == 23, np.uint8) for index in range(24)]
    assert [grading.error for grading in grader.grade(late)] == [None] * 24


@pytest.mark.parametrize("workers", [1, 3, 20])
def test_the_number_of_workers_does_not_change_results(grader: Grader, eyes: Path, workers: int) -> None:
    paths = sorted(eyes.iterdir())
    assert grader.grade(paths, workers=workers) == grader.grade(paths)


@pytest.mark.parametrize("fast_side", [64, 1024])
def test_fast_grading_reads_fewer_pixels_and_finds_the_same_lesions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_side: int
) -> None:
    monkeypatch.setattr(runtime, "openvino", lambda model, exact: exact)  # which not every processor can do
    monkeypatch.setattr(runtime, "_FAST_SIDE", fast_side)
    file, picture = write_lesion_grader(tmp_path / "lesions.onnx", 128), draw_photograph(900, 700)[0]
    graders = [Grader.load(file, fast) for fast in (False, True)]
    every = [next(each.with_gate(each.metadata.gate.switched_off()).stream([picture])) for each in graders]
    for graded, side in zip(every, (128, min(128, fast_side)), strict=True):
        assert graded.photograph is not None
        assert graded.photograph.shape == (side, side, 3)
        assert graded.placement is not None
        assert graded.placement.side == side
    exact, fast = (graded.lesions for graded in every)
    assert exact is not None
    assert fast is not None
    for kind, found in exact.measurements.by_kind.items():
        assert fast.measurements.by_kind[kind].counts == found.counts
        assert fast.measurements.by_kind[kind].areas == pytest.approx(found.areas, rel=0.1)
    assert every[1].grading.predicted_grade == every[0].grading.predicted_grade


_MEASURED = """
import json, resource, sys
from pathlib import Path
from retinagrade import Grader
grader = Grader.load(sys.argv[1])
photographs = [sys.argv[2]] * int(sys.argv[3])
count = sum(graded.grading.error is None for graded in grader.stream(photographs))
print(json.dumps([count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


@pytest.mark.slow
def test_memory_is_bounded_for_any_number_of_photographs(grader_file: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    large = np.kron(rng.integers(0, 255, (96, 144, 3)), np.ones((20, 20, 1))).astype(np.uint8)  # 17 MB of pixels
    (tmp_path / "large.jpg").write_bytes(simplejpeg.encode_jpeg(large, 90))

    def megabytes(count: int) -> float:
        command = [sys.executable, "-c", _MEASURED, str(grader_file), str(tmp_path / "large.jpg"), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        graded, peak = json.loads(done.stdout)
        assert graded == count
        return float(peak)

    few, many = megabytes(40), megabytes(400)
    assert many < few + 60, f"{few:.0f} MB for 40 photographs, {many:.0f} MB for 400"


@pytest.mark.parametrize("count", [1, 3, 9])
def test_a_photograph_has_the_same_digits_in_any_company(grader: Grader, count: int) -> None:
    side = grader.metadata.image_size
    photographs = list(np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8))
    together = [each.grading.probabilities for each in grader.stream(photographs)]
    alone = [grader.grade(photograph)[0].probabilities for photograph in photographs]
    assert together == alone

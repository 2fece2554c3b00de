"""The runtime: decoding beside the network, on all processors, and never more than some batches in memory."""

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

from retinagrade import Grader
from retinagrade.execution.local import processors
from retinagrade.grader import runtime
from retinagrade.images.prepare import PreparationSettings
from retinagrade.images.quality import Quality

PATIENCE = 30
"""Seconds after which threads that wait for one another are given up: only a failing test waits so long."""


@pytest.fixture
def grader(grader_file: Path) -> Grader:
    return Grader.load(grader_file)


@pytest.fixture
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Photographs that cost no time to prepare."""

    def prepared(item: Path | np.ndarray, settings: PreparationSettings) -> tuple[np.ndarray, Quality]:
        return np.zeros((settings.size, settings.size, 3), np.uint8), Quality(1.0, {})

    monkeypatch.setattr(runtime, "prepared", prepared)


def test_photographs_are_taken_as_they_are_needed(grader: Grader, squares: None) -> None:
    taken = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal taken
        while True:
            taken += 1
            yield np.zeros((64, 64, 3), np.uint8)

    ahead = [taken - given for given, _ in enumerate(islice(grader.stream(endless()), 200))]
    assert len(ahead) == 200
    assert max(ahead) <= 3 * 8  # the batch that the network sees, and two that are decoded ahead


def test_every_processor_decodes(grader: Grader, monkeypatch: pytest.MonkeyPatch) -> None:
    together = Barrier(processors(), timeout=PATIENCE)

    def prepared(item: Path | np.ndarray, settings: PreparationSettings) -> tuple[np.ndarray, Quality]:
        together.wait()  # broken unless as many are here at once
        return np.zeros((settings.size, settings.size, 3), np.uint8), Quality(1.0, {})

    monkeypatch.setattr(runtime, "prepared", prepared)
    assert len(grader.grade([np.zeros((64, 64, 3), np.uint8)] * 4 * processors())) == 4 * processors()


def test_the_network_works_while_others_are_decoded(grader: Grader, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = Event()

    def network(squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        begun.set()
        return np.full((len(squares), 5), 0.2, np.float32), np.zeros((len(squares), 5, 4, 4), np.float32)

    def prepared(item: Path | np.ndarray, settings: PreparationSettings) -> tuple[np.ndarray, Quality]:
        assert isinstance(item, np.ndarray)
        if item[0, 0, 0]:
            assert begun.wait(PATIENCE), "the network waited for a photograph of a later batch"
        return np.zeros((settings.size, settings.size, 3), np.uint8), Quality(1.0, {})

    monkeypatch.setattr(grader, "network", network)
    monkeypatch.setattr(runtime, "prepared", prepared)
    late = [np.full((64, 64, 3), place == 23, np.uint8) for place in range(24)]
    assert len(grader.grade(late)) == 24


_MEASURED = """
import json, resource, sys
from pathlib import Path
from retinagrade import Grader
grader = Grader.load(sys.argv[1])
photographs = [sys.argv[2]] * int(sys.argv[3])
count = sum(seen.grading.error is None for seen in grader.stream(photographs))
print(json.dumps([count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


@pytest.mark.slow
def test_memory_is_bounded_however_many_there_are(grader_file: Path, tmp_path: Path) -> None:
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

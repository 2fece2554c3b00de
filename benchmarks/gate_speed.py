"""What the gate costs, beside the whole grading of a photograph: the figures of docs/gate.md.

OMP_NUM_THREADS=1 python benchmarks/gate_speed.py

The photograph is synthetic. Times are medians on one core, in milliseconds.
"""

from __future__ import annotations

import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade import Grader, synthesize
from retinagrade.gate.inputs import gate_inputs
from retinagrade.gate.session import bundled_gate
from retinagrade.images.field_of_view import find_field_of_view
from retinagrade.images.read import read_photograph

CALLS: Final = 200
GRADINGS: Final = 10


def main() -> None:
    """Measures, and prints a table."""
    cv2.setNumThreads(1)
    grader, gate = Grader.load("default"), bundled_gate()
    print(f"{date.today():%-d %B %Y}, one core of {platform.processor() or platform.machine()}\n")
    print("| photograph | inputs, ms | network, ms | gate | whole grading, ms | share |")
    print("|---|---|---|---|---|---|")
    for height in (712, 1068, 1424, 2848):
        photograph = _draw(height)
        field = find_field_of_view(photograph)
        inputs = gate_inputs(photograph, field)
        prepare = _median(partial(gate_inputs, photograph, field), CALLS)
        network = _median(partial(gate.judge, *inputs), CALLS)
        grading = _median(partial(grader.grade, photograph), GRADINGS)
        both = prepare + network
        size = f"{photograph.shape[1]} × {height}"
        print(f"| {size} | {prepare:.1f} | {network:.1f} | {both:.1f} | {grading:.0f} | {both / grading:.1%} |")


def _draw(height: int) -> NDArray[np.uint8]:
    with tempfile.TemporaryDirectory() as folder:
        synthesize(folder, count=2, size=height, workers=1)
        return read_photograph(min(Path(folder, "photographs").iterdir()))


def _median(call: Callable[[], Any], calls: int) -> float:
    call()
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


if __name__ == "__main__":
    main()

"""Speed of the preparation compared with other recipes, measured by turns in one run; the best of several rounds.

    python benchmarks/prepare.py FOLDER [SIZE]

FOLDER holds photographs at full size, preferably of one camera. The compared recipes, in one process each, are:

* ``prepare_photograph``: reduced decoding, field of view, crop, resize;
* the report's recipe: full decoding, fixed threshold, bounding rectangle, square, resize, with OpenCV;
* the bare decoding of a JPEG at the reduced scale, with OpenCV and with simplejpeg;
* B. Graham's recipe of 2015: full decoding, radius from the middle row, resize, local average subtracted;
* ``retinalysis-fundusprep``, where it is installed.

Then follow the command ``prepare`` with one worker and with two, and the peak memory of a worker.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import simplejpeg
from numpy.typing import NDArray

from retinagrade.images.field_of_view import crop_square, find_field_of_view
from retinagrade.images.prepare import PreparationSettings, prepare_photograph
from retinagrade.images.read import read_photograph

ROUNDS = 6
COPIES = 100
ONE_THREAD = {**os.environ, "OPENCV_FOR_THREADS_NUM": "1"}
"""Environment in which OpenCV uses one thread; by default it uses all processors."""


def _read(path: Path) -> NDArray[Any]:
    return np.asarray(cv2.imread(str(path)))


def report_recipe(path: Path, size: int) -> NDArray[Any]:
    """Prepares a photograph like the code of report §2.1."""
    photograph = _read(path)
    grey = cv2.cvtColor(photograph, cv2.COLOR_BGR2GRAY)
    _, lit = cv2.threshold(grey, 10, 255, cv2.THRESH_BINARY)
    x, y, width, height = cv2.boundingRect(lit)
    box = photograph[y : y + height, x : x + width]
    side = min(width, height)
    top, left = (height - side) // 2, (width - side) // 2
    return cv2.resize(box[top : top + side, left : left + side], (size, size))


def graham_recipe(path: Path, size: int) -> NDArray[Any]:
    """Prepares a photograph like B. Graham's published script, with a radius of half the size."""
    photograph = _read(path)
    middle = photograph[photograph.shape[0] // 2].sum(1)
    radius = (middle > middle.mean() / 10).sum() / 2
    scale = size / 2 / radius
    small = cv2.resize(photograph, (0, 0), fx=scale, fy=scale)
    mask = np.zeros(small.shape)
    centre = small.shape[1] // 2, small.shape[0] // 2
    cv2.circle(mask, centre, int(size / 2 * 0.9), (1, 1, 1), -1, 8, 0)
    blurred = cv2.GaussianBlur(small, (0, 0), size / 2 / 30)
    return cv2.addWeighted(small, 4, blurred, -4, 128) * mask + 128 * (1 - mask)


def fundusprep_recipe() -> Callable[[Path, int], object] | None:
    """Returns the recipe of retinalysis-fundusprep; ``None`` where it isn't installed."""
    if importlib.util.find_spec("rtnls_fundusprep") is None:
        return None
    from rtnls_fundusprep.mask_extraction import get_cfi_bounds

    def run(path: Path, size: int) -> object:
        photograph = _read(path)[..., ::-1]
        return get_cfi_bounds(photograph).crop(size)

    return run


def side_by_side(recipes: dict[str, Callable[[Path], object]], paths: list[Path]) -> dict[str, float]:
    """Returns milliseconds a photograph by recipe. Recipes take turns, so other work on the machine slows all."""
    best = dict.fromkeys(recipes, float("inf"))
    for _ in range(ROUNDS):
        for name, recipe in recipes.items():
            start = time.perf_counter()
            for path in paths:
                recipe(path)
            best[name] = min(best[name], 1000 * (time.perf_counter() - start) / len(paths))
    return best


def fidelity(paths: list[Path], size: int) -> tuple[float, float]:
    """Returns the largest differences from full decoding: mean of pixels, in grey levels, and edges, in widths."""
    pixels, edges = [], []
    for path in paths:
        square, fov, (_, width) = prepare_photograph(path, PreparationSettings(size))
        whole = read_photograph(path)
        whole_fov = find_field_of_view(whole)
        expected = cv2.resize(crop_square(whole, whole_fov), (size, size), interpolation=cv2.INTER_AREA)
        pixels.append(float(np.abs(square.astype(int) - expected.astype(int)).mean()))
        for edge in ("x", "y", "width", "height"):
            edges.append(abs(getattr(fov, edge) / width - getattr(whole_fov, edge) / whole.shape[1]))
    return max(pixels), max(edges)


def whole_sets(paths: list[Path], size: int, copies: int) -> dict[int, float]:
    """Returns the seconds of the command for many photographs, by number of workers."""
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.csv"
        links = {f"{copy}-{path.name}": path.resolve() for copy in range(copies) for path in paths}
        for name, path in links.items():
            (Path(folder) / name).symlink_to(path)
        pd.DataFrame({"image_id": links.keys(), "path": links.keys()}).to_csv(source, index=False)
        for workers in (1, 2):
            out = Path(folder) / str(workers)
            command = [
                sys.executable,
                "-m",
                "retinagrade",
                "prepare",
                source,
                "--out",
                out,
                "--size",
                size,
                "--workers",
                workers,
            ]
            start = time.perf_counter()
            subprocess.run([str(word) for word in command], check=True, capture_output=True)
            seconds[workers] = time.perf_counter() - start
            shutil.rmtree(out)
    return seconds


WORKER = """
import sys
from pathlib import Path
from retinagrade.datasets.prepare_file import prepare_file
from retinagrade.images.prepare import PreparationSettings
for index, path in enumerate(sys.argv[3:]):
    prepare_file((str(index), path, Path(path)), PreparationSettings(int(sys.argv[2])), Path(sys.argv[1]))
status = Path("/proc/self/status").read_text()
print(int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024)
"""


def worker_megabytes(paths: list[Path], size: int) -> float:
    """Returns the peak memory of a process that prepares all photographs like a worker (Linux)."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-c", WORKER, out, str(size), *map(str, paths)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Measures and prints."""
    cv2.setNumThreads(1)
    paths = sorted(path for path in Path(sys.argv[1]).iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    size = int(sys.argv[2]) if len(sys.argv) > 2 else 512
    recipes: dict[str, Callable[[Path], object]] = {
        "prepare_photograph": lambda path: prepare_photograph(path, PreparationSettings(size)),
        "the report's recipe": lambda path: report_recipe(path, size),
        "bare decoding at a quarter, OpenCV": lambda path: cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_4),
        "bare decoding at a quarter, simplejpeg": lambda path: simplejpeg.decode_jpeg(
            path.read_bytes(), "RGB", min_height=size, min_width=size, min_factor=1
        ),
        "Graham's recipe of 2015": lambda path: graham_recipe(path, size),
        "prepare_photograph with Graham's contrast": lambda path: prepare_photograph(
            path, PreparationSettings(size, "graham")
        ),
    }
    if (fundusprep := fundusprep_recipe()) is not None:
        recipes["retinalysis-fundusprep"] = lambda path: fundusprep(path, size)
    height, width = read_photograph(paths[0]).shape[:2]
    print(f"{len(paths)} photographs of {width} × {height} to {size} px, one process, best of {ROUNDS} rounds")
    milliseconds = side_by_side(recipes, paths)
    ours = milliseconds["prepare_photograph"]
    for name, value in milliseconds.items():
        print(f"{name:44}{value:8.1f} ms {value / ours:8.2f} ×")
    pixels, edges = fidelity(paths, size)
    print(f"against full decoding: pixels differ by {pixels:.2f} grey levels at most on average, edges by {edges:.2%}")
    seconds = whole_sets(paths, size, COPIES)
    print(f"prepare, {COPIES * len(paths)} photographs: one worker {seconds[1]:.1f} s, two {seconds[2]:.1f} s", end="")
    print(f" ({seconds[1] / seconds[2]:.2f} ×)")
    once, often = worker_megabytes(paths[:4], size), worker_megabytes(paths * 5, size)
    print(f"peak memory of a worker: {once:.0f} MB after 4 photographs, {often:.0f} MB after {5 * len(paths)}")


if __name__ == "__main__":
    main()

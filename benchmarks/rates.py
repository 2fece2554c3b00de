"""Cost of each stage that grows with the number of photographs. Writes the file from which ``scaling.py`` plans.

    python benchmarks/rates.py FOLDER GRADER.onnx OUT.json

FOLDER holds photographs at full size; 400 links to them are the data set. Costs are seconds of one core, as the
operating system counts them, so that other work on the machine changes them little. The process that hands out the work
is measured separately: tasks that do nothing, a preparation of photographs that were prepared before, and the
comparison of all pairs of hashes, which is the worst case of the search for copies.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pandas as pd
import ray

from retinagrade.datasets.copies import CANDIDATE_BITS
from retinagrade.datasets.examine import examine_file
from retinagrade.datasets.layouts import read_dataset
from retinagrade.datasets.prepare import prepare
from retinagrade.datasets.prepare_file import prepare_file
from retinagrade.execution.ray_engine import RayEngine
from retinagrade.grader.runtime import Grader
from retinagrade.images.hamming import compare_all_pairs
from retinagrade.images.prepare import PreparationSettings
from retinagrade.manifest import Manifest
from retinagrade.provenance import installed_versions
from retinagrade.storage.files import write_json

PHOTOGRAPHS: Final = 400
FEW: Final = 100
SIZE: Final = 512
HASHES: Final = 20_000
TASKS: Final = 20_000


def links(folder: Path, count: int, into: Path) -> Iterator[tuple[str, str, Path]]:
    """Links to the folder's photographs again and again; yields id, name and path of each link."""
    paths = sorted(path.resolve() for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    for number, path in enumerate(islice(cycle(paths), count)):
        link = into / f"{number:05d}.jpg"
        link.symlink_to(path)
        yield link.stem, link.name, link


def cost(work: Callable[[], object], count: float) -> float:
    """Returns the seconds of one core, of all threads of this process, for each of ``count`` units of work."""
    start = time.process_time()
    work()
    return (time.process_time() - start) / count


def nothing(item: int) -> int:
    """A task that does nothing."""
    return item


def main() -> None:
    """Measures, prints and writes."""
    folder, model, out = map(Path, sys.argv[1:4])
    cv2.setNumThreads(1)
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "source").mkdir()
        items = list(links(folder, PHOTOGRAPHS, root / "source"))
        source = root / "source" / "manifest.csv"
        pd.DataFrame([item[:2] for item in items], columns=["image_id", "path"]).to_csv(source, index=False)
        manifest = read_dataset(source)
        work = partial(prepare_file, settings=PreparationSettings(SIZE), out=root / "set")
        seconds["prepare"] = cost(lambda: [work(item) for item in items], PHOTOGRAPHS)
        look = partial(examine_file, root=root / "source")
        seconds["check"] = cost(lambda: [look(item[1]) for item in items], PHOTOGRAPHS)
        grader = Grader.load(model)
        seconds["grade"] = cost(lambda: grader.grade([item[2] for item in items]), PHOTOGRAPHS)
        few, whole = Manifest(manifest.table.head(FEW), manifest.root), manifest
        again = []
        for part, count in ((few, FEW), (whole, PHOTOGRAPHS)):
            prepare(part, root / str(count), size=SIZE, workers=1)
            again.append(cost(partial(prepare, part, root / str(count), size=SIZE), 1))
        seconds["record"] = (again[1] - again[0]) / (PHOTOGRAPHS - FEW)  # the contact sheet is the same in both
        sizes = {
            "source": statistics.mean(item[2].stat().st_size for item in items),
            "prepared": statistics.mean(
                path.stat().st_size for path in (root / str(PHOTOGRAPHS) / "photographs").iterdir()
            ),
            "record": (root / str(PHOTOGRAPHS) / "prepare.json").stat().st_size / PHOTOGRAPHS,
        }
        hashes = np.random.default_rng(0).integers(0, 1 << 63, (HASHES, 4), dtype=np.uint64)
        seconds["pair"] = cost(lambda: compare_all_pairs(hashes, CANDIDATE_BITS), HASHES * (HASHES - 1) / 2)
        ray.init("local", num_cpus=2, object_store_memory=100 << 20, include_dashboard=False, logging_level=40)
        seconds["task"] = cost(lambda: list(RayEngine()(nothing, range(TASKS), None, nothing)), TASKS)
        ray.shutdown()
    metadata: dict[str, Any] = {"date": datetime.now(UTC).date().isoformat(), "photographs": PHOTOGRAPHS, "size": SIZE}
    rates = {
        "metadata": {**metadata, "model": model.stem, "versions": installed_versions()},
        "seconds": seconds,
        "bytes": sizes,
    }
    write_json(out, rates)
    print(json.dumps(rates, indent=2))


if __name__ == "__main__":
    main()

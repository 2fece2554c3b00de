"""How the gate judges what it has never seen, one family of each sort at a time.

python benchmarks/gate_families.py PREPARED OTHERS GATE OUT [--further]

Fourteen trainings each leave out one look, one degradation and one kind of pictures without a fundus. Every picture
that shows one of them is missing in that training, and only such pictures count in its row. GATE is a run of
`retinagrade train-gate PREPARED --others OTHERS`, whose landmarks and pictures are used again. A second call continues.

With --further, the same heads judge as many further pictures of the held-out photographs, on which nothing was chosen.
"""

from __future__ import annotations

import argparse
import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

from retinagrade import train_gate
from retinagrade.datasets.prepared_set import PreparedSet
from retinagrade.images.degradation import DEGRADATION_KINDS
from retinagrade.models.gate_network import FrozenFeatures
from retinagrade.training.gate.features import FeatureSet, compute_features
from retinagrade.training.gate.fit import judge_pictures
from retinagrade.training.gate.fundus import LOOKS
from retinagrade.training.gate.judge import judge
from retinagrade.training.gate.looks import PARTS
from retinagrade.training.gate.no_fundus import SHARES
from retinagrade.training.gate.run import GateRun
from retinagrade.training.gate.train import collect_material, gate_cache


def main() -> None:
    """Trains, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("others", type=Path)
    parser.add_argument("gate", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pictures", type=int, default=14336)
    parser.add_argument("--further", action="store_true")
    arguments = parser.parse_args()
    judged = "further held-out pictures" if arguments.further else "held-out pictures"
    print(f"{date.today():%-d %B %Y}, seed 0, {arguments.pictures} pictures to learn from, judged on {judged}\n")
    further = None
    print(
        "| look left out | clean: refused | degradation left out | AUC | to reject: refused | kind left out | refused |"
    )
    print("|---|---|---|---|---|---|---|")
    sums = {"clean": [0.0, 0], "reject": [0.0, 0], "none": [0.0, 0]}
    areas = []
    for look, degradation, kind in zip((*LOOKS, *PARTS), DEGRADATION_KINDS, SHARES, strict=True):
        folder = arguments.out / f"without-{degradation}".replace(" ", "-")
        if not folder.exists():
            folder.mkdir(parents=True)
            shutil.copy(GateRun(arguments.gate).landmarks_file, folder)
        run = train_gate(
            arguments.prepared,
            folder,
            others=arguments.others,
            leave_out=[look, degradation, kind],
            pictures=arguments.pictures,
        )
        if arguments.further:
            if further is None:
                further = _draw_further(run, arguments.prepared, arguments.others)
            figures: dict[str, Any] = judge(further.labels, judge_pictures(run.heads(), further))
        else:
            figures = json.loads(run.metrics_file.read_text())["held_out_pictures"]
        rows = {
            "clean": figures["clean_photographs_of_made_up_cameras"]["by_look"].get(look),
            "reject": figures["quality"]["reject_by_degradation"][degradation],
            "none": figures["no_fundus"]["by_kind"].get(kind),
        }
        for name, row in rows.items():
            if row is not None and row["pictures"]:
                sums[name][0] += row["refused"] * row["pictures"]
                sums[name][1] += row["pictures"]
        area = rows["reject"]["auc_against_good"]
        areas.append(area)
        clean, reject, none = map(_share, rows.values())
        print(f"| {look} | {clean} | {degradation} | {area:.3f} | {reject} | {kind} | {none} |", flush=True)
    clean, reject, none = (f"{refused / count:.1%} of {count}" for refused, count in sums.values())
    print(f"| all | {clean} | all | mean {sum(areas) / len(areas):.3f} | {reject} | all | {none} |")


def _draw_further(run: GateRun, prepared: Path, others: Path) -> FeatureSet:
    """Draws the pictures after those that the run was judged on, as many again."""
    settings, judged = run.record().settings, json.loads(run.metrics_file.read_text())["held_out_pictures"]["pictures"]
    material = collect_material(run, PreparedSet(prepared), others, settings, None)
    cache = gate_cache(prepared, run, material.digest(prepared, settings))
    pictures = compute_features(material.source("held-out", settings.seed), 2 * judged, cache, FrozenFeatures())
    return pictures.select(pictures.indices >= judged)


def _share(figures: dict[str, Any] | None) -> str:
    if figures is None or not figures["pictures"]:
        return "none drawn"
    return f"{figures['refused']:.1%} of {figures['pictures']}"


if __name__ == "__main__":
    main()

"""Training of the gate: pictures, their features, heads that are judged on held-out pictures, and the final heads.

The gate has a command of its own: it learns from made-up pictures instead of graded photographs, its heads train in a
minute on features that are kept, and it has no grades to predict, so that neither the epochs, checkpoints and tables of
``train`` nor its experiments would mean anything.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch

from retinagrade.arguments import AT_LEAST_ONE, NOT_NEGATIVE, check_arguments
from retinagrade.datasets.prepared_set import PreparedSet, prepared_digests, require_prepared_bytes
from retinagrade.datasets.stratification import assign_splits, photograph_groups, photograph_strata
from retinagrade.errors import ExperimentError, UsageError
from retinagrade.execution.progress import Progress
from retinagrade.gate.names import MODALITIES
from retinagrade.images.degradation import DEGRADATION_KINDS
from retinagrade.images.own_pictures import mark_png
from retinagrade.images.read import read_photograph
from retinagrade.models.gate_network import TRUNK, FrozenFeatures, GateFeatures
from retinagrade.models.weights import describe_weights
from retinagrade.provenance import provenance_record
from retinagrade.storage.files import is_free_folder, sha256, write_bytes, write_json
from retinagrade.storage.locking import locked
from retinagrade.storage.output_guard import continued_folder, guard_outputs, relative_to_folder
from retinagrade.training.features import cache_folder
from retinagrade.training.gate import no_fundus
from retinagrade.training.gate.draw import Part, PictureSource, inputs_of
from retinagrade.training.gate.features import RECIPE, FeatureSet, compute_features, join_sets
from retinagrade.training.gate.fit import fit_heads, judge_pictures
from retinagrade.training.gate.fundus import LOOKS
from retinagrade.training.gate.judge import judge, judge_photographs
from retinagrade.training.gate.landmarks import find_landmarks
from retinagrade.training.gate.looks import PARTS
from retinagrade.training.gate.metrics_record import GateMetrics
from retinagrade.training.gate.page import draw_page
from retinagrade.training.gate.picture import Label
from retinagrade.training.gate.picture_folder import FolderPicture, hold_out_origins, list_pictures
from retinagrade.training.gate.retinas import RetinaSource
from retinagrade.training.gate.run import GateDataRecord, GateRecord, GateRun
from retinagrade.training.gate.settings import GateTrainingSettings

_HELD_OUT: Final = 0.25
"""Share of the photographs that are for judging only."""
_OTHERS_HELD_OUT: Final = 0.15
"""Largest share of the other pictures that are for judging only."""
_JUDGED: Final = 0.15
"""Pictures to judge with, as a share of those to learn from."""
_USABLE_SPLITS: Final = ("train", "val")
_PAGE_SOURCE: Final = "held-out photographs of a training of the gate"


@check_arguments(pictures=AT_LEAST_ONE, seed=NOT_NEGATIVE, workers=NOT_NEGATIVE)
def train_gate(
    prepared: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    others: str | os.PathLike[str] | None = None,
    leave_out: Sequence[str] = (),
    pictures: int = 14336,
    seed: int = 0,
    workers: int = 0,
    progress: Progress | None = None,
) -> GateRun:
    """Trains the gate, which tells photographs that can be graded from others.

    Made-up cameras take pictures of the photographs, with and without faults; other pictures show no fundus. Heads on a
    frozen trunk learn from three quarters of the photographs and are judged on pictures of the others. Then they are
    trained again, on all pictures: these are the heads that ``export`` takes.

    The features of the pictures are kept in the prepared set, so the same call continues after an interruption.

    Args:
        prepared: A prepared set of photographs that are good enough to grade. Its official test photographs are left
            out.
        out: Folder of the run.
        others: Folder of pictures without a fundus, with a sub-folder for each origin. Without it, only drawn ones
            teach the gate such pictures.
        leave_out: Families of looks, degradations and pictures that the heads don't learn from, for a test of how they
            judge them. Such a run has only the heads that were judged, and ``export`` refuses it.
        pictures: Number of pictures to learn from.
        seed: Seed of the pictures, the held-out photographs and the training.
        workers: Processes that draw pictures, 0 for none beside this one.
        progress: Receives the steps.

    Returns:
        The run. ``metrics.json`` has the figures, and ``page.png`` shows photographs from best to worst.

    Raises:
        ExperimentError: There are too few photographs or pictures, or the weights of the trunk are missing.
        LayoutError: ``prepared`` is no prepared set, or ``others`` holds no pictures.
        UsageError: A family has no such name, or ``out`` is, holds or lies in an input.
    """
    run = GateRun(Path(out))
    settings = GateTrainingSettings(pictures=pictures, leave_out=tuple(leave_out), seed=seed)
    if unknown := sorted(set(leave_out) - set(FAMILIES)):
        raise UsageError(f"leave_out {unknown[0]!r} is no family: choose from {', '.join(FAMILIES)}")
    inputs = [Path(prepared)] + ([] if others is None else [Path(others)])
    guard_outputs([continued_folder(run.folder)], inputs)
    if not run.is_gate and not is_free_folder(run.folder, besides=[run.landmarks_file.name]):
        raise UsageError(f"{run.folder} is not empty and no training of the gate: choose another --out")
    with locked(run.record_file):
        _train(run, PreparedSet(prepared), None if others is None else Path(others), settings, workers, progress)
    return run


FAMILIES: Final = tuple(sorted({*PARTS, *LOOKS, *DEGRADATION_KINDS, *no_fundus.SHARES, *MODALITIES[2:]}))
"""Families that a training can leave out."""


@dataclass(frozen=True)
class GateMaterial:
    """Everything that pictures are drawn from; see :func:`collect_material`.

    Attributes:
        retinas: The photographs.
        image_ids: Ids of the photographs by part.
        pictures: Other pictures by part.
    """

    retinas: RetinaSource
    image_ids: dict[Part, list[str]]
    pictures: dict[Part, list[FolderPicture]]

    def source(self, part: Part, seed: int) -> PictureSource:
        """Returns the source of a part's pictures."""
        return PictureSource(part, self.retinas, self.image_ids[part], self.pictures[part], seed)

    def digest(self, prepared: Path, settings: GateTrainingSettings) -> str:
        """Returns the digest of all that features depend on, but for the number of pictures."""
        digests = prepared_digests(prepared)
        described = {
            "recipe": RECIPE,
            "trunk": TRUNK.model_dump(mode="json"),
            "seed": settings.seed,
            "photographs": {part: {each: digests[each] for each in ids} for part, ids in self.image_ids.items()},
            "landmarks": {key: each.model_dump() for key, each in sorted(self.retinas.landmarks.items())},
            "pictures": {part: [(p.origin, sha256(p.file)) for p in each] for part, each in self.pictures.items()},
        }
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _train(
    run: GateRun,
    prepared: PreparedSet,
    others: Path | None,
    settings: GateTrainingSettings,
    workers: int,
    progress: Progress | None,
) -> None:
    material = collect_material(run, prepared, others, settings, progress)
    digest = material.digest(prepared.folder, settings)
    if run.is_gate and (record := run.record()).settings == settings and record.data.source == digest:
        return
    network = FrozenFeatures().eval()
    cache = gate_cache(prepared.folder, run, digest)
    counts: dict[Part, int] = {"train": settings.pictures, "held-out": max(1, round(_JUDGED * settings.pictures))}
    sources = {part: material.source(part, settings.seed) for part in counts}
    sets = {
        part: compute_features(sources[part], count, cache, network, workers=workers, progress=progress)
        for part, count in counts.items()
    }
    learnt = sets["train"].without(settings.leave_out)
    heads = fit_heads(learnt, settings, progress)
    answers = judge_pictures(heads, sets["held-out"])
    real = _photographs(material, network)
    figures = {
        "learnt_from": {"pictures": len(learnt), "photographs": len(material.image_ids["train"])},
        "left_out": list(settings.leave_out),
        "held_out_pictures": judge(sets["held-out"].labels, answers),
        "held_out_photographs": judge_photographs(material.image_ids["held-out"], judge_pictures(heads, real)),
    }
    page = draw_page(sources["held-out"], sets["held-out"], answers)
    if not settings.leave_out:
        heads = fit_heads(join_sets(list(sets.values())), settings, progress)
    write_json(run.metrics_file, GateMetrics.model_validate(figures).model_dump(mode="json"))
    write_bytes(run.page_file, mark_png(cv2.imencode(".png", page[..., ::-1])[1].tobytes(), _PAGE_SOURCE))
    heads_digest = run.write_heads(heads)
    data = GateDataRecord(
        prepared=relative_to_folder(prepared.folder, run.folder),
        photographs=tuple(material.image_ids["train"]),
        held_out=tuple(material.image_ids["held-out"]),
        origins=dict(Counter(each.origin for part in material.pictures.values() for each in part)),
        held_out_origins=tuple(sorted({each.origin for each in material.pictures["held-out"]})),
        source=digest,
        trunk=describe_weights(TRUNK),
    )
    run.write_record(GateRecord(settings=settings, data=data, heads_sha256=heads_digest, **provenance_record()))


def collect_material(
    run: GateRun, prepared: PreparedSet, others: Path | None, settings: GateTrainingSettings, progress: Progress | None
) -> GateMaterial:
    """Collects photographs and other pictures, and divides them into those to learn from and those to judge with.

    Args:
        run: The run, which keeps the landmarks.
        prepared: The prepared set.
        others: Folder of pictures without a fundus, if any.
        settings: Settings of the training; only the seed matters.
        progress: Receives the steps.

    Raises:
        ExperimentError: There are too few photographs or pictures.
        LayoutError: ``others`` holds no pictures.
    """
    table = prepared.manifest.table
    table = table[table["split"].isna() | table["split"].isin(_USABLE_SPLITS)].sort_values(
        "image_id", ignore_index=True
    )
    files = {str(row.image_id): prepared.manifest.file(str(row.path)) for row in table.itertuples()}
    require_prepared_bytes(prepared.folder, files)
    names = assign_splits(photograph_strata(table), photograph_groups(table), {"val": _HELD_OUT}, settings.seed)
    image_ids: dict[Part, list[str]] = {
        "train": table["image_id"][names == "train"].tolist(),
        "held-out": table["image_id"][names == "val"].tolist(),
    }
    if not all(image_ids.values()):
        raise ExperimentError(f"{prepared.folder}: {len(table)} photographs are too few to hold some out")
    landmarks = find_landmarks(files, run.landmarks_file, progress)
    pictures = [] if others is None else list_pictures(others, progress)
    held_out = hold_out_origins(pictures, _OTHERS_HELD_OUT, settings.seed)
    by_part: dict[Part, list[FolderPicture]] = {
        "train": [each for each in pictures if each.origin not in held_out],
        "held-out": [each for each in pictures if each.origin in held_out],
    }
    return GateMaterial(RetinaSource(files, {each: landmarks[each] for each in files}), image_ids, by_part)


def gate_cache(prepared: Path, run: GateRun, digest: str) -> Path:
    """Returns the folder of a run's features, which runs with the same :meth:`GateMaterial.digest` share."""
    return cache_folder(prepared, run.folder) / f"gate-{digest[:16]}"


@torch.no_grad()
def _photographs(material: GateMaterial, network: FrozenFeatures) -> FeatureSet:
    """Computes the features of held-out photographs as they were prepared, without labels."""
    parts = []
    for image_id in material.image_ids["held-out"]:
        inputs = inputs_of(read_photograph(material.retinas.files[image_id]))
        parts.append(
            GateFeatures(*(each.half() for each in network(*(torch.from_numpy(each[None]) for each in inputs))))
        )
    features = GateFeatures(*(torch.cat(each) for each in zip(*parts, strict=True)))
    label = Label("colour", "photograph", frozenset(), "", np.nan, (), np.nan, np.nan, -1)
    return FeatureSet(features, [label] * len(parts), np.arange(len(parts)))

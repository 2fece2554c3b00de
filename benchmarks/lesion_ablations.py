"""What each part of the training of lesion networks is worth: the network of one fold, trained again without it.

python benchmarks/lesion_ablations.py PREPARED FOLDS OUT [--fold N] [--rows NAME…] [--smaller SET] [--larger SET]
    [--fine SET] [--made-up CHECKPOINT] [--judge-at SET]

FOLDS is a cross-validation of the experiment `lesions` on the prepared set PREPARED. Each row is one training on the
split of its fold N, with one setting changed; `fine` is the experiment `lesions-fine`. The rows `smaller`, `larger`
and `fine` need the same photographs prepared at 768, 1,440 and 2,048 px, and `made-up` the checkpoint of a network
that was trained on synthetic photographs; without these, the rows are left out. Three rows have no setting, and train
the network of the fold further: `longer` as before, `instances` also on whole photographs that nobody outlined, by
their grades, and `distilled` also on the maps that a teacher, the mean of this network, of that of the row `seed` and
of their maps of mirror images, makes of such photographs and of the crops. A second call continues.

The table gives, over the outlined photographs of the fold, the average precision of each kind and their mean, and this
mean over the photographs of grade 0 as well, in which every lesion is false; for IDRiD's look, and for a made-up camera
of each photograph (all of colour, light, resolution and sharpness changed). Maps and masks are compared at the
resolution of PREPARED, or at that of the set that --judge-at names.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from retinagrade import Run, train
from retinagrade.datasets.lesion_set import OUTLINED
from retinagrade.datasets.masks import OPTIC_DISC
from retinagrade.evaluation.lesion_metrics import LesionCounts, average_precision, count_lesions
from retinagrade.experiments.experiment import Experiment, load_experiment, override_settings
from retinagrade.images.camera import CameraChange, apply_camera, camera_of
from retinagrade.lesion_maps.outline import blacken_outside, enlarge_maps
from retinagrade.manifest import Manifest
from retinagrade.models.bfloat16 import avoid_slow_kernels
from retinagrade.models.lesion_network import LesionNetwork
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.training.checkpoints import load_lesion_network
from retinagrade.training.devices import keep_freed_memory, weights_dtype
from retinagrade.training.lesions.crops import LesionPhotographs, crop_loader
from retinagrade.training.lesions.module import PIXEL_WEIGHTS, lesion_loss
from retinagrade.training.lesions.predict import lesion_logits
from retinagrade.training.loading import PreparedPhotographs
from retinagrade.training.predict import with_split_of

SETTINGS: Final[dict[str, tuple[str, ...]]] = {
    "seed": ("training.seed=1",),
    "no-average": ("training.ema=null",),
    "no-healthy": ("crops.healthy=0",),
    "one-look": ("augmentation.camera=[]",),
    "backbone": ("network.backbone=tf_efficientnet_lite2",),
    "smaller": ("network.image_size=768",),
    "larger": ("network.image_size=1440",),
    "fine": (),
    "made-up": (),
}
"""Settings that each row changes."""
FURTHER: Final = {"longer": 0.0, "instances": 0.1, "distilled": 0.5}
"""Rows that train the network of the fold further: the weight of the loss of whole photographs."""
TAUGHT: Final = 0.5
"""Share of the teacher's maps in what a student learns of an outlined crop; people's outlines are the rest."""
CHANGED: Final[tuple[CameraChange, ...]] = ("colour", "light", "resolution", "sharpness")
STEPS, RATE, EMA = 300, 3e-4, 0.99
"""Steps of a further training, each on one batch of crops, its learning rate, and the decay of the averaged weights."""
RED: Final = ("microaneurysms", "haemorrhages")
ANY, MANY = 5, 250
"""Pixels of a map that show red lesions: at least so many in a photograph of grade 1 or worse, and of grade 3 or 4."""


def main() -> None:
    """Trains, judges and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--fold", type=int, default=4)
    parser.add_argument("--rows", nargs="*", choices=[*SETTINGS, *FURTHER])
    parser.add_argument("--smaller", type=Path)
    parser.add_argument("--larger", type=Path)
    parser.add_argument("--fine", type=Path)
    parser.add_argument("--made-up", type=Path)
    parser.add_argument("--judge-at", type=Path)
    arguments = parser.parse_args()
    sets = {"smaller": arguments.smaller, "larger": arguments.larger, "fine": arguments.fine}
    needed = {**sets, "made-up": arguments.made_up}
    lacking = {row for row, given in needed.items() if given is None}
    if asked := lacking & {*(arguments.rows or ())}:
        parser.error(f"the rows {', '.join(sorted(asked))} need their option")
    rows = arguments.rows or [row for row in (*SETTINGS, *FURTHER) if row not in lacking]
    folds = CrossValidation(arguments.folds)
    if arguments.fold not in range(folds.record().folds):
        parser.error(f"{arguments.folds} has no fold {arguments.fold}")
    fold = folds.fold(arguments.fold)
    kinds = [kind for kind in fold.experiment().network.lesions if kind != OPTIC_DISC]
    print(f"{date.today():%-d %B %Y}, fold {arguments.fold}: {', '.join(kinds)}; mean\n")
    print("| training | own look | with grade 0 | a made-up camera | with grade 0 |\n|---|---|---|---|---|", flush=True)
    for row in ["default", *rows]:
        out, prepared = arguments.out / f"{row}-{arguments.fold}", arguments.prepared
        if row == "default":
            network = load_lesion_network(fold)
        elif row in FURTHER:
            teachers = []
            if row == "distilled":
                other = train_changed(
                    fold, fold.experiment(), SETTINGS["seed"], prepared, arguments.out / f"seed-{arguments.fold}"
                )
                teachers = [load_lesion_network(each) for each in (fold, other)]
            network = train_further(fold, prepared, out.with_suffix(".pt"), FURTHER[row], teachers)
        else:
            prepared = sets.get(row, prepared)
            changed = [*SETTINGS[row]]
            if row == "made-up":
                changed.append(f"network.weights={arguments.made_up}")
            experiment = load_experiment("lesions-fine") if row == "fine" else fold.experiment()
            network = load_lesion_network(train_changed(fold, experiment, changed, prepared, out))
        looks = [
            judge(network, fold, prepared, arguments.judge_at or arguments.prepared, camera) for camera in ((), CHANGED)
        ]
        print(f"| {row} | {' | '.join(_precisions(look, kinds) for look in looks)} |", flush=True)


def train_changed(fold: Run, experiment: Experiment, settings: Sequence[str], prepared: Path, out: Path) -> Run:
    """Trains an experiment on the split of a fold, with other settings."""
    manifest = with_split_of(fold, Manifest.read(prepared / "manifest.csv"))
    return train(prepared, override_settings(experiment, settings), out, manifest=manifest)


def train_further(
    fold: Run, prepared: Path, file: Path, weight: float, teachers: Sequence[LesionNetwork] = ()
) -> LesionNetwork:
    """Trains the network of a fold further, or reads it from a file where that was done before.

    Args:
        fold: A trained run.
        prepared: Its prepared set.
        file: The file of the weights.
        weight: Weight of the loss of whole photographs, whose lesions nobody outlined. Without it, no such photograph
            is read.
        teachers: Networks whose mean map is learnt: of outlined crops beside people's outlines, of whole photographs
            of grade 1 or worse instead of their grades.
    """
    network = load_lesion_network(fold)
    if file.is_file():
        network.load_state_dict(torch.load(file, weights_only=True))
        return network
    experiment, manifest = fold.experiment(), with_split_of(fold, Manifest.read(prepared / "manifest.csv"))
    training = manifest.split("train")
    weights = torch.tensor([PIXEL_WEIGHTS.get(kind, 1.0) for kind in network.lesions])
    half = weights_dtype(experiment.training.precision) == torch.bfloat16  # as `train` computes
    if half:
        avoid_slow_kernels(network)
    keep_freed_memory()
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=experiment.training.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    loader, graded = crop_loader(training, experiment, 0), _graded(training)
    rule = get_ema_multi_avg_fn(EMA)  # type: ignore[no-untyped-call]
    average = AveragedModel(network, multi_avg_fn=rule, use_buffers=True)
    average.update_parameters(network)  # the first update copies the weights
    step = 0
    for epoch in range(STEPS):
        loader.sampler.set_epoch(epoch + experiment.training.epochs)  # type: ignore[attr-defined]
        for batch in loader:
            masks, known = batch["masks"].float(), batch["known"].float()
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits = network.train()(batch["photographs"])
                taught = mean_map(teachers, batch["photographs"]) if teachers else None
            if taught is not None:
                taught = F.interpolate(255 * taught, masks.shape[2:], mode="bilinear")
                outlined = known.amin(1)[:, None, None, None]  # a healthy photograph has no outline of its optic disc
                masks = torch.lerp(masks, taught, TAUGHT * outlined)
            loss = lesion_loss(logits, masks, known, weights)
            loss.backward()  # type: ignore[no-untyped-call]
            if weight:
                pixels, grade = next(graded)
                with torch.autocast("cpu", torch.bfloat16, enabled=half):
                    # In evaluation mode, because one photograph has other statistics than a batch of crops.
                    whole = network.eval()(pixels)
                    taught = mean_map(teachers, pixels) if teachers else None
                if taught is not None:
                    taught[:, [kind != OPTIC_DISC for kind in network.lesions]] *= float(grade > 0)
                    further = lesion_loss(whole, 255 * taught, torch.ones(whole.shape[:2]), weights)
                else:
                    further = instance_loss(whole, network.lesions, grade)
                (weight * further).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
            average.update_parameters(network)
            step += 1
            if step == STEPS:
                file.parent.mkdir(parents=True, exist_ok=True)
                torch.save(average.module.state_dict(), file)
                network.load_state_dict(average.module.state_dict())
                return network.eval()
    raise AssertionError("the loader is empty")


@torch.no_grad()
def mean_map(networks: Sequence[LesionNetwork], photographs: Tensor) -> Tensor:
    """Computes the mean of the probabilities (N, kinds, H, W) of networks, each with and without mirror images."""
    maps = []
    for network in networks:
        maps += [network(photographs).sigmoid(), network(photographs.flip(3)).sigmoid().flip(3)]
    return torch.stack(maps).mean(0)


def instance_loss(logits: Tensor, kinds: Sequence[str], grade: int) -> Tensor:
    """Computes the loss of one photograph of which only the grade is known (multiple-instance learning).

    A photograph of grade 1 or worse has a red lesion somewhere, one of grade 3 or 4 has many or large ones, and one of
    grade 0 has none.

    Args:
        logits: Logits (1, kinds, H, W).
        kinds: Names of the kinds.
        grade: The grade.
    """
    red = logits[0, [kinds.index(kind) for kind in RED]].amax(0).flatten()
    largest = red.topk(MANY).values
    loss = F.binary_cross_entropy_with_logits(largest[:ANY].mean(), torch.tensor(float(grade >= 1)))
    if grade in (0, 3, 4):
        loss = loss + F.binary_cross_entropy_with_logits(largest.mean(), torch.tensor(float(grade >= 3)))
    return loss


def _graded(manifest: Manifest) -> Iterator[tuple[Tensor, int]]:
    """Yields graded photographs (1, 3, S, S) without outlines, with their grades, in a random order without end."""
    table = manifest.table
    chosen = table[table[OUTLINED].isna() & table["grade"].notna()].reset_index(drop=True)
    photographs, rng = PreparedPhotographs(Manifest(chosen, manifest.root)), np.random.default_rng(0)
    while True:
        for row in rng.permutation(len(chosen)):
            pixels = torch.from_numpy(photographs.read(int(row))).permute(2, 0, 1)[None]
            yield pixels, int(chosen.loc[row, "grade"])


def judge(
    network: LesionNetwork, fold: Run, prepared: Path, judged_at: Path, camera: Sequence[CameraChange]
) -> dict[str, tuple[list[LesionCounts], list[LesionCounts]]]:
    """Counts the pixels and lesions of the validation photographs of a fold.

    Args:
        network: The network.
        fold: The run whose split names the photographs.
        prepared: The prepared set that the network takes.
        judged_at: The prepared set with the masks, at the resolution of the comparison.
        camera: Changes of the camera.

    Returns:
        By kind: the counts of the outlined photographs, and those of the photographs of grade 0.
    """
    taken, masked = (
        LesionPhotographs(with_split_of(fold, Manifest.read(each / "manifest.csv")).split("val"), network.lesions)
        for each in (prepared, judged_at)
    )
    assert taken.image_ids == masked.image_ids
    counts: dict[str, tuple[list[LesionCounts], list[LesionCounts]]] = {kind: ([], []) for kind in network.lesions}
    for row, image_id in enumerate(masked.image_ids):
        pixels, inside = blacken_outside(taken.photograph(row)[0])
        _, masks, field = masked.photograph(row)
        if camera:
            pixels = apply_camera(camera_of(image_id, camera), pixels, inside)
        size = max(pixels.shape[0], field.shape[0])
        maps = enlarge_maps(1 / (1 + np.exp(-lesion_logits(network, pixels[None])[0])), size)
        for channel, kind in enumerate(network.lesions):
            if masked.known[row, channel]:
                smaller = cv2.resize(maps[channel], field.shape[::-1], interpolation=cv2.INTER_AREA)
                count = count_lesions(np.asarray(smaller, np.float32), masks[channel] > 127, field)
                counts[kind][int(row in masked.healthy)].append(count)
    return counts


def _precisions(counts: dict[str, tuple[list[LesionCounts], list[LesionCounts]]], kinds: Sequence[str]) -> str:
    outlined = [average_precision(counts[kind][0]) for kind in kinds]
    both = [average_precision([*counts[kind][0], *counts[kind][1]]) for kind in kinds]
    return f"{', '.join(f'{each:.3f}' for each in outlined)}; {np.mean(outlined):.3f} | {np.mean(both):.3f}"


if __name__ == "__main__":
    main()

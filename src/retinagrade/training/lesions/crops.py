"""Crops of photographs with masks, for training: lesions of all kinds equally often, and healthy retina."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final, TypedDict

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from retinagrade.datasets.lesion_set import OUTLINED, mask_digests, read_masks
from retinagrade.datasets.masks import OPTIC_DISC
from retinagrade.errors import ManifestError
from retinagrade.experiments.experiment import Experiment
from retinagrade.images.camera import (
    Camera,
    Place,
    apply_camera,
    channel_histogram,
    draw_camera,
    lit_region,
    visible_part,
)
from retinagrade.manifest import Manifest
from retinagrade.training.augment import keeps_look
from retinagrade.training.distributed import ONE_DEVICE, Devices
from retinagrade.training.loading import Draw, PreparedPhotographs

_KEPT: Final = 64
"""Number of decoded photographs that each process keeps."""
_UNTURNED: Final = 0.3
"""Share of the crops that keep the pixels of their photograph: turning by quarters only, without zoom."""
_NEAR: Final = 0.35
"""Largest distance of a lesion from the middle of its crop, in sides of the crop."""
_COARSE: Final = 0.5
"""Share of the crops that show no more detail than the coarsest photographs, where the experiment names their size."""
_COARSE_QUALITY: Final = 90
"""JPEG quality of these crops."""
_DISC_RADIUS: Final = 0.47
"""Largest distance of the middle of any other crop from that of the photograph, in sides of the photograph."""


class LesionBatch(TypedDict):
    """Input of a network that outlines lesions.

    Attributes:
        photographs: RGB pixels (N, 3, H, W), uint8, in channels-last layout.
        masks: Share of each pixel that a lesion covers (N, kinds, H, W), uint8, 0 to 255.
        known: 1 (N, kinds) for kinds that people outlined in the photograph, or that it can't show; otherwise 0.
        inside: True (N, H, W) inside the field of view.
        image_ids: Ids of the photographs.
    """

    photographs: Tensor
    masks: Tensor
    known: Tensor
    inside: Tensor
    image_ids: list[str]


LesionItem = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_], str]


class LesionPhotographs:
    """The photographs of a prepared set that say where lesions are: outlined ones, and ones of grade 0."""

    def __init__(self, manifest: Manifest, kinds: tuple[str, ...]) -> None:
        """Selects the photographs.

        Args:
            manifest: Photographs of a prepared set.
            kinds: The kinds of lesions to read.

        Raises:
            ManifestError: No photograph has masks.
        """
        table = manifest.table
        if len(table) and (OUTLINED not in table or not table[OUTLINED].notna().any()):
            raise ManifestError(
                f"{manifest.root}: no photograph of a split has lesion masks: prepare a set that has them with --masks"
            )
        self.root, self.kinds = manifest.root, kinds
        chosen = table[table[OUTLINED].notna() | (table["grade"] == 0)].reset_index(drop=True)
        self._prepared = PreparedPhotographs(Manifest(chosen, manifest.root))
        self.image_ids = self._prepared.image_ids
        self._mask_digests = mask_digests(manifest.root)
        named = [set(str(cell).split()) if isinstance(cell, str) else set() for cell in chosen[OUTLINED]]
        healthy = (chosen["grade"] == 0).fillna(False).to_numpy(bool)
        # A photograph of grade 0 has no lesion; nobody has outlined its optic disc.
        known = [
            [kind in names or (zero and kind != OPTIC_DISC) for kind in kinds]
            for names, zero in zip(named, healthy, strict=True)
        ]
        self.known = np.array(known, np.uint8).reshape(len(chosen), len(kinds))
        with_outlines = np.array([bool(names) for names in named], bool)
        self.outlined, self.healthy = np.flatnonzero(with_outlines), np.flatnonzero(healthy & ~with_outlines)
        self.photograph = lru_cache(_KEPT)(self._read)

    def __len__(self) -> int:
        """Returns the number of photographs."""
        return len(self.image_ids)

    def _read(self, row: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
        """Reads a photograph (S, S, 3), its masks (kinds, S, S) and its field of view (S, S)."""
        pixels = self._prepared.read(row)
        image_id = self.image_ids[row]
        masks = read_masks(self.root, image_id, self.kinds, pixels.shape[0], self._mask_digests.get(image_id, {}))
        return pixels, masks, lit_region(pixels)


class CropDataset(Dataset[LesionItem]):
    """Random crops; each depends on seed, epoch and position only, never on a worker."""

    def __init__(self, manifest: Manifest, experiment: Experiment) -> None:
        """Args: training photographs of a prepared set, and the ``experiment`` with its crops and augmentation."""
        assert experiment.crops is not None
        self.photographs = LesionPhotographs(manifest, experiment.network.lesions)
        self.settings, self.augmentation = experiment.crops, experiment.augmentation
        self.seed = experiment.training.seed
        kinds = experiment.network.lesions
        self._drawn_kinds = [index for index, kind in enumerate(kinds) if kind != OPTIC_DISC] or [0]
        self._side = self.photographs.photograph(0)[0].shape[0]
        self._centres: dict[int, list[NDArray[np.float64]]] = {}
        self._histograms: dict[int, NDArray[np.float64]] = {}

    def __getitem__(self, draw: Draw) -> LesionItem:
        """Draws a crop: pixels (S, S, 3), masks (kinds, S, S), known kinds, field of view (S, S), and the id."""
        rng = np.random.default_rng((self.seed, draw.epoch, draw.position))
        row, centre = self._draw_place(rng)
        pixels, masks, view = self.photographs.photograph(row)
        warp, place = self._draw_warp(rng, centre, pixels.shape[0])
        side = (self.settings.side, self.settings.side)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = np.asarray(cv2.warpAffine(pixels, warp, side, flags=flags), np.uint8)
        inside = cv2.warpAffine(view.astype(np.uint8) * 255, warp, side, flags=flags) > 127
        cover = np.stack([np.asarray(cv2.warpAffine(mask, warp, side, flags=flags), np.uint8) for mask in masks])
        crop[~inside] = 0
        detail = self.settings.detail
        if detail is not None and rng.random() < _COARSE and detail < place.diameter:
            coarse = Camera(diameter=detail, quality=_COARSE_QUALITY)
            crop = apply_camera(coarse, crop, inside, place)
        if self.augmentation.camera and not keeps_look(rng, self.augmentation):
            camera = draw_camera(rng, self.augmentation.camera)
            crop = apply_camera(camera, crop, inside, place, self._histogram(row))
            inside = inside & visible_part(camera, *place.positions(crop.shape))
        cover[:, ~inside] = 0
        return crop, cover, self.photographs.known[row], inside, self.photographs.image_ids[row]

    def _draw_place(self, rng: np.random.Generator) -> tuple[int, NDArray[np.float64]]:
        """Draws a photograph, and the middle of the crop in it, as x and y in pixels."""
        known = self.photographs
        if len(known.healthy) and rng.random() < self.settings.healthy:
            return int(rng.choice(known.healthy)), self._anywhere(rng)
        if rng.random() < self.settings.on_lesions:
            kind, row = int(rng.choice(self._drawn_kinds)), int(rng.choice(known.outlined))
            for _ in range(len(known.outlined)):
                centres = self._lesion_centres(row)[kind]
                if len(centres):
                    near = rng.uniform(-_NEAR, _NEAR, 2) * self.settings.side
                    return row, centres[rng.integers(len(centres))] + near
                row = int(rng.choice(known.outlined))
        return int(rng.choice(known.outlined)), self._anywhere(rng)

    def _anywhere(self, rng: np.random.Generator) -> NDArray[np.float64]:
        radius, angle = np.sqrt(rng.random()) * _DISC_RADIUS * self._side, rng.uniform(0, 2 * np.pi)
        return np.array([self._side / 2 + radius * np.cos(angle), self._side / 2 + radius * np.sin(angle)])

    def _draw_warp(
        self, rng: np.random.Generator, centre: NDArray[np.float64], side: int
    ) -> tuple[NDArray[np.float64], Place]:
        """Draws scale, rotation and mirror image: the matrix (2, 3) from the crop to the photograph, and the place."""
        widest = np.log(1 + self.settings.zoom)
        step, angle, mirror = np.exp(rng.uniform(-widest, widest)), rng.uniform(0, 2 * np.pi), rng.choice([-1.0, 1.0])
        if rng.random() < _UNTURNED:
            step, angle, centre = 1.0, np.pi / 2 * rng.integers(4), np.round(centre)
        turn = step * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([mirror, 1])
        origin = centre - turn @ np.full(2, self.settings.side / 2)
        radii = 2 / side
        across, down = turn[:, 0] * radii, turn[:, 1] * radii
        x, y = (origin + 0.5) * radii - 1
        place = Place((float(x), float(y)), (across[0], across[1]), (down[0], down[1]))
        return np.column_stack([turn, origin]), place

    def _lesion_centres(self, row: int) -> list[NDArray[np.float64]]:
        """Returns the centres (n, 2) of each kind's lesions in a photograph, as x and y in pixels."""
        if row not in self._centres:
            found = []
            for mask in self.photographs.photograph(row)[1]:
                count, _, _, centres = cv2.connectedComponentsWithStats((mask > 127).astype(np.uint8))
                found.append(np.asarray(centres[1:count], np.float64))
            self._centres[row] = found
        return self._centres[row]

    def _histogram(self, row: int) -> NDArray[np.float64]:
        if row not in self._histograms:
            pixels, _, inside = self.photographs.photograph(row)
            self._histograms[row] = channel_histogram(pixels, inside)
        return self._histograms[row]


class CropSampler(Sampler[Draw]):
    """The crops of one epoch. Lightning calls ``set_epoch`` before each epoch."""

    def __init__(self, count: int) -> None:
        """Args: ``count``, the number of crops in an epoch."""
        self.count, self.epoch = count, 0

    def set_epoch(self, epoch: int) -> None:
        """Selects the epoch to draw, counted from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Returns the number of crops in an epoch."""
        return self.count

    def __iter__(self) -> Iterator[Draw]:
        """Yields the draws; their row is not used, because each draw selects a photograph itself."""
        return (Draw(0, self.epoch, position) for position in range(self.count))


class WholePhotographs(Dataset[LesionItem]):
    """Whole photographs with their masks, for validation; only outlined ones."""

    def __init__(self, manifest: Manifest, kinds: tuple[str, ...]) -> None:
        """Args: photographs of a prepared set, and the ``kinds`` of lesions."""
        self.photographs = LesionPhotographs(manifest, kinds)

    def __len__(self) -> int:
        """Returns the number of photographs."""
        return len(self.photographs.outlined)

    def __getitem__(self, index: int) -> LesionItem:
        """Reads one photograph, black outside its field of view."""
        row = int(self.photographs.outlined[index])
        pixels, masks, inside = self.photographs.photograph(row)
        shown = np.where(inside[..., None], pixels, 0).astype(np.uint8)
        return shown, masks, self.photographs.known[row], inside, self.photographs.image_ids[row]


def collate_lesions(items: list[LesionItem]) -> LesionBatch:
    """Stacks items into a batch."""
    photographs, masks, known, inside, image_ids = zip(*items, strict=True)
    return {
        "photographs": torch.from_numpy(np.stack(photographs)).permute(0, 3, 1, 2),
        "masks": torch.from_numpy(np.stack(masks)),
        "known": torch.from_numpy(np.stack(known)),
        "inside": torch.from_numpy(np.stack(inside)),
        "image_ids": list(image_ids),
    }


def crop_loader(
    manifest: Manifest, experiment: Experiment, workers: int, devices: Devices = ONE_DEVICE
) -> DataLoader[LesionBatch]:
    """Makes the loader of an experiment's training crops, which several devices share."""
    assert experiment.crops is not None
    return DataLoader[LesionBatch](
        CropDataset(manifest, experiment),  # type: ignore[arg-type]  # the stubs know no collate_fn that changes the type
        **devices.training_batches(CropSampler(experiment.crops.an_epoch), experiment.training.batch_size),
        collate_fn=collate_lesions,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def whole_loader(
    manifest: Manifest, experiment: Experiment, workers: int, devices: Devices = ONE_DEVICE
) -> DataLoader[LesionBatch]:
    """Makes the loader of whole outlined photographs, one in a batch, each exactly once for any number of devices."""
    photographs = WholePhotographs(manifest, experiment.network.lesions)
    return DataLoader[LesionBatch](
        photographs,  # type: ignore[arg-type]
        batch_size=1,
        sampler=devices.evaluation_order(range(len(photographs))),
        collate_fn=collate_lesions,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
    )

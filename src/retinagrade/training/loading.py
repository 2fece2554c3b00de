"""Loaders of prepared photographs. Each draw depends on seed, epoch and position only, never on a worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, NotRequired, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from retinagrade.datasets.balance import Balance, balance, draw_by_source
from retinagrade.datasets.prepared_set import prepared_digests, read_prepared
from retinagrade.errors import ExperimentError, ImageError
from retinagrade.experiments.experiment import AugmentationSettings, Experiment
from retinagrade.images.camera import CameraChange, apply_camera, camera_of, lit_region
from retinagrade.images.prepare import resize_to_input
from retinagrade.manifest import Manifest
from retinagrade.training.augment import augment
from retinagrade.training.distributed import ONE_DEVICE, Devices


class Draw(NamedTuple):
    """One photograph of an epoch: its row in the manifest, and the epoch and position that seed its augmentation."""

    row: int
    epoch: int
    position: int


class Batch(TypedDict):
    """Input of a network: pixels (N, 3, S, S) uint8 in channels-last layout, grades (N,) int64, and ids.

    Instead of pixels, a batch may have ``features`` (N, F) float32 that a frozen backbone computed from them.
    """

    photographs: NotRequired[Tensor]
    features: NotRequired[Tensor]
    grades: Tensor
    image_ids: list[str]


class LoadingError(ImageError):
    """A prepared photograph can't be used.

    Processes of torch's loaders put the message into a traceback; the error takes it out again.
    """

    def __init__(self, message: str) -> None:
        """Args: ``message``, or a traceback that ends with it."""
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2].strip())


class PreparedPhotographs:
    """The photographs of a manifest, known by the bytes that ``prepare`` wrote.

    Attributes:
        image_ids: Their ids, in the order of the manifest.
        paths: Their files.
    """

    def __init__(self, manifest: Manifest) -> None:
        """Args: ``manifest`` of a prepared set. Raises: ``LayoutError`` if its folder is none."""
        self.paths = [manifest.file(path) for path in manifest.table["path"]]
        self.image_ids: list[str] = manifest.table["image_id"].tolist()
        digests = prepared_digests(manifest.root)
        self._digests = [digests.get(image_id) for image_id in self.image_ids]

    def read(self, row: int) -> NDArray[np.uint8]:
        """Reads a photograph as RGB (S, S, 3) uint8.

        Raises:
            LoadingError: It can't be read, or was changed since it was prepared.
        """
        try:
            return read_prepared(self.paths[row], self._digests[row])
        except ImageError as error:
            raise LoadingError(str(error)) from error


class PhotographDataset(Dataset[tuple[NDArray[np.uint8], int, str]]):
    """Prepared photographs of a manifest at the network's input size; ungraded ones have grade -1."""

    def __init__(
        self,
        manifest: Manifest,
        size: int,
        augmentation: AugmentationSettings | None = None,
        seed: int = 0,
        camera: Sequence[CameraChange] = (),
    ) -> None:
        """Opens the photographs.

        Args:
            manifest: Photographs of a prepared set.
            size: Side of the network's input, in pixels.
            augmentation: Augmentation of photographs that a :class:`Draw` selects, for training.
            seed: Seed of the augmentation.
            camera: Changes that another camera would make to the other photographs; the same id always has the same
                camera.
        """
        table = manifest.table
        self.photographs = PreparedPhotographs(manifest)
        self.grades = table["grade"].fillna(-1).to_numpy(dtype=np.int64)
        self.image_ids = self.photographs.image_ids
        self.size, self.augmentation, self.seed, self.camera = size, augmentation, seed, camera

    def __len__(self) -> int:
        """Returns the number of photographs."""
        return len(self.image_ids)

    def __getitem__(self, draw: Draw | int) -> tuple[NDArray[np.uint8], int, str]:
        """Reads one photograph as RGB (S, S, 3) uint8, with grade and id; a :class:`Draw` augments it."""
        row = draw.row if isinstance(draw, Draw) else draw
        photograph = self.photographs.read(row)
        if self.camera and not isinstance(draw, Draw):
            camera = camera_of(self.image_ids[row], self.camera)
            photograph = apply_camera(camera, photograph, lit_region(photograph))
        photograph = resize_to_input(photograph, self.size)
        if self.augmentation is not None and isinstance(draw, Draw):
            rng = np.random.default_rng((self.seed, draw.epoch, draw.position))
            photograph = augment(photograph, rng, self.augmentation)
        return photograph, int(self.grades[row]), self.image_ids[row]


class EpochSampler(Sampler[Draw]):
    """The order of one epoch, shuffled and optionally balanced. Lightning calls ``set_epoch`` before each epoch."""

    def __init__(
        self,
        grades: NDArray[np.int64],
        balancing: Balance | None,
        seed: int,
        sources: tuple[NDArray[np.str_], Mapping[str, float]] | None = None,
    ) -> None:
        """Prepares the draws.

        Args:
            grades: Grades (N,).
            balancing: Balancing of the grades (report §2.5); ``None`` for all photographs.
            seed: Seed of the draws.
            sources: Data set (N,) of each photograph, and the weights of the data sets; ``None`` for no shares.
        """
        self.grades, self.balancing, self.seed, self.sources = grades, balancing, seed, sources
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Selects the epoch to draw, counted from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Returns the number of photographs in an epoch."""
        return len(self._rows())

    def __iter__(self) -> Iterator[Draw]:
        """Yields draws of the manifest's rows.

        Balancing draws a new sample in each epoch. The report fixed one sample for the whole training, which wastes
        photographs of the frequent grades.
        """
        return (Draw(int(row), self.epoch, position) for position, row in enumerate(self._rows()))

    def _rows(self) -> NDArray[np.int64]:
        rng = np.random.default_rng((self.seed, self.epoch))
        if self.sources is None:
            return rng.permutation(self._balanced(np.arange(len(self.grades)), rng))
        names, weights = self.sources
        each = [self._balanced(np.flatnonzero(names == name), rng) for name in np.unique(names)]
        return rng.permutation(draw_by_source(names, weights, np.concatenate(each), rng))

    def _balanced(self, rows: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
        return rows if self.balancing is None else rows[balance(self.grades[rows], self.balancing, rng)]


def epoch_sampler(manifest: Manifest, experiment: Experiment) -> EpochSampler:
    """Makes the order of the training photographs of a manifest.

    Raises:
        ExperimentError: ``training.sources`` has no weight for a data set with photographs.
    """
    settings, table = experiment.training, manifest.table
    grades = table["grade"].fillna(-1).to_numpy(dtype=np.int64)
    if settings.sources is None:
        return EpochSampler(grades, settings.balance, settings.seed)
    names = table["dataset"].fillna("").to_numpy(dtype=str)
    if missing := sorted(set(names) - set(settings.sources)):
        known = ", ".join(name or "(no data set)" for name in missing)
        raise ExperimentError(
            f"training.sources: no weight for {known}: name every data set of {manifest.root}, or set it to null"
        )
    return EpochSampler(grades, settings.balance, settings.seed, (names, settings.sources))


def collate_photographs(items: list[tuple[NDArray[np.uint8], int, str]]) -> Batch:
    """Stacks items into a batch; permuting (N, S, S, 3) gives channels-last pixels without a copy."""
    photographs, grades, image_ids = zip(*items, strict=True)
    return {
        "photographs": torch.from_numpy(np.stack(photographs)).permute(0, 3, 1, 2),
        "grades": torch.tensor(grades),
        "image_ids": list(image_ids),
    }


def fill_batch(photographs: Tensor, size: int) -> Tensor:
    """Repeats photographs, or their features, up to a full batch.

    Kernels are selected by the batch's shape and differ in the last bits; with one shape, the outputs for a photograph
    can't depend on the batch that it is in.

    Args:
        photographs: Pixels (N, 3, S, S) or features (N, F), N at most ``size``.
        size: Size of a full batch.

    Returns:
        Pixels (size, 3, S, S) or features (size, F).
    """
    if len(photographs) == size:
        return photographs
    layout = torch.channels_last if photographs.ndim == 4 else torch.contiguous_format
    return photographs[torch.arange(size) % len(photographs)].contiguous(memory_format=layout)


def training_loader(
    manifest: Manifest, experiment: Experiment, workers: int, devices: Devices = ONE_DEVICE
) -> DataLoader[Batch]:
    """Makes the loader of augmented, shuffled and optionally balanced training photographs.

    An incomplete last batch is dropped unless it is the only one: batch statistics of a few photographs disturb
    batch-norm, and the next epoch draws another order. Several devices divide the batches of one device among them.
    """
    settings = experiment.training
    photographs = PhotographDataset(manifest, experiment.network.image_size, experiment.augmentation, settings.seed)
    sampler = epoch_sampler(manifest, experiment)
    return DataLoader[Batch](
        photographs,  # type: ignore[arg-type]  # the stubs know no collate_fn that changes the type
        **devices.training_batches(sampler, settings.batch_size),
        collate_fn=collate_photographs,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def evaluation_loader(
    manifest: Manifest,
    experiment: Experiment,
    workers: int,
    devices: Devices = ONE_DEVICE,
    camera: Sequence[CameraChange] = (),
) -> DataLoader[Batch]:
    """Makes the loader of prepared photographs without augmentation, each exactly once, for any number of devices.

    With ``camera``, the photographs look as another camera would have taken them.
    """
    photographs = PhotographDataset(manifest, experiment.network.image_size, camera=camera)
    return DataLoader[Batch](
        photographs,  # type: ignore[arg-type]
        batch_size=experiment.training.batch_size,
        sampler=devices.evaluation_order(range(len(photographs))),
        collate_fn=collate_photographs,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
    )

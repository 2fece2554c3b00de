"""Features of a frozen backbone, computed once and kept on disk: a frozen backbone always gives the same features."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from retinagrade.datasets.prepared_set import preparation_settings
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.experiments.experiment import Experiment
from retinagrade.manifest import Manifest
from retinagrade.models.heads import feature_width
from retinagrade.models.inference import inference_copy
from retinagrade.models.network import Network
from retinagrade.provenance import installed_versions
from retinagrade.storage.environment import environment_number
from retinagrade.storage.files import naming
from retinagrade.training.devices import weights_dtype
from retinagrade.training.distributed import ONE_DEVICE, Devices, wait_for_all
from retinagrade.training.loading import (
    Batch,
    Draw,
    EpochSampler,
    PhotographDataset,
    collate_photographs,
    epoch_sampler,
    fill_batch,
)

LIMIT: Final = environment_number("RETINAGRADE_CACHE_GB", 20) * 1e9
"""Bytes that the features of one prepared set may take; the least recently used ones are removed first."""

_FOLDER: Final = ".features"
_RECIPE: Final = 4
"""Number that is raised whenever the same settings would give other features."""
_WORTH_REPORTING: Final = 500
"""Features whose computation takes long enough to report its progress."""
_BYTES: Final = 4
_AHEAD: Final = 4
"""Number of later epochs whose draws may fill up a batch."""


@dataclass(frozen=True)
class FeatureStore:
    """Features on disk, by photograph and view.

    Attributes:
        features: (photographs, views, F), float32: half precision overflows with random weights.
        computed: (photographs, views), 1 where the features have been computed.
    """

    features: NDArray[np.float32]
    computed: NDArray[np.uint8]

    @classmethod
    def open(cls, folder: Path, photographs: int, views: int, width: int) -> FeatureStore:
        """Opens or creates the store in a folder; its files take disk space only for features that are written."""
        files = {"features": ((photographs, views, width), "float32"), "computed": ((photographs, views), "uint8")}
        with naming(folder):
            if not folder.is_dir():
                folder.parent.mkdir(parents=True, exist_ok=True)
                new = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
                try:
                    for name, (shape, dtype) in files.items():
                        np.lib.format.open_memmap(new / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
                    try:
                        new.rename(folder)
                    except OSError:
                        if not folder.is_dir():  # otherwise, another process was faster
                            raise
                finally:
                    shutil.rmtree(new, ignore_errors=True)
        os.utime(folder)
        return cls(**{name: np.lib.format.open_memmap(folder / f"{name}.npy", mode="r") for name in files})

    def reopen(self) -> FeatureStore:
        """Opens the store again, which makes features visible that another machine has written since."""
        files = (cast("np.memmap[Any, Any]", array).filename for array in (self.features, self.computed))
        return FeatureStore(*(np.lib.format.open_memmap(cast("str", file), mode="r") for file in files))

    def put(self, keys: Sequence[tuple[int, int]], features: NDArray[np.float32]) -> None:
        """Writes features (N, F) of N photographs and views; they are on disk before they are marked as computed.

        The maps only read: to write through a map on a full disk kills the process.

        Raises:
            OSError: The features can't be written; they are then not marked.
        """
        index = np.ravel_multi_index(tuple(np.transpose(keys)), self.computed.shape)
        _write_rows(self.features, index, features)
        _write_rows(self.computed, index, np.ones(len(keys), np.uint8))


def _write_rows(array: NDArray[Any], rows: NDArray[np.intp], values: NDArray[Any]) -> None:
    """Writes values into the file of a map, at their numbers of photograph and view."""
    mapped = cast("np.memmap[Any, Any]", array)
    file = Path(cast("str", mapped.filename))
    with naming(file), file.open("r+b") as stream:
        for row, value in zip(rows.tolist(), values, strict=True):
            stream.seek(mapped.offset + row * value.nbytes)
            stream.write(value.tobytes())
        stream.flush()
        os.fsync(stream.fileno())


class FeatureDataset(Dataset[tuple[Tensor, int, str]]):
    """Features of the photographs of a manifest, computed by a frozen backbone."""

    def __init__(
        self,
        photographs: PhotographDataset,
        network: Network,
        experiment: Experiment,
        store: FeatureStore,
        *,
        workers: int,
        progress: Progress | None = None,
    ) -> None:
        """Args: ``photographs``, the ``network`` that computes their features, the ``store`` of these, ``progress``."""
        self.photographs, self.network, self.store = photographs, network, store
        self.workers, self.batch_size = workers, experiment.training.batch_size
        self.experiment, self.progress = experiment, progress
        self.views = store.computed.shape[1]

    def __len__(self) -> int:
        """Returns the number of photographs."""
        return len(self.photographs)

    def __getitem__(self, draw: Draw | int) -> tuple[Tensor, int, str]:
        """Reads features (F,) float32 of one photograph, with grade and id."""
        row, view = self._key(draw)
        features = torch.from_numpy(np.array(self.store.features[row, view]))
        return features, int(self.photographs.grades[row]), self.photographs.image_ids[row]

    def _key(self, draw: Draw | int) -> tuple[int, int]:
        """Returns row and view of a draw; the view is drawn with the seed that the augmentation would have."""
        if not isinstance(draw, Draw):
            return draw, 0
        rng = np.random.default_rng((self.photographs.seed, draw.epoch, draw.position))
        return draw.row, int(rng.integers(self.views))

    @torch.no_grad()
    def compute(self, draws: Sequence[Draw | int], later: Iterable[Draw] = ()) -> None:
        """Computes the features of draws that the store doesn't have yet.

        Batches are always full: features of ``later`` draws fill up the last one, and repeated photographs the rest.
        """
        missing = {key for key in map(self._key, draws) if not self.store.computed[key]}
        if not missing:
            return
        full = math.ceil(len(missing) / self.batch_size) * self.batch_size
        for draw in later:
            if len(missing) == full:
                break
            key = self._key(draw)
            if not self.store.computed[key]:
                missing.add(key)
        keys = sorted(missing)
        loader = DataLoader[Batch](
            self.photographs,  # type: ignore[arg-type]  # the stubs know no collate_fn that changes the type
            batch_size=self.batch_size,
            sampler=[Draw(row, view, row) for row, view in keys],
            collate_fn=collate_photographs,
            num_workers=self.workers,
        )
        network = self._inference_copy
        key_iterator = iter(keys)
        step = begin_stage(self.progress if len(keys) >= _WORTH_REPORTING else None, "computing features", len(keys))
        for batch in loader:
            count = len(batch["image_ids"])
            photographs = fill_batch(batch["photographs"], self.batch_size).to(network.mean.device)
            features = network.features(photographs)[:count]
            self.store.put([next(key_iterator) for _ in range(count)], features.cpu().numpy())
            for _ in range(count):
                step()

    @cached_property
    def _inference_copy(self) -> Network:
        """One copy for all epochs, as the backbone is frozen; float32 for validation, like predictions."""
        validating = self.photographs.augmentation is None
        dtype = weights_dtype("32" if validating else self.experiment.training.precision)
        return inference_copy(self.network, dtype, self.experiment.network.image_size)


class FeatureSampler(Sampler[Any]):
    """The order of an epoch; missing features are computed when the epoch begins."""

    def __init__(self, features: FeatureDataset, order: EpochSampler | range, devices: Devices = ONE_DEVICE) -> None:
        """Args: ``features`` to draw from, the ``order`` of an epoch, and the ``devices`` of the training."""
        self.features, self.order, self.devices = features, order, devices

    def set_epoch(self, epoch: int) -> None:
        """Selects the epoch to draw, counted from 0."""
        if isinstance(self.order, EpochSampler):
            self.order.set_epoch(epoch)

    def __len__(self) -> int:
        """Returns the number of photographs in an epoch."""
        return len(self.order)

    def __iter__(self) -> Iterator[Draw | int]:
        """Yields draws of the manifest's rows."""
        draws: list[Draw | int] = list(self.order)
        if self.devices.rank == 0:
            self.features.compute(draws, self._later())
        if self.devices.count > 1:
            wait_for_all()
            self.features.store = self.features.store.reopen()
        return iter(draws)

    def _later(self) -> Iterator[Draw]:
        """Yields the draws of the next epochs."""
        if isinstance(self.order, EpochSampler):
            order = copy(self.order)
            for epoch in range(self.order.epoch + 1, self.order.epoch + 1 + _AHEAD):
                order.set_epoch(epoch)
                yield from order


def feature_loaders(
    network: Network,
    training: Manifest,
    validation: Manifest,
    experiment: Experiment,
    workers: int,
    cache: Path,
    devices: Devices = ONE_DEVICE,
    progress: Progress | None = None,
) -> tuple[DataLoader[Batch], DataLoader[Batch]] | None:
    """Makes loaders of features in place of photographs, augmented, shuffled and balanced in the same way.

    Each training photograph has ``training.feature_views`` augmentations, of which every draw takes one; validation
    photographs are not augmented, and each is loaded exactly once.

    Args:
        network: The network that is trained.
        training: Training photographs.
        validation: Validation photographs.
        experiment: The experiment that is trained.
        workers: Processes that load photographs.
        cache: The folder for features, as :func:`cache_folder` gives it.
        devices: The devices that share the photographs; the first computes features for all.
        progress: Receives the number of features computed.

    Returns:
        Loaders of training and validation; ``None`` where the backbone isn't frozen, the experiment augments anew in
        every draw, or the disk has no room for one view of each photograph.
    """
    settings, size = experiment.training, experiment.network.image_size
    width = feature_width(network.head)
    room = (LIMIT / (_BYTES * width) - len(validation)) // len(training)
    views = min(settings.feature_views, int(room))
    if not network.has_frozen_backbone or views < 1:
        return None
    augmented = PhotographDataset(training, size, experiment.augmentation, settings.seed)
    plain = PhotographDataset(validation, size)
    weights = module_digest(network.backbone)

    def features(photographs: PhotographDataset, manifest: Manifest, views: int) -> FeatureDataset:
        key = features_digest(weights, manifest, photographs, experiment, views)
        store = _open(cache, key, (len(photographs), views, width))
        return FeatureDataset(photographs, network, experiment, store, workers=workers, progress=progress)

    order = epoch_sampler(training, experiment)
    training_order = FeatureSampler(features(augmented, training, views), order, devices)
    validation_order = FeatureSampler(features(plain, validation, 1), range(len(plain)), devices)
    return (
        _loader(training_order.features, **devices.training_batches(training_order, settings.batch_size)),
        _loader(
            validation_order.features,
            sampler=devices.evaluation_order(validation_order),
            batch_size=settings.batch_size,
        ),
    )


def _loader(features: FeatureDataset, **batches: Any) -> DataLoader[Batch]:
    # The stubs know no collate_fn that changes the type.
    return DataLoader[Batch](features, collate_fn=collate_features, **batches)  # type: ignore[arg-type]


def collate_features(items: list[tuple[Tensor, int, str]]) -> Batch:
    """Stacks features, grades and ids into a batch."""
    features, grades, image_ids = zip(*items, strict=True)
    return {"features": torch.stack(features), "grades": torch.tensor(grades), "image_ids": list(image_ids)}


def cache_folder(prepared: Path, run: Path) -> Path:
    """Returns the folder of the features: in the prepared set, or in the run where the set is read-only."""
    return (prepared if os.access(prepared, os.W_OK) else run) / _FOLDER


def module_digest(module: nn.Module) -> str:
    """Computes the digest of a module's weights and running statistics."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def features_digest(
    weights: str, manifest: Manifest, photographs: PhotographDataset, experiment: Experiment, views: int
) -> str:
    """Computes the digest of everything that features depend on, such as weights, photographs and augmentation."""
    network_keys = {"backbone", "arguments", "scaling", "image_size", "stages", "pooling"}
    augmentation = photographs.augmentation
    dependencies = {
        "recipe": _RECIPE,
        "weights": weights,
        "network": experiment.network.model_dump(mode="json", include=network_keys),
        "views": views,
        "augmentation": None if augmentation is None else augmentation.model_dump(mode="json"),
        "seed": photographs.seed,
        "precision": experiment.training.precision,
        "batch_size": experiment.training.batch_size,  # kernels differ in the last bits by the batch's shape
        "preparation": preparation_settings(manifest.root),
        "photographs": manifest.table.reindex(columns=["image_id", "path", "sha256"]).to_csv(index=False),
        "versions": installed_versions(),
    }
    return hashlib.sha256(json.dumps(dependencies, sort_keys=True).encode()).hexdigest()[:32]


def _open(cache: Path, key: str, shape: tuple[int, int, int]) -> FeatureStore:
    if not (cache / key).is_dir():
        evict_features(cache, math.prod(shape) * _BYTES)
    return FeatureStore.open(cache / key, *shape)


def evict_features(cache: Path, needed: int, limit: float = LIMIT) -> None:
    """Removes the least recently used features until ``needed`` further bytes stay within the limit."""
    if not cache.is_dir():
        return
    stores = sorted(filter(Path.is_dir, cache.iterdir()), key=lambda path: path.stat().st_mtime)
    sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for path in stores}
    for path in stores:
        if sum(sizes.values()) + needed <= limit:
            break
        shutil.rmtree(path)
        del sizes[path]

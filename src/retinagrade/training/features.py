"""Features of a frozen backbone, computed once: the backbone never changes, so neither does what it sees."""

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
from retinagrade.training.devices import weights_dtype
from retinagrade.training.distributed import ONE, Devices, wait_for_all
from retinagrade.training.loading import Batch, Draw, EpochSampler, PhotographDataset, collate_photographs, fill_batch

LIMIT: Final = float(os.environ.get("RETINAGRADE_CACHE_GB", "20")) * 1e9
"""Bytes that the features beside one prepared set may take; the least recently used go first."""

_FOLDER: Final = ".features"
_RECIPE: Final = 2
"""Raised whenever the same settings would give other features."""
_WORTH_REPORTING: Final = 500
"""Features whose computation takes long enough to report its progress."""
_BYTES: Final = 4
_AHEAD: Final = 4
"""Epochs whose draws may fill a batch."""


@dataclass(frozen=True)
class FeatureStore:
    """Features on disk by photograph and view; what is not there yet is marked so.

    Attributes:
        features: (photographs, views, F), float32: half precision overflows with random weights.
        there: (photographs, views), 1 where the features have been computed.
    """

    features: np.ndarray
    there: np.ndarray

    @classmethod
    def open(cls, folder: Path, photographs: int, views: int, width: int) -> FeatureStore:
        """Opens the store in a folder, or makes it; the file takes disk only for what is written."""
        files = {"features": ((photographs, views, width), "float32"), "there": ((photographs, views), "uint8")}
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
            for name, (shape, dtype) in files.items():
                np.lib.format.open_memmap(made / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
            try:
                made.rename(folder)
            except OSError:  # another process was faster
                shutil.rmtree(made)
        os.utime(folder)
        return cls(**{name: np.lib.format.open_memmap(folder / f"{name}.npy", mode="r+") for name in files})

    def again(self) -> FeatureStore:
        """The same store as it is now on disk: what another machine has written since may not be seen in this one."""
        files = (cast("np.memmap[Any, Any]", array).filename for array in (self.features, self.there))
        return FeatureStore(*(np.lib.format.open_memmap(cast("str", file), mode="r+") for file in files))

    def put(self, keys: Sequence[tuple[int, int]], features: np.ndarray) -> None:
        """Writes features (N, F) of N photographs and views; they are on disk before they are marked."""
        index = tuple(np.transpose(keys))
        self.features[index] = features
        cast("np.memmap[Any, Any]", self.features).flush()
        self.there[index] = 1


class FeatureDataset(Dataset[tuple[Tensor, int, str]]):
    """Photographs of a manifest as the vectors that a frozen backbone makes of them."""

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
        self.views = store.there.shape[1]

    def __len__(self) -> int:
        """The number of photographs."""
        return len(self.photographs)

    def __getitem__(self, draw: Draw | int) -> tuple[Tensor, int, str]:
        """Features (F,) float32 of one photograph, with grade and id."""
        row, view = self._key(draw)
        features = torch.from_numpy(np.array(self.store.features[row, view]))
        return features, int(self.photographs.grades[row]), self.photographs.image_ids[row]

    def _key(self, draw: Draw | int) -> tuple[int, int]:
        """Row and view: which of its views a photograph shows in an epoch is drawn, as its augmentation would be."""
        if not isinstance(draw, Draw):
            return draw, 0
        rng = np.random.default_rng((self.photographs.seed, draw.epoch, draw.place))
        return draw.row, int(rng.integers(self.views))

    @torch.no_grad()
    def compute(self, draws: Sequence[Draw | int], later: Iterable[Draw] = ()) -> None:
        """Computes what the draws need and is not in the store yet.

        Batches are always full. So the last one takes in what ``later`` draws need, before anything is shown twice.
        """
        missing = {key for key in map(self._key, draws) if not self.store.there[key]}
        if not missing:
            return
        full = math.ceil(len(missing) / self.batch_size) * self.batch_size
        for draw in later:
            if len(missing) == full:
                break
            key = self._key(draw)
            if not self.store.there[key]:
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
        computed = iter(keys)
        step = begin_stage(self.progress if len(keys) >= _WORTH_REPORTING else None, "computing features", len(keys))
        for batch in loader:
            count = len(batch["image_ids"])
            photographs = fill_batch(batch["photographs"], self.batch_size).to(network.mean.device)
            features = network.features(photographs)[:count]
            self.store.put([next(computed) for _ in range(count)], features.cpu().numpy())
            for _ in range(count):
                step()

    @cached_property
    def _inference_copy(self) -> Network:
        """One copy for all epochs, as the backbone is frozen; for validation in float32, as predictions are made."""
        validating = self.photographs.augmentation is None
        dtype = weights_dtype("32" if validating else self.experiment.training.precision)
        return inference_copy(self.network, dtype, self.experiment.network.image_size)


class FeatureSampler(Sampler[Any]):
    """The order of an epoch; when it begins, what it needs and is not there yet is computed."""

    def __init__(self, features: FeatureDataset, order: EpochSampler | range, devices: Devices = ONE) -> None:
        """Args: ``features`` to draw from, in which ``order``, and the ``devices`` that share what one computes."""
        self.features, self.order, self.devices = features, order, devices

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch to draw, counted from 0."""
        if isinstance(self.order, EpochSampler):
            self.order.set_epoch(epoch)

    def __len__(self) -> int:
        """Photographs an epoch."""
        return len(self.order)

    def __iter__(self) -> Iterator[Draw | int]:
        """Draws rows of the manifest."""
        draws: list[Draw | int] = list(self.order)
        if self.devices.rank == 0:
            self.features.compute(draws, self._later())
        if self.devices.count > 1:
            wait_for_all()
            self.features.store = self.features.store.again()
        return iter(draws)

    def _later(self) -> Iterator[Draw]:
        """What the next epochs will draw."""
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
    devices: Devices = ONE,
    progress: Progress | None = None,
) -> tuple[DataLoader[Batch], DataLoader[Batch]] | None:
    """Loaders of features in place of photographs: augmented, shuffled and balanced as those would be.

    Each training photograph has ``training.feature_views`` augmentations, of which every draw shows one; validation
    photographs are as they were prepared, each exactly once.

    Args:
        network: The network that is trained.
        training: Training photographs.
        validation: Validation photographs.
        experiment: What is trained.
        workers: Processes that load photographs.
        cache: The folder for features, as :func:`cache_folder` gives it.
        devices: The devices that share the photographs; the first computes features for all.
        progress: Receives the number of features computed.

    Returns:
        The two loaders; ``None`` where the backbone isn't frozen, the experiment wants every augmentation anew, or not
        one view of each photograph has room on disk.
    """
    settings, size = experiment.training, experiment.network.image_size
    width = feature_width(network.head)
    room = (LIMIT / (_BYTES * width) - len(validation)) // len(training)
    views = min(settings.feature_views, int(room))
    if not network.has_frozen_backbone or views < 1:
        return None
    shown = PhotographDataset(training, size, experiment.augmentation, settings.seed)
    plain = PhotographDataset(validation, size)
    weights = module_digest(network.backbone)

    def features(photographs: PhotographDataset, manifest: Manifest, views: int) -> FeatureDataset:
        key = features_digest(weights, manifest, photographs, experiment, views)
        store = _open(cache, key, (len(photographs), views, width))
        return FeatureDataset(photographs, network, experiment, store, workers=workers, progress=progress)

    order = EpochSampler(shown.grades, settings.balance, settings.seed)
    shown_order = FeatureSampler(features(shown, training, views), order, devices)
    plain_order = FeatureSampler(features(plain, validation, 1), range(len(plain)), devices)
    return (
        _loader(shown_order.features, **devices.training_batches(shown_order, settings.batch_size)),
        _loader(plain_order.features, sampler=devices.evaluated(plain_order), batch_size=settings.batch_size),
    )


def _loader(features: FeatureDataset, **batches: Any) -> DataLoader[Batch]:
    # The stubs know no collate_fn that changes the type.
    return DataLoader[Batch](features, collate_fn=collate_features, **batches)  # type: ignore[arg-type]


def collate_features(items: list[tuple[Tensor, int, str]]) -> Batch:
    """Stacks features, grades and ids to a batch."""
    features, grades, image_ids = zip(*items, strict=True)
    return {"features": torch.stack(features), "grades": torch.tensor(grades), "image_ids": list(image_ids)}


def cache_folder(prepared: Path, run: Path) -> Path:
    """Where features are kept: beside the photographs, for all experiments to share, or else in the run."""
    return (prepared if os.access(prepared, os.W_OK) else run) / _FOLDER


def module_digest(module: nn.Module) -> str:
    """Digest of a module's weights and running statistics."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def features_digest(
    weights: str, manifest: Manifest, photographs: PhotographDataset, experiment: Experiment, views: int
) -> str:
    """Digest of all that features depend on: weights, photographs, augmentation, seed, precision, versions."""
    of_network = {"backbone", "arguments", "scaling", "image_size", "stages", "pooling"}
    augmentation = photographs.augmentation
    about = {
        "recipe": _RECIPE,
        "weights": weights,
        "network": experiment.network.model_dump(mode="json", include=of_network),
        "views": views,
        "augmentation": None if augmentation is None else augmentation.model_dump(mode="json"),
        "seed": photographs.seed,
        "precision": experiment.training.precision,
        "batch_size": experiment.training.batch_size,  # kernels differ in the last bits by the batch's shape
        "preparation": preparation_settings(manifest.root),
        "photographs": manifest.table.reindex(columns=["image_id", "path", "sha256"]).to_csv(index=False),
        "versions": installed_versions(),
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]


def _open(cache: Path, key: str, shape: tuple[int, int, int]) -> FeatureStore:
    if not (cache / key).is_dir():
        evict_features(cache, math.prod(shape) * _BYTES)
    return FeatureStore.open(cache / key, *shape)


def evict_features(cache: Path, needed: int, limit: float = LIMIT) -> None:
    """Removes the least recently used features until ``needed`` bytes more stay within the limit."""
    if not cache.is_dir():
        return
    stores = sorted(filter(Path.is_dir, cache.iterdir()), key=lambda path: path.stat().st_mtime)
    sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for path in stores}
    for path in stores:
        if sum(sizes.values()) + needed <= limit:
            break
        shutil.rmtree(path)
        del sizes[path]

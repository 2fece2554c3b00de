"""Features of drawn pictures, computed once and kept on disk in chunks: the frozen part always gives the same.

A chunk is a function of the source and its number, so a stopped call continues after its last whole chunk, and
trainings with other families left out share their chunks.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.models.gate_network import FrozenFeatures, GateFeatures
from retinagrade.storage.files import write_bytes
from retinagrade.training.gate.draw import PictureSource, inputs_of
from retinagrade.training.gate.picture import Label

CHUNK: Final = 256
"""Pictures in a chunk."""
RECIPE: Final = 5
"""Number that is raised whenever the same source would give other pictures or features."""
_BATCH: Final = 32
_BETWEEN: Final = "|"
_Item = tuple[NDArray[np.uint8], NDArray[np.uint8], Label]


@dataclass(frozen=True)
class FeatureSet:
    """Features and labels of N pictures.

    Attributes:
        features: Features, float16 to halve memory.
        labels: What the pictures show.
        indices: Index (N,) of each picture in its source.
    """

    features: GateFeatures
    labels: list[Label]
    indices: NDArray[np.int64]

    def __len__(self) -> int:
        """Returns the number of pictures."""
        return len(self.labels)

    def batch(self, rows: NDArray[np.int64]) -> GateFeatures:
        """Returns the features of some pictures, float32."""
        chosen = torch.from_numpy(rows)
        return GateFeatures(*(each[chosen].float() for each in self.features))

    def select(self, keep: NDArray[np.bool_]) -> Self:
        """Returns the pictures where ``keep`` (N,) is True."""
        rows = np.flatnonzero(keep)
        chosen = torch.from_numpy(rows)
        features = GateFeatures(*(each[chosen] for each in self.features))
        return type(self)(features, [self.labels[row] for row in rows], self.indices[rows])

    def without(self, families: Sequence[str]) -> Self:
        """Returns the pictures that show none of these families."""
        return self.select(np.array([not each.families.intersection(families) for each in self.labels], bool))


def join_sets(sets: Sequence[FeatureSet]) -> FeatureSet:
    """Joins the pictures of several sets."""
    features = GateFeatures(*(torch.cat(each) for each in zip(*(part.features for part in sets), strict=True)))
    labels = [label for part in sets for label in part.labels]
    return FeatureSet(features, labels, np.concatenate([part.indices for part in sets]))


def compute_features(
    source: PictureSource,
    count: int,
    folder: Path,
    network: FrozenFeatures,
    *,
    workers: int = 0,
    progress: Progress | None = None,
) -> FeatureSet:
    """Draws pictures and computes their features, or reads those that an earlier call has kept.

    Args:
        source: The source of the pictures.
        count: Number of pictures; rounded up to whole chunks.
        folder: Folder of the chunks, for this source alone.
        network: The frozen part of the network.
        workers: Processes that draw pictures, 0 for none beside this one.
        progress: Receives the number of pictures.
    """
    network = network.eval()
    step = begin_stage(progress, f"drawing pictures ({source.part})", count)
    chunks = []
    for number in range(-(-count // CHUNK)):
        file = folder / f"{source.part}-{number:04d}.npz"
        if not file.is_file():
            chunk = _compute(source, range(number * CHUNK, (number + 1) * CHUNK), network, workers)
            write_bytes(file, _to_bytes(chunk))
        chunks.append(_read(file))
        for _ in range(CHUNK):
            step()
    return join_sets(chunks)


class _Pictures(Dataset[_Item]):
    def __init__(self, source: PictureSource, indices: range) -> None:
        self.source, self.indices = source, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> _Item:
        picture = self.source.draw(self.indices[place])
        return *inputs_of(picture.pixels), picture.label()


@torch.no_grad()
def _compute(source: PictureSource, indices: range, network: FrozenFeatures, workers: int) -> FeatureSet:
    loader = DataLoader(_Pictures(source, indices), batch_size=_BATCH, num_workers=workers, collate_fn=_collate)
    parts, labels = [], []
    for frame, square, batch_labels in loader:
        parts.append(GateFeatures(*(each.half() for each in network(frame, square))))
        labels += batch_labels
    features = GateFeatures(*(torch.cat(each) for each in zip(*parts, strict=True)))
    return FeatureSet(features, labels, np.array(indices, np.int64))


def _collate(items: list[_Item]) -> tuple[Tensor, Tensor, list[Label]]:
    frames, squares, labels = zip(*items, strict=True)
    return torch.from_numpy(np.stack(frames)), torch.from_numpy(np.stack(squares)), list(labels)


def _to_bytes(chunk: FeatureSet) -> bytes:
    """Writes a chunk as ``.npz``: the features, and each attribute of the labels as an array."""
    arrays = {name: each.numpy() for name, each in chunk.features._asdict().items()}
    columns = {each.name: [getattr(label, each.name) for label in chunk.labels] for each in fields(Label)}
    columns["families"] = [_BETWEEN.join(sorted(label.families)) for label in chunk.labels]
    stream = io.BytesIO()
    arrays |= {f"label_{name}": np.array(values) for name, values in columns.items()}
    np.savez(stream, index=chunk.indices, allow_pickle=False, **arrays)
    return stream.getvalue()


def _read(file: Path) -> FeatureSet:
    with np.load(file) as arrays:
        features = GateFeatures(*(torch.from_numpy(arrays[name]) for name in GateFeatures._fields))
        columns = {each.name: arrays[f"label_{each.name}"].tolist() for each in fields(Label)}
        indices = arrays["index"]
    columns["families"] = [frozenset(filter(None, each.split(_BETWEEN))) for each in columns["families"]]
    columns["reasons"] = [tuple(each) for each in columns["reasons"]]
    labels = [Label(*values) for values in zip(*(columns[each.name] for each in fields(Label)), strict=True)]
    return FeatureSet(features, labels, indices)

"""Counts of the lesion maps of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from retinagrade.evaluation.lesion_metrics import LesionCounts, count_lesions
from retinagrade.lesion_maps.outline import enlarge_maps
from retinagrade.training.lesions.crops import LesionBatch


def count_batch(
    maps: Tensor, kinds: Sequence[str], batch: LesionBatch
) -> Iterator[tuple[str, dict[str, LesionCounts]]]:
    """Yields the id and the counts of each photograph of a batch.

    Args:
        maps: Probabilities (N, kinds, H, W), 0 to 1; they may be smaller than the photographs.
        kinds: Names of the kinds.
        batch: The photographs, with their masks.

    Yields:
        Id, and counts by kind, of the kinds that people outlined.
    """
    masks, inside = batch["masks"].cpu().numpy() > 127, batch["inside"]
    for index, image_id in enumerate(batch["image_ids"]):
        view = inside[index].cpu().numpy()
        probabilities = enlarge_maps(maps[index].float().cpu().numpy(), view.shape[0])
        yield (
            image_id,
            {
                kind: count_lesions(probabilities[channel], masks[index, channel], view)
                for channel, kind in enumerate(kinds)
                if batch["known"][index, channel]
            },
        )

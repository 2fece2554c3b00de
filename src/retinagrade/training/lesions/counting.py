"""Counts of the lesion maps of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from retinagrade.evaluation.lesion_metrics import LesionCounts, count_lesions
from retinagrade.training.lesions.crops import LesionBatch


def count_batch(
    maps: Tensor, kinds: Sequence[str], batch: LesionBatch
) -> Iterator[tuple[str, dict[str, LesionCounts]]]:
    """Yields the id and the counts of each photograph of a batch.

    Args:
        maps: Probabilities (N, kinds, H, W), 0 to 1.
        kinds: Names of the kinds.
        batch: The photographs, with their masks.

    Yields:
        Id, and counts by kind, of the kinds that people outlined.
    """
    probabilities, masks, inside = maps.float().cpu().numpy(), batch["masks"].cpu().numpy() > 127, batch["inside"]
    for index, image_id in enumerate(batch["image_ids"]):
        view = inside[index].cpu().numpy()
        yield (
            image_id,
            {
                kind: count_lesions(probabilities[index, channel], masks[index, channel], view)
                for channel, kind in enumerate(kinds)
                if batch["known"][index, channel]
            },
        )

"""Measurements of saliency maps on photographs with lesion masks, for the network of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from retinagrade.datasets.masks import LESIONS, MaskedPhotograph
from retinagrade.explanations.lesions.agreement import dilate_region, enlarge_map, region_agreement
from retinagrade.explanations.lesions.masked_inputs import MaskedInput, prepare_masked
from retinagrade.explanations.lesions.perturbation import PerturbationAreas, perturbation_areas
from retinagrade.explanations.lesions.sanity import rank_correlation, shuffle_weights
from retinagrade.explanations.saliency import saliency_maps
from retinagrade.models.inference import inference_copy
from retinagrade.models.network import Network
from retinagrade.runs.run import Run
from retinagrade.training.checkpoints import load_network

ALL: Final = "all_lesions"
"""The region of all lesions of a photograph together."""
RANDOM: Final = "random"
"""The baseline method: noise in :data:`CELLS` by :data:`CELLS` cells, as smooth as a class activation map."""
CELLS: Final = 7
OWN, OTHER, SHUFFLED = "own", "another photograph", "shuffled weights"
"""Sources of a map: the photograph itself; the next photograph, as a baseline of where saliency usually lies; the
photograph itself, explained by the network with shuffled weights."""
_BATCH: Final = 9
_UNDEFINED: Final = PerturbationAreas(float("nan"), float("nan"))


@dataclass(frozen=True)
class LesionMeasurements:
    """Measurements of one network or several.

    Attributes:
        regions: One row per map and region: ``network``, ``method``, ``map_source``, ``image_id``, ``region``;
            ``area``, ``saliency`` and ``hit`` (:class:`~retinagrade.explanations.lesions.agreement.Agreement`) of the
            region; and ``near_area``, ``near_saliency`` and ``near_hit`` of the region with its neighbourhood.
        maps: One row per map of a trained network: ``network``, ``method``, ``image_id``, ``deletion``, ``insertion``,
            and rank correlations with the map of the shuffled network (``correlation_shuffled``) and with the map of
            another photograph (``correlation_other``). NaN for maps of zeros.
    """

    regions: pd.DataFrame
    maps: pd.DataFrame


def measure_network(
    run: Run,
    masked: Sequence[MaskedPhotograph],
    methods: Sequence[str],
    *,
    name: str,
    seed: int = 0,
    on_done: Callable[[], None] = lambda: None,
) -> LesionMeasurements:
    """Measures the maps of one network for referable retinopathy.

    Args:
        run: A trained run.
        masked: Photographs with masks, at least two.
        methods: Methods of :data:`~retinagrade.explanations.saliency.METHODS`; :data:`RANDOM` is added.
        name: Name of the network.
        seed: Seed of random maps and shuffled weights.
        on_done: Called after each method, including random maps.

    Raises:
        ExperimentError: The run can't be read, or its preparation recipe does not exist in this version.
        ImageError: A photograph or mask can't be read.
    """
    settings = run.preparation()
    network, size = load_network(run), run.experiment().network.image_size
    photographs = [prepare_masked(one, settings, size) for one in masked]
    pixels = torch.from_numpy(np.stack([one.pixels for one in photographs])).permute(0, 3, 1, 2)
    shuffled, predicting = shuffle_weights(network, seed), inference_copy(network, torch.float32, size)
    regions: list[pd.DataFrame] = []
    maps: list[pd.DataFrame] = []
    for method in (*methods, RANDOM):
        if method == RANDOM:
            sources = {OWN: _noise(len(photographs), size, seed)}
        else:
            own = referable_maps(network, pixels, method)
            sources = {OWN: own, OTHER: np.roll(own, 1, axis=0), SHUFFLED: referable_maps(shuffled, pixels, method)}
        regions += [
            _measure_regions(photographs, of_source).assign(method=method, map_source=source)
            for source, of_source in sources.items()
        ]
        maps.append(_measure_maps(predicting, pixels, photographs, sources).assign(method=method))
        on_done()
    return LesionMeasurements(pd.concat(regions).assign(network=name), pd.concat(maps).assign(network=name))


def join_measurements(measurements: Sequence[LesionMeasurements]) -> LesionMeasurements:
    """Joins the measurements of several networks."""
    return LesionMeasurements(
        pd.concat([one.regions for one in measurements], ignore_index=True),
        pd.concat([one.maps for one in measurements], ignore_index=True),
    )


def referable_maps(network: Network, pixels: Tensor, method: str) -> NDArray[np.float32]:
    """Computes saliency maps for referable retinopathy at the network's input size.

    Args:
        network: A network.
        pixels: RGB pixels (N, 3, S, S), uint8.
        method: One of :data:`~retinagrade.explanations.saliency.METHODS`.

    Returns:
        Saliency maps (N, S, S), at least 0.
    """
    batches = [saliency_maps(network, batch, method, ("referable",))[:, 0] for batch in torch.split(pixels, _BATCH)]
    return np.stack([enlarge_map(saliency.numpy(), pixels.shape[2]) for saliency in torch.cat(batches)])


def _noise(count: int, size: int, seed: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).random((count, CELLS, CELLS), dtype=np.float32)
    return np.stack([enlarge_map(one, size) for one in noise])


def _measure_regions(photographs: Sequence[MaskedInput], maps: NDArray[np.float32]) -> pd.DataFrame:
    rows = []
    for photograph, saliency in zip(photographs, maps, strict=True):
        lesions = np.any([mask for kind, mask in photograph.masks.items() if kind in LESIONS], axis=0)
        for region, mask in {ALL: lesions, **photograph.masks}.items():
            inside = region_agreement(saliency, mask, photograph.retina)
            near = region_agreement(saliency, dilate_region(mask, photograph.retina), photograph.retina)
            rows.append(
                {
                    "image_id": photograph.image_id,
                    "region": region,
                    **vars(inside),
                    **{f"near_{name}": value for name, value in vars(near).items()},
                }
            )
    return pd.DataFrame(rows)


def _measure_maps(
    network: Network,
    pixels: Tensor,
    photographs: Sequence[MaskedInput],
    sources: Mapping[str, NDArray[np.float32]],
) -> pd.DataFrame:
    rows = []
    for number, (photograph, pixels_of_one) in enumerate(zip(photographs, pixels, strict=True)):
        own, retina = sources[OWN][number], photograph.retina
        areas = perturbation_areas(network, pixels_of_one, own, retina) if own.any() else _UNDEFINED
        correlations = {
            column: rank_correlation(own, sources[source][number], retina) if source in sources else float("nan")
            for column, source in (("correlation_shuffled", SHUFFLED), ("correlation_other", OTHER))
        }
        rows.append(
            {
                "image_id": photograph.image_id,
                "deletion": areas.deletion,
                "insertion": areas.insertion,
                **correlations,
            }
        )
    return pd.DataFrame(rows)

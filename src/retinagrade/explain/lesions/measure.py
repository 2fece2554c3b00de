"""Measuring maps of heat of trained networks against lesion masks: per photograph first, then with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from retinagrade.datasets.masks import LESIONS, MaskedPhotograph
from retinagrade.evaluation.intervals import RESAMPLES, Interval, patient_weights, percentile_interval
from retinagrade.evaluation.metrics import Undefined
from retinagrade.explain.lesions.agreement import agreement, dilate_region, enlarge_map
from retinagrade.explain.lesions.masked_inputs import MaskedInput, prepare_masked
from retinagrade.explain.lesions.perturbation import PerturbationAreas, perturbation_areas
from retinagrade.explain.lesions.sanity import rank_correlation, shuffle_weights
from retinagrade.explain.saliency import saliency_maps
from retinagrade.models.inference import inference_copy
from retinagrade.models.network import Network
from retinagrade.runs.run import Run
from retinagrade.training.checkpoints import load_network

ALL: Final = "all_lesions"
"""The region of all lesions of a photograph together."""
RANDOM: Final = "random"
"""The method that knows nothing: noise in :data:`CELLS` by :data:`CELLS` cells, as smooth as a class activation map."""
CELLS: Final = 7
OWN, OTHER, SHUFFLED = "own", "another photograph", "shuffled weights"
"""Whose heat: the photograph's; the next one's by the same method, which lies where heat usually lies; the photograph's
by the network with shuffled weights."""
_BATCH: Final = 9
_NO_AREAS: Final = PerturbationAreas(float("nan"), float("nan"))


@dataclass(frozen=True)
class LesionMeasurements:
    """What was measured of one network or of several.

    Attributes:
        regions: One row a map and region: ``network``, ``method``, ``heat_of``, ``image_id``, ``region``, and ``area``,
            ``heat``, ``hit`` (:class:`~retinagrade.explain.lesions.agreement.Agreement`) of the region and, as ``near_…``, of it
            with its neighbourhood.
        maps: One row a map of a trained network: ``network``, ``method``, ``image_id``, ``deletion``, ``insertion``,
            and ``same``: the rank correlation with the map of the shuffled network, and ``same_others`` with that of
            another photograph. NaN of maps without heat.
    """

    regions: pd.DataFrame
    maps: pd.DataFrame


def measure_agreement(
    run: Run,
    masked: Sequence[MaskedPhotograph],
    methods: Sequence[str],
    *,
    name: str,
    seed: int = 0,
    on_done: Callable[[], None] = lambda: None,
) -> LesionMeasurements:
    """Measures the maps of one network, for referable retinopathy, against the lesions in photographs.

    Args:
        run: A trained run.
        masked: Photographs with masks, at least two.
        methods: What to explain by (:data:`~retinagrade.explain.saliency.METHODS`); :data:`RANDOM` is added.
        name: What to call the network.
        seed: Of random heat and of shuffled weights.
        on_done: Called after each method, random heat included.

    Raises:
        ExperimentError: Its photographs were prepared by a recipe that this version doesn't have.
        ImageError: A photograph or mask that can't be used.
    """
    settings = run.preparation()
    network, size = load_network(run), run.experiment().network.image_size
    photographs = [prepare_masked(one, settings, size) for one in masked]
    pixels = torch.from_numpy(np.stack([one.pixels for one in photographs])).permute(0, 3, 1, 2)
    forgetful, predicting = shuffle_weights(network, seed), inference_copy(network, torch.float32, size)
    regions: list[pd.DataFrame] = []
    maps: list[pd.DataFrame] = []
    for method in (*methods, RANDOM):
        if method == RANDOM:
            heats = {OWN: _noise(len(photographs), size, seed)}
        else:
            own = referable_maps(network, pixels, method)
            heats = {OWN: own, OTHER: np.roll(own, 1, axis=0), SHUFFLED: referable_maps(forgetful, pixels, method)}
        regions += [_regions(photographs, heat).assign(method=method, heat_of=whose) for whose, heat in heats.items()]
        maps.append(_maps(predicting, pixels, photographs, heats).assign(method=method))
        on_done()
    return LesionMeasurements(pd.concat(regions).assign(network=name), pd.concat(maps).assign(network=name))


def join_measurements(measured: Sequence[LesionMeasurements]) -> LesionMeasurements:
    """What was measured of several networks, together."""
    return LesionMeasurements(
        pd.concat([one.regions for one in measured], ignore_index=True),
        pd.concat([one.maps for one in measured], ignore_index=True),
    )


def referable_maps(network: Network, pixels: Tensor, method: str) -> np.ndarray:
    """Heat of referable retinopathy in the frame of the network's input.

    Args:
        network: A network.
        pixels: RGB (N, 3, S, S), uint8.
        method: How to explain.

    Returns:
        Heat (N, S, S), float32, at least 0.
    """
    batches = [saliency_maps(network, batch, method, ("referable",))[:, 0] for batch in torch.split(pixels, _BATCH)]
    return np.stack([enlarge_map(heat.numpy(), pixels.shape[2]) for heat in torch.cat(batches)])


def _noise(count: int, size: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).random((count, CELLS, CELLS), dtype=np.float32)
    return np.stack([enlarge_map(heat, size) for heat in drawn])


def _regions(photographs: Sequence[MaskedInput], heats: np.ndarray) -> pd.DataFrame:
    rows = []
    for one, heat in zip(photographs, heats, strict=True):
        lesions = np.any([mask for kind, mask in one.masks.items() if kind in LESIONS], axis=0)
        for region, mask in {ALL: lesions, **one.masks}.items():
            inside, around = (agreement(heat, of, one.retina) for of in (mask, dilate_region(mask, one.retina)))
            found = {"area": inside.area, "heat": inside.heat, "hit": inside.hit}
            beside = {"near_area": around.area, "near_heat": around.heat, "near_hit": around.hit}
            rows.append({"image_id": one.image_id, "region": region, **found, **beside})
    return pd.DataFrame(rows)


def _maps(
    network: Network, pixels: Tensor, photographs: Sequence[MaskedInput], heats: dict[str, np.ndarray]
) -> pd.DataFrame:
    rows = []
    for place, (one, photograph) in enumerate(zip(photographs, pixels, strict=True)):
        own = heats[OWN][place]
        areas = perturbation_areas(network, photograph, own, one.retina) if own.any() else _NO_AREAS
        same = {
            name: rank_correlation(own, heats[whose][place], one.retina) if whose in heats else float("nan")
            for name, whose in (("same", SHUFFLED), ("same_others", OTHER))
        }
        rows.append({"image_id": one.image_id, "deletion": areas.deletion, "insertion": areas.insertion, **same})
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class MeanWithInterval:
    """A mean over photographs.

    Attributes:
        value: The figure; ``None`` where no photograph has one.
        interval: ``None`` where there is none.
        photographs: Photographs that it is of.
    """

    value: float | None
    interval: Interval | None
    photographs: int


def mean_with_interval(values: np.ndarray, per: np.ndarray | None = None) -> MeanWithInterval:
    """A mean over photographs, or the ratio of two, with a 95 % interval by resampling photographs.

    A ratio is of the sums: a mean of single photographs' ratios would be made by those with the fewest lesions.

    Args:
        values: Of each photograph (N,); NaN where undefined.
        per: What their sum is divided by the sum of (N,); by default the number of photographs.
    """
    known = ~np.isnan(values)
    numerator = np.where(known, values, 0)
    denominator = known.astype(float) if per is None else np.where(known, per, 0)
    if not denominator.sum() > 0:
        return MeanWithInterval(None, None, int(known.sum()))
    weights = np.stack([patient_weights(len(values), resample) for resample in range(RESAMPLES)])
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = (weights @ numerator) / (weights @ denominator)
    drawn[~np.isfinite(drawn)] = np.nan
    try:
        interval = percentile_interval(drawn)
    except Undefined:
        interval = None
    return MeanWithInterval(float(numerator.sum() / denominator.sum()), interval, int(known.sum()))


def summarise_measurements(
    measured: LesionMeasurements,
) -> Iterator[tuple[dict[str, str], dict[str, MeanWithInterval]]]:
    """Figures over photographs, by network, method, whose heat and region; see :func:`mean_with_interval`.

    Yields:
        What the figures are of, and the figures: ``ratio`` (share of heat by share of area), ``hit`` (the pointing
        game) and ``chance`` (the hit of a random point), of the region and as ``near_…`` with its neighbourhood; for
        all lesions by a photograph's own heat also the columns of :attr:`LesionMeasurements.maps`, and what is gained on random
        heat: ``deletion_gain`` and ``insertion_gain``, both better the higher.
    """
    keys = ["network", "method", "heat_of", "region"]
    for key, rows in measured.regions.groupby(keys, sort=False):
        of = dict(zip(keys, map(str, key), strict=True))
        figures = {}
        for prefix in ("", "near_"):
            heat, area, hit = (rows[prefix + name].to_numpy(dtype=float) for name in ("heat", "area", "hit"))
            figures[f"{prefix}ratio"] = mean_with_interval(heat, area)
            figures[f"{prefix}hit"] = mean_with_interval(hit)
            figures[f"{prefix}chance"] = mean_with_interval(area)
        if of["region"] == ALL and of["heat_of"] == OWN:
            figures.update(_of_maps(measured.maps, of["network"], of["method"]))
        yield of, figures


def _of_maps(maps: pd.DataFrame, network: str, method: str) -> dict[str, MeanWithInterval]:
    of = maps[maps["network"] == network].set_index("image_id")
    own, random = of[of["method"] == method], of[of["method"] == RANDOM]
    figures = {name: mean_with_interval(own[name].to_numpy(dtype=float)) for name in ("deletion", "insertion")}
    if method == RANDOM:
        return figures
    random = random.loc[own.index]
    gains = {"deletion": random["deletion"] - own["deletion"], "insertion": own["insertion"] - random["insertion"]}
    figures |= {f"{name}_gain": mean_with_interval(gain.to_numpy(dtype=float)) for name, gain in gains.items()}
    return figures | {name: mean_with_interval(own[name].to_numpy(dtype=float)) for name in ("same", "same_others")}

"""Metrics over photographs: means and ratios of measurements, with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retinagrade.evaluation.intervals import Interval, percentile_interval
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.resampling import RESAMPLES, patient_weights
from retinagrade.explanations.lesions.agreement import NEIGHBOURHOOD
from retinagrade.explanations.lesions.measurements import ALL, OWN, RANDOM, LesionMeasurements
from retinagrade.explanations.lesions.sanity import UNCHANGED_CORRELATION, is_unchanged

_KEYS: Final = ["network", "method", "map_source", "region"]


@dataclass(frozen=True)
class MeanWithInterval:
    """A mean over photographs, or a ratio of two sums over them.

    Attributes:
        value: The mean or ratio; ``None`` if it is undefined for all photographs.
        interval: 95 % interval; ``None`` if undefined.
        photographs: Number of photographs with a value.
    """

    value: float | None
    interval: Interval | None
    photographs: int


@dataclass(frozen=True)
class AgreementMetrics:
    """Metrics of one network, method, map source and region.

    Attributes:
        network: Name of the network.
        method: The method, or ``random`` for random maps.
        map_source: The source of the maps: ``own`` for the photograph itself, or one of the baselines
            ``another photograph`` and ``shuffled weights``.
        region: A kind of lesion, ``all_lesions``, or ``optic_disc``.
        metrics: Metrics by name: ``ratio`` (share of saliency divided by share of area, at least 0), ``hit`` (pointing
            game, 0 to 1) and ``chance`` (hit of a random point, 0 to 1), for the region and as ``near_…`` for the
            region with its neighbourhood. For all lesions and the photographs' own maps also ``deletion`` and
            ``insertion`` (areas under curves of a probability, 0 to 1), ``correlation_shuffled`` and
            ``correlation_other`` (rank correlations with baselines, -1 to 1), and ``deletion_gain`` and
            ``insertion_gain`` over random maps (-1 to 1, higher is better). Random maps have neither correlations nor
            gains.
    """

    network: str
    method: str
    map_source: str
    region: str
    metrics: dict[str, MeanWithInterval]


@dataclass(frozen=True, repr=False)
class LesionComparison:
    """Agreement of saliency maps with lesions, by network and method. ``lesions.json`` has the same fields.

    Attributes:
        rows: All metrics.
        copies: Numbers of photographs of which a network's run has copies, by network and split; ``None`` for a network
            whose prepared set is gone or was split again.
        photographs: Number of photographs.
        warnings: Reasons not to trust some of the maps.
        neighbourhood: Distance up to which a point is near a lesion, as a share of the diameter of the field of view.
        unchanged_correlation: Rank correlation (-1 to 1) from which maps of shuffled weights count as unchanged.
    """

    rows: list[AgreementMetrics]
    copies: dict[str, dict[str, int] | None]
    photographs: int
    warnings: list[str]
    neighbourhood: float = NEIGHBOURHOOD
    unchanged_correlation: float = UNCHANGED_CORRELATION

    def select(self, map_source: str, region: str = ALL) -> dict[tuple[str, str], dict[str, MeanWithInterval]]:
        """Returns metrics by network and method.

        Args:
            map_source: The source of the maps.
            region: A kind of lesion, all lesions, or the optic disc.
        """
        return {
            (row.network, row.method): row.metrics
            for row in self.rows
            if row.map_source == map_source and row.region == region
        }

    @property
    def table(self) -> pd.DataFrame:
        """Metrics of the photographs' own maps and all lesions, one row per network and method."""
        rows = [
            {"network": network, "method": method, **{name: mean.value for name, mean in metrics.items()}}
            for (network, method), metrics in self.select(OWN).items()
        ]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        """Names the networks, the methods and the number of photographs."""
        networks, methods = (list(dict.fromkeys(names)) for names in zip(*self.select(OWN), strict=True))
        return (
            f"LesionComparison({', '.join(networks)}: {', '.join(methods)}; {self.photographs} photographs, "
            f"{len(self.warnings)} warnings)"
        )

    def _repr_html_(self) -> str:
        """Shows the table in a notebook."""
        table: str = self.table.to_html(index=False, float_format="{:.3f}".format)
        return table

    def to_json(self) -> dict[str, Any]:
        """Returns the content of ``lesions.json``."""
        return asdict(self)


def mean_with_interval(values: NDArray[np.float64], divisors: NDArray[np.float64] | None = None) -> MeanWithInterval:
    """Computes a mean over photographs or a ratio of two sums, with a 95 % interval by resampling photographs.

    A ratio of sums is used because a mean of the photographs' ratios would be dominated by those with the fewest
    lesions.

    Args:
        values: Values (N,) of the photographs; NaN where undefined.
        divisors: Values (N,) whose sum divides the sum of ``values``; by default, their number.
    """
    defined = ~np.isnan(values)
    numerator = np.where(defined, values, 0)
    denominator = defined.astype(float) if divisors is None else np.where(defined, divisors, 0)
    if not denominator.sum() > 0:
        return MeanWithInterval(None, None, int(defined.sum()))
    weights = np.stack([patient_weights(len(values), resample) for resample in range(RESAMPLES)])
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled = (weights @ numerator) / (weights @ denominator)
    resampled[~np.isfinite(resampled)] = np.nan
    try:
        interval = percentile_interval(resampled)
    except Undefined:
        interval = None
    return MeanWithInterval(float(numerator.sum() / denominator.sum()), interval, int(defined.sum()))


def summarise_measurements(
    measurements: LesionMeasurements, copies: Mapping[str, Mapping[str, str] | None]
) -> LesionComparison:
    """Summarises measurements over photographs.

    Args:
        measurements: Measurements of all networks.
        copies: Splits of the copies in each network's run, see
            :func:`~retinagrade.explanations.lesions.masked_inputs.find_copies_in_run`.
    """
    counts = {network: None if splits is None else dict(Counter(splits.values())) for network, splits in copies.items()}
    photographs = measurements.maps["image_id"].nunique()
    return LesionComparison(list(_summarise_regions(measurements)), counts, photographs, list(_warnings(measurements)))


def _summarise_regions(measurements: LesionMeasurements) -> Iterator[AgreementMetrics]:
    for keys, rows in measurements.regions.groupby(_KEYS, sort=False):
        network, method, map_source, region = map(str, keys)
        metrics = {}
        for prefix in ("", "near_"):
            columns = (f"{prefix}{name}" for name in ("saliency", "area", "hit"))
            saliency, area, hit = (rows[column].to_numpy(dtype=float) for column in columns)
            metrics[f"{prefix}ratio"] = mean_with_interval(saliency, area)
            metrics[f"{prefix}hit"] = mean_with_interval(hit)
            metrics[f"{prefix}chance"] = mean_with_interval(area)
        if region == ALL and map_source == OWN:
            metrics.update(_summarise_maps(measurements.maps, network, method))
        yield AgreementMetrics(network, method, map_source, region, metrics)


def _summarise_maps(maps: pd.DataFrame, network: str, method: str) -> dict[str, MeanWithInterval]:
    of_network = maps[maps["network"] == network].set_index("image_id")
    own, random = of_network[of_network["method"] == method], of_network[of_network["method"] == RANDOM]
    values = {name: own[name] for name in ("deletion", "insertion")}
    if method != RANDOM:
        random = random.loc[own.index]
        values["deletion_gain"] = random["deletion"] - own["deletion"]
        values["insertion_gain"] = own["insertion"] - random["insertion"]
        values |= {name: own[name] for name in ("correlation_shuffled", "correlation_other")}
    return {name: mean_with_interval(column.to_numpy(dtype=float)) for name, column in values.items()}


def _warnings(measurements: LesionMeasurements) -> Iterator[str]:
    for (network, method), maps in measurements.maps.groupby(["network", "method"], sort=False):
        correlations = maps["correlation_shuffled"].to_numpy(dtype=float)
        if is_unchanged(correlations):
            yield (
                f"{network}, {method}: the maps hardly change when the weights are shuffled (mean rank correlation "
                f"{np.nanmean(correlations):.2f}). They show the photograph, not what the network has learnt."
            )
    regions = measurements.regions
    own = regions[regions["map_source"].eq(OWN) & regions["region"].eq(ALL)]
    for (network, method), maps in own.groupby(["network", "method"], sort=False):
        if count := int(maps["saliency"].isna().sum()):
            yield f"{network}, {method}: {count} of {len(maps)} maps are 0 everywhere and were left out."

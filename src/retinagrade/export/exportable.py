"""What is exported: a network, or members and how they are combined; and what it says, the slow way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from retinagrade.ensembles.combination import Combination, WeightedMean, combine_members, load_combination
from retinagrade.errors import GraderFileError
from retinagrade.explain.maps import explain_maps
from retinagrade.export.ensemble_graph import EnsembleGraph, combine_saliency
from retinagrade.export.graph import FlippedGraph, NetworkGraph, ResizedGraph
from retinagrade.files import sha256
from retinagrade.images.prepare import resize_to_input
from retinagrade.models.network import Network
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.run import Run
from retinagrade.training.checkpoints import load_network
from retinagrade.training.predict import FLIPS

GRADES: Final = (0, 1, 2, 3, 4)


@dataclass(frozen=True)
class SingleNetwork:
    """A trained network.

    Attributes:
        run: Its run.
        network: With the weights of its best epoch.
        image_size: Side of the photographs that it sees, in pixels.
    """

    run: Run
    network: Network
    image_size: int


@dataclass(frozen=True)
class EnsembleNetworks:
    """Members of an ensemble.

    Attributes:
        names: What the ensemble calls them.
        members: In the order that the numbers of the combination have.
        combination: How their probabilities are combined.
    """

    names: tuple[str, ...]
    members: tuple[Source, ...]
    combination: Combination

    @property
    def shares(self) -> tuple[float, ...]:
        """Of the members' evidence: their weights, where the combination has weights; else all the same."""
        if isinstance(self.combination, WeightedMean):
            return self.combination.weights
        return (1 / len(self.members),) * len(self.members)


Source = SingleNetwork | EnsembleNetworks


def read_exportable(run: Run) -> Source:
    """The networks of a run or of an ensemble, with everything that they are combined by.

    Raises:
        ArtefactError: A member is no network any more as the ensemble knew it, or can't grade a single photograph.
        ExperimentError: A run can't be used.
    """
    if not run.is_ensemble:
        return SingleNetwork(run, load_network(run), run.experiment().network.image_size)
    fitted = load_combination(run.ensemble_file)
    if fitted.combination.method == "eyes":
        raise GraderFileError(
            f"{run.folder} looks at the other eye of a patient, and a file grades one photograph: export "
            f"{fitted.members[0].folder}"
        )
    members = []
    for source in fitted.members:
        member = Run(Path(source.folder))
        if CrossValidation(member.folder).record_file.is_file():
            raise GraderFileError(
                f"{run.folder}: its member {source.name} is a cross-validation, whose folds are judged one by one and "
                "grade no further photographs: combine trained runs"
            )
        file = member.predictions_file("val")
        if not file.is_file() or sha256(file) != source.sha256:
            raise GraderFileError(
                f"{run.folder}: its member {source.name} is not in {member.folder} as it was when they were combined: "
                "repeat `retinagrade ensemble`"
            )
        members.append(read_exportable(member))
    return EnsembleNetworks(tuple(source.name for source in fitted.members), tuple(members), fitted.combination)


def list_networks(source: Source, name: str = "", share: float = 1.0) -> Iterator[tuple[str, float, SingleNetwork]]:
    """All networks, with what they are called and their share of the evidence; of ensembles of ensembles too."""
    if isinstance(source, SingleNetwork):
        yield name, share, source
        return
    for member_name, member_share, member in zip(source.names, source.shares, source.members, strict=True):
        yield from list_networks(member, f"{name}/{member_name}".lstrip("/"), share * member_share)


def build_graph(source: Source, side: int, tta: bool) -> NetworkGraph | FlippedGraph | ResizedGraph | EnsembleGraph:
    """The graph of a source: photographs (N, side, side, 3) to probabilities, not calibrated, and evidence.

    Args:
        source: What is exported.
        side: Of the photographs that the graph is given.
        tta: Take the mean over mirrored views, of each network.
    """
    if isinstance(source, EnsembleNetworks):
        return EnsembleGraph(
            [build_graph(member, side, tta) for member in source.members], source.combination, source.shares
        )
    graph = FlippedGraph(NetworkGraph(source.network)) if tta else NetworkGraph(source.network)
    return graph if source.image_size == side else ResizedGraph(graph, side, source.image_size)


def reference_outputs(source: Source, photographs: np.ndarray, tta: bool) -> tuple[np.ndarray, torch.Tensor]:
    """What the networks themselves say, as ``predict`` and ``ensemble`` do, and their Grad-CAM by autograd.

    Args:
        source: What is exported.
        photographs: RGB pixels (N, S, S, 3), uint8, as large as they were prepared.
        tta: Take the mean over mirrored views, of each network.

    Returns:
        Probabilities (N, 5), float64, not calibrated, and evidence (N, 5, h, w).
    """
    if isinstance(source, EnsembleNetworks):
        found = [reference_outputs(member, photographs, tta) for member in source.members]
        probabilities = combine_members(source.combination, np.stack([each for each, _ in found], axis=1))
        return probabilities, combine_saliency([heat for _, heat in found], source.shares)
    squares = np.stack([resize_to_input(photograph, source.image_size) for photograph in photographs])
    pixels = torch.from_numpy(squares).permute(0, 3, 1, 2)
    views, maps = [], []
    for axes in FLIPS if tta else FLIPS[:1]:
        view = pixels.flip(axes)
        with torch.no_grad():
            views.append(source.network.output.probabilities(source.network(view)))
        maps.append(explain_maps(source.network, view, "gradcam", GRADES).flip(axes))
    return torch.stack(views).mean(0).numpy(), torch.stack(maps).mean(0)

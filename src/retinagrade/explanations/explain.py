"""Explanation of photographs by one run or several, as one page and as files."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from retinagrade.arguments import NumberRange, check_arguments
from retinagrade.errors import UsageError
from retinagrade.execution.progress import Progress
from retinagrade.explanations.activation_page import write_activations
from retinagrade.explanations.explanations import explain_photographs
from retinagrade.explanations.inputs import list_photographs, prepare_inputs
from retinagrade.explanations.runs import RunOrFolder, name_runs
from retinagrade.explanations.saliency import METHODS
from retinagrade.explanations.saliency_page import write_saliency
from retinagrade.explanations.style import DrawingStyle
from retinagrade.images.listing import LeftOutFile
from retinagrade.messages import counted
from retinagrade.provenance import provenance_record
from retinagrade.runs.run import Run
from retinagrade.storage.files import scratch_folder, write_json
from retinagrade.storage.output_guard import FOLDER_RECORD, describe_origin, folder_output, guard_outputs

_COMMAND: Final = "explain"
ACTIVATIONS: Final = "activations"
"""The method that shows the activations of a network's layers."""


@dataclass(frozen=True)
class Explanation:
    """A page of explanations that was written.

    Attributes:
        page: The page.
        method: The method.
        runs: Names of the runs on the page.
        photographs: Names of the photographs on the page.
        failures: Reasons why photographs could not be used, by photograph.
        left_out: Other files in the named folders, with the reasons why they were left out.
    """

    page: Path
    method: str
    runs: list[str]
    photographs: list[str]
    failures: dict[str, str]
    left_out: tuple[LeftOutFile, ...] = ()

    @property
    def needs_attention(self) -> bool:
        """True if a photograph could not be used, or a file that may be a photograph was left out."""
        return bool(self.failures) or any(each.may_be_photograph for each in self.left_out)

    def __repr__(self) -> str:
        """Names the page, the method and the number of photographs."""
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return (
            f"Explanation({str(self.page)!r}: {self.method} of {counted(len(self.photographs), 'photograph')} by "
            f"{counted(len(self.runs), 'run')}{failed})"
        )

    def _repr_html_(self) -> str:
        """Shows a link to the page and the failed photographs in a notebook."""
        link = f'<p><a href="{html.escape(str(self.page))}">{html.escape(repr(self))}</a></p>'
        if not self.failures:
            return link
        table: str = pd.DataFrame(self.failures.items(), columns=["photograph", "reason"]).to_html(index=False)
        return link + table


@check_arguments(method=(*METHODS, ACTIVATIONS), dpi=NumberRange(at_least=30, up_to=2400))
def explain(
    photographs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    runs: RunOrFolder | Sequence[RunOrFolder],
    out: str | os.PathLike[str],
    *,
    method: str = "gradcam",
    layer: str | None = None,
    cmap: str = "viridis",
    plain: bool = False,
    format: Literal["jpg", "pdf"] = "jpg",  # noqa: A002  # the name of the option
    dpi: int = 120,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Explanation:
    """Explains the grades of photographs by saliency maps, or by the activations of the networks' layers.

    Args:
        photographs: A file, a folder, a pattern such as ``photographs/*.jpg``, or ids of the runs' prepared set
            separated by commas; or a sequence of these. Files are prepared like the run's training photographs and
            drawn at their own resolution. Photographs of the prepared set are drawn as they were prepared.
        runs: Trained runs, ensembles or cross-validations, or their folders. Every network of an ensemble or a
            cross-validation is shown.
        out: A folder for ``explanation.html``, ``explanation.json``, with several runs ``networks.png``, and for each
            photograph, run and target an overlay (``.jpg``), and the saliency map at the photograph's resolution
            (``.png``, 16 bits) and as the method computes it for the network's input (``.npy``, float32). For
            activations, a folder for ``activations.html`` and a picture of each layer.
        method: One of :data:`~retinagrade.explanations.saliency.METHODS`, or :data:`ACTIVATIONS`.
        layer: The layer of a class activation map; only for a single run. By default, the last one.
        cmap: Colour map of overlays: the name of one of Matplotlib's.
        plain: Whether to leave colour scale and caption out of the overlays and of ``networks.png``, for papers.
        format: Format of overlays: ``jpg``, or ``pdf``, in which ``networks.pdf`` takes the place of ``networks.png``.
        dpi: Dots per inch: the size at which overlays are printed, and the resolution of ``networks.png``.
        overwrite: Whether ``out`` may hold other files, which are replaced where they have the same names.
        progress: Receives reports of progress; ``None`` for none.

    Returns:
        The page, the names of the runs and photographs on it, and the photographs that could not be used.

    Raises:
        ImageError: No photograph could be used.
        UsageError: The method or the colour map is unknown, an argument doesn't go with the method, a layer was given
            for several runs, a folder or pattern has no photographs; or ``out`` is, holds or lies in an input, or holds
            other files.
        ExperimentError: The layer does not exist, or a run can't be read.
    """
    out, named = Path(out), name_runs(runs)
    if method == ACTIVATIONS and layer is not None:
        raise UsageError(f"the method {ACTIVATIONS} shows all layers: leave out the layer")
    style = DrawingStyle(cmap, plain, format, dpi)
    if method == ACTIVATIONS and style != DrawingStyle():
        raise UsageError(f"the method {ACTIVATIONS} draws no overlays: leave out cmap, plain, format and dpi")
    names, left_out = list_photographs(photographs)
    sources = [*_files(names, named), *(run.folder for run in named.values())]
    guard_outputs([folder_output(out, _COMMAND, sources)], [*sources, *_folders(photographs)], overwrite)
    with scratch_folder() as scratch:
        inputs, failures = prepare_inputs(names, named, scratch)
        record = describe_origin(_COMMAND, sources, out) | provenance_record()
        if method == ACTIVATIONS:
            write_json(out / FOLDER_RECORD, record)
            page = write_activations(out, inputs, named, failures, progress)
        else:
            explanations = explain_photographs(inputs, named, method, layer, progress)
            write_json(out / FOLDER_RECORD, record)
            page = write_saliency(out, explanations, method, layer, failures, style, progress)
    return Explanation(page, method, list(named), list(inputs), failures, tuple(left_out))


def _files(photographs: Sequence[str], runs: Mapping[str, Run]) -> list[Path]:
    """Returns the files of photographs; for an id of a prepared set, a path in the set of the first run."""
    first = next(iter(runs.values()))
    return [Path(each) if Path(each).is_file() else first.prepared / each for each in photographs]


def _folders(photographs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    several = [photographs] if isinstance(photographs, str | os.PathLike) else photographs
    return [path for path in map(Path, several) if path.is_dir()]

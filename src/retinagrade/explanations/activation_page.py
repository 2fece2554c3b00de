"""The page of activations: pictures of the feature maps of every layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.explanations.activations import SHOWN, draw_layer, layer_maps
from retinagrade.explanations.inputs import PreparedInput
from retinagrade.explanations.overlay import encode_jpeg
from retinagrade.pages.page import render_page
from retinagrade.runs.run import Run
from retinagrade.storage.files import write_bytes, write_text
from retinagrade.training.checkpoints import load_network


def write_activations(
    out: Path,
    inputs: Mapping[str, Mapping[str, PreparedInput]],
    runs: Mapping[str, Run],
    failures: Mapping[str, str],
    progress: Progress | None = None,
) -> Path:
    """Writes ``activations.html``, and for each photograph and run a picture of each convolution and pooling layer.

    Args:
        out: The folder to write to.
        inputs: Photographs by name and run.
        runs: Trained runs by name.
        failures: Reasons why photographs could not be used, by photograph.
        progress: Receives reports of progress; ``None`` for none.

    Returns:
        The page.
    """
    sections: list[dict[str, Any]] = []
    for run_name, run in runs.items():
        network, size = load_network(run), run.experiment().network.image_size
        step = begin_stage(progress, f"drawing the layers of {run_name}", len(inputs))
        for name, by_run in inputs.items():
            pixels = by_run[run_name].input(size)
            layers = [(maps, draw_layer(maps)) for maps in layer_maps(network, pixels)]
            for number, (maps, picture) in enumerate(layers, 1):
                write_bytes(out / name / run_name / f"{number:03d}-{maps.name}.png", picture)
            photograph = encode_jpeg(pixels[0].permute(1, 2, 0).numpy())
            sections.append({"name": name, "network": run_name, "input": photograph, "layers": layers})
            step()
    page = render_page(
        "explanations/activations.html.j2",
        title=f"Activations of {' and '.join(runs)}",
        sections=sections,
        failures=failures,
        shown=SHOWN,
    )
    write_text(out / "activations.html", page)
    return out / "activations.html"

"""The look of drawn saliency maps, on the page and in files for papers."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from retinagrade.errors import UsageError
from retinagrade.images.own_pictures import mark_jpeg, mark_png

_QUALITY: Final = 90
"""JPEG quality, also in a PDF."""


@dataclass(frozen=True)
class DrawingStyle:
    """The look of drawn saliency maps.

    Attributes:
        cmap: Name of a colour map of Matplotlib. The default, viridis, is evenly spaced for any colour vision, and
            unlike the orange of a retina.
        plain: Whether overlays and figures have neither colour scale nor caption.
        format: Format of overlays and figures.
        dpi: Dots per inch: the size at which overlays are printed, and the resolution of figures.
    """

    cmap: str = "viridis"
    plain: bool = False
    format: Literal["jpg", "pdf"] = "jpg"
    dpi: int = 120

    def __post_init__(self) -> None:
        """Requires a known colour map.

        Raises:
            UsageError: Matplotlib has no such colour map.
        """
        if self.cmap not in mpl.colormaps:
            raise UsageError(f"no colour map {self.cmap!r}: name one of Matplotlib, such as viridis, magma or gray")

    @cached_property
    def colours(self) -> NDArray[np.uint8]:
        """The colours from the beginning to the end of the scale (256, 3), RGB."""
        shades = mpl.colormaps[self.cmap](np.linspace(0, 1, 256))[:, :3]
        colours: NDArray[np.uint8] = (shades * 255).round().astype(np.uint8)
        return colours

    def encode_overlay(self, picture: NDArray[np.uint8]) -> bytes:
        """Encodes RGB pixels (H, W, 3); a JPEG is marked as a picture of retinagrade's own."""
        stream, image = io.BytesIO(), Image.fromarray(picture)
        if self.format == "pdf":
            image.save(stream, "PDF", resolution=self.dpi, quality=_QUALITY)
            return stream.getvalue()
        image.save(stream, "JPEG", quality=_QUALITY, dpi=(self.dpi, self.dpi))
        return mark_jpeg(stream.getvalue())

    def encode_figure(self, figure: Figure) -> tuple[str, bytes]:
        """Encodes a figure, and returns the suffix of its file as well: PDF where overlays are PDF, otherwise PNG."""
        stream = io.BytesIO()
        if self.format == "pdf":
            figure.savefig(stream, format="pdf", dpi=self.dpi, metadata={"CreationDate": None})
            return ".pdf", stream.getvalue()
        figure.savefig(stream, format="png", dpi=self.dpi, metadata={"Software": None})
        return ".png", mark_png(stream.getvalue())

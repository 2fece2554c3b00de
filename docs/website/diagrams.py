"""Mermaid diagrams as pictures: drawn when the site is built, so that a reader's browser fetches no program."""

from __future__ import annotations

import hashlib
import re

import mermaidx

_BLOCK = re.compile(r"^```mermaid\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FONT = "system-ui, sans-serif"
_COLOURS = (
    '%%{init: {"theme": "base", "themeVariables": {"primaryColor": "#f9e6dc", "primaryBorderColor": "#b4532f", '
    '"lineColor": "#6b4a40", "edgeLabelBackground": "#fdfaf8"}}}%%\n'
)
_WIDEST = 600
"""Width in pixels from which a diagram may shrink; below it, the page scrolls, so that its words stay legible."""


def draw_diagrams(markdown: str) -> str:
    """Replaces the Mermaid blocks of a page by SVG pictures."""
    return _BLOCK.sub(lambda block: _picture(block[1]), markdown)


def _picture(source: str) -> str:
    svg = str(mermaidx.render(_COLOURS + source).svg())
    name = f"diagram-{hashlib.sha256(source.encode()).hexdigest()[:8]}"
    svg = svg.replace("my-svg", name).replace('"trebuchet ms",verdana,arial,sans-serif', _FONT)
    width = float(re.findall(r"max-width: ([0-9.]+)px", svg)[0])
    svg = svg.replace("max-width:", f"min-width: {min(width, _WIDEST):.0f}px; max-width:", 1)
    # Python-Markdown takes lines of a block of HTML without change.
    return f'<div class="diagram">{" ".join(svg.split())}</div>\n'

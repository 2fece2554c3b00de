"""Self-contained HTML pages from templates. Each page states that the software is not a medical device."""

from __future__ import annotations

import base64
import math
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from retinagrade.provenance import provenance_record


def render_page(template: str, **context: Any) -> str:
    """Renders a template that extends ``pages/page.html.j2``.

    Args:
        template: Path of the template in the package.
        context: Values for the template; ``provenance``, the provenance, is added.

    Returns:
        HTML that refers to no other file or server.
    """
    environment = Environment(
        loader=PackageLoader("retinagrade", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(metric=format_metric, data_url=_data_url)
    return environment.get_template(template).render(**{"provenance": provenance_record(), **context})


def format_metric(value: float | None) -> str:
    """Formats a metric with three digits after the point, or as a dash where it is undefined (``None`` or NaN).

    Example:
        >>> format_metric(0.8125), format_metric(None)
        ('0.812', '–')
    """
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def _data_url(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"

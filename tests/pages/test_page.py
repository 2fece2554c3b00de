"""Pages are self-contained, escape their values, and state what the software is not."""

from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from retinagrade.pages.page import format_metric, render_page


def test_a_page_is_self_contained_and_escaped() -> None:
    html = render_page("pages/page.html.j2", title="<a patient>")
    assert "&lt;a patient&gt;" in html
    assert "<a patient>" not in html
    assert "not a medical device" in html
    for reference in ('src="http', "href=", "<script", "@import", "url("):
        assert reference not in html


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render_page("pages/page.html.j2")


def test_metrics_have_three_digits_and_undefined_ones_a_dash() -> None:
    assert [format_metric(value) for value in (1.0, 0.12345, -0.5, None, float("nan"))] == [
        "1.000",
        "0.123",
        "-0.500",
        "–",
        "–",
    ]

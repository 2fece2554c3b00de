"""``retinagrade plan`` prints the plan of the Python function, for people and for programs."""

from __future__ import annotations

import json

import retinagrade
from tests.cli.command_line import run


def test_the_command_prints_the_plan() -> None:
    arguments = ("plan", "--bar", 0.85, "--true", 0.95, "--measure", "specificity", "--prevalence", 0.2)
    made = retinagrade.plan(0.85, 0.95, measure="specificity", prevalence=0.2)
    assert json.loads(run(*arguments, "--json")) == made.to_json()
    assert f"{made.total} photographs in all" in " ".join(run(*arguments).split())
    assert "not above the bar" in run("plan", "--bar", 0.9, "--true", 0.8, code=2)

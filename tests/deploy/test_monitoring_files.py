"""The files for Prometheus and Grafana: their syntax, what fires, and names that service and node really have."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from retinagrade.node.metrics import NodeMetrics
from retinagrade.node.rows import QueueCounts
from retinagrade.service.metrics import ServiceMetrics
from tests.programs import require_program

DEPLOY = Path(__file__).parents[2] / "deploy"


def names(registry: CollectorRegistry) -> set[str]:
    """Returns the names of all samples; a histogram or counter without labels yet has its usual ones."""
    found = set()
    for metric in registry.collect():
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(metric.type, ("",))
        found |= {f"{metric.name}{end}" for end in ends}
    return found


@pytest.fixture(scope="module")
def real_names() -> set[str]:
    counts = QueueCounts(**dict.fromkeys(QueueCounts.__annotations__, 0))
    return names(ServiceMetrics("m 1", lambda: 0, lambda: 0).registry) | names(
        NodeMetrics("m 1", lambda: counts).registry
    )


def expressions(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["expr"]] if isinstance(node.get("expr"), str) else []
        return own + [found for value in node.values() for found in expressions(value)]
    return [found for value in node for found in expressions(value)] if isinstance(node, list) else []


def test_the_dashboard_shows_metrics_that_exist(real_names: set[str]) -> None:
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text(encoding="utf-8"))
    shown = expressions(dashboard)
    used = set(re.findall(r"retinagrade_\w+", "\n".join(shown)))
    assert used <= real_names
    assert {re.sub("_(total|bucket|sum|count)$", "", each) for each in used} >= {
        re.sub("_(total|bucket|sum|count)$", "", each) for each in real_names
    }
    identities = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(identities)) == len(identities)


def test_the_rules_name_metrics_that_exist(real_names: set[str]) -> None:
    text = (DEPLOY / "prometheus-rules.yml").read_text(encoding="utf-8")
    expressions_of_rules = re.sub(r"(?m)^\s*(summary|description|name|#).*$", "", text)
    assert set(re.findall(r"\bretinagrade_\w+", expressions_of_rules)) <= real_names


@pytest.mark.parametrize(
    "command",
    [
        ("check", "rules", "prometheus-rules.yml"),
        ("test", "rules", "prometheus-rules.test.yml"),
        ("check", "config", "--syntax-only", "prometheus.yml"),
    ],
)
def test_promtool_accepts_the_files(command: tuple[str, ...]) -> None:
    promtool = require_program("promtool", "prometheus")
    done = subprocess.run([promtool, *command], cwd=DEPLOY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    promtool = require_program("promtool", "prometheus")
    shown = expressions(json.loads((DEPLOY / "grafana-dashboard.json").read_text(encoding="utf-8")))
    filled = [each.replace("$__rate_interval", "5m").replace("$instance", ".*") for each in shown]
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(filled)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(
        [promtool, "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

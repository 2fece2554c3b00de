"""Lesion agreement from runs and masks to the page, by the function and the command."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from retinagrade.datasets.masks import read_masked_photographs
from retinagrade.errors import UsageError
from retinagrade.explanations.lesions.measure import measure_lesion_agreement
from retinagrade.explanations.lesions.measurements import ALL, OTHER, OWN, RANDOM, SHUFFLED
from retinagrade.explanations.lesions.summary import LesionComparison
from retinagrade.runs.run import Run
from tests.cli.command_line import run as command
from tests.schemas import require_schema


def test_page_record_tables_and_figures_are_written(trained: Run, prepared: Path, tmp_path: Path) -> None:
    out, source = tmp_path / "out", prepared.parent / "source"
    arguments = ("lesion-agreement", source, trained.folder, "--out", out, "--method", "gradcam", "--json")
    try:
        record = json.loads(command(*arguments))
    except AssertionError:  # after one epoch, some maps may be 0 everywhere, which is a warning
        record = json.loads(command(*arguments, code=1))
        assert record["warnings"]
    masked = read_masked_photographs(source)
    assert record["photographs"] == len(masked)
    assert {row["map_source"] for row in record["rows"]} == {OWN, OTHER, SHUFFLED}
    assert json.loads((out / "lesions.json").read_text()) == record
    require_schema(LesionComparison, record)
    page = (out / "lesions.html").read_text(encoding="utf-8")
    assert "no evidence of reasoning" in page
    assert "not a medical device" in page
    assert 'src="http' not in page
    regions = pd.read_csv(out / "regions.csv", dtype={"image_id": str})
    assert set(regions["method"]) == {"gradcam", RANDOM}
    assert len(regions[regions["region"] == ALL]) == len(masked) * 4
    assert {"agreement.png", "agreement.svg", "kinds.png", "kinds.svg", "lesions.json", "maps.csv", "run.json"} <= {
        path.name for path in out.iterdir()
    }


def test_progress_is_reported_for_every_method(trained: Run, prepared: Path, tmp_path: Path) -> None:
    reports: list[tuple[str, int, int | None]] = []
    comparison = measure_lesion_agreement(
        prepared.parent / "source",
        trained,
        tmp_path,
        methods=["layercam"],
        progress=lambda stage, done, total: reports.append((stage, done, total)),
    )
    assert list(comparison.select(OWN)) == [("tiny", "layercam"), ("tiny", RANDOM)]
    assert [done for stage, done, total in reports if total == 2] == [0, 1, 2]


def test_unknown_methods_are_refused(trained: Run, prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="methods="):
        measure_lesion_agreement(prepared.parent / "source", trained, tmp_path, methods=["saliency"])

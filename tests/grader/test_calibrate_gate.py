"""Cut points of the gate follow a person's judgement, and the counts are those that grading would give."""

from __future__ import annotations

from pathlib import Path

import pytest

from retinagrade import calibrate_gate
from retinagrade.errors import JoinError, UsageError
from retinagrade.gate.settings import GateSettings
from retinagrade.gradings.grading import Grading
from retinagrade.gradings.table import write_results

Judged = dict[str, tuple[str, float]]
"""A person's quality and the gate's score by image id."""


def write_tables(folder: Path, judged: Judged, **fields: dict[str, object]) -> tuple[Path, Path]:
    """Writes a table of results and one of judgements; ``fields`` holds further fields by image id."""
    common = {"gradable": True, "modality": "colour", "quality_level": "unchecked", "quality_reasons": ("unchecked",)}
    rows = [
        Grading(image_id, f"{image_id}.jpg", quality=score, **(common | fields.get(image_id, {})))  # type: ignore[arg-type]
        for image_id, (_, score) in judged.items()
    ]
    write_results(folder / "results.csv", Grading, rows)
    lines = [f"{image_id},{quality}\n" for image_id, (quality, _) in judged.items()]
    (folder / "judged.csv").write_text("image_id,quality\n" + "".join(lines), encoding="utf-8")
    return folder / "results.csv", folder / "judged.csv"


def make_judged(quality: str, scores: range) -> Judged:
    return {f"{quality}{score}": (quality, score / 100) for score in scores}


def test_cut_points_divide_what_a_person_divides(tmp_path: Path) -> None:
    judged = (
        make_judged("reject", range(2, 14)) | make_judged("usable", range(30, 42)) | make_judged("good", range(60, 72))
    )
    results, labels = write_tables(tmp_path, judged)
    calibration = calibrate_gate(results, labels, out=tmp_path / "gate.json")
    assert calibration.counts == {"good": {"good": 12}, "usable": {"usable": 12}, "reject": {"reject": 12}}
    assert GateSettings.read(tmp_path / "gate.json") == calibration.settings
    assert calibration.warnings == ()
    assert calibrate_gate(results, labels, out=tmp_path / "gate.json") == calibration  # the same call again


def test_good_photographs_with_low_scores_lower_the_cut_point(tmp_path: Path) -> None:
    results, labels = write_tables(tmp_path, make_judged("good", range(1, 30)))
    calibration = calibrate_gate(results, labels)
    assert calibration.counts["good"].get("reject", 0) == 0
    assert calibration.settings.reject_below < 0.02


def test_no_cut_point_saves_another_kind_of_photograph(tmp_path: Path) -> None:
    judged = make_judged("good", range(60, 84)) | make_judged("reject", range(2, 14))
    others: dict[str, dict[str, object]] = {
        "good60": {"modality": "red-free"},
        "good61": {"quality_reasons": ("unchecked", "macula missing: aim at the macula")},
    }
    results, labels = write_tables(tmp_path, judged, **others)
    calibration = calibrate_gate(results, labels)
    assert calibration.counts["good"] == {"good": 22, "reject": 2}
    assert {"red-free", "macula missing"} == {
        reason for reason in ("red-free", "macula missing", "haze") for each in calibration.warnings if reason in each
    }


def test_wrong_calls_are_refused(tmp_path: Path) -> None:
    results, labels = write_tables(tmp_path, make_judged("good", range(60, 64)))
    with pytest.raises(UsageError, match="json"):
        calibrate_gate(results, labels, out=tmp_path / "gate.txt")
    (tmp_path / "gate.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match="exists"):
        calibrate_gate(results, labels, out=tmp_path / "gate.json")
    labels.write_text("image_id,quality\n", encoding="utf-8")
    with pytest.raises(JoinError):
        calibrate_gate(results, labels)

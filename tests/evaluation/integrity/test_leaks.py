"""Leaks: what is evaluated must not be what was learnt."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from retinagrade.evaluation.integrity.findings import Finding
from retinagrade.evaluation.integrity.leaks import check_fitted_on, check_leaks
from retinagrade.manifest import Manifest

SET = pd.DataFrame(
    {
        "image_id": ["a", "b", "c", "d", "e", "f"],
        "path": ["a", "b", "c", "d", "e", "f"],
        "patient_id": ["1", "2", "1", "", "3", "2"],
        "dataset": ["x", "x", "x", "x", "x", "y"],
        "split": ["train", "train", "val", "val", "test", "test"],
        "sha256": ["00", "11", "22", "11", "33", "44"],
    }
)


@pytest.fixture
def manifest() -> Manifest:
    return Manifest.from_table(SET, Path(), "set")


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings]


def test_photographs_that_were_trained_on(manifest: Manifest) -> None:
    (finding,) = check_leaks(pd.DataFrame({"image_id": ["a", "b", "e"]}), manifest)
    assert finding.code == "leaked-photographs"
    assert "trained on 2 of these 3 photographs (a, b)" in finding.message


def test_copies_and_other_eyes_of_what_was_trained_on_are_known_by_the_manifest(manifest: Manifest) -> None:
    copies, patients = check_leaks(pd.DataFrame({"image_id": ["c", "d", "e", "f"]}), manifest)
    assert (copies.code, patients.code) == ("leaked-copies", "leaked-patients")
    assert "trained on exact copies of 1 of these 4 photographs (d)" in copies.message
    assert (
        "other photographs of 1 patient (1). Affected here: 1 of these 4 photographs" in patients.message
    )  # patient 2 of set y is another one


def test_held_out_patients_are_clean(manifest: Manifest) -> None:
    assert check_leaks(pd.DataFrame({"image_id": ["e", "f"]}), manifest) == []


def test_photographs_that_the_manifest_does_not_know_bring_their_own_columns(manifest: Manifest) -> None:
    table = pd.DataFrame({"image_id": ["new", "other"], "sha256": ["11", "99"], "patient_id": ["9", pd.NA]})
    assert codes(check_leaks(table, manifest)) == ["leaked-copies"]
    assert codes(check_leaks(table.assign(patient_id="2"), manifest)) == ["leaked-copies", "leaked-patients"]
    assert codes(check_leaks(table.assign(patient_id="2", dataset="y"), manifest)) == ["leaked-copies"]
    assert check_leaks(pd.DataFrame({"image_id": ["new"]}), manifest) == []


def test_missing_patients_and_digests_are_nobodys(manifest: Manifest) -> None:
    table = SET.assign(patient_id="", sha256="")
    assert check_leaks(pd.DataFrame({"image_id": ["c", "e"]}), Manifest.from_table(table, Path(), "set")) == []


def test_what_was_fitted_on_the_evaluated_photographs_or_patients() -> None:
    fitted = pd.DataFrame({"image_id": ["a", "b"], "patient_id": ["1", "2"]})
    (finding,) = check_fitted_on(
        pd.DataFrame({"image_id": ["b", "c"], "patient_id": ["2", "1"]}), fitted, "The thresholds"
    )
    assert finding.code == "fitted-on-evaluated"
    assert finding.message.startswith(
        "The thresholds were fitted on 1 of the 2 photographs here (b) and on other photographs of 1 patient here (1),"
    )
    assert check_fitted_on(pd.DataFrame({"image_id": ["c"]}), fitted, "The thresholds") == []

"""Results in FHIR: valid resources, our names and values, published codes, and equal ids for equal results."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.gradings.fhir import FIELDS, Subject, make_bundle, subject_of
from retinagrade.gradings.grading import Grading

RIGHT = Grading(
    "7_right",
    "/secret folder/7_right.jpg",
    "/secret folder/7",
    "R",
    2,
    "moderate",
    (0.1, 0.2, 0.4, 0.2, 0.1),
    2.0,
    True,
    False,
    ("retinopathy",),
    0.4,
    (1, 2, 3),
    False,
    True,
    "colour",
    "macula",
    0.9,
    "good",
    microaneurysms=3,
    microaneurysms_area=0.001,
    microaneurysms_quadrants=(1, 0, 2, 0),
    model="m 1",
    digest="d",
    grader_digest="g",
    referral="retinopathy",
    referable_threshold=0.3,
    graded_at="2026-01-31T12:00:00+00:00",
)
LEFT = replace(
    RIGHT,
    image_id="7_left",
    laterality="L",
    predicted_grade=None,
    label=None,
    referable=None,
    referral_reasons=(),
    gradable=False,
    quality_reasons=("dark: use more flash",),
    digest="e",
)
BROKEN = Grading(
    "x", "/secret folder/x.jpg", error="/secret folder/x.jpg: corrupt JPEG", model="m 1", grader_digest="g"
)


def resources(bundle: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in bundle["entry"]:
        found.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    return found


def components(observation: dict[str, Any]) -> dict[str, Any]:
    values = {}
    for component in observation["component"]:
        (coding,) = component["code"]["coding"]
        assert coding["system"] == FIELDS
        (value,) = (value for name, value in component.items() if name.startswith("value"))
        values[coding["code"]] = value["value"] if isinstance(value, dict) else value
    return values


def test_bundles_are_valid_and_refer_to_their_own_resources() -> None:
    bundle = make_bundle([RIGHT, LEFT, BROKEN])
    Bundle.model_validate(bundle)
    urls = {entry["fullUrl"] for entry in bundle["entry"]}
    assert len(urls) == len(bundle["entry"]) == 6
    text = json.dumps(bundle)
    assert "secret" not in text
    assert {part.split('"')[0] for part in text.split('"reference": "')[1:]} <= urls
    again = make_bundle([replace(RIGHT, graded_at="2026-02-01T12:00:00+00:00"), LEFT, BROKEN])
    assert [entry["request"] for entry in again["entry"]] == [entry["request"] for entry in bundle["entry"]]


def test_a_report_has_codes_time_version_and_thresholds() -> None:
    found = resources(
        make_bundle([RIGHT, LEFT], {RIGHT.study or "": Subject("7", "clinic", "1.2.3.4", "A1", "2026-01-05")})
    )
    (report,) = found["DiagnosticReport"]
    study, right, left = found["Observation"]
    assert [each["reference"] for each in report["result"]] == [
        f"urn:uuid:{each['id']}" for each in (study, right, left)
    ]
    assert report["subject"]["identifier"] == {"value": "7", "assigner": {"display": "clinic"}}
    assert report["effectiveDateTime"] == "2026-01-05"
    assert report["issued"] == RIGHT.graded_at
    assert report["conclusionCode"][0] == right["valueCodeableConcept"]
    assert {each["code"] for each in right["valueCodeableConcept"]["coding"]} == {"LA18645-4", "312904009"}
    assert [each["code"] for each in right["code"]["coding"]] == ["predicted_grade", "71491-5"]
    assert [each["code"] for each in left["code"]["coding"]] == ["predicted_grade", "71490-7"]
    assert left["dataAbsentReason"]["text"] == "dark: use more flash"
    values = components(right)
    assert values.keys() <= {*(each.name for each in fields(Grading)), *PROBABILITY_COLUMNS}
    expected = {
        "referable": True,
        "referable_threshold": 0.3,
        "p2": 0.4,
        "microaneurysms": 3,
        "referral": "retinopathy",
    }
    assert expected.items() <= values.items()
    assert (values["prediction_set"], values["microaneurysms_quadrants"]) == ("1, 2, 3", "1, 0, 2, 0")
    assert "left" not in components(study)
    assert components(study)["right"] == 2
    (device,) = found["Device"]
    assert device["deviceName"][0]["name"] == "m 1"
    assert device["identifier"][0]["value"] == "g"


@pytest.mark.parametrize(
    ("study", "subject"),
    [
        ("/folder/7", Subject(patient="7")),
        ("7.1", Subject(patient="7.1")),
        ("1.2.826.0.1.3680043.8.498.1", Subject(study_uid="1.2.826.0.1.3680043.8.498.1")),
    ],
)
def test_a_study_is_a_uid_or_a_patient(study: str, subject: Subject) -> None:
    assert subject_of(study) == subject

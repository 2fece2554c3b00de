"""The service conforms to its OpenAPI document, with requests that schemathesis generates."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.service.served import Served


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_the_service_conforms_to_its_document(service: Served, mode: GenerationMode) -> None:
    document = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    operations = [result.ok() for result in document.get_all_operations() if isinstance(result, Ok)]
    assert {operation.label for operation in operations} == {
        "POST /v1/grade",
        "POST /v1/picture",
        "POST /v1/report",
        "GET /v1/model",
        "GET /healthz",
        "GET /readyz",
        "GET /metrics",
    }
    for operation in operations:

        @settings(max_examples=25, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy(generation_mode=mode))
        def conforms(case: Case[Any]) -> None:
            # A schema can demand bytes, but not the bytes of a photograph.
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        if mode is GenerationMode.POSITIVE or operation.label.startswith("POST "):  # the others have no invalid input
            conforms()

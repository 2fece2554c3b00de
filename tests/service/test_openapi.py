"""What the OpenAPI document promises is kept, whatever is sent: schemathesis makes the requests up."""

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
def test_the_service_is_as_its_document_says(service: Served, mode: GenerationMode) -> None:
    document = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    operations = [found.ok() for found in document.get_all_operations() if isinstance(found, Ok)]
    assert {operation.label for operation in operations} == {
        "POST /v1/grade",
        "GET /v1/model",
        "GET /healthz",
        "GET /readyz",
        "GET /metrics",
    }
    for operation in operations:

        @settings(max_examples=25, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy(generation_mode=mode))
        def promised(case: Case[Any]) -> None:
            # A schema can say "bytes", but not "of a photograph".
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        if mode is GenerationMode.POSITIVE or operation.label == "POST /v1/grade":  # others take nothing to get wrong
            promised()

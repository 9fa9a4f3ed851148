"""The description of the API: it is committed as it is, and the API keeps to it."""

import json
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from pipeline.api.describe import FILE, openapi_page
from pipeline.dev.local.stack import LocalStack
from tests.api.serving import serving
from tests.integration.ledger import ROOT, Ledger

EXAMPLES = 12
STREAMS = "/v1/users/{user_id}/events"


def no_fault(_: Any, response: Any, __: Any) -> None:
    """503 is said of what is not here yet; any other status from 500 on is a fault."""
    assert response.status_code in (503, *range(100, 500)), response.text


CHECKS: list[Any] = [
    no_fault,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


def test_the_committed_description_is_that_of_the_code() -> None:
    committed = (ROOT / "docs" / FILE).read_text(encoding="utf-8")
    assert committed == openapi_page(), "run `python -m pipeline.api.describe docs`"


def test_every_operation_says_what_a_client_must_know() -> None:
    content = json.loads(openapi_page())
    ids = []
    for path, methods in content["paths"].items():
        for operation in methods.values():
            ids.append(operation["operationId"])
            named = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part[:1] == "{"} or (
                path.startswith("/v1/assets/") and named == {"asset_id"}
            )
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"]
    assert len(ids) == len(set(ids))


@pytest.mark.timeout(120)
def test_the_api_keeps_to_its_description(
    stack: LocalStack, topic_prefix: str, tmp_path: Path, published: Path
) -> None:
    ledger = Ledger(stack, topic_prefix, tmp_path, published)
    ledger.set_up()
    schema = schemathesis.openapi.from_dict(json.loads(openapi_page()))
    with serving(ledger, API_WAIT_MS_MAX="0") as running:
        headers = dict(running.client("ann", "operator").headers)
        kept = {"authorization": headers["authorization"]}
        for path, methods in json.loads(openapi_page())["paths"].items():
            if path == STREAMS:
                continue  # it does not end
            for method in methods:
                operation: Any = schema[path][method.upper()]

                @settings(
                    max_examples=EXAMPLES,
                    deadline=None,
                    database=None,
                    derandomize=True,
                    suppress_health_check=list(HealthCheck),
                )
                @given(case=operation.as_strategy())
                def keeps(case: Any) -> None:
                    case.call_and_validate(
                        base_url=running.base, headers=kept, checks=CHECKS, timeout=10
                    )

                keeps()

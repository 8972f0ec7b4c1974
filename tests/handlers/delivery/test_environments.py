"""The environments' handler: quotes by the tariff of its version, as a return value or over HTTP."""

import base64
import json
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.environments.quotes import InvalidParcelError, load_tariff
from tests.handlers.importing import import_handler
from tests.handlers.records import function_url_event

FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:quotes"


@pytest.fixture(scope="module")
def function() -> ModuleType:
    """The handler's module."""
    return import_handler("delivery.environments.handler", {})


def invoke(function: ModuleType, event: object, *, qualifier: str = ":prod") -> dict[str, Any]:
    """Invoke the handler as version 7."""
    context = SimpleNamespace(function_version="7", invoked_function_arn=f"{FUNCTION}{qualifier}")
    answer: dict[str, Any] = function.handler(event, context)
    return answer


def test_a_quote_names_its_version_and_environment(function: ModuleType) -> None:
    expected = {"cents": 630, "tariff": "spring", "version": "7", "environment": "prod"}
    assert invoke(function, {"grams": 1200}) == expected


def test_without_an_alias_there_is_no_environment(function: ModuleType) -> None:
    assert invoke(function, {"grams": 1}, qualifier="")["environment"] is None


@pytest.mark.parametrize(("grams", "cents"), [(1, 510), (1000, 510), (1001, 630), (31_500, 4230)])
def test_a_started_kilogram_counts_as_a_whole_one(function: ModuleType, grams: int, cents: int) -> None:
    assert invoke(function, {"grams": grams})["cents"] == cents


@given(grams=st.integers(1, 31_499))
def test_more_weight_never_costs_less(grams: int) -> None:
    tariff = load_tariff()
    assert tariff.quote(grams) <= tariff.quote(grams + 1)


@pytest.mark.parametrize("grams", [None, 0, 31_501, "1", True])
def test_an_invalid_parcel_is_rejected(function: ModuleType, grams: object) -> None:
    with pytest.raises(InvalidParcelError, match=r"^grams: give a whole number from 1 to "):
        invoke(function, {"grams": grams})
    with pytest.raises(InvalidParcelError):
        invoke(function, [grams])


@pytest.mark.parametrize("encoded", [False, True])
def test_a_function_url_gets_an_http_response(function: ModuleType, encoded: bool) -> None:
    body = '{"grams": 1200}'
    sent = base64.b64encode(body.encode()).decode() if encoded else body
    response = invoke(function, function_url_event(sent, encoded=encoded))
    assert response["statusCode"] == 200
    assert response["headers"] == {"content-type": "application/json"}
    assert json.loads(response["body"])["cents"] == 630


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"grams": 0}', "grams: give"),
        ("grams", "The body: it is not JSON."),
        (None, "The body: it is not JSON."),
        ("[" * 1_500, "The body: its JSON is nested more than 100 levels deep."),
        ('{"a":' * 100_000, "The body: its JSON is nested more than 100 levels deep."),
    ],
)
def test_an_invalid_request_gets_status_400(function: ModuleType, body: str | None, message: str) -> None:
    response = invoke(function, function_url_event(body))
    assert response["statusCode"] == 400
    assert json.loads(response["body"])["message"].startswith(message)


def test_a_body_that_is_not_base64_gets_status_400(function: ModuleType) -> None:
    response = invoke(function, function_url_event("ä", encoded=True))
    assert response["statusCode"] == 400
    assert json.loads(response["body"])["message"] == "The body is not base64."

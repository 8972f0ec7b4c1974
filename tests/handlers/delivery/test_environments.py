"""The environments' handler: quotes by the tariff of its version, for callers of either kind."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.handlers.loading import LoadedHandler

FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:quotes"


@pytest.fixture(scope="module")
def loaded(load: Callable[..., LoadedHandler]) -> LoadedHandler:
    return load("delivery", "environments", environment={})


def invoke(loaded: LoadedHandler, event: object, *, qualifier: str = ":prod") -> dict[str, Any]:
    """Invoke the handler as version 7."""
    context = SimpleNamespace(function_version="7", invoked_function_arn=f"{FUNCTION}{qualifier}")
    answer: dict[str, Any] = loaded.handler.handler(event, context)
    return answer


def test_a_quote_says_which_version_made_it_and_where(loaded: LoadedHandler) -> None:
    expected = {"cents": 630, "tariff": "spring", "version": "7", "environment": "prod"}
    assert invoke(loaded, {"grams": 1200}) == expected


def test_without_an_alias_there_is_no_environment(loaded: LoadedHandler) -> None:
    assert invoke(loaded, {"grams": 1}, qualifier="")["environment"] is None


@pytest.mark.parametrize(("grams", "cents"), [(1, 510), (1000, 510), (1001, 630), (31_500, 4230)])
def test_a_kilogram_counts_once_it_has_begun(loaded: LoadedHandler, grams: int, cents: int) -> None:
    assert invoke(loaded, {"grams": grams})["cents"] == cents


@given(grams=st.integers(1, 31_499))
def test_more_weight_never_costs_less(loaded: LoadedHandler, grams: int) -> None:
    tariff = loaded.quotes.load_tariff()
    assert tariff.quote(grams) <= tariff.quote(grams + 1)


@pytest.mark.parametrize("grams", [None, 0, 31_501, "1", True])
def test_what_is_no_parcel_is_refused(loaded: LoadedHandler, grams: object) -> None:
    with pytest.raises(loaded.quotes.InvalidParcelError, match=r"^grams: give a whole number from 1 to "):
        invoke(loaded, {"grams": grams})
    with pytest.raises(loaded.quotes.InvalidParcelError):
        invoke(loaded, [grams])


@pytest.mark.parametrize("encoded", [False, True])
def test_a_function_url_answers_with_http(loaded: LoadedHandler, encoded: bool) -> None:
    body = '{"grams": 1200}'
    sent = base64.b64encode(body.encode()).decode() if encoded else body
    event = {"requestContext": {}, "body": sent, "isBase64Encoded": encoded}
    response = invoke(loaded, event)
    assert response["statusCode"] == 200
    assert response["headers"] == {"content-type": "application/json"}
    assert json.loads(response["body"])["cents"] == 630


@pytest.mark.parametrize(
    ("body", "message"),
    [('{"grams": 0}', "grams: give"), ("grams", "The body is not JSON."), (None, "The body")],
)
def test_a_bad_request_is_the_callers_fault(loaded: LoadedHandler, body: str | None, message: str) -> None:
    response = invoke(loaded, {"requestContext": {}, "body": body})
    assert response["statusCode"] == 400
    assert json.loads(response["body"])["message"].startswith(message)

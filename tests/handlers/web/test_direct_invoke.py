"""Charges: each is booked once, and a request that can never be booked says why."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from tests.handlers.importing import import_handler
from tests.handlers.tables import make_table
from web.direct_invoke.charges import Charge, IdempotencyConflict, InvalidCharge

ENVIRONMENT = {
    "TABLE_NAME": "charges",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}
VALID = {"idempotency_key": "k", "account": "a", "cents": 100}


@pytest.fixture
def function() -> Iterator[ModuleType]:
    """The handler's module, with an empty table."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        make_table(boto3.client("dynamodb"), "charges", "idempotency_key")
        yield import_handler("web.direct_invoke.handler", ENVIRONMENT)


def invoke(function: ModuleType, event: object, request_id: str = "1") -> dict[str, Any]:
    answer: dict[str, Any] = function.handler(event, SimpleNamespace(aws_request_id=request_id))
    return answer


def test_a_repeated_request_gets_the_answer_of_the_first_one(function: ModuleType) -> None:
    booked = {"charge_id": "1", "account": "a", "cents": 100}
    assert invoke(function, VALID, "1") == {**booked, "new": True}
    assert invoke(function, VALID, "2") == {**booked, "new": False}


def test_another_key_is_another_charge(function: ModuleType) -> None:
    invoke(function, VALID, "1")
    assert invoke(function, {**VALID, "idempotency_key": "l"}, "2")["charge_id"] == "2"


@pytest.mark.parametrize("changed", [{"account": "b"}, {"cents": 101}])
def test_a_key_that_belongs_to_another_charge_is_refused(
    function: ModuleType, changed: dict[str, object]
) -> None:
    invoke(function, VALID)
    with pytest.raises(IdempotencyConflict, match="use a new key"):
        invoke(function, {**VALID, **changed})


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ([], "the payload must be a JSON object"),
        ({}, "idempotency_key must be a string"),
        ({**VALID, "account": ""}, "account must be a string"),
        ({**VALID, "idempotency_key": "\ud800"}, "lone surrogate"),
        ({**VALID, "cents": True}, "cents must be a whole number"),
        ({**VALID, "cents": 0}, "cents must be a whole number"),
        ({**VALID, "cents": 1.5}, "cents must be a whole number"),
        ({**VALID, "answer_after": 61}, "answer_after must be"),
        ({**VALID, "answer_after": "1"}, "answer_after must be"),
    ],
)
def test_what_can_never_be_booked_is_refused_with_the_reason(
    function: ModuleType, event: object, message: str
) -> None:
    with pytest.raises(InvalidCharge, match=message):
        invoke(function, event)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from([*VALID, "x"]), inner),
    max_leaves=4,
)


@given(event=_json)
def test_no_payload_breaks_the_parser(event: object) -> None:
    try:
        charge = Charge.parse(event)
    except InvalidCharge:
        return
    assert charge.cents > 0


@pytest.mark.parametrize("mode", ["call", "send", "check", "other"])
def test_the_caller_returns_what_its_client_raised(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = import_handler("web.direct_invoke.caller", {**ENVIRONMENT, "TARGET_ARN": "arn"})

    class Refusing:
        def call(self, *_: object, **__: object) -> None:
            raise caller.Refused("AccessDeniedException", 403, "no")

        send = check = call

    monkeypatch.setattr(caller, "client_with", lambda _limits: Refusing())
    if mode == "other":
        with pytest.raises(ValueError, match="choose one of 'call', 'send', 'check'"):
            caller.handler({"mode": mode}, None)
    else:
        expected = {"error": "Refused", "message": "AccessDeniedException (403): no"}
        assert caller.handler({"mode": mode}, None) == expected

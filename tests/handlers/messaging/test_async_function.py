"""Orders: each is shipped once, whatever happens between the work and its result."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyValidationError,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from messaging.async_function.shipments import InvalidOrder, Order
from tests.handlers.importing import import_handler
from tests.handlers.tables import make_table

ENVIRONMENT = {
    "TABLE_NAME": "shipments",
    "IDEMPOTENCY_TABLE_NAME": "idempotency",
    "IDEMPOTENCY_EXPIRES_AFTER": "86400",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}
ORDER = {"order_id": "o-1", "quantity": 3}
NO_OBJECTS: list[object] = [[], "text", 7, None]


class Crash(BaseException):
    """The environment ends: nothing that comes after runs, as nothing catches it."""


@pytest.fixture
def function() -> Iterator[ModuleType]:
    """The handler's module, with empty tables."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        for table, key in (("shipments", "order_id"), ("idempotency", "id")):
            make_table(boto3.client("dynamodb"), table, key)
        yield import_handler("messaging.async_function.handler", ENVIRONMENT)


def invoke(function: ModuleType, event: object, request_id: str = "1", milliseconds: int = 3_000) -> Any:
    context = SimpleNamespace(
        function_name="orders",
        memory_limit_in_mb=256,
        invoked_function_arn="arn:aws:lambda:::orders",
        aws_request_id=request_id,
        get_remaining_time_in_millis=lambda: milliseconds,
    )
    return function.handler(event, context)


def rows(table: str) -> list[dict[str, Any]]:
    return list(boto3.resource("dynamodb").Table(table).scan()["Items"])


def crash_after_shipping(function: ModuleType, milliseconds: int = 3_000) -> None:
    """Invoke the function, which ends after it has shipped the order."""

    def crash(_seconds: float) -> None:
        raise Crash

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(function.time, "sleep", crash)
        with pytest.raises(Crash):
            invoke(function, ORDER, "1", milliseconds)


def test_a_duplicate_gets_the_first_result_and_has_no_effect(function: ModuleType) -> None:
    result = {"order_id": "o-1", "parcel": "1"}
    assert invoke(function, ORDER, "1") == invoke(function, ORDER, "2") == result
    (row,) = rows("shipments")
    assert (row["parcel"], row["times"]) == ("1", 1)


def test_after_a_crash_the_order_is_in_progress_until_the_timeout_and_then_shipped_once(
    function: ModuleType,
) -> None:
    crash_after_shipping(function, milliseconds=50)
    assert [row["status"] for row in rows("idempotency")] == ["INPROGRESS"]
    time.sleep(0.06)  # until after the timeout
    assert invoke(function, ORDER, "1")["parcel"] == "1"
    assert [row["times"] for row in rows("shipments")] == [1]
    assert [row["status"] for row in rows("idempotency")] == ["COMPLETED"]


def test_a_retry_before_the_timeout_would_have_ended_the_crashed_attempt_does_no_work(
    function: ModuleType,
) -> None:
    crash_after_shipping(function)
    with pytest.raises(IdempotencyAlreadyInProgressError):
        invoke(function, ORDER, "1")
    assert [row["times"] for row in rows("shipments")] == [1]


def test_an_order_that_fails_leaves_no_result_and_may_be_sent_again_corrected(function: ModuleType) -> None:
    with pytest.raises(InvalidOrder, match="quantity"):
        invoke(function, {**ORDER, "quantity": 0})
    assert rows("idempotency") == []
    assert invoke(function, ORDER, "2")["parcel"] == "2"


def test_the_same_order_with_another_quantity_is_refused(function: ModuleType) -> None:
    invoke(function, ORDER)
    with pytest.raises(IdempotencyValidationError):
        invoke(function, {**ORDER, "quantity": 4})


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({}, "order_id"),
        *(({"order_id": given}, "order_id") for given in (None, "", 7)),
        *((other, "an order is a JSON object with") for other in NO_OBJECTS),
    ],
)
def test_an_event_without_an_order_id_is_refused_in_words_of_orders(
    function: ModuleType, event: object, words: str
) -> None:
    with pytest.raises(InvalidOrder, match=words):
        invoke(function, event)
    assert rows("shipments") == []


@settings(max_examples=50)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "order_id": st.none() | st.text(max_size=300) | st.integers(),
            "quantity": st.none() | st.integers() | st.booleans() | st.floats(),
            "pause": st.none() | st.floats() | st.booleans(),
        },
    )
)
def test_whatever_is_sent_is_an_order_or_an_invalid_one(event: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidOrder):
        order = Order.parse(event)
        assert 0 < order.quantity <= 10**6
        assert 0 <= order.pause <= 60
        assert 0 < len(order.order_id) <= 256

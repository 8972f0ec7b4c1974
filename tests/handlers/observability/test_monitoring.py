"""The functions of the small shop that is monitored, with DynamoDB, SQS and Lambda by stubs."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from tests.handlers.importing import import_handler

ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "ORDERS_TABLE_NAME": "orders",
    "SHIPPING_QUEUE_URL": "https://queue",
    "MAIL_FUNCTION_NAME": "mailer",
}
ORDER = {"order": "o-1", "mail": "a@example.com"}


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The handler's module with clients that record their calls."""
    module = import_handler("observability.monitoring.handler", ENVIRONMENT)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for client in ("dynamodb", "sqs", "lambda_"):
        monkeypatch.setattr(module, client, mock.Mock())
    return module


def test_an_order_is_recorded_queued_and_confirmed(shop: ModuleType) -> None:
    assert shop.place({"body": json.dumps(ORDER)}, None) == {"statusCode": 201, "body": json.dumps(ORDER)}
    assert shop.dynamodb.put_item.call_args.kwargs["Item"]["order"] == {"S": "o-1"}
    assert json.loads(shop.sqs.send_message.call_args.kwargs["MessageBody"]) == ORDER
    invoked = shop.lambda_.invoke.call_args.kwargs
    assert (invoked["FunctionName"], invoked["InvocationType"]) == ("mailer", "Event")


@pytest.mark.parametrize("body", [None, "", "[]", "7", "{}", '{"order": "o-1"}', '{"order":'])
def test_a_request_that_is_no_order_is_answered_400_and_recorded_nowhere(
    shop: ModuleType, body: str | None
) -> None:
    assert shop.place({"body": body}, None)["statusCode"] == 400
    assert not shop.dynamodb.put_item.called


def test_only_the_messages_that_are_no_orders_fail(shop: ModuleType) -> None:
    bodies = [json.dumps(ORDER), "no JSON", "[]", "{}"]
    records: list[Any] = [{"messageId": str(n), "body": body} for n, body in enumerate(bodies)]
    failed = shop.ship({"Records": records}, None)["batchItemFailures"]
    assert [one["itemIdentifier"] for one in failed] == ["1", "2", "3"]


def test_deletions_are_not_counted_as_orders(shop: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    records = [{"eventName": name} for name in ("INSERT", "REMOVE", "INSERT")]
    assert shop.count({"Records": records}, None) == {"batchItemFailures": []}
    assert [vars(record)["orders"] for record in caplog.records] == [2]


def test_a_mail_without_an_address_fails(shop: ModuleType) -> None:
    shop.mail(ORDER, None)
    with pytest.raises(KeyError):
        shop.mail({"order": "o-1"}, None)

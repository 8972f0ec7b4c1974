"""The private function's handler, with DynamoDB and SQS as moto has them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.handlers.loading import LoadedHandler

REGION = "eu-west-1"
TEA = {"order_id": "o1", "item": "tea"}


@dataclass
class Shop:
    """The loaded handler and what it writes to."""

    handler: LoadedHandler
    table: Any
    queue: Any

    def send(self, event: object) -> dict[str, Any]:
        """Invoke the handler."""
        answer: dict[str, Any] = self.handler.handler.handler(event, None)
        return answer

    def told(self) -> list[dict[str, str]]:
        """The bodies of all messages."""
        return [json.loads(one.body) for one in self.queue.receive_messages(MaxNumberOfMessages=10)]


@pytest.fixture
def shop(load: Callable[..., LoadedHandler], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        table = boto3.resource("dynamodb", region_name=REGION).create_table(
            TableName="orders",
            KeySchema=[{"AttributeName": "order_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "order_id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        queue = boto3.resource("sqs", region_name=REGION).create_queue(QueueName="told")
        environment = {"TABLE_NAME": "orders", "QUEUE_URL": queue.url, "AWS_DEFAULT_REGION": REGION}
        yield Shop(load("data", "private-function", environment=environment), table, queue)


def test_an_order_is_kept_and_told(shop: Shop) -> None:
    answer = shop.send(TEA)
    assert answer["known"] is False
    assert shop.table.scan()["Items"] == [TEA]
    assert shop.told() == [TEA]


def test_a_repeated_order_is_kept_and_told_as_it_was_first(shop: Shop) -> None:
    shop.send(TEA)
    answer = shop.send({**TEA, "item": "coffee"})
    assert answer["known"] is True
    assert shop.table.scan()["Items"] == [TEA]
    assert shop.told() == [TEA, TEA]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ([], "the event is a list; give an object"),
        ({"item": "tea"}, "order_id: give text of 1 to 200 characters"),
        ({**TEA, "order_id": ""}, "order_id: give text"),
        ({**TEA, "item": 5}, "item: give text"),
        ({**TEA, "item": "x" * 201}, "item: give text"),
    ],
)
def test_what_is_no_order_is_refused_and_leaves_nothing(shop: Shop, event: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}") as raised:
        shop.send(event)
    assert type(raised.value).__name__ == "InvalidOrder"
    assert shop.table.scan()["Items"] == []
    assert shop.told() == []


def test_a_service_without_an_endpoint_costs_seconds_and_not_the_whole_timeout(shop: Shop) -> None:
    config = shop.handler.handler._sqs.meta.config
    assert config.connect_timeout * config.retries["total_max_attempts"] < 10

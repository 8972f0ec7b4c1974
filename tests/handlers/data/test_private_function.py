"""The private function's handler, with DynamoDB and SQS by moto, and the prices in this process."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from data.private_function import prices
from data.private_function.orders import InvalidOrder
from tests.handlers.importing import import_handler
from tests.handlers.tables import make_table

REGION = "eu-west-1"
TEA = {"order_id": "o1", "item": "tea"}
PRICED = {**TEA, "cents": 130}


class Prices:
    """Lambda, with the function that knows the prices.

    Attributes:
        error: The error that the function fails with.
    """

    def __init__(self) -> None:
        self.error: dict[str, str] | None = None

    def invoke(self, *, FunctionName: str, Payload: str) -> dict[str, Any]:  # noqa: N803 (boto3's names)
        """Invoke the function."""
        assert FunctionName == "prices"
        failed = {"FunctionError": "Unhandled"} if self.error else {}
        answer = self.error or prices.handler(json.loads(Payload), None)
        return {"StatusCode": 200, "Payload": io.BytesIO(json.dumps(answer).encode()), **failed}


@dataclass
class Shop:
    """The handler's module, its table and its queue."""

    module: ModuleType
    table: Any
    queue: Any
    prices: Prices

    def send(self, event: object) -> dict[str, Any]:
        """Invoke the handler."""
        answer: dict[str, Any] = self.module.handler(event, None)
        return answer

    def messages(self) -> list[dict[str, str]]:
        """The bodies of all messages."""
        return [json.loads(one.body) for one in self.queue.receive_messages(MaxNumberOfMessages=10)]


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        table = make_table(boto3.resource("dynamodb", region_name=REGION), "orders", "order_id")
        queue = boto3.resource("sqs", region_name=REGION).create_queue(QueueName="orders")
        environment = {
            "TABLE_NAME": "orders",
            "QUEUE_URL": queue.url,
            "PRICES_FUNCTION": "prices",
            "AWS_DEFAULT_REGION": REGION,
        }
        module, known = import_handler("data.private_function.handler", environment), Prices()
        monkeypatch.setattr(module, "lambda_", known)
        yield Shop(module, table, queue, known)


def test_an_order_is_stored_and_sent_to_the_queue(shop: Shop) -> None:
    answer = shop.send(TEA)
    assert answer["known"] is False
    assert shop.table.scan()["Items"] == [PRICED]
    assert shop.messages() == [PRICED]


def test_a_repeated_order_is_sent_again_as_it_was_stored_first(shop: Shop) -> None:
    shop.send(TEA)
    answer = shop.send({**TEA, "item": "coffee"})
    assert answer["known"] is True
    assert shop.table.scan()["Items"] == [PRICED]
    assert shop.messages() == [PRICED, PRICED]


def test_an_order_without_a_price_is_not_stored(shop: Shop) -> None:
    shop.prices.error = {"errorType": "KeyError", "errorMessage": "'item'"}
    with pytest.raises(shop.module.PriceUnavailable, match=r"^KeyError: 'item'$"):
        shop.send(TEA)
    assert shop.table.scan()["Items"] == []
    assert shop.messages() == []


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ([], "the event is a list; give an object"),
        ({"item": "tea"}, "order_id: give a string of 1 to 200 characters"),
        ({**TEA, "order_id": ""}, "order_id: give a string"),
        ({**TEA, "item": 5}, "item: give a string"),
        ({**TEA, "item": "x" * 201}, "item: give a string"),
    ],
)
def test_an_event_that_is_not_an_order_is_refused(shop: Shop, event: object, message: str) -> None:
    with pytest.raises(InvalidOrder, match=f"^{message}"):
        shop.send(event)
    assert shop.table.scan()["Items"] == []
    assert shop.messages() == []


def test_connecting_without_an_endpoint_fails_within_seconds(shop: Shop) -> None:
    config = shop.module.sqs.meta.config
    assert config.connect_timeout * config.retries["total_max_attempts"] < 10

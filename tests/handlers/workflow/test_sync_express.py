"""The functions of the workflow, with DynamoDB by moto."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from tests.handlers.importing import import_handler
from tests.handlers.tables import make_table
from workflow.sync_express import prices
from workflow.sync_express.stock import InvalidOrder, Order, OutOfStock, Stock, StockBusy

REGION = "eu-west-1"
ORDER = {"order_id": "o-1", "product": "lamp", "quantity": 2}
ENVIRONMENT = {
    "TABLE_NAME": "stock",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The table, with three lamps."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        table = make_table(boto3.resource("dynamodb", REGION), "stock", "product")
        table.put_item(Item={"product": "lamp", "in_stock": 3, "orders": {"none"}})
        yield table


@pytest.fixture
def reserve(table: Any) -> ModuleType:
    """The handler's module."""
    return import_handler("workflow.sync_express.handler", ENVIRONMENT)


def event(attempt: int = 0, **changed: object) -> dict[str, Any]:
    return {"order": {**ORDER, **changed}, "cents": 4_900, "attempt": attempt}


def in_stock(table: Any) -> int:
    return int(table.get_item(Key={"product": "lamp"})["Item"]["in_stock"])


def test_an_order_is_reserved_once_however_often_it_is_tried(reserve: ModuleType, table: Any) -> None:
    first, second = reserve.handler(event(), None), reserve.handler(event(1), None)
    assert first == {**ORDER, "cents": 9_800, "attempts": 1}
    assert second == {**first, "attempts": 2}
    assert in_stock(table) == 1


def test_what_is_not_in_stock_is_not_reserved(reserve: ModuleType, table: Any) -> None:
    for changed in ({"quantity": 4}, {"product": "pencil"}):
        with pytest.raises(OutOfStock):
            reserve.handler(event(**changed), None)
    assert in_stock(table) == 3


@pytest.mark.parametrize("code", ["ProvisionedThroughputExceededException", "RequestLimitExceeded"])
def test_a_throttled_table_is_busy(table: Any, code: str) -> None:
    client = table.meta.client

    class Throttled:
        exceptions = client.exceptions

        def update_item(self, **_: object) -> None:
            raise getattr(client.exceptions, code)({"Error": {"Code": code}}, "UpdateItem")

    with pytest.raises(StockBusy):
        Stock(Throttled(), "stock").reserve(Order.parse(ORDER))


_json = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just("\ud800")


@settings(max_examples=50)
@given(order=st.dictionaries(st.sampled_from([*ORDER, "x"]), _json))
def test_no_order_breaks_the_parser(order: dict[str, object]) -> None:
    try:
        parsed = Order.parse({**ORDER, **order})
    except InvalidOrder:
        return
    assert 1 <= parsed.quantity <= 1_000


@pytest.mark.parametrize(
    ("query", "status", "body"),
    [
        ({"product": "lamp/x"}, 200, {"product": "lamp/x", "cents": 4_900}),
        ({"product": "spoon"}, 404, {"message": "There is no such product."}),
        (None, 404, {"message": "There is no such product."}),
    ],
)
def test_a_price_is_that_of_the_product(query: Any, status: int, body: dict[str, object]) -> None:
    answer = prices.handler({"version": "2.0", "queryStringParameters": query}, None)
    assert (answer["statusCode"], json.loads(answer["body"])) == (status, body)

"""The three services of the shop: each does what it is asked for once, however often it is asked."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from tests.handlers.importing import import_handler
from tests.handlers.records import sqs_record
from tests.handlers.tables import make_table

REGION = "eu-west-1"
ENVIRONMENT = {
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "BY_CUSTOMER_TABLE_NAME": "rows",
    "STATE_MACHINE_ARN": "arn:aws:states:eu-west-1:123456789012:stateMachine:workflow",
}
KEYS = {
    "catalogue": ("kind", "id"),
    "orders": ("order",),
    "rows": ("customer", "order"),
    "shipments": ("order",),
}
CONTEXT = SimpleNamespace(
    function_name="f",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:::f",
    aws_request_id="1",
)
ANN, BEN = "5b0f8c1e-0000-4000-8000-00000000000a", "5b0f8c1e-0000-4000-8000-00000000000b"
STREAM = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-11-28T00:00:00.000"


@pytest.fixture(scope="module")
def tables() -> Iterator[dict[str, Any]]:
    """The tables of the services."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        resource = boto3.resource("dynamodb", REGION)
        yield {table: make_table(resource, table, *names) for table, names in KEYS.items()}


def handler(service: str, table: str) -> ModuleType:
    """The module of a service's handler."""
    name = f"solutions.order_services.{service}"
    return import_handler(name, {**ENVIRONMENT, "TABLE_NAME": table})


# --- Catalogue


@pytest.fixture(scope="module")
def catalogue(tables: dict[str, Any]) -> ModuleType:
    return handler("catalogue.handler", "catalogue")


@pytest.fixture
def lamp(tables: dict[str, Any]) -> str:
    """A product with three pieces."""
    name = f"lamp/{uuid.uuid4()}"
    tables["catalogue"].put_item(Item={"kind": "product", "id": name, "in_stock": 3})
    return name


def in_stock(tables: dict[str, Any], product: str) -> int:
    found = tables["catalogue"].get_item(Key={"kind": "product", "id": product})["Item"]
    return int(found["in_stock"])


def order_of(product: str, quantity: int) -> dict[str, Any]:
    return {"order": str(uuid.uuid4()), "product": product, "quantity": quantity}


def ask(catalogue: ModuleType, action: str, order: dict[str, Any]) -> None:
    catalogue.handler({"action": action, "order": order}, CONTEXT)


def test_products_are_reserved_and_given_back_once(
    catalogue: ModuleType, tables: dict[str, Any], lamp: str
) -> None:
    order = order_of(lamp, 2)
    for action, left in (("reserve", 1), ("reserve", 1), ("release", 3), ("release", 3)):
        ask(catalogue, action, order)
        assert in_stock(tables, lamp) == left
    with pytest.raises(catalogue.GivenUp):
        ask(catalogue, "reserve", order)
    assert in_stock(tables, lamp) == 3


def test_an_order_that_was_given_up_reserves_nothing_later(
    catalogue: ModuleType, tables: dict[str, Any], lamp: str
) -> None:
    order = order_of(lamp, 1)
    ask(catalogue, "release", order)
    ask(catalogue, "release", order)
    with pytest.raises(catalogue.GivenUp):
        ask(catalogue, "reserve", order)
    assert in_stock(tables, lamp) == 3


def test_what_is_not_there_is_not_reserved(catalogue: ModuleType, tables: dict[str, Any], lamp: str) -> None:
    with pytest.raises(catalogue.OutOfStock):
        ask(catalogue, "reserve", order_of(lamp, 4))
    with pytest.raises(catalogue.UnknownProduct):
        ask(catalogue, "reserve", order_of("spoon", 1))
    assert in_stock(tables, lamp) == 3


def test_an_order_that_was_refused_reserves_nothing_later(
    catalogue: ModuleType, tables: dict[str, Any], lamp: str
) -> None:
    too_many, unknown = order_of(lamp, 4), order_of(f"lamp/{uuid.uuid4()}", 1)
    for order, error in ((too_many, catalogue.OutOfStock), (unknown, catalogue.UnknownProduct)):
        for _ in range(2):
            with pytest.raises(error):
                ask(catalogue, "reserve", order)
            tables["catalogue"].put_item(Item={"kind": "product", "id": order["product"], "in_stock": 9})
        ask(catalogue, "release", order)
        assert in_stock(tables, order["product"]) == 9


def test_customers_see_products_and_no_reservations(catalogue: ModuleType, lamp: str) -> None:
    ask(catalogue, "reserve", order_of(lamp, 1))
    answer = catalogue.handler({"httpMethod": "GET"}, CONTEXT)
    found = {one["product"]: one["in_stock"] for one in json.loads(answer["body"])["products"]}
    assert found[lamp] == 2
    assert all(name.startswith("lamp/") for name in found)


# --- Orders


@pytest.fixture(scope="module")
def orders(tables: dict[str, Any]) -> ModuleType:
    return handler("orders.handler", "orders")


def send(
    orders: ModuleType, customer: str, method: str, order: str | None = None, body: str = ""
) -> tuple[int, dict[str, Any]]:
    event = {
        "httpMethod": method,
        "pathParameters": {"order": order} if order else None,
        "body": body or None,
        "requestContext": {"authorizer": {"claims": {"sub": customer}}},
    }
    answer = orders.handler(event, CONTEXT)
    return answer["statusCode"], json.loads(answer["body"])


def lamps(quantity: object) -> str:
    return json.dumps({"product": "lamp", "quantity": quantity})


def test_an_order_is_placed_once(orders: ModuleType) -> None:
    order = str(uuid.uuid4())
    placed = {"order": order, "product": "lamp", "quantity": 2, "status": "placed"}
    assert send(orders, ANN, "PUT", order, lamps(2)) == (202, placed)
    assert send(orders, ANN, "PUT", order, lamps(2)) == (200, placed)
    assert send(orders, ANN, "GET", order) == (200, placed)


def test_an_id_is_of_one_order_and_of_one_customer(orders: ModuleType) -> None:
    order = str(uuid.uuid4())
    send(orders, ANN, "PUT", order, lamps(2))
    for customer, body in ((ANN, lamps(3)), (BEN, lamps(2))):
        status, answer = send(orders, customer, "PUT", order, body)
        assert (status, "id of its own" in answer["message"]) == (409, True)
    assert send(orders, BEN, "GET", order)[0] == 404


@pytest.mark.parametrize("order", ["1", "../x", str(uuid.UUID(int=1)).upper() + "A", f"{uuid.uuid4()}\n"])
def test_the_id_of_an_order_is_a_uuid(orders: ModuleType, order: str) -> None:
    for method in ("PUT", "GET"):
        assert send(orders, ANN, method, order, lamps(1))[0] == 400


def of(product: object) -> str:
    return json.dumps({"product": product, "quantity": 1})


@pytest.mark.parametrize(
    "body",
    [
        *("", "no JSON", "[]", "1", "{}", "null", '{"product": "lamp"}', "[" * 100_000),
        *(lamps(one) for one in (None, 0, -5, 1_001, 1.5, 1e60, float("inf"), True, "2", [1])),
        *(of(one) for one in (None, "", "x" * 257, "x" * 409_440, "\ud800", {"a": 1}, 7)),
    ],
)
def test_a_body_that_is_no_order_is_refused(orders: ModuleType, body: str) -> None:
    status, answer = send(orders, ANN, "PUT", str(uuid.uuid4()), body)
    assert (status, answer["message"].startswith("Give product and quantity as JSON: ")) == (400, True)


def test_the_longest_product_and_the_largest_quantity_are_an_order(orders: ModuleType) -> None:
    body = json.dumps({"product": "\U0001f4a1" * 256, "quantity": 1_000})
    assert send(orders, ANN, "PUT", str(uuid.uuid4()), body)[0] == 202


# --- Changes of orders


class Workflows:
    """Step Functions, as far as a new order starts a workflow."""

    class exceptions:  # noqa: N801 - as a client has it
        """The errors of the client."""

        class ExecutionAlreadyExists(Exception):
            """There is an execution of this name."""

    def __init__(self) -> None:
        self.started: dict[str, Any] = {}
        self.down = False

    def start_execution(self, *, name: str, input: str, **_: str) -> None:
        if self.down:
            raise ClientError({"Error": {"Code": "ServiceUnavailable"}}, "StartExecution")
        if name in self.started:
            raise self.exceptions.ExecutionAlreadyExists
        self.started[name] = json.loads(input)


@pytest.fixture
def changes(tables: dict[str, Any]) -> Any:
    module: Any = handler("orders.changes", "orders")
    module.workflows = Workflows()
    return module


def change(order: str, number: int, *, status: str = "placed", kind: str = "INSERT") -> dict[str, Any]:
    image = {"order": {"S": order}, "customer": {"S": ANN}, "product": {"S": "lamp"}, "quantity": {"N": "2"}}
    return {
        "eventName": kind,
        "eventSourceARN": STREAM,
        "dynamodb": {"SequenceNumber": str(number), "NewImage": {**image, "status": {"S": status}}},
    }


def status_in_list(orders: ModuleType, order: str) -> str:
    _, listed = send(orders, ANN, "GET")
    return str(next(one["status"] for one in listed["orders"] if one["order"] == order))


def test_a_new_order_starts_one_workflow_and_is_in_the_list(changes: Any, orders: ModuleType) -> None:
    order = str(uuid.uuid4())
    records = [change(order, 1), change(order, 2, status="shipped", kind="MODIFY")]
    for _ in range(2):
        assert changes.handler({"Records": records}, CONTEXT) == {"batchItemFailures": []}
    assert changes.workflows.started == {order: {"order": order, "product": "lamp", "quantity": 2}}
    assert status_in_list(orders, order) == "shipped"


def test_an_older_change_does_not_replace_a_newer_row(changes: Any, orders: ModuleType) -> None:
    order = str(uuid.uuid4())
    for number, status in ((9, "placed"), (10, "shipped"), (9, "placed")):
        changes.handler({"Records": [change(order, number, status=status, kind="MODIFY")]}, CONTEXT)
    assert status_in_list(orders, order) == "shipped"


def test_a_change_that_fails_is_delivered_again_with_those_after_it(changes: Any) -> None:
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    changes.workflows.down = True
    known = change(first, 1, kind="MODIFY")
    answer = changes.handler(
        {"Records": [known, change(second, 2), change(first, 3, kind="MODIFY")]}, CONTEXT
    )
    assert answer == {"batchItemFailures": [{"itemIdentifier": "2"}]}
    with pytest.raises(ClientError, match="ServiceUnavailable"):
        changes.handler({"Records": [change(second, 2), known]}, CONTEXT)


def test_an_order_that_was_deleted_changes_nothing(changes: Any) -> None:
    record = {"eventName": "REMOVE", "eventSourceARN": STREAM, "dynamodb": {"SequenceNumber": "5"}}
    assert changes.handler({"Records": [record]}, CONTEXT) == {"batchItemFailures": []}


@pytest.mark.parametrize(
    "odd",
    [
        {"customer": None},
        {"customer": {"S": ""}},
        {"order": {"S": "not a UUID"}},
        {"product": {"S": "x" * 409_000}},
        {"product": {"N": "1"}},
        {"quantity": {"S": "2"}},
        {"quantity": {"N": "-2"}},
        {"quantity": {"N": "1.5"}},
        {"status": {"BOOL": True}},
        {"reason": {"S": "x" * 409_000}},
    ],
)
def test_an_item_that_is_no_order_does_not_hold_up_the_orders_after_it(
    changes: Any, orders: ModuleType, odd: dict[str, Any]
) -> None:
    record, order = change(str(uuid.uuid4()), 1), str(uuid.uuid4())
    image = record["dynamodb"]["NewImage"] | odd
    record["dynamodb"]["NewImage"] = {name: value for name, value in image.items() if value}
    assert changes.handler({"Records": [record, change(order, 2)]}, CONTEXT) == {"batchItemFailures": []}
    assert list(changes.workflows.started) == [order]
    assert status_in_list(orders, order) == "placed"


def test_the_row_of_an_order_has_only_what_an_order_has(changes: Any, tables: dict[str, Any]) -> None:
    order = str(uuid.uuid4())
    record = change(order, 1)
    record["dynamodb"]["NewImage"]["notes"] = {"S": "x" * 409_000}
    changes.handler({"Records": [record]}, CONTEXT)
    row = tables["rows"].get_item(Key={"customer": ANN, "order": order})["Item"]
    assert row.keys() == {"order", "customer", "product", "quantity", "status", "version"}


# --- Shipping


class Answers:
    """Step Functions, as far as it takes answers of tasks."""

    class exceptions:  # noqa: N801 - as a client has it
        """The errors of the client."""

        class TaskTimedOut(Exception):
            """The task waits no more."""

        class TaskDoesNotExist(Exception):
            """There is no such task."""

    def __init__(self) -> None:
        self.given: list[tuple[str, str]] = []
        self.error: Exception | None = None
        self.over = False

    def send_task_heartbeat(self, *, taskToken: str) -> None:  # noqa: N803 - as in boto3
        if self.over:
            raise self.exceptions.TaskTimedOut

    def send_task_success(self, *, taskToken: str, output: str) -> None:  # noqa: N803
        self._give(taskToken, "success")

    def send_task_failure(self, *, taskToken: str, error: str, cause: str) -> None:  # noqa: N803
        self._give(taskToken, error)

    def _give(self, token: str, answer: str) -> None:
        if self.error is not None:
            raise self.error
        self.given.append((token, answer))


@pytest.fixture
def shipping(tables: dict[str, Any]) -> Any:
    module: Any = handler("shipping.handler", "shipments")
    module.workflows = Answers()
    return module


def receive(shipping: Any, *messages: dict[str, Any]) -> list[str]:
    """Deliver messages, and return the numbers of those that failed."""
    records = [
        sqs_record(number, json.dumps(message), group=message["order"], number=number, queue="wanted")
        for number, message in enumerate(messages)
    ]
    answer = shipping.handler({"Records": records}, CONTEXT)
    failed = [one["itemIdentifier"] for one in answer["batchItemFailures"]]
    return [str(number) for number, one in enumerate(records) if one["messageId"] in failed]


def wanted(order: str, quantity: int = 1, token: str = "t") -> dict[str, Any]:  # noqa: S107 - of a task
    return {"action": "ship", "order": order, "quantity": quantity, "token": token}


def state(tables: dict[str, Any], order: str) -> str:
    return str(tables["shipments"].get_item(Key={"order": order})["Item"]["state"])


@pytest.mark.parametrize(
    ("quantity", "end", "answer"), [(20, "booked", "success"), (21, "refused", "ShippingRefused")]
)
def test_a_shipment_is_decided_once_and_answered_each_time(
    shipping: Any, tables: dict[str, Any], quantity: int, end: str, answer: str
) -> None:
    order = str(uuid.uuid4())
    for token in ("a", "b"):
        assert receive(shipping, wanted(order, quantity, token)) == []
    assert (state(tables, order), shipping.workflows.given) == (end, [("a", answer), ("b", answer)])


def cancelled(order: str, token: str = "c") -> dict[str, Any]:  # noqa: S107 - of a task
    return {"action": "cancel", "order": order, "token": token}


def test_a_shipment_that_was_cancelled_is_not_booked_by_a_late_message(
    shipping: Any, tables: dict[str, Any]
) -> None:
    order = str(uuid.uuid4())
    assert receive(shipping, cancelled(order)) == []
    assert receive(shipping, wanted(order)) == []
    assert (state(tables, order), shipping.workflows.given) == (
        "cancelled",
        [("c", "success"), ("t", "ShippingRefused")],
    )


def test_a_shipment_is_not_booked_when_the_workflow_waits_no_more(
    shipping: Any, tables: dict[str, Any]
) -> None:
    order = str(uuid.uuid4())
    shipping.workflows.over = True
    assert receive(shipping, wanted(order)) == []
    assert "Item" not in tables["shipments"].get_item(Key={"order": order})


def test_an_answer_that_comes_too_late_is_not_tried_again(shipping: Any, tables: dict[str, Any]) -> None:
    order = str(uuid.uuid4())
    shipping.workflows.error = shipping.workflows.exceptions.TaskTimedOut()
    assert receive(shipping, wanted(order)) == []
    assert state(tables, order) == "booked"


def test_a_message_that_fails_holds_back_those_of_its_order_and_no_others(
    shipping: Any, tables: dict[str, Any]
) -> None:
    first, second = wanted(str(uuid.uuid4())), wanted(str(uuid.uuid4()))
    give = shipping.workflows.send_task_success

    def fail_first(*, taskToken: str, output: str) -> None:  # noqa: N803 - as in boto3
        if taskToken == "a":
            raise RuntimeError("Step Functions is not there")
        give(taskToken=taskToken, output=output)

    shipping.workflows.send_task_success = fail_first
    failed = receive(shipping, first | {"token": "a"}, cancelled(second["order"]), cancelled(first["order"]))
    assert failed == ["0", "2"]
    assert (state(tables, first["order"]), state(tables, second["order"])) == ("booked", "cancelled")

"""Rows follow their orders, whatever is delivered again, and a rebuild never undoes a newer change."""

import re
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from streams.dynamodb_stream.rows import NotAnOrder, rows_after, version_of
from tests.handlers.importing import import_handler
from tests.handlers.records import dynamodb_record, stream_sequence_number
from tests.handlers.tables import make_table

CONTEXT = SimpleNamespace(function_name="f", get_remaining_time_in_millis=lambda: 60_000)
ENVIRONMENT = {
    "ORDERS_TABLE_NAME": "orders",
    "PROJECTION_TABLE_NAME": "rows",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}
PRECISE = "0.12345678901234567890123456789012345678"  # 38 digits, which no float has
Record = dict[str, Any]


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    """A client, with the tables of orders and rows."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        client = boto3.client("dynamodb", region_name="eu-west-1")
        for table, keys in (("orders", ["order"]), ("rows", ["customer", "order"])):
            make_table(client, table, *keys)
        yield client


@pytest.fixture(scope="module")
def function(dynamodb: object) -> ModuleType:
    """The module that handles the stream."""
    return import_handler("streams.dynamodb_stream.handler", ENVIRONMENT)


@pytest.fixture(scope="module")
def rebuilding(dynamodb: object) -> ModuleType:
    """The module that rebuilds the projection."""
    return import_handler("streams.dynamodb_stream.rebuild", ENVIRONMENT)


class Shop:
    """The table of orders with its stream, of which the function has got a part."""

    def __init__(self, dynamodb: Any, function: ModuleType, rebuilding: ModuleType) -> None:
        self.dynamodb, self.function, self.rebuilding = dynamodb, function, rebuilding
        self.stream: list[Record] = []
        for table, keys in (("orders", ["order"]), ("rows", ["customer", "order"])):
            for item in dynamodb.scan(TableName=table)["Items"]:
                dynamodb.delete_item(TableName=table, Key={name: item[name] for name in keys})

    def put(self, order: str, customer: str | None, total: str | None = "1") -> None:
        """Write an order; one without a customer or a total is none."""
        new: dict[str, Any] = {"order": {"S": order}, "note": {"S": "secret"}}
        new |= {"customer": {"S": customer}} if customer else {}
        self._change(order, new | ({"total": {"N": total}} if total else {}))

    def delete(self, order: str, *, expired: bool = False) -> None:
        """Delete an order, or let it expire."""
        self._change(order, None, expired=expired)

    def _change(self, order: str, new: dict[str, Any] | None, *, expired: bool = False) -> None:
        key = {"order": {"S": order}}
        old = self.dynamodb.get_item(TableName="orders", Key=key).get("Item")
        if new is None:
            self.dynamodb.delete_item(TableName="orders", Key=key)
        else:
            self.dynamodb.put_item(TableName="orders", Item=new)
        if old != new:
            number = len(self.stream)
            self.stream.append(dynamodb_record(number, key, old, new, expired=expired))

    def deliver(self, start: int = 0, end: int | None = None) -> list[int]:
        """Invoke the function with a part of the stream; returns which records it reports as failed."""
        answer = self.function.handler({"Records": self.stream[start:end]}, CONTEXT)
        numbers = [record["dynamodb"]["SequenceNumber"] for record in self.stream]
        return [numbers.index(one["itemIdentifier"]) for one in answer["batchItemFailures"]]

    def deliver_past_bad_ones(self, start: int = 0, end: int | None = None) -> None:
        """Deliver as Lambda does: a bad change is discarded, and the next ones go on."""
        end = len(self.stream) if end is None else end
        while start < end:
            try:
                failed = self.deliver(start, end)
            except NotAnOrder:  # the first one of several: Lambda splits the batch
                failed = self.deliver(start, start + 1)
                assert failed == [start]
            start = failed[0] + (failed[0] == start) if failed else end

    def rebuild(self, **event: Any) -> dict[str, Any]:
        """Rebuild the projection."""
        answer: dict[str, Any] = self.rebuilding.handler(event, CONTEXT)
        return answer

    def items(self, table: str) -> list[dict[str, Any]]:
        """The items of a table, with plain values."""
        return [
            {name: next(iter(value.values())) for name, value in item.items()}
            for item in self.dynamodb.scan(TableName=table)["Items"]
        ]

    def rows(self) -> set[tuple[str, str, str]]:
        """Customer, order and total of each row that is not removed."""
        found = [row for row in self.items("rows") if "removed" not in row]
        return {(row["customer"], row["order"], row["total"]) for row in found}

    def removed(self) -> dict[tuple[str, str], str]:
        """Why rows were removed, by customer and order."""
        return {
            (row["customer"], row["order"]): row["removed"] for row in self.items("rows") if "removed" in row
        }

    def orders(self) -> set[tuple[str, str, str]]:
        """What the rows must be."""
        return {
            (one["customer"], one["order"], one["total"])
            for one in self.items("orders")
            if "customer" in one and "total" in one
        }


@pytest.fixture
def shop(dynamodb: Any, function: ModuleType, rebuilding: ModuleType) -> Shop:
    return Shop(dynamodb, function, rebuilding)


def test_a_row_is_what_the_last_change_of_its_order_says_with_every_digit(shop: Shop) -> None:
    shop.put("1", "ann", "5")
    shop.put("2", "bob", "7")
    shop.put("1", "ann", PRECISE)
    assert shop.deliver() == []
    assert shop.rows() == {("ann", "1", PRECISE), ("bob", "2", "7")}


def test_an_order_that_gets_another_customer_moves(shop: Shop) -> None:
    shop.put("1", "ann", "5")
    shop.put("1", "bob", "5")
    assert shop.deliver() == []
    assert (shop.rows(), shop.removed()) == ({("bob", "1", "5")}, {("ann", "1"): "moved"})


def test_a_row_says_whether_a_user_or_the_time_to_live_deleted_its_order(shop: Shop) -> None:
    shop.put("1", "ann")
    shop.put("2", "ann")
    shop.delete("1")
    shop.delete("2", expired=True)
    assert shop.deliver() == []
    assert shop.removed() == {("ann", "1"): "deleted", ("ann", "2"): "expired"}


def test_an_order_that_was_made_again_is_back(shop: Shop) -> None:
    shop.put("1", "ann")
    shop.delete("1")
    shop.deliver()
    shop.put("1", "ann", "9")
    shop.deliver(2)
    assert shop.rows() == {("ann", "1", "9")}


def test_what_is_delivered_again_writes_nothing(shop: Shop) -> None:
    shop.put("1", "ann", "1")
    shop.put("1", "ann", "2")
    shop.delete("1")
    shop.deliver()
    before = shop.dynamodb.scan(TableName="rows")["Items"]
    for start, end in ((0, 3), (0, 1), (1, 2), (0, 2)):
        assert shop.deliver(start, end) == []
    assert shop.dynamodb.scan(TableName="rows")["Items"] == before


def test_a_bad_record_ends_the_batch_and_those_before_it_count(shop: Shop) -> None:
    shop.put("1", "ann")
    shop.put("2", None)
    shop.put("3", "ann")
    assert shop.deliver() == [1]
    assert shop.rows() == {("ann", "1", "1")}
    with pytest.raises(NotAnOrder, match="customer must be a string"):  # so that Lambda splits the batch
        shop.deliver(1)
    assert shop.deliver(1, 2) == [1]
    shop.put("2", "bob")
    assert shop.deliver(2) == []
    shop.delete("2")
    assert shop.deliver(4) == []
    assert shop.rows() == {("ann", "1", "1"), ("ann", "3", "1")}


def test_a_row_that_cannot_be_written_is_delivered_again_from_its_first_change(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = shop.function.put

    def refuse(row: Any) -> bool:
        if row["order"]["S"] == "2":
            raise RuntimeError("throttled")
        written: bool = put(row)
        return written

    for order in ("1", "2", "1", "2", "3"):
        shop.put(order, "ann", str(len(shop.stream)))
    monkeypatch.setattr(shop.function, "put", refuse)
    assert shop.deliver() == [1]
    monkeypatch.undo()
    assert shop.rows() == {("ann", "1", "2"), ("ann", "3", "4")}
    assert shop.deliver(1) == []
    assert shop.rows() == shop.orders()


def test_rows_for_which_no_time_is_left_are_reported_before_the_time_limit(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.put("1", "ann")
    late = SimpleNamespace(get_remaining_time_in_millis=lambda: 5_000)
    answer = shop.function.handler({"Records": shop.stream}, late)
    assert answer["batchItemFailures"] == [{"itemIdentifier": stream_sequence_number(0)}]
    assert shop.rows() == set()


def test_versions_compare_as_the_numbers_do_and_a_later_stream_is_later() -> None:
    def version(number: int, label: str) -> str:
        record = dynamodb_record(0, {}, None, None)
        record["dynamodb"]["SequenceNumber"] = str(number)
        record["eventSourceARN"] = f"arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/{label}"
        return version_of(record)

    early, late = "2026-01-01T00:00:00.000", "2026-01-01T00:00:00.001"
    ordered = [version(number, early) for number in (1, 9, 10**21 - 1, 10**21, 10**40 - 1)] + [
        version(1, late)
    ]
    assert ordered == sorted(ordered)


def test_a_stream_without_both_images_is_refused() -> None:
    record = dynamodb_record(0, {}, None, {"order": {"S": "1"}})
    record["dynamodb"]["StreamViewType"] = "NEW_IMAGE"
    with pytest.raises(NotAnOrder, match="the stream is NEW_IMAGE; NEW_AND_OLD_IMAGES are needed"):
        list(rows_after(record))


@pytest.mark.parametrize("invalid", [("1", "ann", None), ("1", None, "5"), ("1", "eve", None)])
@pytest.mark.parametrize("then", ["moves", "is deleted", "stays invalid"])
def test_an_order_that_became_invalid_leaves_no_row(
    shop: Shop, invalid: tuple[str, str | None, str | None], then: str
) -> None:
    shop.put("1", "ann", "5")
    shop.put(*invalid)
    if then == "moves":
        shop.put("1", "bob", "7")
    elif then == "is deleted":
        shop.delete("1")
    shop.deliver_past_bad_ones()
    assert shop.rows() == shop.orders() == ({("bob", "1", "7")} if then == "moves" else set())
    assert ("ann", "1") in shop.removed()


def test_an_invalid_change_is_refused_again_when_it_is_delivered_again(shop: Shop) -> None:
    shop.put("1", "ann", "5")
    shop.put("1", "ann", None)
    shop.deliver_past_bad_ones()
    assert shop.removed() == {("ann", "1"): "not an order"}
    assert shop.deliver(1) == [1]
    with pytest.raises(NotAnOrder, match=re.escape("an order needs a total (N)")):
        list(rows_after(shop.stream[1]))


# --- Rebuilding


def test_a_rebuild_writes_what_is_missing_and_removes_what_has_no_order(shop: Shop) -> None:
    shop.put("1", "ann", PRECISE)
    shop.put("2", "bob")
    shop.put("3", None)
    shop.deliver(0, 2)
    shop.dynamodb.delete_item(TableName="rows", Key={"customer": {"S": "ann"}, "order": {"S": "1"}})
    for customer, order in (("ann", "2"), ("eve", "gone")):
        item = {"customer": {"S": customer}, "order": {"S": order}, "total": {"N": "6"}}
        shop.dynamodb.put_item(TableName="rows", Item=item)
    answer = shop.rebuild()
    assert answer == {"written": 3, "unchanged": 3, "not an order": 1, "next": None}
    assert shop.rows() == shop.orders()
    assert shop.removed() == {("ann", "2"): "rebuilt", ("eve", "gone"): "rebuilt"}
    assert "written" not in shop.rebuild()


@pytest.mark.parametrize(
    ("order", "customer", "reason"),
    [
        ("ö" * 513, "ann", "order has 1,026 bytes"),
        ("1" * 1500, "ann", "order"),
        ("1", "a" * 2049, "customer"),
    ],
)
def test_an_order_that_fits_into_no_key_of_a_row_is_reported_and_not_in_the_way(
    shop: Shop, order: str, customer: str, reason: str
) -> None:
    shop.put(order, customer)
    shop.put("2", "bob")
    with pytest.raises(NotAnOrder, match=reason):
        shop.deliver()
    assert shop.rebuild() == {"written": 1, "unchanged": 1, "not an order": 1, "next": None}
    assert shop.rows() == {("bob", "2", "1")}
    shop.delete(order)
    assert shop.deliver(2) == []


def test_a_rebuild_removes_the_row_of_an_order_that_is_none_any_more(shop: Shop) -> None:
    shop.put("1", "ann", "5")
    shop.deliver()
    shop.put("1", "ann", None)
    assert shop.rebuild()["not an order"] == 1
    assert (shop.rows(), shop.removed()) == (set(), {("ann", "1"): "rebuilt"})


@pytest.mark.parametrize(
    "event",
    [
        {"table": "nonsense"},
        {"table": ["orders"]},
        {"after": "x"},
        {"after": {"order": {"N": "1"}}},
        {"after": {"order": "1"}},
        {"table": "rows", "after": {"order": {"S": "1"}}},
        {"written": 1, "next": None},
        [],
        None,
    ],
)
def test_a_rebuild_refuses_an_event_that_no_rebuild_returned(rebuilding: ModuleType, event: object) -> None:
    with pytest.raises(
        ValueError, match=r"event=.*: give \{\} to begin, or what the last invocation returned"
    ):
        rebuilding.handler(event, CONTEXT)


@pytest.mark.parametrize("after_reading", ["rows", "orders"])
def test_a_change_during_a_rebuild_is_not_undone(
    shop: Shop, after_reading: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.put("1", "ann", "1")
    read: Callable[..., Any] = shop.rebuilding._get

    def changed(table: str, keys: Any) -> Any:
        found = read(table, keys)
        if table == after_reading and len(shop.stream) == 1:
            shop.put("1", "ann", "2")
            shop.deliver()
        return found

    monkeypatch.setattr(shop.rebuilding, "_get", changed)
    assert shop.rebuild()["changed meanwhile"] == 1
    assert shop.rows() == {("ann", "1", "2")}


def test_changes_that_were_under_way_during_a_rebuild_still_apply(shop: Shop) -> None:
    shop.put("1", "ann", "1")
    shop.deliver()
    shop.put("1", "ann", "2")
    shop.put("1", "bob", "3")
    shop.rebuild()
    assert shop.rows() == {("bob", "1", "3")}
    shop.deliver(0)
    assert (shop.rows(), shop.removed()) == ({("bob", "1", "3")}, {("ann", "1"): "moved"})


def test_an_invocation_without_time_returns_where_to_continue(shop: Shop, monkeypatch: Any) -> None:
    for number in range(5):
        shop.put(str(number), "ann")
    monkeypatch.setattr(shop.rebuilding, "_PAGE", 2)
    place: dict[str, Any] | None = {}
    invocations = 0
    while place is not None:
        left = iter([60_000, 0])
        context = SimpleNamespace(get_remaining_time_in_millis=lambda left=left: next(left))
        place = shop.rebuilding.handler(place, context)["next"]
        invocations += 1
    assert invocations >= 6  # pages of orders, then of rows
    assert shop.rows() == shop.orders()


Step = tuple[Any, ...]
ORDERS, CUSTOMERS = st.sampled_from("12"), st.sampled_from(["ann", "bob"])
STEPS = st.one_of(
    st.tuples(st.just("put"), ORDERS, CUSTOMERS, st.sampled_from("567")),
    st.tuples(st.just("put"), ORDERS, st.sampled_from(["ann", None]), st.none()),
    st.tuples(st.just("delete"), ORDERS),
    st.tuples(st.just("deliver"), st.integers(0, 9), st.integers(1, 9)),
    st.tuples(st.just("rebuild")),
)


@settings(max_examples=15, deadline=None)
@given(steps=st.lists(STEPS, max_size=14))
def test_rows_are_the_orders_in_the_end_whatever_happens_meanwhile(
    dynamodb: Any, function: ModuleType, rebuilding: ModuleType, steps: Sequence[Step]
) -> None:
    """Lambda delivers changes in order, and any part again; rebuilds run at any time."""
    shop, delivered = Shop(dynamodb, function, rebuilding), 0
    for name, *arguments in steps:
        if name == "deliver":
            start = min(arguments[0], delivered)
            end = min(start + arguments[1], len(shop.stream))
            if start < end:
                shop.deliver_past_bad_ones(start, end)
            delivered = max(delivered, end)
        else:
            getattr(shop, name)(*arguments)
    shop.deliver_past_bad_ones(delivered)
    assert shop.rows() == shop.orders()

"""The ledger: each entry is booked once, no account is overdrawn, and messages fail one by one."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from messaging.sqs_consumer.entries import Entry, NotAnEntry
from shared.clients import LONGEST_CALL
from tests.handlers.importing import import_handler
from tests.handlers.records import message_id, sqs_record
from tests.handlers.tables import make_table

CONTEXT = SimpleNamespace(
    function_name="f",
    memory_limit_in_mb=128,
    invoked_function_arn="arn:aws:lambda:::f",
    aws_request_id="1",
    get_remaining_time_in_millis=lambda: 30_000,
)
ENVIRONMENT = {
    "TABLE_NAME": "ledger",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}


@pytest.fixture(scope="module")
def table() -> Iterator[Any]:
    """The ledger's table."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        dynamodb = boto3.resource("dynamodb", region_name="eu-west-1")
        yield make_table(dynamodb, "ledger", "account", "item")


@pytest.fixture(scope="module")
def function(table: object) -> ModuleType:
    """The handler's module."""
    return import_handler("messaging.sqs_consumer.handler", ENVIRONMENT)


@pytest.fixture(autouse=True)
def _empty(table: Any) -> None:
    empty(table)


def empty(table: Any) -> None:
    """Delete every entry."""
    for item in table.scan()["Items"]:
        table.delete_item(Key={"account": item["account"], "item": item["item"]})


def message(number: int, body: object, group: str = "") -> dict[str, Any]:
    """Make a message as Lambda delivers it."""
    text = body if isinstance(body, str) else json.dumps(body)
    return sqs_record(number, text, group=group or None, number=number)


def entry(entry_id: str, account: str, cents: int) -> dict[str, object]:
    return {"entry_id": entry_id, "account": account, "cents": cents}


def failed(
    function: ModuleType, messages: Sequence[Mapping[str, Any]], context: object = CONTEXT
) -> list[str]:
    """Return the numbers of the messages that the handler reports as failed."""
    names = {message_id(number): str(number) for number in range(100)}
    answer = function.handler({"Records": messages}, context)
    return [names[one["itemIdentifier"]] for one in answer["batchItemFailures"]]


def balance(table: Any, account: str) -> tuple[int, int]:
    """Return balance and number of entries."""
    item = table.get_item(Key={"account": account, "item": "balance"}).get("Item", {})
    return int(item.get("cents", 0)), int(item.get("entries", 0))


def test_an_entry_that_arrives_twice_is_booked_once(function: ModuleType, table: Any) -> None:
    messages = [message(number, entry("e", "a", 5)) for number in range(2)]
    assert failed(function, messages) == []
    assert failed(function, messages) == []
    assert balance(table, "a") == (5, 1)


def test_only_the_message_that_is_not_an_entry_fails(function: ModuleType, table: Any) -> None:
    messages = [message(1, entry("1", "a", 5)), message(2, "{"), message(3, entry("3", "a", 6))]
    assert failed(function, messages) == ["2"]
    assert balance(table, "a") == (11, 2)


def test_a_batch_in_which_every_message_fails_is_reported_without_an_error(function: ModuleType) -> None:
    assert failed(function, [message(1, "{"), message(2, "[]")]) == ["1", "2"]
    assert failed(function, [message(1, "{", "a"), message(2, "[]", "b")]) == ["1", "2"]


def test_no_account_is_overdrawn(function: ModuleType, table: Any) -> None:
    assert failed(function, [message(1, entry("out", "a", -5))]) == ["1"]
    assert failed(function, [message(1, entry("in", "a", 4)), message(2, entry("out", "a", -5))]) == ["2"]
    assert failed(function, [message(1, entry("more", "a", 1)), message(2, entry("out", "a", -5))]) == []
    assert balance(table, "a") == (0, 3)


def test_in_a_fifo_queue_a_failure_holds_back_only_its_own_group(
    function: ModuleType,
    table: Any,
) -> None:
    messages = [
        message(1, entry("1", "a", -5), "a"),
        message(2, entry("2", "b", 7), "b"),
        message(3, entry("3", "a", 5), "a"),
        message(4, entry("4", "b", -7), "b"),
    ]
    assert failed(function, messages) == ["1", "3"]
    assert (balance(table, "a"), balance(table, "b")) == ((0, 0), (0, 2))


def test_a_failure_of_dynamodb_fails_the_message(
    function: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("throttled")

    monkeypatch.setattr(function.ledger, "book", refuse)
    assert failed(function, [message(1, entry("1", "a", 5))]) == ["1"]


def test_a_text_that_dynamodb_cannot_store_fails_without_its_neighbours_and_at_once(
    function: ModuleType,
    table: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    booked = []
    book = function.ledger.book

    def note(entry: Entry, seconds: float) -> object:
        booked.append(entry)
        return book(entry, seconds)

    monkeypatch.setattr(function.ledger, "book", note)
    bad = [entry("\ud800", "a", 5), entry("e", "\ud800", 5), entry("\U0001f600" * 256, "a", 5)]
    messages = [message(number, body) for number, body in enumerate(bad)]
    good = [message(number, entry(str(number), "a", 5)) for number in range(3, 10)]
    assert failed(function, messages + good) == ["0", "1", "2"]
    assert len(booked) == 7
    assert balance(table, "a") == (35, 7)


class Conflicts:
    """Makes the first transactions fail as DynamoDB does when another one writes the same item."""

    def __init__(self, ledger: Any, times: int) -> None:
        self.exceptions = ledger._client.exceptions
        self.calls = 0
        self._times = times
        self._real = ledger._client.transact_write_items

    def transact_write_items(self, **arguments: Any) -> object:
        self.calls += 1
        if self.calls > self._times:
            return self._real(**arguments)
        reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
        response: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
        raise self.exceptions.TransactionCanceledException(response, "TransactWriteItems")


def test_a_conflict_on_a_hot_account_is_retried_within_the_invocation(
    function: ModuleType,
    table: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Conflicts(function.ledger, times=3)
    monkeypatch.setattr(function.ledger, "_client", client)
    assert failed(function, [message(1, entry("1", "a", 5))]) == []
    assert (client.calls, balance(table, "a")) == (4, (5, 1))


def test_retries_of_a_conflict_end_with_the_share_of_the_message(
    function: ModuleType,
    table: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(function.ledger, "_client", Conflicts(function.ledger, times=1_000_000))
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="other transactions wrote the same items"):
        function.ledger.book(Entry("1", "a", 5), 0.3)
    assert time.monotonic() - began >= 0.05
    assert balance(table, "a") == (0, 0)


def test_messages_for_which_no_time_is_left_are_returned_before_the_time_limit(
    function: ModuleType,
    table: Any,
) -> None:
    left = iter([30_000, 7_000, 5_000])
    context = SimpleNamespace(**{**vars(CONTEXT), "get_remaining_time_in_millis": lambda: next(left)})
    messages = [message(number, entry(str(number), "a", 5)) for number in range(3)]
    assert failed(function, messages, context) == ["2"]
    assert balance(table, "a") == (10, 2)


def test_a_call_that_hangs_ends_within_the_time_that_is_planned_for_it(function: ModuleType) -> None:
    config = function.ledger._client.meta.config
    attempts = config.retries["total_max_attempts"]
    assert attempts * config.read_timeout + (attempts - 1) + 1 <= LONGEST_CALL


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        '{"entry_id": "e", "account": "a", "cents": NaN}',
        '{"entry_id": "e", "account": "a", "cents": -Infinity}',
        '{"entry_id": "e", "account": "a", "cents": 1e999}',
        '{"entry_id": "e", "account": "a", "cents": ' + "9" * 5000 + "}",
        '{"entry_id": "\\ud800", "account": "a", "cents": 1}',
        '{"entry_id": "e", "account": "\\udfff", "cents": 1}',
        json.dumps({"entry_id": "\U0001f600" * 255, "account": "a", "cents": 1}),
        "",
        "null",
        "[]",
        '"text"',
        json.dumps({"entry_id": "", "account": "a", "cents": 1}),
        json.dumps({"entry_id": "e", "account": 7, "cents": 1}),
        json.dumps({"entry_id": "e", "account": "a" * 257, "cents": 1}),
        json.dumps({"entry_id": "e", "account": "a", "cents": 0}),
        json.dumps({"entry_id": "e", "account": "a", "cents": 1.5}),
        json.dumps({"entry_id": "e", "account": "a", "cents": True}),
        json.dumps({"entry_id": "e", "account": "a", "cents": 10**16}),
    ],
)
def test_a_body_that_is_not_an_entry_is_refused(body: str) -> None:
    with pytest.raises(NotAnEntry):
        Entry.parse(body)


def test_an_id_with_other_cents_fails_and_changes_nothing(function: ModuleType, table: Any) -> None:
    empty(table)
    assert failed(function, [message(1, entry("e", "a", 5))]) == []
    assert failed(function, [message(1, entry("e", "a", 900)), message(2, entry("e", "a", 5))]) == ["1"]
    assert balance(table, "a") == (5, 1)


ENTRIES = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from("abc"), st.integers(-20, 20).filter(bool)), max_size=12
)


@settings(max_examples=25)
@given(ENTRIES)
def test_the_ledger_is_the_sum_of_the_entries_that_did_not_fail(
    function: ModuleType,
    table: Any,
    sent: list[tuple[int, str, int]],
) -> None:
    """The model: a dictionary, no balance below zero, and no other cents for an id that is known."""
    empty(table)
    booked: dict[tuple[str, int], int] = {}
    for number, account, cents in sent:
        known = (account, number) in booked
        held = sum(amount for (owner, _), amount in booked.items() if owner == account)
        fails = booked[account, number] != cents if known else held + cents < 0
        assert failed(function, [message(1, entry(str(number), account, cents))]) == (["1"] if fails else [])
        if not known and not fails:
            booked[account, number] = cents
    for account in "abc":
        mine = [cents for (owner, _), cents in booked.items() if owner == account]
        assert balance(table, account) == (sum(mine), len(mine))

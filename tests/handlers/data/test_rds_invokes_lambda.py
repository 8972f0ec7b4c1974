"""The handlers of rds-invokes-lambda: orders, the outbox, and what the receiver records."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from tests.handlers.importing import import_handler

LOGIN = {"DB_HOST": "proxy", "DB_PORT": "5432", "DB_NAME": "app", "DB_USER": "app", "AWS_REGION": "eu-west-1"}
ORDER = {"order_id": "1", "item": "book", "notify": "Event"}


class Context:
    """A minute is left, or what it is given."""

    def __init__(self, *milliseconds: int) -> None:
        self.milliseconds = list(milliseconds)

    def get_remaining_time_in_millis(self) -> int:
        """How long until Lambda ends the invocation."""
        return self.milliseconds.pop(0) if self.milliseconds else 60_000


class Database:
    """Returns what it is given, or raises it."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def run(self, work: Callable[[Any], Any], *, seconds: float) -> Any:
        """The next answer."""
        assert 39 < seconds < 60
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def handler() -> ModuleType:
    return import_handler("data.rds_invokes_lambda.handler", LOGIN)


def test_an_order_is_accepted_or_refused_with_the_reason_of_the_database(
    handler: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = psycopg.errors.ForeignKeyViolation("no such item")
    failed = psycopg.InternalError("invoke API failed")
    monkeypatch.setattr(handler, "database", Database(ORDER, refused, failed, ORDER | {"notify": "outbox"}))
    answers = [handler.handler(ORDER, Context()) for _ in range(3)]
    assert answers == [
        {**ORDER, "accepted": True},
        {**ORDER, "accepted": False, "reason": "no such item"},
        {**ORDER, "accepted": False, "reason": "invoke API failed"},
    ]
    assert handler.handler({"order_id": "1", "item": "book"}, Context())["notify"] == "outbox"


def test_another_order_under_the_same_id_is_refused(
    handler: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "database", Database(ORDER, ORDER))
    assert handler.handler(ORDER, Context())["accepted"]
    answer = handler.handler(ORDER | {"item": "pen"}, Context())
    assert not answer["accepted"]
    assert "'item': 'book'" in answer["reason"]


def test_any_other_error_of_the_database_is_the_callers(
    handler: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "database", Database(psycopg.OperationalError("the server is gone")))
    with pytest.raises(psycopg.OperationalError):
        handler.handler(ORDER, Context())


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ([], "the event is a list"),
        ({}, "order_id: give a string"),
        ({"deliver": "true"}, "order_id: give a string"),
        ({**ORDER, "item": ""}, "item: give a string of 1 to 64"),
        ({**ORDER, "item": "a\0"}, "item: give a string"),
        ({**ORDER, "order_id": "x" * 65}, "order_id: give a string"),
        ({**ORDER, "order_id": "\ud800"}, "order_id: give a string"),
        ({**ORDER, "notify": "event"}, "notify='event': give one of RequestResponse, Event, outbox"),
        ({**ORDER, "notify": ["Event"]}, "notify="),
    ],
)
def test_an_event_that_is_no_order_is_refused(handler: ModuleType, event: object, message: str) -> None:
    with pytest.raises(handler.InvalidOrder, match=message):
        handler.handler(event, Context())


def test_batches_of_the_outbox_are_delivered_until_none_succeeds(
    handler: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "database", Database((10, 0), (3, 2), (0, 2)))
    assert handler.handler({"deliver": True}, Context()) == {"delivered": 13, "failed": 2}
    assert handler.database.answers == []


def test_no_batch_begins_that_the_function_might_not_see_the_end_of(
    handler: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "database", Database((10, 0), (10, 0), (10, 0)))
    context = Context(60_000, 50_000, 50_000, 40_000)
    assert handler.handler({"deliver": True}, context) == {"delivered": 20, "failed": 0}


class Table:
    """A table that keeps rows by their order id, unless it is broken."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}
        self.code = "ConditionalCheckFailedException"

    def put_item(self, *, Item: dict[str, Any], ConditionExpression: str) -> None:  # noqa: N803
        """Store a row unless there is one."""
        assert ConditionExpression == "attribute_not_exists(order_id)"
        if Item["order_id"] in self.rows:
            raise ClientError({"Error": {"Code": self.code}}, "PutItem")
        self.rows[Item["order_id"]] = Item


def test_the_receiver_records_an_order_once(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = import_handler(
        "data.rds_invokes_lambda.receiver", {"TABLE_NAME": "orders", "AWS_DEFAULT_REGION": "eu-west-1"}
    )
    table = Table()
    monkeypatch.setattr(receiver, "table", table)
    assert [receiver.handler(ORDER, None)["duplicate"] for _ in range(2)] == [False, True]
    assert table.rows == {"1": ORDER}
    table.code = "AccessDeniedException"
    with pytest.raises(ClientError):
        receiver.handler(ORDER, None)

"""Events of RDS in both shapes: each has one alert and one row, and what is no event says why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from data.rds_events.actions import DECISIONS, Actions, decide
from data.rds_events.events import NotAnEvent, RdsEvent, events_of
from tests.handlers.importing import import_handler
from tests.handlers.tables import make_table

ENVIRONMENT = {
    "ALERTS_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/alerts.fifo",
    "JOURNAL_TABLE_NAME": "journal",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}
CONTEXT = SimpleNamespace(
    function_name="f", memory_limit_in_mb=128, invoked_function_arn="arn:aws:lambda:::f", aws_request_id="1"
)
GREETING = (
    "This is a message to notify that RDS will attempt to send you event notifications of type db-instance "
    "to the topic arn:aws:sns:eu-west-1:123456789012:events."
)
MANUAL = "http://docs.amazonwebservices.com/AmazonRDS/latest/UserGuide/USER_Events.html"


def by_sns(event_id: str = "RDS-EVENT-0013", /, **changed: Any) -> dict[str, Any]:
    """https://docs.aws.amazon.com/lambda/latest/dg/services-rds.html, which has no ARN."""
    message = {
        "Event Source": "db-instance",
        "Event Time": "2021-11-07 17:43:51.876",
        "Identifier Link": "https://console.aws.amazon.com/rds/home?region=eu-west-1#dbinstance:id=orders",
        "Source ID": "orders",
        "Event ID": f"{MANUAL}#{event_id}",
        "Event Message": "Multi-AZ instance failover started.",
        **changed,
    }
    return {"Records": [{"Sns": {"Message": json.dumps(message)}}]}


def by_eventbridge(event_id: str = "RDS-EVENT-0013", **changed: Any) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.overview.html."""
    arn = "arn:aws:rds:eu-west-1:123456789012:db:orders"
    detail = {
        "EventCategories": ["failover"],
        "SourceType": "DB_INSTANCE",
        "SourceArn": arn,
        "Date": "2021-11-07T17:43:51.876Z",
        "Message": "Multi-AZ instance failover started.",
        "SourceIdentifier": "rds:orders",
        "EventID": event_id,
        **changed,
    }
    return {
        "id": "68f6e973",
        "detail-type": "RDS DB Instance Event",
        "source": "aws.rds",
        "resources": [arn],
        "detail": detail,
    }


@pytest.fixture
def function() -> Iterator[ModuleType]:
    """The handler's module, with an empty journal and no alerts."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        make_table(boto3.client("dynamodb"), "journal", "source", "event")
        boto3.client("sqs").create_queue(QueueName="alerts.fifo", Attributes={"FifoQueue": "true"})
        yield import_handler("data.rds_events.handler", ENVIRONMENT)


def alerts() -> list[dict[str, Any]]:
    answer = boto3.client("sqs").receive_message(
        QueueUrl=ENVIRONMENT["ALERTS_QUEUE_URL"], MaxNumberOfMessages=10
    )
    return [json.loads(one["Body"]) for one in answer.get("Messages", [])]


def journal() -> list[dict[str, Any]]:
    return list(boto3.resource("dynamodb").Table("journal").scan()["Items"])


def test_both_ways_report_the_same_event() -> None:
    expected = RdsEvent(
        "db-instance",
        "orders",
        "RDS-EVENT-0013",
        "2021-11-07T17:43:51.876Z",
        "Multi-AZ instance failover started.",
    )
    assert events_of(by_sns()) == events_of(by_eventbridge()) == [expected]


def test_an_event_that_comes_twice_by_each_way_is_one_alert_and_one_row(function: ModuleType) -> None:
    for payload in (by_sns(), by_eventbridge(), by_eventbridge(), by_sns()):
        function.handler(payload, CONTEXT)
    (row,), (alert,) = journal(), alerts()
    assert row == {**alert, "event": "2021-11-07T17:43:51.876Z/RDS-EVENT-0013"}
    assert (alert["action"], alert["source"]) == ("alarm", "db-instance/orders")


class Sent:
    """An SQS that remembers no deduplication id, as after five minutes."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []

    def send_message(self, **message: str) -> None:
        self.messages.append(message)


def test_a_duplicate_after_five_minutes_is_known_from_the_journal(function: ModuleType) -> None:
    sent, (event,) = Sent(), events_of(by_sns())
    actions = Actions(sent, "alerts", boto3.client("dynamodb"), "journal")
    assert [actions.take(event, "alarm") for _ in range(2)] == [True, False]
    assert len(sent.messages) == 1


def test_two_at_the_same_moment_are_one_alert(function: ModuleType) -> None:
    (event,) = events_of(by_sns())
    table = boto3.resource("dynamodb").Table("journal")
    for _ in range(2):
        function.actions.take(event, "alarm")
        table.delete_item(Key={"source": event.source, "event": event.key})  # the other has not written yet
    assert len(alerts()) == 1


def test_the_same_kind_of_event_a_millisecond_later_is_another_one(function: ModuleType) -> None:
    function.handler(by_sns(), CONTEXT)
    function.handler(by_sns(**{"Event Time": "2021-11-07 17:43:51.877"}), CONTEXT)
    function.handler(by_sns(**{"Source ID": "invoices"}), CONTEXT)
    assert len(journal()) == 3
    assert len(alerts()) == 3


def test_an_unknown_event_is_recorded_without_an_alert(function: ModuleType) -> None:
    function.handler(by_eventbridge("RDS-EVENT-99999"), CONTEXT)
    assert [row["action"] for row in journal()] == ["unknown"]
    assert alerts() == []


def test_an_ignored_event_leaves_nothing(function: ModuleType) -> None:
    function.handler(by_sns("RDS-EVENT-0002"), CONTEXT)
    function.handler({"Records": [{"Sns": {"Message": GREETING}}]}, CONTEXT)
    assert (journal(), alerts()) == ([], [])


@pytest.mark.parametrize(
    ("event_id", "action"),
    [
        ("RDS-EVENT-0006", "notify"),
        ("RDS-EVENT-0013", "alarm"),
        ("RDS-EVENT-0007", "alarm"),
        ("RDS-EVENT-0001", "ignore"),
        ("RDS-EVENT-1", "unknown"),
    ],
)
def test_the_table_decides(event_id: str, action: str) -> None:
    assert decide(RdsEvent("db-instance", "orders", event_id, "2021-11-07T17:43:51.876Z", "text")) == action
    assert all(len(one) == len("RDS-EVENT-0000") for one in DECISIONS)


NO_TEXTS: list[object] = [7, None, {}, ["x"]]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ([], "not an object"),
        ({}, "other fields"),
        ({"Records": [{"s3": {}}]}, "other fields"),
        ({"Records": 7}, "other fields"),
        ({"Records": []}, "no record"),
        ({"Records": {}}, "no record"),
        *(({"Records": [{"Sns": {"Message": one}}]}, "not a JSON object") for one in NO_TEXTS),
        ({"Records": [{"Sns": {"Message": "no JSON"}}]}, "not JSON"),
        ({"Records": [{"Sns": {"Message": "[]"}}]}, "not a JSON object"),
        ({"Records": [{"Sns": {"Message": "[" * 1000}}]}, "nested"),
        (by_sns("RDS-EVENT-X"), "event id"),
        (by_sns("RDS-EVENT-" + "\N{ARABIC-INDIC DIGIT ONE}" * 4), "event id"),
        (by_sns("RDS-EVENT-" + "1" * 5_000), "event id"),
        (by_sns("RDS-EVENT-0006 and more"), "event id"),
        (by_eventbridge("RDS-EVENT-0006\n"), "event id"),
        *(
            (by_eventbridge() | {"detail": by_eventbridge()["detail"] | {"EventID": one}}, "event id")
            for one in (["RDS-EVENT-0006"], 6, None)
        ),
        *(
            (by_eventbridge(Date=f"{one}:00"), "its time")
            for one in ("0001-01-01T00:00:00+23", "9999-12-31T23:59:59-01")
        ),
        *((by_eventbridge(Date=one), "its time") for one in (20211107, ["2021-11-07"], "")),
        (by_sns(**{"Event Time": "yesterday"}), "its time"),
        (by_sns("RDS-EVENT-0013", **{"Event Time": None}), "its time"),
        (by_sns(**{"Source ID": ""}), "the source must be"),
        (by_sns(**{"Source ID": "\ud800"}), "surrogate"),
        (by_sns("RDS-EVENT-0013", **{"Event Message": 7}), "the message must be"),
        (by_eventbridge() | {"source": "aws.ec2"}, "another source"),
        (by_eventbridge() | {"detail-type": "AWS API Call via CloudTrail"}, "another source"),
        (by_eventbridge() | {"detail": 7}, "other fields"),
        (by_eventbridge(SourceIdentifier=["orders"]), "the source must be"),
    ],
)
def test_what_is_no_event_fails_with_the_reason(payload: Any, reason: str) -> None:
    with pytest.raises(NotAnEvent, match=reason):
        events_of(payload)


def test_times_are_in_utc_to_the_millisecond() -> None:
    given = datetime(2026, 11, 27, 10, 0, 0, 123_456, tzinfo=UTC).isoformat()
    assert events_of(by_eventbridge(Date=given))[0].time == "2026-11-27T10:00:00.123Z"
    assert events_of(by_eventbridge(Date="0099-11-27T10:00:00Z"))[0].time == "0099-11-27T10:00:00.000Z"
    assert events_of(by_eventbridge(Date="2026-11-27T11:00+01:00"))[0].time == "2026-11-27T10:00:00.000Z"

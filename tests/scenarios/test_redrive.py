"""A redrive resends the messages that it understands, leaves the others, and loses none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from messaging.sns_fifo_fanout.failures import failure_message
from scenarios.support.redrive import redrive
from tests.handlers.records import kinesis_record

_FUNCTION = "resize"
_EVENT = {"Records": [{"s3": {"object": {"key": "cat.jpg"}}}]}


class FakeLambda:
    """Records its invocations, or rejects them; moto would run functions in Docker."""

    def __init__(self) -> None:
        self.invoked: list[tuple[str, str, Any]] = []
        self.error: str | None = None
        self.answer: dict[str, Any] = {}

    def invoke(self, FunctionName: str, InvocationType: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        """Accept the event, or fail as Lambda does."""
        if self.error:
            raise ClientError({"Error": {"Code": self.error, "Message": "no"}}, "Invoke")
        self.invoked.append((FunctionName, InvocationType, json.loads(Payload)))
        return {"StatusCode": 202} | self.answer


class Session:
    """A session with moto's SQS and the fake Lambda."""

    def __init__(self) -> None:
        self.sqs: Any = boto3.client("sqs", region_name="eu-west-1")
        self.queue_url: str = self.sqs.create_queue(QueueName="failures")["QueueUrl"]
        self.lambda_ = FakeLambda()

    def client(self, service: str) -> Any:
        """Return the client of a service."""
        return {"sqs": self.sqs, "lambda": self.lambda_}[service]

    def send(self, body: Any, **attributes: str) -> None:
        """Put a message into the failure queue."""
        self.sqs.send_message(
            QueueUrl=self.queue_url,
            MessageBody=body if isinstance(body, str) else json.dumps(body),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )

    def left(self) -> list[str]:
        """Return the bodies of the messages that can be received now."""
        answer = self.sqs.receive_message(
            QueueUrl=self.queue_url, MaxNumberOfMessages=10, VisibilityTimeout=0
        )
        return [message["Body"] for message in answer.get("Messages", [])]

    def redrive(self, **options: Any) -> Any:
        """Redrive the queue."""
        return redrive(self, queue_url=self.queue_url, function_name=_FUNCTION, **options)  # type: ignore[arg-type]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(
        "scenarios.support.redrive._LONG_POLL_SECONDS", 0
    )  # moto has one server, and would wait
    with mock_aws():
        yield Session()


def record(function: str = _FUNCTION, condition: str = "RetriesExhausted") -> dict[str, Any]:
    return {
        "version": "1.0",
        "requestContext": {
            "functionArn": f"arn:aws:lambda:eu-west-1:123456789012:function:{function}:$LATEST",
            "condition": condition,
            "approximateInvokeCount": 3,
        },
        "requestPayload": _EVENT,
        "responsePayload": {"errorType": "AccessDenied", "errorMessage": "not allowed"},
    }


@pytest.mark.parametrize("condition", ["RetriesExhausted", "EventAgeExceeded", "PermanentFailure"])
def test_the_event_in_a_record_is_resent_asynchronously_and_its_message_deleted(
    session: Session, condition: str
) -> None:
    session.send(record(condition=condition))
    report = session.redrive()
    assert session.lambda_.invoked == [(_FUNCTION, "Event", _EVENT)]
    assert report.resent == 1
    assert report.reasons == {"AccessDenied: not allowed": 1}
    assert session.left() == []


def test_a_raw_event_from_a_dead_letter_queue_is_resent_and_its_error_reported(session: Session) -> None:
    session.send(_EVENT, RequestID="1", ErrorCode="200", ErrorMessage="boom")
    report = session.redrive()
    assert session.lambda_.invoked == [(_FUNCTION, "Event", _EVENT)]
    assert report.reasons == {"boom": 1}


@pytest.mark.parametrize("source", ["RULE_ARN", "SCHEDULE_ARN"])
def test_an_event_that_a_rule_or_schedule_could_not_deliver_is_resent_to_its_target(
    session: Session, source: str
) -> None:
    for function in (_FUNCTION, "another"):
        target = f"arn:aws:lambda:eu-west-1:123456789012:function:{function}"
        refused = {"ERROR_CODE": "NO_PERMISSIONS", "ERROR_MESSAGE": "no"}
        session.send(_EVENT, **{source: "arn:aws:source"}, TARGET_ARN=target, **refused)
    report = session.redrive()
    assert session.lambda_.invoked == [(_FUNCTION, "Event", _EVENT)]
    assert report.reasons == {"NO_PERMISSIONS: no": 1}
    assert report.left == {"it is about another function: another": 1}


def test_a_notification_that_sns_could_not_deliver_is_resent_as_sns_would_have_sent_it(
    session: Session,
) -> None:
    notification = {
        "Type": "Notification",
        "MessageId": "m",
        "TopicArn": "arn:aws:sns:eu-west-1:123456789012:news",
        "Message": "hello",
        "UnsubscribeURL": "https://u",
    }
    session.send(notification, ERROR_CODE="AccessDeniedException", ERROR_MESSAGE="no")
    report = session.redrive()
    assert report.reasons == {"AccessDeniedException: no": 1}
    ((function, kind, event),) = session.lambda_.invoked
    assert (function, kind) == (_FUNCTION, "Event")
    (sent,) = event["Records"]
    assert sent["EventSource"] == "aws:sns"
    assert sent["Sns"]["MessageId"] == "m"
    assert (sent["Sns"]["UnsubscribeUrl"], sent["Sns"]["MessageAttributes"]) == ("https://u", {})


def test_a_raw_event_that_looks_like_a_record_is_resent_whole(session: Session) -> None:
    event = record(function="another")
    session.send(event, RequestID="1", ErrorCode="200", ErrorMessage="boom")
    session.redrive()
    assert session.lambda_.invoked == [(_FUNCTION, "Event", event)]


def refused_record(**more: Any) -> dict[str, Any]:
    """A message of the fan-out's bridge about a record that SNS refuses."""
    message = json.loads(
        failure_message(kinesis_record(1, b"[]"), "not an object", FakeContext(), now=datetime.now(UTC))
    )
    return {**message, **more}


class FakeContext:
    """What a message contains of Lambda's context object."""

    aws_request_id = "1"
    invoked_function_arn = f"arn:aws:lambda:eu-west-1:123456789012:function:{_FUNCTION}"
    function_version = "$LATEST"


def answering(result: object, **more: str) -> dict[str, Any]:
    return {"Payload": BytesIO(json.dumps(result).encode()), **more}


def test_a_refused_record_of_a_stream_is_resent_and_its_message_deleted_once_it_is_processed(
    session: Session,
) -> None:
    session.send(refused_record())
    session.lambda_.answer = answering({"batchItemFailures": []})
    report = session.redrive()
    [(function, kind, event)] = session.lambda_.invoked
    assert (function, kind) == (_FUNCTION, "RequestResponse")
    assert event == {"Records": [kinesis_record(1, b"[]")]}
    assert report.reasons == {"NotPublishable: not an object": 1}
    assert session.left() == []


@pytest.mark.parametrize(
    "answer",
    [
        ({"batchItemFailures": [{"itemIdentifier": "1"}]}, {}),
        ({"errorType": "Error"}, {"FunctionError": "Unhandled"}),
    ],
    ids=["a partial batch response", "an exception"],
)
def test_a_refused_record_that_fails_again_stays_in_the_queue(
    session: Session, answer: tuple[object, dict[str, str]]
) -> None:
    session.send(refused_record())
    session.lambda_.answer = answering(answer[0], **answer[1])
    report = session.redrive()
    [reason] = report.left
    assert reason.startswith("its function failed again")
    assert len(session.left()) == 1


@pytest.mark.parametrize("info", ["KinesisBatchInfo", "DDBStreamBatchInfo"])
def test_messages_about_a_stream_without_data_say_where_the_records_are_and_count_together(
    session: Session, info: str
) -> None:
    printed: list[str] = []
    places = []
    for number in (1, 2):
        message = refused_record()
        message[info] = message.pop("KinesisBatchInfo") | {"startSequenceNumber": f"first-{number}"}
        del message["payload"]
        session.send(message)
        places.append((message[info]["shardId"], f"first-{number}"))
    report = session.redrive(tell=printed.append)
    assert report.left == {"it has no data, only where its records are until their retention ends": 2}
    for shard, first in places:
        [line] = [line for line in printed if first in line]
        assert shard in line
    assert session.lambda_.invoked == []
    assert len(session.left()) == 2


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("not JSON", "its body is not JSON"),
        ({"hello": "there"}, "it is neither a record"),
        (["a list"], "it is neither a record"),
        ({"requestContext": None, "requestPayload": 1}, "which function failed"),
        ({"requestContext": {}, "KinesisBatchInfo": {}, "payload": "{}"}, "which function failed"),
        ({"requestContext": {}, "KinesisBatchInfo": {}, "payload": "no"}, "its payload is not JSON"),
        ({"requestContext": {}, "KinesisBatchInfo": {}, "payload": {}}, "its payload is not JSON"),
        (refused_record(requestContext={"functionArn": "another"}), "about another function: another"),
        (record(function="another"), "it is about another function: another"),
    ],
)
def test_an_unknown_message_stays_in_the_queue_and_is_reported(
    session: Session, body: object, why: str
) -> None:
    session.send(body)
    session.send(record())
    report = session.redrive()
    assert report.resent == 1
    [reason] = report.left
    assert why in reason
    assert len(session.left()) == 1


def test_a_dry_run_sends_nothing_and_releases_every_message(session: Session) -> None:
    for _ in range(12):
        session.send(record())
    report = session.redrive(dry_run=True)
    assert report.resent == 12
    assert session.lambda_.invoked == []
    assert len(session.left()) == 10


def test_at_most_limit_messages_are_resent(session: Session) -> None:
    for _ in range(12):
        session.send(record())
    assert session.redrive(limit=11).resent == 11
    assert len(session.left()) == 1


def test_an_event_that_fails_again_at_once_is_not_resent_by_the_same_run(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_again(**_: Any) -> None:
        session.send(record(condition="PermanentFailure"))

    monkeypatch.setattr(session.lambda_, "invoke", fail_again)
    session.send(record())
    assert session.redrive().resent == 1
    assert len(session.left()) == 1


def test_an_event_that_lambda_rejects_stays_in_the_queue(session: Session) -> None:
    session.lambda_.error = "RequestTooLargeException"
    session.send(record())
    assert session.redrive().left.total() == 1
    assert len(session.left()) == 1


def test_if_the_function_cannot_be_invoked_all_messages_stay_visible(session: Session) -> None:
    session.lambda_.error = "ResourceNotFoundException"
    for _ in range(3):
        session.send(record())
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        session.redrive()
    assert len(session.left()) == 3

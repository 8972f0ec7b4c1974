"""Notices: each message is stored once, and a bad one says why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from messaging.sns_consumer.notices import NotANotice, texts_of
from tests.handlers.importing import import_handler
from tests.handlers.tables import make_table

ENVIRONMENT = {
    "TABLE_NAME": "notices",
    "CONSUMER": "Urgent",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}
CONTEXT = SimpleNamespace(
    function_name="f", memory_limit_in_mb=128, invoked_function_arn="arn:aws:lambda:::f", aws_request_id="1"
)


@pytest.fixture
def function() -> Iterator[ModuleType]:
    """The handler's module, with an empty table."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        make_table(boto3.client("dynamodb"), "notices", "consumer", "message_id")
        yield import_handler("messaging.sns_consumer.handler", ENVIRONMENT)


def invoke(function: ModuleType, message: object, message_id: str = "m") -> None:
    text = message if isinstance(message, str) else json.dumps(message)
    function.handler({"Records": [{"Sns": {"MessageId": message_id, "Message": text}}]}, CONTEXT)


def stored() -> list[dict[str, Any]]:
    return list(boto3.resource("dynamodb").Table("notices").scan()["Items"])


def test_a_message_that_arrives_twice_is_stored_once(function: ModuleType) -> None:
    for text in ("first", "second"):
        invoke(function, {"text": text})
    assert stored() == [{"consumer": "Urgent", "message_id": "m", "texts": ["first"]}]


def test_objects_that_s3_reports_are_stored_with_their_keys(function: ModuleType) -> None:
    invoke(function, {"Records": [{"s3": {"object": {"key": "cat+%26+dog.jpg"}}}]})
    assert stored()[0]["texts"] == ["uploaded cat & dog.jpg"]


def test_the_test_event_of_s3_says_nothing(function: ModuleType) -> None:
    invoke(function, {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"})
    assert stored() == []


@pytest.mark.parametrize(
    "message",
    [
        "no JSON",
        "[]",
        "{}",
        '{"text": ""}',
        '{"text": 7}',
        '{"text": "\\ud800"}',
        '{"Records": [{}]}',
        '{"Records": 7}',
        '{"Records": [{"s3": {"object": {"key": 7}}}]}',
        "[" * 1000,
    ],
)
def test_a_message_that_is_not_a_notice_fails_with_the_reason(message: str) -> None:
    with pytest.raises(NotANotice, match="the message"):
        texts_of(message)


def test_a_bad_message_stores_nothing(function: ModuleType) -> None:
    with pytest.raises(NotANotice):
        invoke(function, "no JSON")
    assert stored() == []

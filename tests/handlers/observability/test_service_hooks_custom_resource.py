"""The answering function gives CloudFormation one answer, and the rows are only those of their resources."""

from __future__ import annotations

import http.client
import io
import json
import urllib.error
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError
from moto import mock_aws

from observability.service_hooks.answers import MOST_BYTES, BadResult, failure, success, was_never_created
from tests.handlers.importing import import_handler
from tests.handlers.tables import make_table

ENVIRONMENT = {
    "PROVIDER_ARN": "arn:aws:lambda:eu-west-1:123456789012:function:tea",
    "TABLE_NAME": "rows",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}
URL = "https://cloudformation-custom-resource-response-euwest1.s3.eu-west-1.amazonaws.com/a?Signature=secret"
REQUEST = {
    "RequestType": "Create",
    "RequestId": "request-1",
    "ResponseURL": URL,
    "ResourceType": "Custom::Row",
    "LogicalResourceId": "Hours",
    "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/shop/1",
    "ResourceProperties": {"Key": "hours", "Text": "9 to 5"},
}
UPDATE = {**REQUEST, "RequestType": "Update", "PhysicalResourceId": "hours"}
DELETE = {**REQUEST, "RequestType": "Delete", "PhysicalResourceId": "hours"}


# --- What an answer may be


def answer(body: bytes) -> dict[str, Any]:
    """The answer, without what is copied from the request."""
    assert len(body) <= MOST_BYTES
    found = json.loads(body)
    for name in ("StackId", "RequestId", "LogicalResourceId"):
        assert found.pop(name) == REQUEST[name]
    return dict(found)


@pytest.mark.parametrize(
    ("event", "result", "id_"),
    [
        (REQUEST, {"PhysicalResourceId": "hours"}, "hours"),
        (REQUEST, {}, "request-1"),
        (REQUEST, None, "request-1"),
        (UPDATE, None, "hours"),
        (UPDATE, {"PhysicalResourceId": "other"}, "other"),
        (DELETE, None, "hours"),
        (DELETE, {"PhysicalResourceId": "other"}, "hours"),
        (DELETE, {"PhysicalResourceId": 7, "Data": {"Text": "x" * 5000}}, "hours"),
        (DELETE, ["tea"], "hours"),
        (REQUEST, {"PhysicalResourceId": None, "Data": None, "NoEcho": None}, "request-1"),
    ],
)
def test_a_resource_keeps_its_physical_id_unless_the_function_returns_another(
    event: dict[str, Any], result: Any, id_: str
) -> None:
    assert answer(success(event, result))["PhysicalResourceId"] == id_


def test_data_and_its_secrecy_are_passed_on() -> None:
    found = answer(success(REQUEST, {"Data": {"Url": "a"}, "NoEcho": True}))
    assert (found["Status"], found["Data"], found["NoEcho"]) == ("SUCCESS", {"Url": "a"}, True)


@pytest.mark.parametrize(
    ("result", "message", "id_"),
    [
        ("tea", "returned str: return a JSON object", "request-1"),
        (["tea"], "returned list", "request-1"),
        ({"PhysicalResourceId": 7}, "1 to 1,024 bytes", "request-1"),
        ({"PhysicalResourceId": 0}, "1 to 1,024 bytes", "request-1"),
        ({"PhysicalResourceId": ""}, "1 to 1,024 bytes", "request-1"),
        ({"PhysicalResourceId": "ü" * 513}, "1 to 1,024 bytes", "request-1"),
        ({"Status": "FAILED", "Reason": "nope"}, "Reason, Status: .* raise an exception", "request-1"),
        ({"PhysicalResourceId": "a", "data": {}}, "returned data: return PhysicalResourceId, Data", "a"),
        ({"PhysicalResourceID": "a"}, "returned PhysicalResourceID:", "request-1"),
        ({"PhysicalResourceId": "a", "Data": ["tea"]}, "an object as Data", "a"),
        ({"PhysicalResourceId": "a", "Data": []}, "an object as Data", "a"),
        ({"PhysicalResourceId": "a", "Data": 0}, "an object as Data", "a"),
        ({"PhysicalResourceId": "a", "NoEcho": "no"}, "true or false", "a"),
        ({"PhysicalResourceId": "a", "Data": {"Cups": float("nan")}}, "NaN or Infinity", "a"),
        ({"PhysicalResourceId": "a", "Data": {"Text": "ü" * 2048}}, "takes 4,096: return less Data", "a"),
    ],
)
def test_a_result_that_cloudformation_does_not_take_is_a_failure_of_what_was_made(
    result: Any, message: str, id_: str | None
) -> None:
    with pytest.raises(BadResult, match=message) as bad:
        success(REQUEST, result)
    assert bad.value.physical_id == id_


def test_a_deletion_that_reports_a_failure_is_one() -> None:
    with pytest.raises(BadResult, match="raise an exception"):
        success(DELETE, {"Status": "FAILED", "Reason": "nope"})


def test_the_delete_of_what_was_never_created_is_recognised() -> None:
    id_ = answer(failure(REQUEST, "out of tea"))["PhysicalResourceId"]
    assert was_never_created({**DELETE, "PhysicalResourceId": id_})
    assert not was_never_created({**UPDATE, "PhysicalResourceId": id_})
    assert not was_never_created(DELETE)
    assert answer(failure(UPDATE, "out of tea"))["PhysicalResourceId"] == "hours"
    assert answer(failure(REQUEST, "too long", "made"))["PhysicalResourceId"] == "made"


@pytest.mark.parametrize("reason", ["", "x" * 10_000, "ü" * 10_000, "\x00" * 10_000, "\ud800", '"' * 5000])
def test_a_reason_of_any_length_fits_and_there_is_always_one(reason: str) -> None:
    found = answer(failure({**UPDATE, "PhysicalResourceId": "i" * 1024}, reason))
    assert (found["Status"], bool(found["Reason"])) == ("FAILED", True)


# --- The function that answers


class Answers:
    """The answering function, with a function behind it and a CloudFormation that are not real.

    Args:
        handler: Its module.
        monkeypatch: Replaces what it calls.
    """

    def __init__(self, handler: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        self._handler = handler
        self.lambda_ = mock.Mock()
        self.configs: list[Any] = []
        self.sent: list[Any] = []
        self.errors: list[Exception] = []
        session = SimpleNamespace(create_client=self._client)
        monkeypatch.setattr(handler.botocore.session, "get_session", lambda: session)
        monkeypatch.setattr(handler.urllib.request, "urlopen", self._open)
        monkeypatch.setattr(handler.time, "sleep", lambda _: None)

    def _client(self, _service: str, config: Any) -> Any:
        self.configs.append(config)
        return self.lambda_

    def _open(self, request: Any, timeout: float) -> Any:
        assert timeout * 3 + 2 * 0.5 + self.configs[-1].connect_timeout < self._handler.RESERVE
        if self.errors:
            raise self.errors.pop()
        self.sent.append(request)
        return mock.MagicMock()

    def returns(self, payload: Any, error: str | None = None) -> None:
        """Let the function behind return this; bytes as they are."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.lambda_.invoke.return_value = {
            "Payload": io.BytesIO(body),
            **({"FunctionError": error} if error else {}),
        }

    def answer(self, event: dict[str, Any] = REQUEST, milliseconds: int = 60_000) -> dict[str, Any]:
        """The one answer to an event."""
        self.sent.clear()
        self._handler.handler(event, SimpleNamespace(get_remaining_time_in_millis=lambda: milliseconds))
        (request,) = self.sent
        assert (request.full_url, request.method) == (URL, "PUT")
        assert request.get_header("Content-type") == ""
        return answer(request.data)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    return Answers(import_handler("observability.service_hooks.handler", ENVIRONMENT), monkeypatch)


def test_the_function_gets_the_request_without_the_url_and_its_result_is_the_answer(answers: Answers) -> None:
    answers.returns({"PhysicalResourceId": "hours", "Data": {"Length": "6"}})
    found = answers.answer()
    assert (found["Status"], found["PhysicalResourceId"], found["Data"]) == (
        "SUCCESS",
        "hours",
        {"Length": "6"},
    )
    call = answers.lambda_.invoke.call_args.kwargs
    assert call["FunctionName"] == ENVIRONMENT["PROVIDER_ARN"]
    assert json.loads(call["Payload"]) == {k: v for k, v in REQUEST.items() if k != "ResponseURL"}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"errorType": "RowExists", "errorMessage": "hours"}, "RowExists: hours"),
        ({"errorType": "Sandbox.Timedout", "errorMessage": "timed out after 3.00 seconds"}, "timed out"),
        ({}, "Error: no error message"),
        ({"errorType": None, "errorMessage": None}, "Error: no error message"),
        ("oops", "Error: oops"),
        (b"<html>", "Error: <html>"),
    ],
)
def test_a_function_that_fails_or_is_killed_is_a_failure_with_its_reason(
    answers: Answers, payload: Any, reason: str
) -> None:
    answers.returns(payload, error="Unhandled")
    found = answers.answer()
    assert (found["Status"], reason in found["Reason"]) == ("FAILED", True)


@pytest.mark.parametrize("text", [b"<html>", b"\xff", b"[" * 100_000])
def test_a_result_that_is_no_json_is_said_to_be_none(answers: Answers, text: bytes) -> None:
    answers.returns(text)
    found = answers.answer()
    assert (found["Status"], found["PhysicalResourceId"]) == ("FAILED", "request-1")
    assert "returned str: return a JSON object" in found["Reason"]
    answers.returns(text)
    assert answers.answer(DELETE)["Status"] == "SUCCESS"
    answers.returns(b"")
    assert answers.answer()["Status"] == "SUCCESS"


def test_it_waits_until_there_is_just_time_for_the_answer_and_asks_once(answers: Answers) -> None:
    answers.lambda_.invoke.side_effect = ReadTimeoutError(endpoint_url="https://lambda")
    found = answers.answer(milliseconds=30_000)
    assert (found["Status"], "within 20 seconds" in found["Reason"]) == ("FAILED", True)
    assert "https://" not in found["Reason"]
    assert answers.configs[0].read_timeout == 20
    assert answers.configs[0].retries == {"total_max_attempts": 1}


def test_an_answer_that_is_too_long_is_a_failure_of_what_was_made(answers: Answers) -> None:
    answers.returns({"PhysicalResourceId": "hours", "Data": {"Text": "x" * 5000}})
    found = answers.answer()
    assert (found["Status"], found["PhysicalResourceId"]) == ("FAILED", "hours")


def test_the_delete_of_what_was_never_created_does_not_reach_the_function(answers: Answers) -> None:
    answers.returns({}, error="Unhandled")
    id_ = answers.answer()["PhysicalResourceId"]
    answers.lambda_.invoke.reset_mock()
    assert answers.answer({**DELETE, "PhysicalResourceId": id_})["Status"] == "SUCCESS"
    answers.lambda_.invoke.assert_not_called()


def test_an_answer_that_does_not_arrive_is_sent_again_and_then_given_up(answers: Answers) -> None:
    answers.returns({})
    answers.errors = [urllib.error.URLError("reset"), http.client.BadStatusLine("")]
    assert answers.answer()["Status"] == "SUCCESS"
    answers.returns({})
    answers.errors = [urllib.error.URLError("reset")] * 3
    with pytest.raises(urllib.error.URLError):
        answers.answer()


def test_neither_the_url_nor_the_data_is_logged(answers: Answers, caplog: pytest.LogCaptureFixture) -> None:
    answers.returns({"Data": {"Password": "green tea"}})
    with caplog.at_level("DEBUG"):
        answers.answer()
    written = caplog.text + str([vars(one) for one in caplog.records])
    assert "answered" in written
    assert "secret" not in written
    assert "green tea" not in written


# --- The rows


@pytest.fixture
def rows() -> Iterator[Any]:
    """The module, and the texts of the rows by their key."""
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1")
        make_table(client, "rows", "id")
        module = import_handler("observability.service_hooks.custom_resource", ENVIRONMENT)
        found = lambda: {  # noqa: E731
            one["id"]["S"].removeprefix("row/"): one["text"]["S"]
            for one in client.scan(TableName="rows")["Items"]
        }
        yield SimpleNamespace(handler=module.handler, texts=found, exists=module.RowExists)


def test_a_row_is_created_updated_replaced_and_deleted(rows: Any) -> None:
    assert rows.handler(REQUEST, None)["Data"] == {"Length": "6", "Copy": "9 to 5"}
    rows.handler(REQUEST, None)  # it comes twice
    changed = {**UPDATE, "ResourceProperties": {"Key": "hours", "Text": "9 to 6"}}
    assert rows.handler(changed, None)["PhysicalResourceId"] == "hours"
    moved = {**UPDATE, "ResourceProperties": {"Key": "times", "Text": "9 to 6"}}
    assert rows.handler(moved, None)["PhysicalResourceId"] == "times"
    assert rows.texts() == {"hours": "9 to 6", "times": "9 to 6"}
    for _ in range(2):
        assert rows.handler(DELETE, None) is None
    assert rows.texts() == {"times": "9 to 6"}


def test_a_row_of_another_resource_is_neither_changed_nor_deleted(rows: Any) -> None:
    rows.handler(REQUEST, None)
    for other in ({"StackId": "another"}, {"LogicalResourceId": "Other"}):
        with pytest.raises(rows.exists, match="hours"):
            rows.handler({**REQUEST, **other, "ResourceProperties": {"Key": "hours", "Text": ""}}, None)
        rows.handler({**DELETE, **other}, None)
    assert rows.texts() == {"hours": "9 to 5"}


@pytest.mark.parametrize(
    "properties", [{}, {"Key": "a"}, {"Key": "", "Text": "a"}, {"Key": ["a"], "Text": ""}]
)
def test_a_row_needs_its_properties(rows: Any, properties: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Key and Text"):
        rows.handler({**REQUEST, "ResourceProperties": properties}, None)

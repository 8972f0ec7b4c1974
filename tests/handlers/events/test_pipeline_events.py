"""Reports about events, and jobs: one answer each, whatever happens."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import boto3
import pytest
from moto import mock_aws

from events.pipeline_events.jobs import Job
from tests.handlers.importing import import_handler
from tests.handlers.tables import make_table

ENVIRONMENT = {
    "TOPIC_ARN": "arn:aws:sns:eu-west-1:123456789012:reports",
    "IDEMPOTENCY_TABLE_NAME": "idempotency",
    "IDEMPOTENCY_EXPIRES_AFTER": "3600",
    "TABLE_NAME": "releases",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}
JOB = "11111111-abcd-1111-abcd-111111abcdef"


def context(milliseconds: int = 60_000) -> SimpleNamespace:
    return SimpleNamespace(
        function_name="f",
        memory_limit_in_mb=128,
        invoked_function_arn="arn:aws:lambda:::f",
        aws_request_id="request-1",
        get_remaining_time_in_millis=lambda: milliseconds,
    )


def event(level: str = "Pipeline", **detail: Any) -> dict[str, Any]:
    common = {"pipeline": "shop", "stage": "Prod", "action": "Deploy", "state": "FAILED"}
    return {
        "id": "event-1",
        "detail-type": f"CodePipeline {level} Execution State Change",
        "detail": common | detail,
    }


def reference(kind: str, change: str) -> dict[str, Any]:
    detail = {"repositoryName": "shop", "referenceType": kind, "referenceName": "ä"}
    return {
        "id": "event-2",
        "detail-type": "CodeCommit Repository State Change",
        "detail": detail | {"event": f"reference{change}"},
    }


# --- Reports


@pytest.fixture(scope="module")
def reports() -> Iterator[ModuleType]:
    """The module of the function that reports, with a topic and an empty table."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        make_table(boto3.client("dynamodb"), "idempotency", "id")
        boto3.client("sns").create_topic(Name="reports")
        yield import_handler("events.pipeline_events.handler", ENVIRONMENT)


@pytest.fixture
def published(reports: ModuleType) -> Iterator[list[Any]]:
    """What the function publishes."""
    with mock.patch.object(reports._sns, "publish", return_value={"MessageId": "m"}) as publish:
        yield publish.call_args_list


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (event(), "Pipeline shop: FAILED"),
        (event("Stage"), "Stage Prod of shop: FAILED"),
        (event("Action"), "Action Deploy in stage Prod of shop: FAILED"),
        (
            event("Action", **{"execution-result": {"external-execution-summary": "exit 1"}}),
            "Action Deploy in stage Prod of shop: FAILED (exit 1)",
        ),
        (reference("branch", "Updated"), "Repository shop: branch ä updated"),
        (reference("tag", "Created"), "Repository shop: tag ä created"),
    ],
)
def test_an_event_becomes_a_sentence(reports: ModuleType, given: dict[str, Any], text: str) -> None:
    assert reports.sentence_about(given) == text


def test_a_duplicate_is_published_once(reports: ModuleType, published: list[Any]) -> None:
    for _ in range(2):
        reports.handler(reference("branch", "Deleted"), context())
    (call,) = published
    assert call.kwargs["Subject"] == "Repository shop: branch ? deleted"
    assert json.loads(call.kwargs["Message"])["text"] == "Repository shop: branch ä deleted"


NO_OBJECTS: list[object] = [[], [{"id": "x"}], "text", 7]


@pytest.mark.parametrize(
    "broken",
    [
        *NO_OBJECTS,
        {},
        {"id": "x"},
        {"id": "x", "detail-type": "EC2 Instance State-change Notification", "detail": {}},
        {"id": "x", "detail-type": "CodePipeline Stage Execution State Change", "detail": {"stage": 7}},
        {"id": "x", "detail-type": "CodeCommit Repository State Change", "detail": None},
        {"id": "x", "detail-type": "CodeCommit Repository State Change", "detail": {"event": 7}},
    ],
)
def test_an_event_that_is_none_fails_and_is_not_published(
    reports: ModuleType, published: list[Any], broken: Any
) -> None:
    for _ in range(2):  # a retry fails, too
        with pytest.raises(Exception, match=r"incomplete|detail-type|idempotency_key|not an object"):
            reports.handler(broken, context())
    assert published == []


def test_an_event_whose_report_failed_is_reported_later(reports: ModuleType, published: list[Any]) -> None:
    lost = event() | {"id": "event-3"}
    with (
        mock.patch.object(reports._sns, "publish", side_effect=PermissionError("no")),
        pytest.raises(PermissionError),
    ):
        reports.handler(lost, context())
    reports.handler(lost, context())
    assert len(published) == 1


# --- Jobs


class InvalidJobStateException(Exception):
    """As the client raises it."""


class CodePipeline:
    """Answers as CodePipeline does, and remembers how often it was called and what it has accepted."""

    exceptions = SimpleNamespace(InvalidJobStateException=InvalidJobStateException)

    def __init__(self) -> None:
        self.calls = 0
        self.accepted: list[dict[str, Any]] = []
        self.refuse_success: Exception | None = None
        self.refuse_failure: Exception | None = None

    def put_job_success_result(self, **call: Any) -> None:
        self._take(call, self.refuse_success)

    def put_job_failure_result(self, **call: Any) -> None:
        self._take(call, self.refuse_failure)

    def _take(self, call: dict[str, Any], refused: Exception | None) -> None:
        self.calls += 1
        time.sleep(0.01)  # so that threads which do not wait for each other meet here
        if refused:
            raise refused
        if self.accepted:
            raise InvalidJobStateException
        self.accepted.append(call)

    @property
    def message(self) -> str:
        (call,) = self.accepted
        return str(call["failureDetails"]["message"])


@pytest.fixture(scope="module")
def action() -> Iterator[ModuleType]:
    """The module of the action."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield import_handler("events.pipeline_events.action", ENVIRONMENT)


@pytest.fixture
def pipeline(action: ModuleType, monkeypatch: pytest.MonkeyPatch) -> CodePipeline:
    """CodePipeline, as the action reaches it."""
    fake = CodePipeline()
    monkeypatch.setattr(action, "_codepipeline", fake)
    return fake


def job(parameters: object = '{"release": "r"}', token: str | None = None) -> dict[str, Any]:
    data: dict[str, Any] = {"actionConfiguration": {"configuration": {"UserParameters": parameters}}}
    if token:
        data["continuationToken"] = token
    return {"CodePipeline.job": {"id": JOB, "accountId": "1", "data": data}}


def checking(
    action: ModuleType, monkeypatch: pytest.MonkeyPatch, check: Callable[[str], dict[str, str] | None]
) -> None:
    monkeypatch.setattr(action, "check", check)


def fail(error: Exception) -> Any:
    raise error


def test_a_healthy_release_is_a_success_with_its_variables(
    action: ModuleType, pipeline: CodePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    checking(action, monkeypatch, lambda release: {"RELEASE": release})
    action.handler(job(), context())
    details = {"summary": "release r is healthy"}
    expected = {"jobId": JOB, "executionDetails": details, "outputVariables": {"RELEASE": "r"}}
    assert pipeline.accepted == [expected]


@pytest.mark.parametrize(("token", "following"), [(None, "1"), ("1", "2")])
def test_a_check_that_is_not_ready_continues_with_a_token(
    action: ModuleType,
    pipeline: CodePipeline,
    monkeypatch: pytest.MonkeyPatch,
    token: str | None,
    following: str,
) -> None:
    checking(action, monkeypatch, lambda _release: None)
    action.handler(job(token=token), context())
    assert pipeline.accepted == [{"jobId": JOB, "continuationToken": following}]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (job(), "Unhealthy", "no"),
        (job(), "ValueError", "ValueError('no')"),
        (job("no JSON"), "", "JSONDecodeError"),
        (job("7"), "", "TypeError"),
        (job('{"name": "r"}'), "", "KeyError('release')"),
        (job(None), "", "TypeError"),
        (job(token="page"), "", "ValueError"),
    ],
)
def test_any_exception_is_a_failure_with_its_message(
    action: ModuleType,
    pipeline: CodePipeline,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, Any],
    error: str,
    message: str,
) -> None:
    kind: type[Exception] | None = {"Unhealthy": action.Unhealthy, "ValueError": ValueError}.get(error)
    checking(action, monkeypatch, lambda _release: fail(kind("no")) if kind else None)
    action.handler(given, context())
    assert message in pipeline.message


def test_a_job_whose_time_is_over_fails_once_although_the_check_succeeds_later(
    action: ModuleType, pipeline: CodePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(_release: str) -> dict[str, str]:
        assert reported.wait(30)
        return {}

    reported = threading.Event()
    put = pipeline.put_job_failure_result

    def put_and_note(**call: Any) -> None:
        put(**call)
        reported.set()

    monkeypatch.setattr(pipeline, "put_job_failure_result", put_and_note)
    checking(action, monkeypatch, slow)
    action.handler(job(), context(milliseconds=7_000))  # all of it is reserved for the answer
    assert pipeline.message.startswith("the timeout of the function leaves no time for the work: 7 seconds")
    assert pipeline.calls == 1


def test_seven_seconds_are_left_for_the_answer(
    action: ModuleType, pipeline: CodePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    timers = mock.Mock(wraps=threading.Timer)
    monkeypatch.setattr("events.pipeline_events.jobs.threading.Timer", timers)
    checking(action, monkeypatch, lambda _release: {})
    action.handler(job(), context(milliseconds=60_000))
    assert timers.call_args.args[0] == 53
    assert timers.call_args.args[2][0] == "the time of the function is over"


def test_a_job_in_time_leaves_no_timer_behind() -> None:
    with Job(CodePipeline(), {"id": JOB}).failing_after(3_600, "too late", "r"):
        (timer,) = (one for one in threading.enumerate() if isinstance(one, threading.Timer))
    timer.join(30)
    assert not timer.is_alive()


def test_a_success_that_codepipeline_refuses_becomes_a_failure(
    action: ModuleType, pipeline: CodePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.refuse_success = PermissionError("not allowed")
    checking(action, monkeypatch, lambda _release: {})
    action.handler(job(), context())
    assert "not allowed" in pipeline.message


def test_a_function_that_cannot_answer_fails_so_that_its_destination_does(
    action: ModuleType, pipeline: CodePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.refuse_success = pipeline.refuse_failure = PermissionError("not allowed")
    checking(action, monkeypatch, lambda _release: {})
    with pytest.raises(PermissionError):
        action.handler(job(), context())


def test_a_job_that_was_answered_elsewhere_is_no_error(
    action: ModuleType, pipeline: CodePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.refuse_success = pipeline.refuse_failure = InvalidJobStateException()
    checking(action, monkeypatch, lambda _release: {})
    action.handler(job(), context())
    action.report_failure(failure(), context())


NO_MESSAGE: list[object] = [None, {}, {"errorMessage": None}, {"errorMessage": ""}, "", []]


def failure(payload: object = None) -> dict[str, Any]:
    """Lambda's record of a failed invocation."""
    about = {"requestId": "request-7", "condition": "RetriesExhausted", "approximateInvokeCount": 1}
    return {"requestContext": about, "requestPayload": job(), "responsePayload": payload}


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"errorMessage": "Task timed out after 3.00 seconds"}, "(RetriesExhausted): Task timed out"),
        *((one, "): no error message") for one in NO_MESSAGE),
        ("a text", "): a text"),
        ({"errorMessage": ["a", 1]}, "): ['a', 1]"),
        (7, "): 7"),
        ({"errorMessage": "x" * 6_000}, "xxx"),
    ],
)
def test_the_destination_reports_the_failure_of_the_invocation(
    action: ModuleType, pipeline: CodePipeline, payload: object, message: str
) -> None:
    action.report_failure(failure(payload), context())
    (call,) = pipeline.accepted
    assert message in pipeline.message
    assert len(pipeline.message) <= 5_000
    assert (call["jobId"], call["failureDetails"]["externalExecutionId"]) == (JOB, "request-7")


@pytest.mark.parametrize("record", [{}, failure() | {"requestPayload": {"no": "job"}}])
def test_a_record_that_is_none_fails(
    action: ModuleType, pipeline: CodePipeline, record: dict[str, Any]
) -> None:
    with pytest.raises(KeyError):
        action.report_failure(record, context())
    assert pipeline.accepted == []


def test_two_threads_answer_once() -> None:
    client = CodePipeline()
    one = Job(client, {"id": JOB})
    threads = [threading.Thread(target=one.fail, args=(str(n), "r")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (client.calls, len(client.accepted)) == (1, 1)


def test_an_empty_message_is_replaced_because_codepipeline_takes_none() -> None:
    client = CodePipeline()
    Job(client, {"id": JOB}).fail("", "r")
    assert client.message == "no reason given"

"""Answers to jobs of CodePipeline: whose they are, how many there may be, and what they may hold."""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions
from helpers.stacks import session_of
from localaws import LocalAws

pytestmark = pytest.mark.local

PRINCIPAL = "codepipeline.amazonaws.com"
FAILED = {"type": "JobFailed", "message": "the page is empty"}


def deliver(functions: Functions, job: str) -> str:
    """Deliver a job to a new function, and return its id."""
    arn = functions.arn("lambda", f"function:{functions.make('def handler(event, context): pass')}")
    role = functions.role(("lambda:InvokeFunction", arn), service=PRINCIPAL)
    event = {"CodePipeline.job": {"id": job, "accountId": functions.aws.account, "data": {}}}
    functions.aws.deliver_as(PRINCIPAL, functions.arn("codepipeline", "app"), arn, event, role=role)
    return job


@pytest.fixture
def job(functions: Functions) -> str:
    """The id of a job that was delivered."""
    return deliver(functions, str(uuid.uuid4()))


def refused(call: Callable[[], Any]) -> str:
    """The error code of a call."""
    with pytest.raises(ClientError) as refusal:
        call()
    return str(refusal.value.response["Error"]["Code"])


def calls_about(aws: LocalAws, job: str) -> list[dict[str, Any]]:
    """The calls about a job in the event history of CloudTrail, the newest first."""
    attribute = {"AttributeKey": "EventSource", "AttributeValue": PRINCIPAL}
    found = aws.client("cloudtrail").lookup_events(LookupAttributes=[attribute])["Events"]
    events = [json.loads(one["CloudTrailEvent"]) for one in found]
    return [one for one in events if one["requestParameters"]["jobId"] == job]


def test_a_job_takes_one_answer_and_cloudtrail_has_each_call(functions: Functions, job: str) -> None:
    client = functions.aws.client("codepipeline")
    client.put_job_success_result(jobId=job, outputVariables={"version": "7"})
    again = functools.partial(client.put_job_failure_result, jobId=job, failureDetails=FAILED)
    assert refused(again) == "InvalidJobStateException"
    second, first = calls_about(functions.aws, job)
    assert first["requestParameters"] == {"jobId": job, "outputVariables": {"version": "7"}}
    assert (first["eventName"], "errorCode" in first) == ("PutJobSuccessResult", False)
    assert (second["eventName"], second["errorCode"]) == ("PutJobFailureResult", "InvalidJobStateException")
    assert second["requestParameters"]["failureDetails"] == FAILED


def test_a_job_that_is_delivered_again_is_no_new_job(functions: Functions, job: str) -> None:
    client = functions.aws.client("codepipeline")
    client.put_job_success_result(jobId=job)
    deliver(functions, job)
    assert refused(lambda: client.put_job_success_result(jobId=job)) == "InvalidJobStateException"


def test_a_job_that_continues_has_its_answer(functions: Functions, job: str) -> None:
    client = functions.aws.client("codepipeline")
    client.put_job_success_result(jobId=job, continuationToken="page 2")
    assert refused(lambda: client.put_job_success_result(jobId=job)) == "InvalidJobStateException"


def test_a_job_that_was_not_delivered_does_not_exist(functions: Functions) -> None:
    client = functions.aws.client("codepipeline")
    unknown = functools.partial(client.put_job_success_result, jobId=str(uuid.uuid4()))
    assert refused(unknown) == "JobNotFoundException"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"jobId": "job-7"}, "ValidationException"),
        ({"executionDetails": {"summary": "x" * 2049}}, "ValidationException"),
        ({"continuationToken": "t", "outputVariables": {"a": "b"}}, "ValidationException"),
        ({"outputVariables": {"no space": "b"}}, "ValidationException"),
        ({"outputVariables": {"a": "b" * 122_880}}, "OutputVariablesSizeExceededException"),
    ],
)
def test_an_answer_that_codepipeline_refuses_leaves_the_job_open(
    functions: Functions, job: str, answer: dict[str, Any], code: str
) -> None:
    client = functions.aws.client("codepipeline")
    assert refused(lambda: client.put_job_success_result(**({"jobId": job} | answer))) == code
    client.put_job_success_result(jobId=job, outputVariables={"a": "b" * 122_879})


def test_each_answer_needs_its_permission_which_is_for_no_resource(functions: Functions, job: str) -> None:
    aws, action = functions.aws, "codepipeline:PutJobFailureResult"
    for allowed in ((action, functions.arn("codepipeline", "*")), ("codepipeline:PutJobSuccessResult", "*")):
        client = session_of(aws, allowed).client("codepipeline")
        failing = functools.partial(client.put_job_failure_result, jobId=job, failureDetails=FAILED)
        assert refused(failing) == "AccessDeniedException"
    client = session_of(aws, (action, "*")).client("codepipeline")
    client.put_job_failure_result(jobId=job, failureDetails=FAILED)
    (call,) = calls_about(aws, job)
    assert ":user/" in call["userIdentity"]["arn"]


def test_bridge_is_still_needed(stock_aws: LocalAws) -> None:
    once = Config(retries={"total_max_attempts": 1})
    client = stock_aws.session.client("codepipeline", config=once)
    with pytest.raises(ClientError):
        client.put_job_success_result(jobId=str(uuid.uuid4()))

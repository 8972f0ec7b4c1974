"""Schedules start immediately, and invoke functions with their role."""

from __future__ import annotations

import json
import re
import time
import uuid
from typing import Any

import pytest

from helpers.lambda_functions import Functions, Queue, eventually

pytestmark = pytest.mark.local

SCHEDULER = "scheduler.amazonaws.com"
HANDLER = "def handler(event, context): return event"
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
LONG_ENOUGH = 0.8  # seconds: schedules are checked four times a second


def answering_function(functions: Functions) -> tuple[str, Queue]:
    """A function that no service may invoke, and the queue for its results."""
    queue = functions.queue()
    name = functions.make(HANDLER, role=functions.role(("sqs:SendMessage", queue.arn)))
    functions.settle(name, OnSuccess=queue.arn)
    return functions.arn("lambda", f"function:{name}"), queue


def schedule(
    functions: Functions,
    target: str,
    role: str,
    expression: str = "rate(1 hour)",
    name: str = "",
    **more: Any,
) -> str:
    """The ARN of a schedule that invokes a function."""
    answer = functions.aws.client("scheduler").create_schedule(
        Name=name or f"schedule-{uuid.uuid4().hex[:8]}",
        ScheduleExpression=expression,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": target, "RoleArn": role, **more},
    )
    arn: str = answer["ScheduleArn"]
    return arn


def test_a_rate_starts_immediately_and_needs_only_the_permission_of_its_role(functions: Functions) -> None:
    function, answers = answering_function(functions)
    role = functions.role(("lambda:InvokeFunction", function), service=SCHEDULER)
    began = schedule(functions, function, role)
    event = answers.wait_for_body()["responsePayload"]
    assert event.pop("resources") == [began]
    assert re.fullmatch(UUID, event.pop("id"))
    assert re.fullmatch(TIME, event.pop("time"))
    assert event == {
        "version": "0",
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": functions.aws.account,
        "region": functions.aws.region,
        "detail": "{}",  # a text, unlike the detail of an event of EventBridge
    }
    time.sleep(LONG_ENOUGH)
    assert answers.receive() == []  # the next time is in an hour
    name = began.rpartition("/")[2]
    functions.aws.client("scheduler").delete_schedule(Name=name)
    schedule(functions, function, role, name=name)
    answers.wait()


@pytest.mark.parametrize(("group", "fires"), [("default", True), ("other", False)])
def test_a_role_may_ask_for_the_group_of_the_schedule(functions: Functions, group: str, fires: bool) -> None:
    """The CDK's `Schedule` writes both conditions into the trust policy of its role."""
    function, answers = answering_function(functions)
    role = functions.role(("lambda:InvokeFunction", function), service=SCHEDULER)
    source = {
        "aws:SourceAccount": functions.aws.account,
        "aws:SourceArn": functions.arn("scheduler", f"schedule-group/{group}"),
    }
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": SCHEDULER},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": source},
    }
    functions.aws.client("iam").update_assume_role_policy(
        RoleName=role.rpartition("/")[2],
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )
    schedule(functions, function, role)
    if fires:
        answers.wait()
    else:
        time.sleep(LONG_ENOUGH)
        assert answers.receive() == []


def test_the_function_gets_the_input_of_the_schedule(functions: Functions) -> None:
    function, answers = answering_function(functions)
    role = functions.role(("lambda:InvokeFunction", function), service=SCHEDULER)
    schedule(functions, function, role, Input=json.dumps({"start": "now"}))
    assert answers.wait_for_body()["responsePayload"] == {"start": "now"}


def test_context_attributes_in_the_input_are_replaced(functions: Functions) -> None:
    function, answers = answering_function(functions)
    role = functions.role(("lambda:InvokeFunction", function), service=SCHEDULER)
    names = ("schedule-arn", "scheduled-time", "execution-id", "attempt-number")
    given = json.dumps({name: f"<aws.scheduler.{name}>" for name in names})
    began = schedule(functions, function, role, Input=given)
    event = answers.wait_for_body()["responsePayload"]
    assert event["schedule-arn"] == began
    assert re.fullmatch(TIME, event["scheduled-time"])
    assert re.fullmatch(r"[a-z0-9]{16}", event["execution-id"])
    assert event["attempt-number"] == "1"


def test_a_role_that_may_not_invoke_or_does_not_trust_the_scheduler_invokes_nothing(
    functions: Functions,
) -> None:
    function, answers = answering_function(functions)
    schedule(functions, function, functions.role(service=SCHEDULER))
    schedule(functions, function, functions.role(("lambda:InvokeFunction", function)))
    time.sleep(LONG_ENOUGH)
    assert answers.receive() == []
    role = functions.role(("lambda:InvokeFunction", function), service=SCHEDULER)
    schedule(functions, function, role)
    answers.wait()


@pytest.mark.full  # the emulator looks every ten seconds
def test_still_needed_the_stock_emulator_asks_no_role_and_begins_late(stock_functions: Functions) -> None:
    name = stock_functions.make("def handler(event, context): print(event)")
    function, role = (
        stock_functions.arn("lambda", f"function:{name}"),
        stock_functions.role(service=SCHEDULER),
    )
    schedule(stock_functions, function, role, Input='"by rate"')
    schedule(stock_functions, function, role, "at(2026-01-01T00:00:00)", Input='"late"')
    logs = stock_functions.aws.client("logs")

    def printed() -> str:
        groups = logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")["logGroups"]
        events = [event for group in groups for event in read(group["logGroupName"])]
        return " ".join(event["message"] for event in events)

    def read(group: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = logs.filter_log_events(logGroupName=group)["events"]
        return found

    eventually(lambda: "late" in printed(), seconds=20)
    assert "by rate" not in printed()

"""The events of a task in the history of an execution."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from helpers.lambda_functions import Functions, eventually
from localaws import LocalAws

pytestmark = pytest.mark.local

HANDLER = "def handler(event, context): return event['answer']"
# Of each way to call the function: the resource of the task, its input, and the events.
OF_TASK = ["TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSucceeded", "TaskStateExited"]
OF_FUNCTION = [
    *("TaskStateEntered", "LambdaFunctionScheduled", "LambdaFunctionStarted"),
    *("LambdaFunctionSucceeded", "TaskStateExited"),
]


def history(aws: LocalAws, role: str, **task: Any) -> list[dict[str, Any]]:
    """The history of an execution with one task."""
    client = aws.client("stepfunctions")
    definition = {"StartAt": "Task", "States": {"Task": {"Type": "Task", "End": True, **task}}}
    machine = client.create_state_machine(
        name=f"machine-{uuid.uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=role
    )["stateMachineArn"]
    given = json.dumps({"answer": "yes"})
    execution = client.start_execution(stateMachineArn=machine, input=given)["executionArn"]
    eventually(lambda: client.describe_execution(executionArn=execution)["status"] != "RUNNING")
    events: list[dict[str, Any]] = client.get_execution_history(executionArn=execution)["events"]
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    return events


@pytest.fixture
def role(functions: Functions) -> str:
    """A role for state machines that may invoke functions."""
    return functions.role(("lambda:InvokeFunction", "*"), service="states.amazonaws.com")


def test_a_task_of_an_integration_is_scheduled_started_and_succeeds(functions: Functions, role: str) -> None:
    parameters = {"FunctionName": functions.make(HANDLER), "Payload.$": "$"}
    events = history(functions.aws, role, Resource="arn:aws:states:::lambda:invoke", Parameters=parameters)
    assert [event["type"] for event in events[1:-1]] == OF_TASK
    scheduled, started, succeeded = events[2:5]
    invoked = {"resourceType": "lambda", "resource": "invoke"}
    assert scheduled["taskScheduledEventDetails"] == {**invoked, "region": functions.aws.region}
    assert started["taskStartedEventDetails"] == invoked
    details = succeeded["taskSucceededEventDetails"]
    assert (details["resourceType"], json.loads(details["output"])["Payload"]) == ("lambda", "yes")


def test_a_task_of_an_action_of_the_sdk_fails_after_it_has_started(functions: Functions, role: str) -> None:
    events = history(
        functions.aws,
        role,
        Resource="arn:aws:states:::aws-sdk:sqs:getQueueUrl",
        Parameters={"QueueName": "none"},
    )
    assert [event["type"] for event in events[2:5]] == ["TaskScheduled", "TaskStarted", "TaskFailed"]
    failed = events[4]["taskFailedEventDetails"]
    assert (failed["resourceType"], failed["resource"]) == ("aws-sdk:sqs", "getQueueUrl")


def test_a_task_that_is_a_function_has_the_events_of_functions(functions: Functions, role: str) -> None:
    function = functions.arn("lambda", f"function:{functions.make(HANDLER)}")
    events = history(functions.aws, role, Resource=function)
    assert [event["type"] for event in events[1:-1]] == OF_FUNCTION
    assert events[2]["lambdaFunctionScheduledEventDetails"] == {"resource": function}
    assert events[4]["lambdaFunctionSucceededEventDetails"] == {"output": '"yes"'}


def test_a_workflow_that_is_waited_for_names_its_version(functions: Functions, role: str) -> None:
    events = history(
        functions.aws,
        role,
        Resource="arn:aws:states:::states:startExecution.sync:2",
        Parameters={"StateMachineArn": functions.arn("states", "stateMachine:none")},
    )
    details = events[3]["taskStartedEventDetails"]
    assert details == {"resourceType": "states", "resource": "startExecution.sync:2"}

"""Standard workflows: starting one again, and the answers to tasks that wait for one."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import eventually
from helpers.stacks import arn, deploy, ref, role
from localaws import LocalAws

pytestmark = pytest.mark.local


@dataclass(frozen=True)
class Waiting:
    """A state machine whose task sends its token to a queue, and waits."""

    aws: LocalAws
    machine: str
    queue: str

    def start(self, **more: Any) -> str:
        """Start an execution."""
        client = self.aws.client("stepfunctions")
        arn: str = client.start_execution(stateMachineArn=self.machine, **more)["executionArn"]
        return arn

    def token(self) -> str:
        """The token of the next task."""

        def received() -> list[Any]:
            found: list[Any] = self.aws.client("sqs").receive_message(QueueUrl=self.queue).get("Messages", [])
            return found

        return str(json.loads(eventually(received)[0]["Body"])["token"])

    def ended(self, execution: str) -> dict[str, Any]:
        """The execution after its end."""

        def description() -> dict[str, Any]:
            found: dict[str, Any] = self.aws.client("stepfunctions").describe_execution(
                executionArn=execution
            )
            return {} if found["status"] == "RUNNING" else found

        return eventually(description)


@pytest.fixture(scope="module")
def waiting(local_aws: LocalAws) -> Waiting:
    return made(local_aws)


def made(aws: LocalAws) -> Waiting:
    resources = {
        "Role": role(("sqs:SendMessage", "*"), service="states.amazonaws.com"),
        "Queue": {"Type": "AWS::SQS::Queue"},
    }
    outputs = deploy(aws, resources, {"Role": arn("Role"), "Queue": ref("Queue")}).outputs
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {"QueueUrl": outputs["Queue"], "MessageBody": {"token.$": "$$.Task.Token"}},
        "End": True,
    }
    machine = aws.client("stepfunctions").create_state_machine(
        name=f"machine-{uuid.uuid4().hex[:8]}",
        definition=json.dumps({"StartAt": "Task", "States": {"Task": task}}),
        roleArn=outputs["Role"],
    )["stateMachineArn"]
    return Waiting(aws, machine, outputs["Queue"])


def refusal(call: Any, **given: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**given)
    return str(caught.value.response["Error"]["Code"])


def test_an_execution_that_runs_is_started_again_without_effect(waiting: Waiting) -> None:
    name, order = uuid.uuid4().hex, '{"order": 1}'
    first = waiting.start(name=name, input=order)
    assert waiting.start(name=name, input=order) == first
    start = waiting.aws.client("stepfunctions").start_execution
    again = {"stateMachineArn": waiting.machine, "name": name}
    assert refusal(start, **again, input='{"order": 2}') == "ExecutionAlreadyExists"
    waiting.aws.client("stepfunctions").send_task_success(taskToken=waiting.token(), output="{}")
    assert waiting.ended(first)["status"] == "SUCCEEDED"
    assert refusal(start, **again, input=order) == "ExecutionAlreadyExists"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        *(
            ({"name": name}, "InvalidName")
            for name in ("a b", "a/b", "a:b", "a\x7f", "a\ud7ffb\x85", "x" * 81)
        ),
        *(({"name": f"a{one}"}, "InvalidName") for one in '<>{}[]?*"#%\\^|~`$&,;'),
        *(({"input": text}, "InvalidExecutionInput") for text in ("", "no JSON", "NaN")),
        ({"input": json.dumps("x" * 262_143)}, "ValidationException"),
    ],
)
def test_a_name_or_an_input_that_is_not_allowed_starts_nothing(
    waiting: Waiting, given: dict[str, str], code: str
) -> None:
    start = waiting.aws.client("stepfunctions").start_execution
    assert refusal(start, stateMachineArn=waiting.machine, **given) == code


def test_a_task_that_is_over_takes_no_answer(waiting: Waiting) -> None:
    client = waiting.aws.client("stepfunctions")
    execution = waiting.start()
    token = waiting.token()
    assert 256 < len(token) <= 2048
    client.send_task_heartbeat(taskToken=token)
    assert refusal(client.send_task_success, taskToken=token, output="no JSON") == "InvalidOutput"
    client.send_task_failure(taskToken=token, error="Refused", cause="it may not")
    assert waiting.ended(execution)["error"] == "Refused"
    assert refusal(client.send_task_success, taskToken=token, output="{}") == "TaskTimedOut"
    assert refusal(client.send_task_failure, taskToken=token) == "TaskTimedOut"
    assert refusal(client.send_task_heartbeat, taskToken=token) == "TaskTimedOut"
    assert refusal(client.send_task_success, taskToken="no token", output="{}") == "InvalidToken"


def test_a_task_of_an_execution_that_was_stopped_takes_no_answer(waiting: Waiting) -> None:
    client = waiting.aws.client("stepfunctions")
    execution = waiting.start()
    token = waiting.token()
    client.stop_execution(executionArn=execution)
    assert refusal(client.send_task_success, taskToken=token, output="{}") == "TaskTimedOut"


@pytest.mark.parametrize("allowed", [True, False])
def test_an_answer_takes_permission_for_the_state_machine(waiting: Waiting, allowed: bool) -> None:
    iam, name = waiting.aws.client("iam"), f"user-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    on = waiting.machine if allowed else f"{waiting.machine}-other"
    statement = {"Effect": "Allow", "Action": "states:SendTaskSuccess", "Resource": on}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    session = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=waiting.aws.region)
    client = session.client(
        "stepfunctions", endpoint_url=waiting.aws.endpoint_url, verify=str(waiting.aws.ca_file)
    )
    execution = waiting.start()
    token = waiting.token()
    if allowed:
        client.send_task_success(taskToken=token, output="{}")
        assert waiting.ended(execution)["status"] == "SUCCEEDED"
    else:
        assert refusal(client.send_task_success, taskToken=token, output="{}") == "AccessDeniedException"
        waiting.aws.client("stepfunctions").send_task_success(taskToken=token, output="{}")


def test_still_needed_the_emulator_starts_no_execution_again(stock_aws: LocalAws) -> None:
    waiting = made(stock_aws)
    waiting.start(name="one")
    start = stock_aws.client("stepfunctions").start_execution
    assert refusal(start, stateMachineArn=waiting.machine, name="one") == "ExecutionAlreadyExists"

"""Lambda has no FIFO destinations."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions
from helpers.stacks import DeploymentFailedError, Stack, arn, function, ref, role, template

pytestmark = pytest.mark.local

FIFO = "arn:aws:{}:us-east-1:123456789012:failures.fifo"
HANDLER = "def handler(event, context): return event"


@pytest.mark.parametrize("service", ["sqs", "sns"])
@pytest.mark.parametrize(
    "call",
    ["create", "update", "on_failure", "on_success", "update_config", "mapping", "update_mapping"],
)
def test_a_fifo_destination_is_refused(functions: Functions, service: str, call: str) -> None:
    client, target = functions.aws.client("lambda"), FIFO.format(service)
    name = functions.make(HANDLER, role=functions.role(("kinesis:*", "*")))
    stream = f"stream-{uuid.uuid4().hex[:8]}"
    mapping = {
        "FunctionName": name,
        "EventSourceArn": functions.arn("kinesis", f"stream/{stream}"),
        "StartingPosition": "LATEST",
        "Enabled": False,
    }
    failure = {"OnFailure": {"Destination": target}}
    calls: dict[str, Callable[[], Any]] = {
        "create": lambda: functions.make(HANDLER, DeadLetterConfig={"TargetArn": target}),
        "update": lambda: client.update_function_configuration(
            FunctionName=name, DeadLetterConfig={"TargetArn": target}
        ),
        "on_failure": lambda: functions.settle(name, OnFailure=target),
        "on_success": lambda: functions.settle(name, OnSuccess=target),
        "update_config": lambda: client.update_function_event_invoke_config(
            FunctionName=name, DestinationConfig=failure
        ),
        "mapping": lambda: client.create_event_source_mapping(**mapping, DestinationConfig=failure),
        "update_mapping": lambda: client.update_event_source_mapping(
            UUID=client.create_event_source_mapping(**mapping)["UUID"], DestinationConfig=failure
        ),
    }
    functions.settle(name)
    functions.aws.client("kinesis").create_stream(StreamName=stream, ShardCount=1)
    with pytest.raises(ClientError, match=r"InvalidParameterValueException.*FIFO"):
        calls[call]()


def test_an_update_of_the_invoke_config_changes_only_what_is_given(functions: Functions) -> None:
    client, name = functions.aws.client("lambda"), functions.make(HANDLER)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.update_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1)
    functions.settle(name, OnFailure="arn:aws:sqs:us-east-1:123456789012:failures")
    before = client.get_function_event_invoke_config(FunctionName=name)
    after = client.update_function_event_invoke_config(FunctionName=name, MaximumEventAgeInSeconds=600)
    assert after["MaximumEventAgeInSeconds"] == 600
    for setting in ("MaximumRetryAttempts", "DestinationConfig"):
        assert after[setting] == before[setting]


@pytest.mark.parametrize("updated", [False, True], ids=["created", "updated"])
@pytest.mark.parametrize("of", ["function", "invocations", "mapping"])
def test_a_template_with_a_fifo_destination_fails(functions: Functions, of: str, updated: bool) -> None:
    failure = {"OnFailure": {"Destination": arn("Queue")}}
    resources: dict[str, Any] = {
        "Role": role(("kinesis:*", "*")),
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"FifoQueue": True}},
        "Function": function("Role"),
    }
    properties = {"FunctionName": ref("Function"), "Qualifier": "$LATEST", "MaximumRetryAttempts": 1}
    settings: dict[str, Any] = {"DestinationConfig": failure}
    if of == "function":
        properties = resources["Function"]["Properties"]
        settings = {"DeadLetterConfig": {"TargetArn": arn("Queue")}}
    elif of == "invocations":
        resources["Config"] = {"Type": "AWS::Lambda::EventInvokeConfig", "Properties": properties}
    else:
        resources["Stream"] = {"Type": "AWS::Kinesis::Stream", "Properties": {"ShardCount": 1}}
        properties = {"FunctionName": ref("Function"), "EventSourceArn": arn("Stream")}
        properties |= {"StartingPosition": "LATEST", "Enabled": False}
        resources["Mapping"] = {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties}
    stack = Stack(functions.aws, f"stack-{uuid.uuid4().hex[:8]}")
    if updated:
        stack.deploy(template(resources))
    properties.update(settings)
    with pytest.raises(DeploymentFailedError, match="FIFO"):
        stack.deploy(template(resources), "update_stack" if updated else "create_stack")

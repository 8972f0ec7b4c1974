"""Lambda has no FIFO destinations."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions
from helpers.stacks import DeploymentFailedError, arn, deploy, function, ref, role

pytestmark = pytest.mark.local

FIFO = "arn:aws:{}:us-east-1:123456789012:failures.fifo"
HANDLER = "def handler(event, context): return event"


@pytest.mark.parametrize("service", ["sqs", "sns"])
@pytest.mark.parametrize("call", ["create", "update", "on_failure", "on_success", "mapping"])
def test_a_fifo_destination_is_refused(functions: Functions, service: str, call: str) -> None:
    client, target = functions.aws.client("lambda"), FIFO.format(service)
    name = functions.make(HANDLER)
    stream = f"stream-{uuid.uuid4().hex[:8]}"
    calls: dict[str, Callable[[], Any]] = {
        "create": lambda: functions.make(HANDLER, DeadLetterConfig={"TargetArn": target}),
        "update": lambda: client.update_function_configuration(
            FunctionName=name, DeadLetterConfig={"TargetArn": target}
        ),
        "on_failure": lambda: functions.settle(name, OnFailure=target),
        "on_success": lambda: functions.settle(name, OnSuccess=target),
        "mapping": lambda: client.create_event_source_mapping(
            FunctionName=name,
            EventSourceArn=functions.arn("kinesis", f"stream/{stream}"),
            StartingPosition="LATEST",
            DestinationConfig={"OnFailure": {"Destination": target}},
        ),
    }
    with pytest.raises(ClientError, match=r"InvalidParameterValueException.*FIFO"):
        calls[call]()


@pytest.mark.parametrize("of", ["function", "invocations"])
def test_a_template_with_a_fifo_destination_fails(functions: Functions, of: str) -> None:
    resources: dict[str, Any] = {
        "Role": role(),
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"FifoQueue": True}},
        "Function": function("Role"),
        "Config": {
            "Type": "AWS::Lambda::EventInvokeConfig",
            "Properties": {
                "FunctionName": ref("Function"),
                "Qualifier": "$LATEST",
                "DestinationConfig": {"OnFailure": {"Destination": arn("Queue")}},
            },
        },
    }
    if of == "function":
        del resources["Config"]
        resources["Function"]["Properties"]["DeadLetterConfig"] = {"TargetArn": arn("Queue")}
    with pytest.raises(DeploymentFailedError, match="FIFO"):
        deploy(functions.aws, resources)

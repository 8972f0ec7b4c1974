"""Tasks of a state machine need the permissions of its role."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from helpers.lambda_functions import Functions, eventually
from helpers.stacks import arn, deploy, ref, role
from localaws import LocalAws

pytestmark = pytest.mark.local

RETURNS = "def handler(event, context): return 'worked'"


def run(aws: LocalAws, role_arn: str, task: dict[str, Any]) -> dict[str, Any]:
    """Run a state machine with one task and this role, and return the description of the execution."""
    client = aws.client("stepfunctions")
    definition = {"StartAt": "Task", "States": {"Task": {"Type": "Task", "End": True, **task}}}
    machine = client.create_state_machine(
        name=f"machine-{uuid.uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=role_arn
    )["stateMachineArn"]
    execution = client.start_execution(stateMachineArn=machine)["executionArn"]

    def ended() -> dict[str, Any]:
        described: dict[str, Any] = client.describe_execution(executionArn=execution)
        return {} if described["status"] == "RUNNING" else described

    return eventually(ended)


def made_role(aws: LocalAws, *allowed: tuple[str, Any]) -> str:
    resources = {"Role": role(*allowed, service="states.amazonaws.com")}
    return deploy(aws, resources, {"Arn": arn("Role")}).outputs["Arn"]


def calls(function_arn: str, how: str) -> dict[str, Any]:
    """A task that invokes the function: by its ARN, or by the integration."""
    if how == "arn":
        return {"Resource": function_arn}
    return {"Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": function_arn}}


@pytest.mark.parametrize(
    ("how", "error"), [("arn", "States.Permissions"), ("integration", "Lambda.AWSLambdaException")]
)
def test_invoking_a_function_takes_permission(functions: Functions, how: str, error: str) -> None:
    function_arn = functions.aws.client("lambda").get_function(FunctionName=functions.make(RETURNS))[
        "Configuration"
    ]["FunctionArn"]
    without = run(functions.aws, made_role(functions.aws), calls(function_arn, how))
    assert (without["status"], without["error"]) == ("FAILED", error)
    assert f"lambda:InvokeFunction on resource: {function_arn}" in without["cause"]

    allowed = made_role(functions.aws, ("lambda:InvokeFunction", function_arn))
    assert "worked" in run(functions.aws, allowed, calls(function_arn, how))["output"]


def test_each_integration_asks_for_its_own_action_on_its_own_resource(local_aws: LocalAws) -> None:
    table = {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    }
    made = deploy(
        local_aws,
        {
            "Queue": {"Type": "AWS::SQS::Queue"},
            "Topic": {"Type": "AWS::SNS::Topic"},
            "Table": {"Type": "AWS::DynamoDB::Table", "Properties": table},
        },
        {
            "QueueUrl": ref("Queue"),
            "QueueArn": arn("Queue"),
            "TopicArn": ref("Topic"),
            "TableName": ref("Table"),
            "TableArn": arn("Table"),
        },
    ).outputs
    bus = f"arn:aws:events:{local_aws.region}:{local_aws.account}:event-bus/default"
    entry = {"Source": "test", "DetailType": "test", "Detail": "{}"}
    for integration, parameters, action, resource in (
        (
            "sqs:sendMessage",
            {"QueueUrl": made["QueueUrl"], "MessageBody": "x"},
            "sqs:SendMessage",
            "QueueArn",
        ),
        ("sns:publish", {"TopicArn": made["TopicArn"], "Message": "x"}, "sns:Publish", "TopicArn"),
        (
            "dynamodb:putItem",
            {"TableName": made["TableName"], "Item": {"id": {"S": "1"}}},
            "dynamodb:PutItem",
            "TableArn",
        ),
        ("events:putEvents", {"Entries": [entry]}, "events:PutEvents", ""),
    ):
        target = made.get(resource, bus)
        task = {"Resource": f"arn:aws:states:::{integration}", "Parameters": parameters}
        other = made_role(local_aws, (action, f"{target}-other"))
        refused = run(local_aws, other, task)
        assert refused.get("error") == "States.Permissions", integration
        assert f"{action} on resource: {target}" in refused["cause"]
        assert run(local_aws, made_role(local_aws, (action, target)), task)["status"] == "SUCCEEDED"


def test_a_catch_can_name_the_missing_permission(local_aws: LocalAws) -> None:
    client = local_aws.client("stepfunctions")
    definition = {
        "StartAt": "Task",
        "States": {
            "Task": {
                "Type": "Task",
                "Resource": "arn:aws:states:::sns:publish",
                "Parameters": {"TopicArn": f"arn:aws:sns:us-east-1:{local_aws.account}:none", "Message": "x"},
                "Catch": [{"ErrorEquals": ["States.Permissions"], "Next": "Caught"}],
                "End": True,
            },
            "Caught": {"Type": "Pass", "Result": "caught", "End": True},
        },
    }
    machine = client.create_state_machine(
        name=f"machine-{uuid.uuid4().hex[:8]}",
        definition=json.dumps(definition),
        roleArn=made_role(local_aws),
    )["stateMachineArn"]
    execution = client.start_execution(stateMachineArn=machine)["executionArn"]
    assert eventually(lambda: client.describe_execution(executionArn=execution).get("output")) == '"caught"'


def test_still_needed_the_emulator_does_not_evaluate_the_role(stock_functions: Functions) -> None:
    function_arn = stock_functions.aws.client("lambda").get_function(
        FunctionName=stock_functions.make(RETURNS)
    )["Configuration"]["FunctionArn"]
    ended = run(stock_functions.aws, made_role(stock_functions.aws), calls(function_arn, "integration"))
    assert ended["status"] == "SUCCEEDED"

"""What holds for the roles of every row, read from the templates."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from moto.iam.aws_managed_policies import aws_managed_policies_data

from stacks.architecture import Architecture
from stacks.catalogue import ARCHITECTURES
from tasks.verify import scenario_of
from tests.contracts.least_privilege import NOT_ENFORCED
from tests.contracts.roles import (
    role_in,
    role_of,
    roles_of_api_gateway,
    roles_of_custom_resources,
    statements_of,
)
from tests.templates import Assembly, Resources, as_list, walk

_MANAGED = json.loads(aws_managed_policies_data)

every_row = pytest.mark.parametrize("row", ARCHITECTURES, ids=lambda row: row.id)

# The AWS-managed policies that a function's kind would have, as moto records them.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html#permissions-executionrole-features
_ANY_FUNCTION = ("AWSLambdaBasicExecutionRole", "AWSXRayDaemonWriteAccess")
_IN_A_VPC = "AWSLambdaVPCAccessExecutionRole"
_POLLED = {
    "AWS::SQS::Queue": "AWSLambdaSQSQueueExecutionRole",
    "AWS::Kinesis::Stream": "AWSLambdaKinesisExecutionRole",
    "AWS::Kinesis::StreamConsumer": "AWSLambdaKinesisExecutionRole",
    "AWS::DynamoDB::Table": "AWSLambdaDynamoDBExecutionRole",
    "AWS::DynamoDB::GlobalTable": "AWSLambdaDynamoDBExecutionRole",
    "AWS::AmazonMQ::Broker": "Amazon MQ",
}
# AWS has no such policy for brokers: https://docs.aws.amazon.com/lambda/latest/dg/process-messages-with-lambda.html
_DOCUMENTED = {"Amazon MQ": {"mq:DescribeBroker"}}

#: Further actions on "*": the service has no resource-level permission for them.
WITHOUT_RESOURCE = {
    "codepipeline:PutJobFailureResult": "https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscodepipeline.html",
    "codepipeline:PutJobSuccessResult": "https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscodepipeline.html",
    "ec2:DescribeSecurityGroups": "https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html",
    "ec2:DescribeVpcs": "https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html",
    "cloudwatch:GetMetricData": "https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html",
    "config:GetResourceConfigHistory": "https://docs.aws.amazon.com/service-authorization/latest/reference/list_config.html",
    "config:PutEvaluations": "https://docs.aws.amazon.com/service-authorization/latest/reference/list_config.html",
    "lambda:ListFunctions": "https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html",
}


def managed(name: str) -> set[str]:
    """Return the actions that an AWS-managed policy allows."""
    if name in _DOCUMENTED:
        return _DOCUMENTED[name]
    document = _MANAGED[name]["Document"]
    return {action for statement in document["Statement"] for action in as_list(statement["Action"])}


def functions_of(stack: Resources) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the functions of a row by logical id, without those behind custom resources."""
    others = roles_of_custom_resources(stack.template)
    for name, function in stack.all("AWS::Lambda::Function").items():
        if role_in(function) not in others:
            yield name, function


def excessive(stack: Resources, function: dict[str, Any]) -> list[str]:
    """Return what a function's role allows beyond the managed policies of its kind and its own resources."""
    role, resources = role_in(function), stack.template["Resources"]
    # The pollers of a private broker get network interfaces as a function in a VPC does.
    polls_broker = "Amazon MQ" in {policy for _, policy in sources_of(stack, function)}
    in_vpc = (_IN_A_VPC,) if "VpcConfig" in function or polls_broker else ()
    without_resource = set(WITHOUT_RESOURCE).union(*map(managed, (*_ANY_FUNCTION, *in_vpc)))
    found = []
    for actions, names in statements_of(stack, role):
        for name in names:
            if name == "*":
                found += [f"{action} on *" for action in sorted(actions - without_resource)]
            elif not (ids := references(name) & resources.keys()):
                found.append(f"{sorted(actions)} on {name}, which is not a resource of the stack")
            elif types := {resources[one]["Type"] for one in ids} & {"AWS::Logs::LogGroup"}:
                found += [f"{action} on {types}" for action in sorted(actions - managed(_ANY_FUNCTION[0]))]
    for source, policy in sources_of(stack, function):
        allowed = set().union(*(actions for actions, names in statements_of(stack, role) if source in names))
        service = next(iter(managed(policy) - managed(_ANY_FUNCTION[0]))).partition(":")[0]
        polled = {action for action in allowed if action.startswith(f"{service}:")}
        found += [f"{action} on the event source" for action in sorted(polled - managed(policy))]
    return found


def sources_of(stack: Resources, function: dict[str, Any]) -> Iterator[tuple[Any, str]]:
    """Return the ARN of each event source that Lambda polls for a function, with the policy for its kind."""
    resources = stack.template["Resources"]
    for mapping in stack.all("AWS::Lambda::EventSourceMapping").values():
        [target] = references(mapping["FunctionName"]) & resources.keys()
        if resources[target]["Properties"] == function:
            [source] = references(mapping["EventSourceArn"]) & resources.keys()
            yield mapping["EventSourceArn"], _POLLED[resources[source]["Type"]]


def references(value: object) -> set[str]:
    """Return the logical ids that an expression names."""
    return {part for part in walk(value) if isinstance(part, str)}


@every_row
def test_each_function_has_an_execution_role_of_its_own(catalogue: Assembly, row: Architecture) -> None:
    functions = catalogue.stacks[row.id].all("AWS::Lambda::Function").values()
    assert functions
    assert [role for role, count in Counter(map(role_in, functions)).items() if count > 1] == []


@every_row
def test_a_role_allows_what_the_managed_policies_of_its_kind_allow_and_the_rows_own_resources(
    catalogue: Assembly, row: Architecture
) -> None:
    stack = catalogue.stacks[row.id]
    found = {name: excessive(stack, function) for name, function in functions_of(stack)}
    assert found
    assert {name: lines for name, lines in found.items() if lines} == {}


@every_row
def test_no_role_has_a_managed_policy(catalogue: Assembly, row: Architecture) -> None:
    stack = catalogue.stacks[row.id]
    roles = stack.all("AWS::IAM::Role")
    assert [name for name, role in roles.items() if "ManagedPolicyArns" in role] == []
    inline = {name for name, role in roles.items() if "Policies" in role}
    # The CDK's own statements, and those that API Gateway tests when it gets the role.
    assert inline <= roles_of_custom_resources(stack.template) | roles_of_api_gateway(stack)


def uncovered(stack: Resources, covered: set[str]) -> set[str]:
    """Return the roles that no check takes apart, although the embedded AWS enforces their grants."""
    enforced = {name for name in stack.all("AWS::IAM::Role") if stack.actions(name) - NOT_ENFORCED.keys()}
    return enforced - covered - roles_of_custom_resources(stack.template) - roles_of_api_gateway(stack)


@pytest.mark.parametrize("row", [row for row in ARCHITECTURES if row.has_scenario], ids=lambda row: row.id)
def test_a_scenario_covers_each_role(catalogue: Assembly, row: Architecture) -> None:
    stack = catalogue.stacks[row.id]
    covered = {role_of(stack.template, one.role_of) for one in scenario_of(row.id).ROLES}
    assert uncovered(stack, covered) == set(), "add them to ROLES of the row's scenario"


# --- Each of these checks finds what it looks for


def function_with(statement: dict[str, Any], **properties: object) -> Resources:
    """A template with a function whose role has one statement."""
    policy = {"Roles": [{"Ref": "Role"}], "PolicyDocument": {"Statement": [{"Effect": "Allow", **statement}]}}
    function = {"Role": {"Fn::GetAtt": ["Role", "Arn"]}, **properties}
    return Resources(
        {
            "Resources": {
                "Role": {"Type": "AWS::IAM::Role", "Properties": {}},
                "Policy": {"Type": "AWS::IAM::Policy", "Properties": policy},
                "Function": {"Type": "AWS::Lambda::Function", "Properties": function},
                "Queue": {"Type": "AWS::SQS::Queue", "Properties": {}},
                "Mapping": {
                    "Type": "AWS::Lambda::EventSourceMapping",
                    "Properties": {
                        "FunctionName": {"Ref": "Function"},
                        "EventSourceArn": {"Fn::GetAtt": ["Queue", "Arn"]},
                    },
                },
            }
        }
    )


QUEUE = {"Fn::GetAtt": ["Queue", "Arn"]}


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ({"Action": "s3:ListAllMyBuckets", "Resource": "*"}, ["s3:ListAllMyBuckets on *"]),
        ({"Action": "ec2:CreateNetworkInterface", "Resource": "*"}, ["ec2:CreateNetworkInterface on *"]),
        ({"Action": ["sqs:PurgeQueue"], "Resource": QUEUE}, ["sqs:PurgeQueue on the event source"]),
        (
            {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::theirs/*"},
            ["['s3:GetObject'] on arn:aws:s3:::theirs/*, which is not a resource of the stack"],
        ),
        ({"Action": "xray:PutTraceSegments", "Resource": "*"}, []),
        ({"Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage"], "Resource": QUEUE}, []),
    ],
)
def test_an_excessive_statement_is_found(statement: dict[str, Any], found: list[str]) -> None:
    stack = function_with(statement)
    assert excessive(stack, stack.only("AWS::Lambda::Function")) == found


def test_a_role_that_no_scenario_covers_is_found() -> None:
    stack = function_with({"Action": "sqs:ReceiveMessage", "Resource": QUEUE})
    assert uncovered(stack, set()) == {"Role"}
    assert uncovered(stack, {"Role"}) == set()

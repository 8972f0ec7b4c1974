"""PrivateFunction: a hardened function in a network, with what that takes and no more."""

from __future__ import annotations

import re

import pytest
from aws_cdk import Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.data.private_function import PrivateFunction
from tests.templates import Resources, stack_with, walk

CODE = lambda_.Code.from_inline("def handler(event, context): return event")


@stack_with
def private(stack: Stack) -> None:
    PrivateFunction(
        stack,
        "Worker",
        code=CODE,
        network=PrivateNetwork(stack, "Network"),
        services=[ec2.GatewayVpcEndpointAwsService.DYNAMODB, ec2.InterfaceVpcEndpointAwsService.LAMBDA_],
        environment={"STAGE": "test"},
        options=FunctionOptions(memory_size=256),
    )


def test_it_runs_in_the_networks_subnets_under_a_group_of_its_own(private: Resources) -> None:
    function = private.function()
    assert {subnet["Ref"] for subnet in function["VpcConfig"]["SubnetIds"]} == set(
        private.all("AWS::EC2::Subnet")
    )
    (group,) = function["VpcConfig"]["SecurityGroupIds"]
    assert group["Fn::GetAtt"][0].startswith("WorkerSecurityGroup")


def test_it_is_a_hardened_function_all_the_same(private: Resources) -> None:
    function = private.function()
    assert function["Environment"]["Variables"] == {"STAGE": "test"}
    assert function["MemorySize"] == 256
    assert function["LoggingConfig"]["LogFormat"] == "JSON"
    assert not [value for value in walk(private.template) if "ManagedPolicyArns" in str(value)]


def test_an_endpoint_is_a_way_and_not_a_right(private: Resources) -> None:
    services = {action.partition(":")[0] for action in private.actions("WorkerServiceRole")}
    assert services == {"ec2", "logs", "xray"}


def test_it_writes_no_output_no_name_and_no_literal_partition(private: Resources) -> None:
    assert "Outputs" not in private.template
    assert not [text for text in walk(private.template["Resources"]) if str(text).startswith("arn:aws:")]
    assert not [group for group in private.all("AWS::EC2::SecurityGroup").values() if "GroupName" in group]


@stack_with
def connected(stack: Stack) -> None:
    network = PrivateNetwork(stack, "Network")
    worker = PrivateFunction(stack, "Worker", code=CODE, network=network, asynchronous=True)
    cache = network.make_security_group(stack, "Cache", "A cache")
    worker.connections.allow_to(cache, ec2.Port.tcp(6379))
    table = dynamodb.Table.from_table_name(stack, "Table", "orders")
    table.grant(worker, "dynamodb:GetItem")


def test_further_ways_and_rights_are_those_of_the_cdk(connected: Resources) -> None:
    rule = connected.only("AWS::EC2::SecurityGroupEgress")
    assert (rule["FromPort"], rule["ToPort"]) == (6379, 6379)
    assert "dynamodb:GetItem" in connected.actions("WorkerServiceRole")
    assert connected.only("AWS::Lambda::EventInvokeConfig")["MaximumRetryAttempts"] == 2


def test_a_network_in_the_options_is_refused_with_the_way_to_go() -> None:
    stack = Stack()
    options = FunctionOptions(vpc=ec2.Vpc(stack, "Vpc"))
    message = "options: vpc: the network decides; give network=PrivateNetwork(self, 'Network', vpc=..."
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        PrivateFunction(stack, "F", code=CODE, network=PrivateNetwork(stack, "N"), options=options)

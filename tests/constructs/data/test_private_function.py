"""PrivateFunction: a hardened function in a network, with a security group and endpoints."""

from __future__ import annotations

from aws_cdk import Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_lambda as lambda_

from cdk_lambda_patterns import AsyncOptions, FunctionOptions
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


def test_it_runs_in_the_subnets_of_the_network_with_its_own_security_group(private: Resources) -> None:
    function = private.function()
    assert {subnet["Ref"] for subnet in function["VpcConfig"]["SubnetIds"]} == set(
        private.all("AWS::EC2::Subnet")
    )
    (group,) = function["VpcConfig"]["SecurityGroupIds"]
    assert group["Fn::GetAtt"][0].startswith("WorkerSecurityGroup")


def test_it_is_a_hardened_function(private: Resources) -> None:
    function = private.function()
    assert function["Environment"]["Variables"] == {"STAGE": "test"}
    assert function["MemorySize"] == 256
    assert function["LoggingConfig"]["LogFormat"] == "JSON"
    assert not [value for value in walk(private.template) if "ManagedPolicyArns" in str(value)]


def test_an_endpoint_grants_no_permission(private: Resources) -> None:
    services = {action.partition(":")[0] for action in private.actions("WorkerServiceRole")}
    assert services == {"ec2", "logs", "xray"}


def test_it_writes_no_output_no_name_and_no_literal_partition(private: Resources) -> None:
    assert "Outputs" not in private.template
    assert not [text for text in walk(private.template["Resources"]) if str(text).startswith("arn:aws:")]
    assert not [group for group in private.all("AWS::EC2::SecurityGroup").values() if "GroupName" in group]


@stack_with
def connected(stack: Stack) -> None:
    network = PrivateNetwork(stack, "Network")
    worker = PrivateFunction(stack, "Worker", code=CODE, network=network, asynchronous=AsyncOptions())
    cache = network.make_security_group(stack, "Cache", "A cache")
    worker.connections.allow_to(cache, ec2.Port.tcp(6379))
    balancer = elbv2.ApplicationLoadBalancer(
        stack, "Internal", vpc=network.vpc, vpc_subnets=network.subnets, internet_facing=False
    )
    worker.connections.allow_to(balancer, ec2.Port.tcp(80))
    table = dynamodb.Table.from_table_name(stack, "Table", "orders")
    table.grant(worker, "dynamodb:GetItem")


def test_connections_to_an_internal_load_balancer_and_grants_of_the_cdk_work_on_it(
    connected: Resources,
) -> None:
    rules = connected.all("AWS::EC2::SecurityGroupEgress").values()
    assert sorted((rule["FromPort"], rule["ToPort"]) for rule in rules) == [(80, 80), (6379, 6379)]
    assert "dynamodb:GetItem" in connected.actions("WorkerServiceRole")
    assert connected.only("AWS::Lambda::EventInvokeConfig")["MaximumRetryAttempts"] == 2

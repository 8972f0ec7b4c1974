"""PrivateNetwork: no internet without NAT, and endpoints only for the given services."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_

from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.data.private_function import PrivateFunction
from tasks.synthesis import app_context
from tests.templates import Resources, read_templates, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): return event")
SQS = ec2.InterfaceVpcEndpointAwsService.SQS
SECRETS = ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER
S3 = ec2.GatewayVpcEndpointAwsService.S3
DYNAMODB = ec2.GatewayVpcEndpointAwsService.DYNAMODB


def endpoints(resources: Resources) -> dict[str, str]:
    """The kind of each endpoint by the service's name without the region."""
    return {
        endpoint["ServiceName"]["Fn::Join"][1][-1].lstrip("."): endpoint["VpcEndpointType"]
        for endpoint in resources.all("AWS::EC2::VPCEndpoint").values()
    }


@stack_with
def isolated(stack: Stack) -> None:
    network = PrivateNetwork(stack, "Network")
    PrivateFunction(stack, "One", code=CODE, network=network, services=[SQS, S3])
    PrivateFunction(stack, "Two", code=CODE, network=network, services=[SQS, SECRETS])
    PrivateFunction(stack, "None", code=CODE, network=network)


def test_without_nat_no_route_leaves_the_vpc(isolated: Resources) -> None:
    for kind in ("InternetGateway", "NatGateway", "EIP", "Route"):
        assert not isolated.all(f"AWS::EC2::{kind}")
    assert len(isolated.all("AWS::EC2::Subnet")) == 2
    for subnet in isolated.all("AWS::EC2::Subnet").values():
        assert subnet["MapPublicIpOnLaunch"] is False


def test_functions_share_one_endpoint_for_each_service(isolated: Resources) -> None:
    assert endpoints(isolated) == {"sqs": "Interface", "secretsmanager": "Interface", "s3": "Gateway"}


def test_gateway_endpoints_are_in_every_route_table(isolated: Resources) -> None:
    (gateway,) = (
        endpoint
        for endpoint in isolated.all("AWS::EC2::VPCEndpoint").values()
        if endpoint["VpcEndpointType"] == "Gateway"
    )
    assert {one["Ref"] for one in gateway["RouteTableIds"]} == set(isolated.all("AWS::EC2::RouteTable"))


def test_an_endpoint_allows_only_the_security_groups_of_its_functions(isolated: Resources) -> None:
    admitted = sorted(
        (rule["GroupId"]["Fn::GetAtt"][0][7:10], rule["SourceSecurityGroupId"]["Fn::GetAtt"][0][:3])
        for rule in isolated.all("AWS::EC2::SecurityGroupIngress").values()
        if (rule["FromPort"], rule["ToPort"], rule["IpProtocol"]) == (443, 443, "tcp")
    )
    assert admitted == [("sec", "Two"), ("sqs", "One"), ("sqs", "Two")]
    assert len(isolated.all("AWS::EC2::SecurityGroupIngress")) == 3
    for group in isolated.all("AWS::EC2::SecurityGroup").values():
        assert "SecurityGroupIngress" not in group


def test_a_function_may_connect_to_its_endpoints_and_for_gateways_to_any_address(
    isolated: Resources,
) -> None:
    groups = isolated.all("AWS::EC2::SecurityGroup")
    out = {
        name[: name.index("SecurityGroup")]: group["SecurityGroupEgress"][0]["CidrIp"]
        for name, group in groups.items()
        if group["GroupDescription"].startswith("Function") and "SecurityGroupEgress" in group
    }
    # Two only has rules to groups, which are resources of their own; None has the CDK's rule for no address.
    assert out == {"One": "0.0.0.0/0", "None": "255.255.255.255/32"}
    to_groups = isolated.all("AWS::EC2::SecurityGroupEgress").values()
    assert sorted(rule["GroupId"]["Fn::GetAtt"][0][:3] for rule in to_groups) == ["One", "Two", "Two"]


def test_the_policy_of_an_endpoint_allows_only_this_account(isolated: Resources) -> None:
    account = {"Ref": "AWS::AccountId"}
    for endpoint in isolated.all("AWS::EC2::VPCEndpoint").values():
        (statement,) = endpoint["PolicyDocument"]["Statement"]
        assert statement["Condition"] == {
            "StringEquals": {"aws:PrincipalAccount": account},
            "StringEqualsIfExists": {"aws:ResourceAccount": account},
        }


@stack_with
def with_nat(stack: Stack) -> None:
    network = PrivateNetwork(stack, "Network", nat_gateways=1)
    PrivateFunction(stack, "One", code=CODE, network=network)


def test_with_nat_functions_are_in_private_subnets_and_the_gateway_in_a_public_one(
    with_nat: Resources,
) -> None:
    assert len(with_nat.all("AWS::EC2::NatGateway")) == 1
    assert len(with_nat.all("AWS::EC2::Subnet")) == 4
    subnets = with_nat.function()["VpcConfig"]["SubnetIds"]
    assert len(subnets) == 2
    assert all("Private" in subnet["Ref"] for subnet in subnets)
    for subnet in with_nat.all("AWS::EC2::Subnet").values():
        assert subnet["MapPublicIpOnLaunch"] is False


def test_with_nat_a_function_may_connect_to_any_address_by_https(with_nat: Resources) -> None:
    (rule,) = with_nat.only("AWS::EC2::SecurityGroup")["SecurityGroupEgress"]
    assert (rule["CidrIp"], rule["FromPort"], rule["ToPort"]) == ("0.0.0.0/0", 443, 443)
    assert endpoints(with_nat) == {}


@stack_with
def imported(stack: Stack) -> None:
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-1",
        availability_zones=["eu-west-1a", "eu-west-1b"],
        private_subnet_ids=["subnet-1", "subnet-2"],
        private_subnet_route_table_ids=["rtb-1", "rtb-2"],
        public_subnet_ids=["subnet-3", "subnet-4"],
    )
    network = PrivateNetwork(stack, "Network", vpc=vpc)
    PrivateFunction(stack, "One", code=CODE, network=network, services=[DYNAMODB])


def test_an_imported_vpc_is_used_with_its_private_subnets(imported: Resources) -> None:
    assert not imported.all("AWS::EC2::VPC")
    assert imported.function()["VpcConfig"]["SubnetIds"] == ["subnet-1", "subnet-2"]
    assert imported.only("AWS::EC2::VPCEndpoint")["RouteTableIds"] == ["rtb-1", "rtb-2"]


def test_the_network_may_be_from_another_stack(tmp_path: Path) -> None:
    app = App(context=app_context(), outdir=str(tmp_path), builtin_cloud_formation_validation=False)
    network = PrivateNetwork(Stack(app, "Shared"), "Network")
    for name in ("Orders", "Invoices"):
        PrivateFunction(Stack(app, name), "Worker", code=CODE, network=network, services=[SQS, DYNAMODB])
    app.synth()
    stacks = read_templates(tmp_path)
    assert len(stacks["Shared"].all("AWS::EC2::VPCEndpoint")) == 2
    assert len(stacks["Orders"].all("AWS::EC2::SecurityGroupIngress")) == 1


def vpc(stack: Stack, *kinds: ec2.SubnetType) -> ec2.Vpc:
    subnets = [ec2.SubnetConfiguration(name=kind.name, subnet_type=kind) for kind in kinds]
    return ec2.Vpc(stack, "Vpc", max_azs=2, nat_gateways=0, subnet_configuration=subnets)


PUBLIC, ISOLATED = ec2.SubnetType.PUBLIC, ec2.SubnetType.PRIVATE_ISOLATED

REFUSED: dict[str, Callable[[Stack], object]] = {
    "vpc_subnets: a public subnet is among them. A function has no public IP address": lambda stack: (
        PrivateNetwork(
            stack,
            "N",
            vpc=vpc(stack, PUBLIC, ISOLATED),
            vpc_subnets=ec2.SubnetSelection(subnet_type=PUBLIC),
        )
    ),
    "vpc=Default/Vpc: the CDK knows no private subnets of it": lambda stack: PrivateNetwork(
        stack, "N", vpc=vpc(stack, PUBLIC)
    ),
    "vpc_subnets without vpc": lambda stack: PrivateNetwork(stack, "N", vpc_subnets=ec2.SubnetSelection()),
    "nat_gateways=1 cannot be combined with vpc": lambda stack: PrivateNetwork(
        stack, "N", vpc=vpc(stack, ISOLATED), nat_gateways=1
    ),
    "nat_gateways=3: at most one NAT gateway per Availability Zone (max_azs=2); give 0 to 2": lambda stack: (
        PrivateNetwork(stack, "N", nat_gateways=3)
    ),
    "nat_gateways=-1: at most one NAT gateway": lambda stack: PrivateNetwork(stack, "N", nat_gateways=-1),
    "max_azs=1: PrivateNetwork allows 2 to 6": lambda stack: PrivateNetwork(stack, "N", max_azs=1),
    "services: an interface endpoint for s3 is charged by the hour": lambda stack: PrivateFunction(
        stack,
        "F",
        code=CODE,
        network=PrivateNetwork(stack, "N"),
        services=[ec2.InterfaceVpcEndpointAwsService.S3],
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_invalid_arguments_are_refused_with_a_remedy(message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        REFUSED[message](Stack())

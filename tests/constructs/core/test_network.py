"""PrivateNetwork: no internet without NAT, and endpoints only for the given services."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_

from cdk_lambda_patterns.core.network import PrivateNetwork, Service
from cdk_lambda_patterns.data.private_function import PrivateFunction
from tasks.synthesis import app_context
from tests.templates import Resources, read_templates, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): return event")
SQS = ec2.InterfaceVpcEndpointAwsService.SQS
KMS = ec2.InterfaceVpcEndpointAwsService.KMS
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


PUBLIC, ISOLATED = ec2.SubnetType.PUBLIC, ec2.SubnetType.PRIVATE_ISOLATED


def vpc(stack: Stack, *kinds: ec2.SubnetType, **settings: Any) -> ec2.Vpc:
    subnets = [ec2.SubnetConfiguration(name=kind.name, subnet_type=kind) for kind in kinds]
    return ec2.Vpc(stack, "Vpc", max_azs=2, nat_gateways=0, subnet_configuration=subnets, **settings)


@stack_with
def with_endpoints(stack: Stack) -> None:
    existing = vpc(stack, ISOLATED)
    existing.add_gateway_endpoint("S3", service=S3)
    ec2.InterfaceVpcEndpoint(stack, "Queues", vpc=existing, service=SQS)
    ec2.InterfaceVpcEndpoint(stack, "Keys", vpc=existing, service=KMS, private_dns_enabled=False)
    for name in ("One", "Two"):
        network = PrivateNetwork(stack, f"Network{name}", vpc=existing)
        services: list[Service] = [S3, SQS, SECRETS, DYNAMODB, KMS]
        PrivateFunction(stack, name, code=CODE, network=network, services=services)


def test_an_endpoint_that_the_app_made_is_used_instead_of_a_second_one(with_endpoints: Resources) -> None:
    assert sorted(
        endpoint["ServiceName"]["Fn::Join"][1][-1].rpartition(".")[2]
        for endpoint in with_endpoints.all("AWS::EC2::VPCEndpoint").values()
    ) == ["dynamodb", "kms", "kms", "s3", "secretsmanager", "sqs"]
    rules = with_endpoints.all("AWS::EC2::SecurityGroupIngress")
    assert sum(name.startswith("QueuesSecurityGroup") for name in rules) == 2
    for function in ("One", "Two"):
        (group,) = (
            each
            for name, each in with_endpoints.all("AWS::EC2::SecurityGroup").items()
            if name.startswith(f"{function}SecurityGroup")
        )
        assert [rule["CidrIp"] for rule in group["SecurityGroupEgress"]] == ["0.0.0.0/0"]


@stack_with
def with_imported_endpoints(stack: Stack) -> None:
    group = ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-0123456789abcdef0")
    network = PrivateNetwork(
        stack,
        "Network",
        vpc=vpc(stack, ISOLATED),
        endpoints={
            "s3": ec2.GatewayVpcEndpoint.from_gateway_vpc_endpoint_id(stack, "S3", "vpce-1"),
            "sqs": ec2.InterfaceVpcEndpoint.from_interface_vpc_endpoint_attributes(
                stack, "SQS", vpc_endpoint_id="vpce-2", port=443, security_groups=[group]
            ),
        },
    )
    PrivateFunction(stack, "One", code=CODE, network=network, services=[S3, SQS])


def test_endpoints_from_outside_the_app_are_used_and_allow_the_function(
    with_imported_endpoints: Resources,
) -> None:
    assert not with_imported_endpoints.all("AWS::EC2::VPCEndpoint")
    rule = with_imported_endpoints.only("AWS::EC2::SecurityGroupIngress")
    assert (rule["GroupId"], rule["FromPort"]) == ("sg-0123456789abcdef0", 443)


@stack_with
def with_a_nat_instance(stack: Stack) -> None:
    provider = ec2.NatProvider.instance_v2(
        instance_type=ec2.InstanceType("t4g.nano"),
        default_allowed_traffic=ec2.NatTrafficDirection.OUTBOUND_ONLY,
    )
    network = PrivateNetwork(stack, "Network", nat_gateways=1, nat_gateway_provider=provider)
    PrivateFunction(stack, "One", code=CODE, network=network)


def test_a_nat_instance_has_a_public_address_and_accepts_only_the_function(
    with_a_nat_instance: Resources,
) -> None:
    assert not with_a_nat_instance.all("AWS::EC2::NatGateway")
    assert with_a_nat_instance.only("AWS::EC2::Instance")["SourceDestCheck"] is False
    public = {
        name: subnet["MapPublicIpOnLaunch"]
        for name, subnet in with_a_nat_instance.all("AWS::EC2::Subnet").items()
    }
    assert {name for name, is_public in public.items() if is_public} == {
        name for name in public if "Public" in name
    }
    rule = with_a_nat_instance.only("AWS::EC2::SecurityGroupIngress")
    assert rule["SourceSecurityGroupId"]["Fn::GetAtt"][0].startswith("OneSecurityGroup")
    assert (rule["FromPort"], rule["ToPort"]) == (443, 443)


@stack_with
def dual_stack(stack: Stack) -> None:
    network = PrivateNetwork(stack, "Network", nat_gateways=1, ipv6_allowed_for_dual_stack=True)
    PrivateFunction(stack, "One", code=CODE, network=network)


def test_a_dual_stack_function_reaches_every_address_over_ipv6_too(dual_stack: Resources) -> None:
    assert dual_stack.function()["VpcConfig"]["Ipv6AllowedForDualStack"] is True
    assert dual_stack.only("AWS::EC2::EgressOnlyInternetGateway")
    rules = dual_stack.only("AWS::EC2::SecurityGroup")["SecurityGroupEgress"]
    assert {rule.get("CidrIp") or rule["CidrIpv6"] for rule in rules} == {"0.0.0.0/0", "::/0"}


def test_by_default_a_function_uses_ipv4_only(with_nat: Resources) -> None:
    assert "Ipv6AllowedForDualStack" not in with_nat.function()["VpcConfig"]


def with_service(stack: Stack, vpc: ec2.IVpc, service: Any, **settings: Any) -> object:
    network = PrivateNetwork(stack, "N", vpc=vpc, **settings)
    return PrivateFunction(stack, "F", code=CODE, network=network, services=[service])


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
    "nat_gateways=1.5: ": lambda stack: PrivateNetwork(
        stack,
        "N",
        nat_gateways=1.5,  # type: ignore[arg-type]
    ),
    "nat_gateways=True: ": lambda stack: PrivateNetwork(stack, "N", nat_gateways=True),
    "nat_gateway_provider without nat_gateways": lambda stack: PrivateNetwork(
        stack, "N", nat_gateway_provider=ec2.NatProvider.gateway()
    ),
    "vpc: it was imported without the route tables of its subnets": lambda stack: with_service(
        stack,
        ec2.Vpc.from_vpc_attributes(
            stack,
            "Imported",
            vpc_id="vpc-1",
            availability_zones=["eu-west-1a", "eu-west-1b"],
            private_subnet_ids=["subnet-1", "subnet-2"],
        ),
        S3,
    ),
    "endpoints without vpc": lambda stack: PrivateNetwork(stack, "N", endpoints={}),
    "max_azs=2.5: ": lambda stack: PrivateNetwork(
        stack,
        "N",
        max_azs=2.5,  # type: ignore[arg-type]
    ),
    "vpc=Default/Vpc: the endpoint for sqs needs private DNS; give the VPC enable_dns": lambda stack: (
        with_service(stack, vpc(stack, ISOLATED, enable_dns_hostnames=False), SQS)
    ),
    "vpc=Default/Vpc: the endpoint for sqs needs private DNS": lambda stack: with_service(
        stack, vpc(stack, ISOLATED, enable_dns_hostnames=False, enable_dns_support=False), SQS
    ),
    "endpoints: the endpoint for sqs has no security groups": lambda stack: with_service(
        stack,
        vpc(stack, ISOLATED),
        SQS,
        endpoints={
            "sqs": ec2.InterfaceVpcEndpoint.from_interface_vpc_endpoint_attributes(
                stack, "SQS", vpc_endpoint_id="vpce-2", port=443
            )
        },
    ),
    "ipv6_allowed_for_dual_stack: the subnet Default/Vpc/PRIVATE_ISOLATEDSubnet1 has no IPv6": lambda stack: (
        PrivateNetwork(stack, "N", vpc=vpc(stack, ISOLATED), ipv6_allowed_for_dual_stack=True)
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
    # A fraction is of another type, or another value.
    with pytest.raises((ValueError, TypeError), match="^" + re.escape(message)):
        REFUSED[message](Stack())

"""The private function, deployed by the real CDK CLI onto the embedded AWS, with IAM enforced."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk import App, CfnOutput, DefaultStackSynthesizer, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template

from cdk_lambda_patterns import PrivateNetwork
from cdk_lambda_patterns.data.private_function import PrivateFunction
from cdk_lambda_patterns.web.alb_function import AlbFunction, AlbOptions
from localaws import LocalAws
from scenarios.data import private_function
from scenarios.framework import DeployedStack, Outcome, ScenarioFailed
from scenarios.support.endpoints import Endpoint

pytestmark = pytest.mark.local


def test_orders_go_through_three_endpoints_and_no_route_leaves_the_network(outcome: Outcome) -> None:
    facts = outcome.facts
    assert (facts["messages"], facts["default_routes"], facts["endpoints"]) == (
        2,
        0,
        "dynamodb, lambda, sqs",
    )


def test_a_missing_permission_loses_no_order(drilled: Outcome) -> None:
    assert (drilled.facts["sent_after_denial"], drilled.facts["stored_without_price"]) == (1, 0)


def test_leftovers_are_the_rows_and_the_messages(stack: DeployedStack) -> None:
    orders = private_function.Orders(stack)
    order = orders.order("tea")
    orders.send(order)
    assert [line.partition(":")[0] for line in private_function.leftovers(stack)] == ["row", "message"]
    orders.receive(order)
    orders.close()
    assert private_function.leftovers(stack) == []


def test_a_route_out_of_the_network_fails_the_scenario(stack: DeployedStack) -> None:
    ec2 = stack.client("ec2")
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    vpc = stack.output("VpcId")
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    where = {"RouteTableId": tables[0]["RouteTableId"], "DestinationCidrBlock": "0.0.0.0/0"}
    ec2.create_route(**where, GatewayId=gateway)
    try:
        with pytest.raises(ScenarioFailed, match="the network has a route out"):
            private_function.run(stack)
    finally:
        ec2.delete_route(**where)
        ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        ec2.delete_internet_gateway(InternetGatewayId=gateway)


def test_an_endpoint_that_allows_an_address_fails_the_scenario(stack: DeployedStack) -> None:
    ec2 = stack.client("ec2")
    in_vpc = [{"Name": "vpc-id", "Values": [stack.output("VpcId")]}]
    groups = [
        group["GroupId"]
        for endpoint in ec2.describe_vpc_endpoints(Filters=in_vpc)["VpcEndpoints"]
        for group in endpoint.get("Groups", [])
    ]
    rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.0.0.0/16"}]}
    ec2.authorize_security_group_ingress(GroupId=groups[0], IpPermissions=[rule])
    try:
        with pytest.raises(ScenarioFailed, match="allows"):
            private_function.run(stack)
    finally:
        ec2.revoke_security_group_ingress(GroupId=groups[0], IpPermissions=[rule])


def variants(stack: Stack) -> None:
    """A network with a NAT instance and IPv6, and an internal load balancer for one of its functions."""
    nat = ec2.NatProvider.instance_v2(
        instance_type=ec2.InstanceType("t4g.nano"),
        default_allowed_traffic=ec2.NatTrafficDirection.OUTBOUND_ONLY,
    )
    network = PrivateNetwork(
        stack, "Network", nat_gateways=1, nat_gateway_provider=nat, ipv6_allowed_for_dual_stack=True
    )
    answer = {"isBase64Encoded": False, "statusCode": 200, "multiValueHeaders": {}, "body": "inside"}
    code = lambda_.Code.from_inline(f"def handler(event, context): return {answer}")
    inside: dict[str, Any] = {"code": code, "handler": "index.handler", "network": network}
    caller = PrivateFunction(stack, "Caller", **inside)
    front = AlbFunction(
        stack,
        "Front",
        function=PrivateFunction(stack, "Answering", **inside),
        vpc=network.vpc,
        options=AlbOptions(internet_facing=False, allow_from=[caller.connections.security_groups[0]]),
    )
    values = {
        "Vpc": network.vpc.vpc_id,
        "Url": front.url,
        "CallerGroup": caller.connections.security_groups[0].security_group_id,
    }
    for name, value in values.items():
        CfnOutput(stack, name, value=value)


def test_nat_instances_ipv6_and_an_internal_load_balancer_can_be_deployed(local_aws: LocalAws) -> None:
    made = Stack(
        App(builtin_cloud_formation_validation=False),
        "Variants",
        synthesizer=DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
    )
    variants(made)
    template = json.dumps(Template.from_stack(made).to_json())
    formation, elastic = local_aws.client("cloudformation"), local_aws.client("ec2")
    formation.create_stack(StackName="variants", TemplateBody=template, Capabilities=["CAPABILITY_NAMED_IAM"])
    formation.get_waiter("stack_create_complete").wait(StackName="variants", WaiterConfig={"Delay": 1})
    try:
        deployed = DeployedStack.find("variants", local_aws.session)
        in_vpc = [{"Name": "vpc-id", "Values": [deployed.output("Vpc")]}]
        (nat,) = elastic.describe_instances(Filters=in_vpc)["Reservations"][0]["Instances"]
        assert nat["SourceDestCheck"] is False
        tables = elastic.describe_route_tables(Filters=in_vpc)["RouteTables"]
        routes = [route for table in tables for route in table["Routes"]]
        assert [route.get("InstanceId") for route in routes].count(nat["InstanceId"]) == 2
        assert [route for route in routes if "EgressOnlyInternetGatewayId" in route]
        (balancer,) = local_aws.client("elbv2").describe_load_balancers()["LoadBalancers"]
        assert balancer["Scheme"] == "internal"
        groups = elastic.describe_security_groups(GroupIds=balancer["SecurityGroups"])["SecurityGroups"]
        (rule,) = groups[0]["IpPermissions"]
        assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [deployed.output("CallerGroup")]
        # Its addresses are private: a client outside the VPC gets no connection, which is 504 here.
        assert Endpoint.of(deployed, deployed.output("Url")).request("GET", "/").status == 504
    finally:
        formation.delete_stack(StackName="variants")
        formation.get_waiter("stack_delete_complete").wait(StackName="variants", WaiterConfig={"Delay": 1})

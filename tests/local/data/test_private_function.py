"""The private function, deployed by the real CDK CLI onto the embedded AWS, with IAM enforced."""

from __future__ import annotations

import pytest

from scenarios.data import private_function
from scenarios.framework import DeployedStack, Outcome, ScenarioFailed

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

"""The private function, deployed with the real CDK CLI onto the embedded AWS, IAM enforced."""

from __future__ import annotations

import pytest

from localaws import LocalAws
from scenarios.data import private_function
from scenarios.framework import DeployedStack, ScenarioFailed
from scenarios.support.faults import Faults
from tasks.demo import check_dropped
from tests.local.least_privilege import superfluous, try_without_each

pytestmark = pytest.mark.local


def leftovers(stack: DeployedStack) -> list[object]:
    """What is in the table and in the queue."""
    rows = stack.client("dynamodb").scan(TableName=stack.output("TableName"))["Items"]
    answer = stack.client("sqs").receive_message(QueueUrl=stack.output("QueueUrl"), VisibilityTimeout=0)
    return [*rows, *answer.get("Messages", [])]


def test_everything_that_the_template_asks_for_was_looked_at(
    stack: DeployedStack, local_aws: LocalAws
) -> None:
    check_dropped(local_aws.dropped_properties(), private_function.ACCEPTED_NOT_EMULATED)


def test_orders_go_through_the_endpoints_and_there_is_no_other_way(stack: DeployedStack) -> None:
    outcome = private_function.run(stack)
    assert any("No route leads out" in line for line in outcome.story)
    assert leftovers(stack) == []


def test_a_missing_permission_loses_no_order(stack: DeployedStack, faults: Faults) -> None:
    outcome = private_function.drill(stack, faults)
    assert any("it was known already" in line for line in outcome.story)
    assert leftovers(stack) == []


@pytest.mark.parametrize("role_of", ["FunctionName"])
def test_the_role_needs_every_one_of_its_grants_and_a_planted_one_is_found(
    stack: DeployedStack, role_of: str
) -> None:
    findings = try_without_each(
        stack, stack.output(role_of), private_function.smoke, plant="sqs:ReceiveMessage"
    )
    assert len(findings) == 3
    assert [grant.action for grant in superfluous(findings)] == ["sqs:ReceiveMessage"]


def test_a_way_out_of_the_network_is_seen(stack: DeployedStack) -> None:
    ec2 = stack.client("ec2")
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    vpc = stack.output("VpcId")
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    where = {"RouteTableId": tables[0]["RouteTableId"], "DestinationCidrBlock": "0.0.0.0/0"}
    ec2.create_route(**where, GatewayId=gateway)
    try:
        with pytest.raises(ScenarioFailed, match="the network has a way out"):
            private_function.run(stack)
    finally:
        ec2.delete_route(**where)
        ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        ec2.delete_internet_gateway(InternetGatewayId=gateway)


def test_an_endpoint_that_admits_an_address_is_seen(stack: DeployedStack) -> None:
    ec2 = stack.client("ec2")
    here = [{"Name": "vpc-id", "Values": [stack.output("VpcId")]}]
    groups = [
        group["GroupId"]
        for endpoint in ec2.describe_vpc_endpoints(Filters=here)["VpcEndpoints"]
        for group in endpoint.get("Groups", [])
    ]
    rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.0.0.0/16"}]}
    ec2.authorize_security_group_ingress(GroupId=groups[0], IpPermissions=[rule])
    try:
        with pytest.raises(ScenarioFailed, match="admits"):
            private_function.run(stack)
    finally:
        ec2.revoke_security_group_ingress(GroupId=groups[0], IpPermissions=[rule])

"""The network of the CDK's `Vpc`: addresses, NAT, rules, endpoints, flow logs."""

from __future__ import annotations

import ipaddress
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.stacks import DeploymentFailedError, Resources, deploy, ref
from localaws import LocalAws
from localaws.cdk.cli import find_cli
from localaws.services.ec2.networks import amazon_block

pytestmark = pytest.mark.local

VPC = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.1.0.0/16", "EnableDnsHostnames": True}}


def attribute(logical_id: str, name: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [logical_id, name]}


def subnet(cidr: str = "10.1.0.0/24", zone: int = 0) -> dict[str, Any]:
    properties = {
        "VpcId": ref("Vpc"),
        "CidrBlock": cidr,
        "AvailabilityZone": {"Fn::Select": [zone, {"Fn::GetAZs": ""}]},
    }
    return {"Type": "AWS::EC2::Subnet", "Properties": properties}


def group(**properties: Any) -> dict[str, Any]:
    description = {"GroupDescription": "test", "VpcId": ref("Vpc")}
    return {"Type": "AWS::EC2::SecurityGroup", "Properties": description | properties}


def rule(direction: str, of: str, to: str = "", **properties: Any) -> dict[str, Any]:
    """A rule outside of its group, for PostgreSQL's port."""
    other = {"Ingress": "SourceSecurityGroupId", "Egress": "DestinationSecurityGroupId"}[direction]
    target = {other: attribute(to, "GroupId")} if to else {}
    ports = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432}
    settings = {"GroupId": attribute(of, "GroupId"), **ports, **target, **properties}
    return {"Type": f"AWS::EC2::SecurityGroup{direction}", "Properties": settings}


def with_nat(*, tag: str = "one") -> Resources:
    tags = [{"Key": "name", "Value": tag}]
    address = {"Type": "AWS::EC2::EIP", "Properties": {"Domain": "vpc", "Tags": tags}}
    gateway = {"AllocationId": attribute("Address", "AllocationId"), "SubnetId": ref("Subnet"), "Tags": tags}
    table = {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": ref("Vpc")}}
    route = {
        "RouteTableId": ref("Table"),
        "DestinationCidrBlock": "0.0.0.0/0",
        "NatGatewayId": ref("Gateway"),
    }
    return {
        "Vpc": VPC,
        "Subnet": subnet(),
        "Address": address,
        "Gateway": {"Type": "AWS::EC2::NatGateway", "Properties": gateway},
        "Table": table,
        "Route": {"Type": "AWS::EC2::Route", "Properties": route},
    }


NAT_OUTPUTS = {
    "Address": ref("Address"),
    "Allocation": attribute("Address", "AllocationId"),
    "Gateway": ref("Gateway"),
    "Table": ref("Table"),
}


@pytest.mark.parametrize(
    ("number", "block"),
    [
        (0x1E9000, "2600:1f14:1e90::/56"),
        (0x00E90A, "2600:1f14:e9:a00::/56"),
        (0xFFFFFF, "2600:1f14:ffff:ff00::/56"),
    ],
)
def test_a_block_of_amazon_is_written_in_its_shortest_form(number: int, block: str) -> None:
    assert amazon_block(number) == block


def test_a_vpc_gets_an_ipv6_block_from_which_its_subnets_are_cut(local_aws: LocalAws) -> None:
    block = {"VpcId": ref("Vpc"), "AmazonProvidedIpv6CidrBlock": True}
    cut = {"Fn::Cidr": [{"Fn::Select": [0, attribute("Vpc", "Ipv6CidrBlocks")]}, 2, "64"]}
    made: Resources = {
        "Vpc": VPC,
        "Block": {"Type": "AWS::EC2::VPCCidrBlock", "Properties": block},
        "Gateway": {"Type": "AWS::EC2::EgressOnlyInternetGateway", "Properties": {"VpcId": ref("Vpc")}},
        "Subnet": {**subnet(), "DependsOn": "Block"},
    }
    made["Subnet"]["Properties"]["Ipv6CidrBlock"] = {"Fn::Select": [1, cut]}
    outputs = {
        "Block": {"Fn::Select": [0, attribute("Vpc", "Ipv6CidrBlocks")]},
        "Same": attribute("Block", "Ipv6CidrBlock"),
        "Gateway": ref("Gateway"),
    }
    stack = deploy(local_aws, made, outputs)
    network = ipaddress.ip_network(stack.outputs["Block"])
    assert (network.version, network.prefixlen, stack.outputs["Same"]) == (6, 56, str(network))
    gateways = local_aws.client("ec2").describe_egress_only_internet_gateways()
    assert stack.outputs["Gateway"] in str(gateways)
    stack.delete()
    gateways = local_aws.client("ec2").describe_egress_only_internet_gateways()
    assert stack.outputs["Gateway"] not in str(gateways)


def test_a_nat_gateway_has_its_address_and_a_route_leads_to_it(local_aws: LocalAws) -> None:
    ec2 = local_aws.client("ec2")
    stack = deploy(local_aws, with_nat(), NAT_OUTPUTS)
    (address,) = ec2.describe_addresses(AllocationIds=[stack.outputs["Allocation"]])["Addresses"]
    assert address["PublicIp"] == stack.outputs["Address"]
    assert address["AssociationId"]
    (gateway,) = ec2.describe_nat_gateways(NatGatewayIds=[stack.outputs["Gateway"]])["NatGateways"]
    assert gateway["State"] == "available"
    assert {"Key": "name", "Value": "one"} in gateway["Tags"]
    (table,) = ec2.describe_route_tables(RouteTableIds=[stack.outputs["Table"]])["RouteTables"]
    assert stack.outputs["Gateway"] in [route.get("NatGatewayId") for route in table["Routes"]]


def test_tags_are_updated_in_place_and_everything_is_deleted_with_the_stack(local_aws: LocalAws) -> None:
    ec2 = local_aws.client("ec2")
    stack = deploy(local_aws, with_nat(), NAT_OUTPUTS)
    before = dict(stack.outputs)
    assert stack.update(with_nat(tag="two"), NAT_OUTPUTS).outputs == before
    (address,) = ec2.describe_addresses(AllocationIds=[before["Allocation"]])["Addresses"]
    assert {"Key": "name", "Value": "two"} in address["Tags"]
    stack.delete()
    assert ec2.describe_addresses(AllocationIds=[before["Allocation"]])["Addresses"] == []
    deleted = ec2.describe_nat_gateways(NatGatewayIds=[before["Gateway"]])["NatGateways"]
    assert [gateway["State"] for gateway in deleted] == ["deleted"]


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"SubnetId": ref("Subnet")}, "needs an elastic IP address"),
        ({"SubnetId": "subnet-0", "ConnectivityType": "private"}, "subnet-0 does not exist"),
        ({"SubnetId": ref("Subnet"), "AllocationId": attribute("Address", "AllocationId")}, "already in use"),
    ],
)
def test_a_nat_gateway_that_ec2_would_refuse_fails(
    local_aws: LocalAws, properties: dict[str, Any], reason: str
) -> None:
    second = {"Type": "AWS::EC2::NatGateway", "Properties": properties, "DependsOn": "Gateway"}
    with pytest.raises(DeploymentFailedError, match=reason):
        deploy(local_aws, {**with_nat(), "Second": second})


def test_a_vpc_knows_its_addresses(local_aws: LocalAws) -> None:
    outputs = {"Cidr": attribute("Vpc", "CidrBlock"), "Group": attribute("Vpc", "DefaultSecurityGroup")}
    stack = deploy(local_aws, {"Vpc": VPC}, outputs)
    assert stack.outputs["Cidr"] == "10.1.0.0/16"
    assert stack.outputs["Group"].startswith("sg-")


def permissions(aws: LocalAws, group_id: str, direction: str = "") -> list[dict[str, Any]]:
    (found,) = aws.client("ec2").describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    rules: list[dict[str, Any]] = found[f"IpPermissions{direction}"]
    return rules


def between(**changed: Any) -> Resources:
    """Two groups, one of which may connect to the other."""
    return {
        "Vpc": VPC,
        "Function": group(),
        "Database": group(SecurityGroupEgress=[{"IpProtocol": "-1", "CidrIp": "127.0.0.1/32"}]),
        "In": rule("Ingress", "Database", "Function", **changed),
        "Out": rule("Egress", "Function", "Database", **changed),
    }


GROUPS = {
    "Function": attribute("Function", "GroupId"),
    "Database": attribute("Database", "GroupId"),
    "In": ref("In"),
    "InId": attribute("In", "Id"),
}


def test_rules_outside_their_groups_allow_only_one_group(local_aws: LocalAws) -> None:
    stack = deploy(local_aws, between(), GROUPS)
    (admitted,) = permissions(local_aws, stack.outputs["Database"])
    assert (admitted["FromPort"], admitted["ToPort"]) == (5432, 5432)
    assert [pair["GroupId"] for pair in admitted["UserIdGroupPairs"]] == [stack.outputs["Function"]]
    assert stack.outputs["In"] == stack.outputs["InId"]
    assert stack.outputs["In"].startswith("sgr-")


def test_the_first_egress_rule_replaces_the_default_rule(local_aws: LocalAws) -> None:
    stack = deploy(local_aws, between(), GROUPS)
    (out,) = permissions(local_aws, stack.outputs["Function"], "Egress")
    assert [pair["GroupId"] for pair in out["UserIdGroupPairs"]] == [stack.outputs["Database"]]
    (kept,) = permissions(local_aws, stack.outputs["Database"], "Egress")
    assert kept["IpRanges"] == [{"CidrIp": "127.0.0.1/32"}]


def test_a_changed_rule_replaces_the_old_one_and_a_removed_rule_is_deleted(local_aws: LocalAws) -> None:
    stack = deploy(local_aws, between(), GROUPS)
    stack.update(between(ToPort=5433), GROUPS)
    assert [rule["ToPort"] for rule in permissions(local_aws, stack.outputs["Database"])] == [5433]
    resources = between()
    del resources["In"], resources["Out"]
    stack.update(resources, {"Database": GROUPS["Database"], "Function": GROUPS["Function"]})
    assert permissions(local_aws, stack.outputs["Database"]) == []
    assert permissions(local_aws, stack.outputs["Function"], "Egress") == []


@pytest.mark.parametrize("other", [{"GroupId": "sg-0"}, {"GroupId": attribute("Database", "GroupId")}])
def test_a_rule_that_ec2_would_refuse_fails(local_aws: LocalAws, other: dict[str, Any]) -> None:
    second = {**rule("Ingress", "Database", "Function", **other), "DependsOn": "In"}
    with pytest.raises(DeploymentFailedError, match=r"does not exist|already in the security group"):
        deploy(local_aws, {**between(), "Second": second})


def endpoint(service: str, **properties: Any) -> dict[str, Any]:
    name = f"com.amazonaws.us-east-1.{service}"
    settings = {"VpcId": ref("Vpc"), "ServiceName": name, **properties}
    return {"Type": "AWS::EC2::VPCEndpoint", "Properties": settings}


def interface_endpoint() -> tuple[Resources, dict[str, Any]]:
    """A VPC with an interface endpoint for a queue service, with a policy."""
    policy = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": "*"}]}
    properties = {
        "VpcEndpointType": "Interface",
        "SubnetIds": [ref("Subnet"), ref("Other")],
        "SecurityGroupIds": [attribute("Group", "GroupId")],
        "PrivateDnsEnabled": True,
        "PolicyDocument": policy,
    }
    resources = {"Vpc": VPC, "Subnet": subnet(), "Other": subnet("10.1.1.0/24", 1), "Group": group()}
    outputs = {
        "Id": ref("Endpoint"),
        "Name": {"Fn::Select": [0, attribute("Endpoint", "DnsEntries")]},
        "Interfaces": {"Fn::Join": [",", attribute("Endpoint", "NetworkInterfaceIds")]},
        "Group": attribute("Group", "GroupId"),
    }
    return {**resources, "Endpoint": endpoint("sqs", **properties)}, outputs


def test_an_interface_endpoint_has_interfaces_names_and_its_policy(local_aws: LocalAws) -> None:
    ec2 = local_aws.client("ec2")
    stack = deploy(local_aws, *interface_endpoint())
    (found,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[stack.outputs["Id"]])["VpcEndpoints"]
    assert found["NetworkInterfaceIds"] == stack.outputs["Interfaces"].split(",")
    assert len(found["NetworkInterfaceIds"]) == 2
    assert f"Z7HUB22UULQXV:{found['DnsEntries'][0]['DnsName']}" == stack.outputs["Name"]
    assert found["PrivateDnsEnabled"] is True
    assert [group["GroupId"] for group in found["Groups"]] == [stack.outputs["Group"]]
    assert json.loads(found["PolicyDocument"])["Statement"][0]["Action"] == "sqs:*"
    stack.delete()
    left = {each["NetworkInterfaceId"] for each in ec2.describe_network_interfaces()["NetworkInterfaces"]}
    assert left.isdisjoint(found["NetworkInterfaceIds"])


def test_a_gateway_endpoint_hangs_on_route_tables_and_allows_everything_by_default(
    local_aws: LocalAws,
) -> None:
    table = {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": ref("Vpc")}}
    resources = {"Vpc": VPC, "Table": table, "Endpoint": endpoint("dynamodb", RouteTableIds=[ref("Table")])}
    stack = deploy(local_aws, resources, {"Id": ref("Endpoint"), "Table": ref("Table")})
    found = local_aws.client("ec2").describe_vpc_endpoints(VpcEndpointIds=[stack.outputs["Id"]])
    assert found["VpcEndpoints"][0]["RouteTableIds"] == [stack.outputs["Table"]]
    assert json.loads(found["VpcEndpoints"][0]["PolicyDocument"])["Statement"][0]["Action"] == "*"


@pytest.mark.parametrize(
    ("service", "kind", "reason"),
    [("sqs", "Gateway", "only s3 and dynamodb have"), ("sqs", "Interface", "needs SubnetIds")],
)
def test_an_endpoint_that_cannot_be_is_refused(
    local_aws: LocalAws, service: str, kind: str, reason: str
) -> None:
    with pytest.raises(DeploymentFailedError, match=reason):
        deploy(local_aws, {"Vpc": VPC, "Endpoint": endpoint(service, VpcEndpointType=kind)})


def test_private_dns_needs_the_dns_attributes_of_the_vpc(local_aws: LocalAws) -> None:
    message = "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set"
    for attribute_, value in (("EnableDnsHostnames", False), ("EnableDnsSupport", False)):
        resources, outputs = interface_endpoint()
        resources["Vpc"] = {**VPC, "Properties": {**VPC["Properties"], attribute_: value}}  # type: ignore[dict-item]
        with pytest.raises(DeploymentFailedError, match=message):
            deploy(local_aws, resources, outputs)
    resources["Endpoint"]["Properties"]["PrivateDnsEnabled"] = False
    deploy(local_aws, resources, outputs)


def test_a_second_endpoint_of_a_service_is_refused(local_aws: LocalAws) -> None:
    ec2 = local_aws.client("ec2")
    resources, outputs = interface_endpoint()
    resources["Table"] = {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": ref("Vpc")}}
    resources["Gateway"] = endpoint("s3", RouteTableIds=[ref("Table")])
    for name in ("Vpc", "Subnet", "Table", "Gateway"):
        outputs[f"{name}Id"] = ref(name)
    ids = deploy(local_aws, resources, outputs).outputs
    prefix = "com.amazonaws.us-east-1"
    queue = {"VpcId": ids["VpcId"], "ServiceName": f"{prefix}.sqs", "VpcEndpointType": "Interface"}
    objects = {"VpcId": ids["VpcId"], "ServiceName": f"{prefix}.s3"}
    conflict = f"conflicting DNS domain for sqs.us-east-1.amazonaws.com in the VPC {ids['VpcId']}"
    with pytest.raises(ClientError, match=conflict) as raised:
        ec2.create_vpc_endpoint(**queue, SubnetIds=[ids["SubnetId"]])
    assert raised.value.response["Error"]["Code"] == "InvalidParameter"
    route = f"route table {ids['TableId']} already has a route with destination-prefix-list-id pl-"
    with pytest.raises(ClientError, match=route) as raised:
        ec2.create_vpc_endpoint(**objects, RouteTableIds=[ids["TableId"]])
    assert raised.value.response["Error"]["Code"] == "RouteAlreadyExists"
    # Without private DNS, and for other route tables, there may be further ones.
    made = ec2.create_vpc_endpoint(**queue, SubnetIds=[ids["SubnetId"]], PrivateDnsEnabled=False)
    assert len(made["VpcEndpoint"]["VpcEndpointId"]) == len(ids["Id"])
    other = ec2.create_vpc_endpoint(**objects)["VpcEndpoint"]["VpcEndpointId"]
    with pytest.raises(ClientError, match=route):
        ec2.modify_vpc_endpoint(VpcEndpointId=other, AddRouteTableIds=[ids["TableId"]])
    # In a template, too, and an update of the endpoint itself is none.
    second = {**resources, "Second": endpoint("s3", RouteTableIds=[ref("Table")])}
    with pytest.raises(DeploymentFailedError, match="already has a route"):
        deploy(local_aws, second)


def test_an_interface_endpoint_has_one_subnet_in_an_availability_zone(local_aws: LocalAws) -> None:
    resources, outputs = interface_endpoint()
    resources["Other"] = subnet("10.1.1.0/24")
    with pytest.raises(DeploymentFailedError, match="Found another VPC endpoint subnet in the availability"):
        deploy(local_aws, resources, outputs)


def test_a_flow_log_is_recorded(local_aws: LocalAws) -> None:
    properties = {
        "ResourceId": ref("Vpc"),
        "ResourceType": "VPC",
        "TrafficType": "REJECT",
        "LogGroupName": "g",
    }
    flow_log = {"Type": "AWS::EC2::FlowLog", "Properties": properties}
    stack = deploy(local_aws, {"Vpc": VPC, "Log": flow_log}, {"Id": ref("Log")})
    ec2 = local_aws.client("ec2")
    (found,) = ec2.describe_flow_logs(FlowLogIds=[stack.outputs["Id"]])["FlowLogs"]
    assert (found["TrafficType"], found["LogDestination"]) == ("REJECT", "g")
    stack.delete()
    assert ec2.describe_flow_logs(FlowLogIds=[stack.outputs["Id"]])["FlowLogs"] == []


# --- The CDK's own VPCs, through its own CLI

_APP = """
import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2

app = cdk.App()
stack = cdk.Stack(app, "network")
ec2.Vpc(stack, "Nat", max_azs=2, nat_gateways=1, restrict_default_security_group=True)
private = ec2.SubnetConfiguration(name="private", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
vpc = ec2.Vpc(stack, "Isolated", max_azs=2, subnet_configuration=[private])
vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
vpc.add_interface_endpoint("Queues", service=ec2.InterfaceVpcEndpointAwsService.SQS)
vpc.add_flow_log("Log")
function = ec2.SecurityGroup(stack, "Function", vpc=vpc, allow_all_outbound=False)
database = ec2.SecurityGroup(stack, "Database", vpc=vpc, allow_all_outbound=False)
function.connections.allow_to(database, ec2.Port.tcp(5432))
app.synth()
"""


def _cdk(folder: Path, environment: dict[str, str], *words: str) -> None:
    ran = subprocess.run(
        [find_cli(), *words, "--no-notices", "--ci"],
        cwd=folder,
        env=environment | {"CDK_VALIDATION": "false"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout


@pytest.mark.full
def test_the_cdk_deploys_and_destroys_its_vpcs(empty_aws: LocalAws, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(_APP)
    empty_aws.bootstrap()
    environment = {**os.environ, **empty_aws.environment}
    app = f"{shlex.quote(sys.executable)} app.py"
    _cdk(tmp_path, environment, "deploy", "--app", app, "--require-approval", "never")
    ec2 = empty_aws.client("ec2")
    restricted = [
        found
        for found in ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])[
            "SecurityGroups"
        ]
        if not found["IpPermissions"] and not found["IpPermissionsEgress"]
    ]
    assert len(restricted) == 1
    assert len(ec2.describe_vpc_endpoints()["VpcEndpoints"]) == 2
    _cdk(tmp_path, environment, "destroy", "--app", "cdk.out", "--force")
    assert ec2.describe_addresses()["Addresses"] == []
    assert ec2.describe_vpc_endpoints()["VpcEndpoints"] == []


def test_the_emulator_still_knows_none_of_these_types(stock_aws: LocalAws) -> None:
    with pytest.raises(
        Exception, match=r"Unrecognized resource types: \[AWS::EC2::EIP, AWS::EC2::NatGateway"
    ):
        deploy(stock_aws, with_nat())
    with pytest.raises(Exception, match="SecurityGroupEgress, AWS::EC2::SecurityGroupIngress"):
        deploy(stock_aws, between())


def test_the_emulator_still_does_not_know_a_vpcs_addresses(stock_aws: LocalAws) -> None:
    with pytest.raises(Exception, match="CidrBlock"):
        deploy(stock_aws, {"Vpc": VPC}, {"Cidr": attribute("Vpc", "CidrBlock")})


def test_the_emulator_still_shows_no_policy_of_an_endpoint(stock_aws: LocalAws) -> None:
    stack = deploy(stock_aws, {"Vpc": VPC, "Endpoint": endpoint("s3")}, {"Id": ref("Endpoint")})
    found = stock_aws.client("ec2").describe_vpc_endpoints(VpcEndpointIds=[stack.outputs["Id"]])
    assert "PolicyDocument" not in found["VpcEndpoints"][0]


def test_an_instance_is_the_way_out_of_a_network(local_aws: LocalAws) -> None:
    ec2, ssm = local_aws.client("ec2"), local_aws.client("ssm")
    name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-arm64"
    image = ssm.get_parameter(Name=name)["Parameter"]["Value"]
    instance = {
        "ImageId": image,
        "InstanceType": "t4g.nano",
        "SubnetId": ref("Subnet"),
        "SecurityGroupIds": [attribute("Group", "GroupId")],
        "SourceDestCheck": False,
        "Tags": [{"Key": "Name", "Value": "nat"}],
    }
    made = with_nat()
    for gone in ("Address", "Gateway"):
        del made[gone]
    made |= {"Group": group(), "Instance": {"Type": "AWS::EC2::Instance", "Properties": instance}}
    del made["Route"]["Properties"]["NatGatewayId"]
    made["Route"]["Properties"]["InstanceId"] = ref("Instance")
    outputs = {
        "Id": ref("Instance"),
        "Address": attribute("Instance", "PrivateIp"),
        "Table": ref("Table"),
        "Group": ref("Group"),
    }
    stack = deploy(local_aws, made, outputs)
    found = ec2.describe_instances(InstanceIds=[stack.outputs["Id"]])["Reservations"][0]["Instances"][0]
    assert (found["SourceDestCheck"], found["PrivateIpAddress"]) == (False, stack.outputs["Address"])
    assert [one["GroupId"] for one in found["SecurityGroups"]] == [stack.outputs["Group"]]
    assert {"Key": "Name", "Value": "nat"} in found["Tags"]
    routes = ec2.describe_route_tables(RouteTableIds=[stack.outputs["Table"]])["RouteTables"][0]["Routes"]
    (out,) = (route for route in routes if route["DestinationCidrBlock"] == "0.0.0.0/0")
    assert out["InstanceId"] == stack.outputs["Id"]
    stack.delete()
    gone = ec2.describe_instances(InstanceIds=[stack.outputs["Id"]])["Reservations"][0]["Instances"][0]
    assert gone["State"]["Name"] == "terminated"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"SubnetId": "subnet-0"}, "The subnet ID 'subnet-0' does not exist"),
        ({"SecurityGroupIds": ["sg-0"]}, "The security group 'sg-0' does not exist"),
    ],
)
def test_an_instance_of_a_network_that_does_not_exist_is_refused(
    local_aws: LocalAws, wrong: dict[str, Any], reason: str
) -> None:
    with pytest.raises(DeploymentFailedError, match=reason):
        deploy(
            local_aws,
            {"Instance": {"Type": "AWS::EC2::Instance", "Properties": {"ImageId": "ami-1"} | wrong}},
        )


@pytest.mark.local
def test_a_rule_that_is_not_there_cannot_be_revoked(local_aws: LocalAws) -> None:
    ec2 = local_aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/24")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="a", Description="a", VpcId=vpc)["GroupId"]

    def permission(*ranges: str, port: int = 80) -> Any:
        sources = [{"CidrIp": one} for one in ranges]
        return [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": sources}]

    for kind in ("ingress", "egress"):
        authorize = getattr(ec2, f"authorize_security_group_{kind}")
        revoke = getattr(ec2, f"revoke_security_group_{kind}")
        rules = "IpPermissions" if kind == "ingress" else "IpPermissionsEgress"

        def allowed(rules: str = rules) -> list[str]:
            (found,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
            tcp = [one for one in found[rules] if one["IpProtocol"] == "tcp"]
            return [source["CidrIp"] for one in tcp for source in one["IpRanges"]]

        authorize(GroupId=group, IpPermissions=permission("203.0.113.0/24", "198.51.100.0/24"))
        for wrong in (permission("192.0.2.0/24"), permission("203.0.113.0/24", port=81)):
            with pytest.raises(
                ClientError, match=r"InvalidPermission\.NotFound.* does not exist in this sec"
            ):
                revoke(GroupId=group, IpPermissions=wrong + permission("198.51.100.0/24"))
        assert allowed() == ["203.0.113.0/24", "198.51.100.0/24"]
        revoke(GroupId=group, IpPermissions=permission("203.0.113.0/24"))
        assert allowed() == ["198.51.100.0/24"]
        revoke(GroupId=group, IpPermissions=permission("198.51.100.0/24"))
        assert allowed() == []
    (default,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    here = ec2.create_security_group(GroupName="a", Description="a", VpcId=default["VpcId"])["GroupId"]
    ec2.revoke_security_group_ingress(GroupId=here, IpPermissions=permission("192.0.2.0/24"))
    for one in (group, here):
        ec2.delete_security_group(GroupId=one)
    ec2.delete_vpc(VpcId=vpc)


@pytest.mark.local
def test_rules_are_revoked_as_they_are_described(local_aws: LocalAws) -> None:
    """With the description and the account of a source, which do not count."""
    ec2 = local_aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/24")["Vpc"]["VpcId"]
    made = [
        ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"] for name in "ab"
    ]
    group, other = made
    sources: list[dict[str, object]] = [
        {"UserIdGroupPairs": [{"GroupId": other, "Description": "other"}]},
        {"IpRanges": [{"CidrIp": "203.0.113.0/24", "Description": "office"}]},
        {"PrefixListIds": [{"PrefixListId": "pl-0123456789abcdef0", "Description": "list"}]},
    ]
    for source in sources:
        permission = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, **source}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
        (found,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=found["IpPermissions"])
        assert ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"] == []
    for one in made:
        ec2.delete_security_group(GroupId=one)
    ec2.delete_vpc(VpcId=vpc)

"""VPC endpoints: interfaces and DNS names of interface endpoints, descriptions, and what EC2 refuses.

Faithful to: an interface endpoint has a network interface in each of its subnets, and DNS entries, also as
attributes in a template. DescribeVpcEndpoints returns policy, security groups, network interfaces, DNS names
and private DNS. With the errors of EC2, in templates and in requests: only S3 and DynamoDB have gateway
endpoints, a route table leads to one endpoint of a service, private DNS needs DNS support and DNS hostnames
of the VPC and is given to one endpoint of a service, and an endpoint has one subnet in an Availability Zone.
Not to: traffic. Policies and security groups of endpoints are stored and not enforced. The names do not
resolve, and services are reached with or without an endpoint.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ec2-vpcendpoint.html
https://docs.aws.amazon.com/vpc/latest/privatelink/gateway-endpoints.html
https://docs.aws.amazon.com/vpc/latest/privatelink/create-interface-endpoint.html
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from typing import Any
from xml.sax.saxutils import escape

from ministack.core.responses import get_region
from ministack.services import ec2

from localaws.patching import Created, Handler, Properties, action, around, resource
from localaws.services.ec2.networks import call

_GATEWAY_SERVICES = ("s3", "dynamodb")
_FULL_ACCESS = {"Statement": [{"Action": "*", "Effect": "Allow", "Principal": "*", "Resource": "*"}]}


Response = tuple[int, dict[str, str], bytes]
Action = Callable[[dict[str, Any]], Response]
Reason = tuple[str, str]  # the code and the message of an error


@resource("AWS::EC2::VPCEndpoint").create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    _check(properties)
    endpoint, attributes = stock(logical_id, properties, stack)
    return endpoint, {**attributes, **_complete(endpoint)}


@resource("AWS::EC2::VPCEndpoint").update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    _check(new, physical_id)
    endpoint, attributes = stock(physical_id, old, new, stack, logical_id)
    return endpoint, {**attributes, **_complete(endpoint)}


@action(ec2, "CreateVpcEndpoint")
def _create_by_request(stock: Action, p: dict[str, Any]) -> Response:
    names = ("VpcId", "ServiceName", "VpcEndpointType", "PolicyDocument")
    properties = {name: ec2._p(p, name) for name in names}
    for name in ("RouteTableId", "SubnetId", "SecurityGroupId"):
        properties[f"{name}s"] = ec2._parse_member_list(p, name)
    private = ec2._p(p, "PrivateDnsEnabled") or str(properties["VpcEndpointType"] == "Interface")
    properties["PrivateDnsEnabled"] = private.lower() == "true"
    if reason := _refused(properties):
        answer: Response = ec2._error(*reason, 400)
        return answer
    known = set(ec2._vpc_endpoints)
    response = stock(p)
    for endpoint in set(ec2._vpc_endpoints) - known:
        record = ec2._vpc_endpoints[endpoint]
        for name in ("SecurityGroupIds", "PrivateDnsEnabled", "PolicyDocument"):
            record[name] = properties[name]
        record |= {"NetworkInterfaceIds": [], "DnsEntries": []}
        _complete(endpoint)
    return response


@action(ec2, "ModifyVpcEndpoint")
def _modify_by_request(stock: Action, p: dict[str, Any]) -> Response:
    record = ec2._vpc_endpoints.get(ec2._p(p, "VpcEndpointId"))
    added = {f"{name}s": ec2._parse_member_list(p, f"Add{name}") for name in ("RouteTableId", "SubnetId")}
    if record and any(added.values()):
        changed = {**record, **{name: [*record.get(name, []), *ids] for name, ids in added.items()}}
        if reason := _refused(changed, record["VpcEndpointId"]):
            answer: Response = ec2._error(*reason, 400)
            return answer
    return stock(p)


# --- What EC2 refuses


def _check(properties: Properties, endpoint: str = "") -> None:
    if reason := _refused(properties, endpoint):
        raise ValueError(f"AWS::EC2::VPCEndpoint failed: {reason[0]}: {reason[1]}")


def _refused(properties: Properties, endpoint: str = "") -> Reason | None:
    """Why EC2 would not create an endpoint, or change the one with an id."""
    name = str(properties.get("ServiceName", ""))
    service, vpc = name.rpartition(".")[2], properties.get("VpcId") or ec2._DEFAULT_VPC_ID
    others = [
        each
        for each in ec2._vpc_endpoints.values()
        if each["VpcId"] == vpc and each["ServiceName"] == name and each["VpcEndpointId"] != endpoint
    ]
    if (properties.get("VpcEndpointType") or "Gateway") == "Gateway":
        if service not in _GATEWAY_SERVICES:
            allowed = " and ".join(_GATEWAY_SERVICES)
            message = f"{service} has no gateway endpoint, only {allowed} have; use an interface endpoint"
            return "InvalidParameter", message
        taken = {table for each in others for table in each.get("RouteTableIds", [])}
        for table in properties.get("RouteTableIds") or []:
            if table in taken:
                prefix = ec2._aws_pl_id_from_name(name)
                message = f"route table {table} already has a route with destination-prefix-list-id {prefix}"
                return "RouteAlreadyExists", message
        return None
    if properties.get("VpcEndpointType") != "Interface":
        return None
    if not properties.get("SubnetIds"):
        return "InvalidParameter", f"The interface endpoint for {service} needs SubnetIds"
    return _private_dns(name, vpc, others, properties) or _one_subnet_per_zone(properties["SubnetIds"])


def _private_dns(name: str, vpc: str, others: Iterable[Properties], properties: Properties) -> Reason | None:
    if str(properties.get("PrivateDnsEnabled")).lower() != "true":
        return None
    record = ec2._vpcs.get(vpc) or {}
    default = vpc == ec2._DEFAULT_VPC_ID
    if not (record.get("EnableDnsSupport", True) and record.get("EnableDnsHostnames", default)):
        message = (
            "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set "
            f"to true for {vpc}"
        )
        return "InvalidParameter", message
    if any(str(each.get("PrivateDnsEnabled")).lower() == "true" for each in others):
        domain = f"{name.partition(f'.{get_region()}.')[2]}.{get_region()}.amazonaws.com"
        message = (
            "private-dns-enabled cannot be set because there is already a conflicting DNS domain for "
            f"{domain} in the VPC {vpc}"
        )
        return "InvalidParameter", message
    return None


def _one_subnet_per_zone(subnets: Iterable[str]) -> Reason | None:
    zones = set()
    for subnet in subnets:
        zone = (ec2._subnets.get(subnet) or {}).get("AvailabilityZone", subnet)
        if zone in zones:
            message = f"Found another VPC endpoint subnet in the availability zone of {subnet}"
            return "DuplicateSubnetsInSameZone", message
        zones.add(zone)
    return None


# --- Interfaces and names


@resource("AWS::EC2::VPCEndpoint").delete
def _delete(stock: Callable[..., None], physical_id: str, properties: Properties) -> None:
    _remove_interfaces(ec2._vpc_endpoints.get(physical_id) or {})
    stock(physical_id, properties)


def _complete(endpoint: str) -> dict[str, Any]:
    """Give an interface endpoint a network interface in each of its subnets, and DNS names."""
    record = ec2._vpc_endpoints[endpoint]
    if record["VpcEndpointType"] != "Interface":
        return {}
    _remove_interfaces(record)
    for subnet in record["SubnetIds"]:
        request = {"SubnetId": subnet, "Description": f"VPC Endpoint Interface {endpoint}"}
        request |= {f"SecurityGroupId.{n}": group for n, group in enumerate(record["SecurityGroupIds"], 1)}
        interface = call(ec2._create_network_interface, request, "networkInterfaceId")
        record["NetworkInterfaceIds"].append(interface)
    if not record["DnsEntries"]:
        service = record["ServiceName"].partition(f".{get_region()}.")[2]
        suffix = f"{service}.{get_region()}.vpce.amazonaws.com"
        record["DnsEntries"] = [f"Z7HUB22UULQXV:{endpoint}-{random.getrandbits(32):08x}.{suffix}"]
    return {"NetworkInterfaceIds": record["NetworkInterfaceIds"], "DnsEntries": record["DnsEntries"]}


def _remove_interfaces(record: dict[str, Any]) -> None:
    for interface in record.get("NetworkInterfaceIds", []):
        ec2._network_interfaces.pop(interface, None)
    record["NetworkInterfaceIds"] = []


@around(ec2, "_vpce_fields_xml")
def _describe(stock: Callable[..., str], ep: dict[str, Any], tag: str = "item") -> str:
    """The description of an endpoint, with what the emulator stores and does not return."""
    policy = ep.get("PolicyDocument") or _FULL_ACCESS
    text = policy if isinstance(policy, str) else json.dumps(policy)
    groups = "".join(f"<item><groupId>{group}</groupId></item>" for group in ep.get("SecurityGroupIds", []))
    interfaces = "".join(f"<item>{interface}</item>" for interface in ep.get("NetworkInterfaceIds", []))
    names = "".join(_dns_entry(entry) for entry in ep.get("DnsEntries", []))
    details = (
        f"<policyDocument>{escape(text)}</policyDocument><groupSet>{groups}</groupSet>"
        f"<networkInterfaceIdSet>{interfaces}</networkInterfaceIdSet><dnsEntrySet>{names}</dnsEntrySet>"
        f"<privateDnsEnabled>{str(ep.get('PrivateDnsEnabled', False)).lower()}</privateDnsEnabled>"
    )
    return stock(ep, tag).removesuffix(f"</{tag}>") + f"{details}</{tag}>"


def _dns_entry(entry: str) -> str:
    zone, _, name = entry.partition(":")
    return f"<item><hostedZoneId>{zone}</hostedZoneId><dnsName>{name}</dnsName></item>"

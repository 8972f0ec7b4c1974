"""VPC endpoints: network interfaces and names for interface endpoints, and a full description.

Faithful to: an interface endpoint of a template has a network interface in each of its subnets and DNS
entries, as attributes too; only S3 and DynamoDB have gateway endpoints. DescribeVpcEndpoints shows policy,
security groups, interfaces, names and private DNS.
Not to: traffic. Policies and security groups of endpoints are kept and enforce nothing; the names resolve
nowhere, and a service is reached with or without an endpoint.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ec2-vpcendpoint.html
https://docs.aws.amazon.com/vpc/latest/privatelink/gateway-endpoints.html
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

from ministack.core.responses import get_region
from ministack.services import ec2
from ministack.services.cloudformation import provisioners

from localaws.services.ec2.networks import Made, Properties, call, completed

_GATEWAY_SERVICES = ("s3", "dynamodb")
_FULL_ACCESS = {"Statement": [{"Action": "*", "Effect": "Allow", "Principal": "*", "Resource": "*"}]}


def install() -> None:
    """Complete the handler of `AWS::EC2::VPCEndpoint` and what DescribeVpcEndpoints says."""
    handler = provisioners._RESOURCE_HANDLERS["AWS::EC2::VPCEndpoint"]
    handler["create"] = _checked(completed(handler["create"], _complete, properties_at=1))
    handler["update"] = completed(handler["update"], _complete, properties_at=2)
    handler["delete"] = _without_interfaces(handler["delete"])
    ec2._vpce_fields_xml = _with_details(ec2._vpce_fields_xml)


def _checked(create: Callable[..., Made]) -> Callable[..., Made]:
    def create_checked(logical_id: str, properties: Properties, stack: str) -> Made:
        service = str(properties.get("ServiceName", "")).rpartition(".")[2]
        kind = properties.get("VpcEndpointType", "Gateway")
        if kind == "Gateway" and service not in _GATEWAY_SERVICES:
            allowed = " and ".join(_GATEWAY_SERVICES)
            raise ValueError(f"{service} has no gateway endpoint, only {allowed} have; make it an Interface")
        if kind == "Interface" and not properties.get("SubnetIds"):
            raise ValueError(f"The interface endpoint for {service} needs SubnetIds")
        return create(logical_id, properties, stack)

    return create_checked


def _complete(endpoint: str, _properties: Properties) -> dict[str, Any]:
    """Give an interface endpoint a network interface in each of its subnets, and its names."""
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


def _without_interfaces(delete: Callable[..., None]) -> Callable[..., None]:
    def delete_with_interfaces(physical_id: str, properties: Properties) -> None:
        _remove_interfaces(ec2._vpc_endpoints.get(physical_id) or {})
        delete(physical_id, properties)

    return delete_with_interfaces


def _with_details(stock: Callable[..., str]) -> Callable[..., str]:
    """The description of an endpoint, with what the emulator keeps of it and does not show."""

    def described(record: dict[str, Any], tag: str = "item") -> str:
        policy = record.get("PolicyDocument") or _FULL_ACCESS
        text = policy if isinstance(policy, str) else json.dumps(policy)
        groups = "".join(
            f"<item><groupId>{group}</groupId></item>" for group in record.get("SecurityGroupIds", [])
        )
        interfaces = "".join(
            f"<item>{interface}</item>" for interface in record.get("NetworkInterfaceIds", [])
        )
        names = "".join(_dns_entry(entry) for entry in record.get("DnsEntries", []))
        details = (
            f"<policyDocument>{escape(text)}</policyDocument><groupSet>{groups}</groupSet>"
            f"<networkInterfaceIdSet>{interfaces}</networkInterfaceIdSet><dnsEntrySet>{names}</dnsEntrySet>"
            f"<privateDnsEnabled>{str(record.get('PrivateDnsEnabled', False)).lower()}</privateDnsEnabled>"
        )
        return stock(record, tag).removesuffix(f"</{tag}>") + f"{details}</{tag}>"

    return described


def _dns_entry(entry: str) -> str:
    zone, _, name = entry.partition(":")
    return f"<item><hostedZoneId>{zone}</hostedZoneId><dnsName>{name}</dnsName></item>"

"""VPC endpoints: network interfaces and DNS names of interface endpoints, and complete descriptions.

Faithful to: an interface endpoint in a template has a network interface in each of its subnets, and DNS
entries, also as attributes. Only S3 and DynamoDB have gateway endpoints. DescribeVpcEndpoints returns policy,
security groups, network interfaces, DNS names and private DNS.
Not to: traffic. Policies and security groups of endpoints are stored and not enforced. The names do not
resolve, and services are reached with or without an endpoint.

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

from localaws.patching import Created, Handler, Properties, around, resource
from localaws.services.ec2.networks import call

_GATEWAY_SERVICES = ("s3", "dynamodb")
_FULL_ACCESS = {"Statement": [{"Action": "*", "Effect": "Allow", "Principal": "*", "Resource": "*"}]}


@resource("AWS::EC2::VPCEndpoint").create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    service = str(properties.get("ServiceName", "")).rpartition(".")[2]
    kind = properties.get("VpcEndpointType", "Gateway")
    if kind == "Gateway" and service not in _GATEWAY_SERVICES:
        allowed = " and ".join(_GATEWAY_SERVICES)
        raise ValueError(f"{service} has no gateway endpoint, only {allowed} have; use an interface endpoint")
    if kind == "Interface" and not properties.get("SubnetIds"):
        raise ValueError(f"The interface endpoint for {service} needs SubnetIds")
    endpoint, attributes = stock(logical_id, properties, stack)
    return endpoint, {**attributes, **_complete(endpoint)}


@resource("AWS::EC2::VPCEndpoint").update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    endpoint, attributes = stock(physical_id, old, new, stack, logical_id)
    return endpoint, {**attributes, **_complete(endpoint)}


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

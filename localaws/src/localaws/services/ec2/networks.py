"""Types and attributes that the CDK's `Vpc` uses and the emulator's CloudFormation lacks.

Faithful to: `AWS::EC2::EIP`, `NatGateway`, `SecurityGroupIngress`, `SecurityGroupEgress`, `FlowLog`,
`EgressOnlyInternetGateway` and `VPCCidrBlock`, with `Ref`, attributes, tags and replacement. The first egress
rule of a security group replaces the default rule that allows all traffic. A VPC has `CidrBlock`,
`CidrBlockAssociations` and `Ipv6CidrBlocks`.
Not to: packets. Nothing is routed, translated, filtered or logged: a function reaches every address, whatever
its subnets, security groups and endpoint policies say. Settings are stored and returned.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_EC2.html
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable
from typing import Any

from ministack.services import ec2
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Handler, Properties, Resource, new_resource, resource

_RULE = (
    *("CidrIp", "CidrIpv6", "FromPort", "GroupId", "GroupName", "IpProtocol", "ToPort"),
    *("SourcePrefixListId", "SourceSecurityGroupId", "SourceSecurityGroupName", "SourceSecurityGroupOwnerId"),
    *("DestinationPrefixListId", "DestinationSecurityGroupId", "Description"),
)

#: Where the record of a VPC has its IPv6 blocks.
_IPV6_BLOCKS = "_Ipv6CidrBlocks"

#: Marks, in the record of a security group, that its only egress rule is the default rule.
_OPEN = "_OpenByDefault"


def declare_tagged(
    handlers: Resource,
    create: Callable[[Properties], str],
    delete: Callable[[str], None],
    attributes: Callable[[str], dict[str, Any]],
    tagged: str = "Id",
) -> None:
    """Declare a type of which only the tags can be updated.

    Args:
        handlers: The type.
        create: Creates the resource and returns its physical id.
        delete: Deletes it by its physical id.
        attributes: Its attributes, by its physical id.
        tagged: The attribute by which it is tagged.
    """

    def tag(physical_id: str, properties: Properties, old: Properties) -> Created:
        found = attributes(physical_id)
        provisioners._ec2_apply_tags(found[tagged], properties, old)
        return physical_id, found

    @handlers.create
    def create_tagged(_logical_id: str, properties: Properties, _stack: str) -> Created:
        return tag(create(properties), properties, {})

    @handlers.update
    def update_tags(physical_id: str, old: Properties, new: Properties, _stack: str) -> Created:
        return tag(physical_id, new, old)

    @handlers.delete
    def delete_tagged(physical_id: str, _properties: Properties) -> None:
        delete(physical_id)


def call(operation: Callable[..., Any], parameters: Properties, returns: str = "return") -> str:
    """Call an operation of the emulator's EC2; raise ValueError with its message if it fails.

    Args:
        operation: The function behind the API's operation.
        parameters: Its parameters; those without a value are omitted.
        returns: The name of the element of the response that is returned.
    """
    query = {name: [str(value)] for name, value in parameters.items() if value not in (None, "")}
    status, _headers, body = operation(query)
    answer = body.decode() if isinstance(body, bytes) else str(body)
    if status >= 400:
        raise ValueError(f"{operation.__name__.removeprefix('_')} was refused: {_element(answer, 'Message')}")
    return _element(answer, returns)


def _element(xml: str, name: str) -> str:
    return xml.partition(f"<{name}>")[2].partition(f"</{name}>")[0]


def _random_id(prefix: str) -> str:
    return f"{prefix}-{random.getrandbits(68):017x}"


# --- Addresses and NAT gateways


def _create_address(properties: Properties) -> str:
    allocation = call(ec2._allocate_address, {"Domain": properties.get("Domain", "vpc")}, "allocationId")
    if properties.get("InstanceId"):
        call(ec2._associate_address, {"AllocationId": allocation, "InstanceId": properties["InstanceId"]})
    return str(ec2._addresses[allocation]["PublicIp"])


def _address_attributes(address: str) -> dict[str, Any]:
    return {"AllocationId": _allocation(address), "PublicIp": address}


def _allocation(address: str) -> str:
    found = (record["AllocationId"] for record in ec2._addresses.values() if record["PublicIp"] == address)
    return next(found, "")


def _delete_address(address: str) -> None:
    allocation = _allocation(address)
    if not allocation:
        return
    if ec2._addresses[allocation]["AssociationId"]:
        raise ValueError(f"The address {address} is in use and was not released")
    call(ec2._release_address, {"AllocationId": allocation})


def _create_nat_gateway(properties: Properties) -> str:
    subnet, allocation = properties.get("SubnetId"), properties.get("AllocationId")
    connectivity = properties.get("ConnectivityType", "public")
    if subnet not in ec2._subnets:
        raise ValueError(f"The subnet {subnet} does not exist")
    if connectivity == "public":
        address = ec2._addresses.get(allocation)
        if address is None:
            raise ValueError(f"AllocationId={allocation!r}: a public NAT gateway needs an elastic IP address")
        if address["AssociationId"]:
            raise ValueError(f"The address {address['PublicIp']} is already in use")
        address["AssociationId"] = _random_id("eipassoc")
    request = {"SubnetId": subnet, "AllocationId": allocation, "ConnectivityType": connectivity}
    return call(ec2._create_nat_gateway, request, "natGatewayId")


def _delete_nat_gateway(gateway: str) -> None:
    record = ec2._nat_gateways.get(gateway)
    if record is None:
        return
    call(ec2._delete_nat_gateway, {"NatGatewayId": gateway})
    if record.get("AllocationId") in ec2._addresses:
        ec2._addresses[record["AllocationId"]]["AssociationId"] = None


declare_tagged(
    new_resource(
        "AWS::EC2::EIP",
        replaced_by=("Address", "Domain", "IpamPoolId", "NetworkBorderGroup", "TransferAddress"),
        stack_tags=True,
    ),
    _create_address,
    _delete_address,
    _address_attributes,
    tagged="AllocationId",
)
declare_tagged(
    new_resource(
        "AWS::EC2::NatGateway",
        replaced_by=("AllocationId", "ConnectivityType", "PrivateIpAddress", "SubnetId", "VpcId"),
        stack_tags=True,
    ),
    _create_nat_gateway,
    _delete_nat_gateway,
    lambda gateway: {"NatGatewayId": gateway},
    tagged="NatGatewayId",
)


# --- IPv6


def _delete_egress_only_gateway(gateway: str) -> None:
    call(ec2._delete_egress_only_igw, {"EgressOnlyInternetGatewayId": gateway})


declare_tagged(
    new_resource("AWS::EC2::EgressOnlyInternetGateway", replaced_by=("VpcId",)),
    lambda properties: call(
        ec2._create_egress_only_igw, {"VpcId": properties.get("VpcId")}, "egressOnlyInternetGatewayId"
    ),
    _delete_egress_only_gateway,
    lambda gateway: {"Id": gateway},
)


def amazon_block(number: int) -> str:
    """The /56 of Amazon's addresses with this number of 24 bits, written as RFC 5952 and AWS do."""
    first = int(ipaddress.IPv6Address("2600:1f14::"))
    return str(ipaddress.IPv6Network((first | number << 72, 56)))


_block = new_resource(
    "AWS::EC2::VPCCidrBlock",
    replaced_by=("AmazonProvidedIpv6CidrBlock", "CidrBlock", "Ipv6CidrBlock", "VpcId"),
)


@_block.create
def _create_block(_logical_id: str, properties: Properties, _stack: str) -> Created:
    vpc = ec2._vpcs.get(properties.get("VpcId"))
    if vpc is None:
        raise ValueError(f"The VPC {properties.get('VpcId')} does not exist")
    block = properties.get("Ipv6CidrBlock", "")
    if str(properties.get("AmazonProvidedIpv6CidrBlock")).lower() == "true":
        block = amazon_block(random.getrandbits(24))
    if block:
        vpc.setdefault(_IPV6_BLOCKS, []).append(block)
    association = _random_id("vpc-cidr-assoc")
    return association, {"Id": association, "Ipv6CidrBlock": block}


@_block.delete
def _delete_block(_physical_id: str, properties: Properties) -> None:
    vpc = ec2._vpcs.get(properties.get("VpcId"))
    if vpc is not None and not properties.get("CidrBlock"):
        vpc.get(_IPV6_BLOCKS, []).clear()


# --- Rules of security groups


def _declare_rules(type_: str, direction: str) -> None:
    """Declare the type of rules outside their security group."""
    handlers = new_resource(type_, replaced_by=_RULE)

    @handlers.create
    def create(_logical_id: str, properties: Properties, _stack: str) -> Created:
        group = properties.get("GroupId")
        record = ec2._security_groups.get(group)
        if record is None:
            raise ValueError(f"The security group {group} does not exist")
        if direction == "IpPermissionsEgress" and record.get(_OPEN):
            record[direction].clear()
            record[_OPEN] = False
        (rule,) = provisioners._ec2_sg_permissions([properties])
        if any(ec2._rules_match(rule, known) for known in record[direction]):
            raise ValueError(f"The rule is already in the security group {group}")
        rule["SecurityGroupRuleId"] = _random_id("sgr")
        record[direction].append(rule)
        return rule["SecurityGroupRuleId"], {"Id": rule["SecurityGroupRuleId"]}

    @handlers.delete
    def delete(physical_id: str, properties: Properties) -> None:
        record = ec2._security_groups.get(properties.get("GroupId"))
        if record is not None:
            others = [rule for rule in record[direction] if rule.get("SecurityGroupRuleId") != physical_id]
            record[direction][:] = others


_declare_rules("AWS::EC2::SecurityGroupIngress", "IpPermissions")
_declare_rules("AWS::EC2::SecurityGroupEgress", "IpPermissionsEgress")


# --- Flow logs


def _create_flow_log(properties: Properties) -> str:
    request = {
        "ResourceId.1": properties["ResourceId"],
        "ResourceType": properties["ResourceType"],
        "TrafficType": properties.get("TrafficType"),
        "LogDestinationType": properties.get("LogDestinationType"),
        "LogDestination": properties.get("LogDestination") or properties.get("LogGroupName"),
    }
    return call(ec2._create_flow_logs, request, "item")


def _delete_flow_log(flow_log: str) -> None:
    call(ec2._delete_flow_logs, {"FlowLogId.1": flow_log})


declare_tagged(
    new_resource(
        "AWS::EC2::FlowLog",
        replaced_by=(
            *("DeliverLogsPermissionArn", "DestinationOptions", "LogDestination", "LogDestinationType"),
            *(
                "LogFormat",
                "LogGroupName",
                "MaxAggregationInterval",
                "ResourceId",
                "ResourceType",
                "TrafficType",
            ),
        ),
        stack_tags=True,
    ),
    _create_flow_log,
    _delete_flow_log,
    lambda flow_log: {"Id": flow_log},
)


# --- Attributes of types that the emulator has


@resource("AWS::EC2::VPC").create
def _create_vpc(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    return _with_blocks(stock(logical_id, properties, stack))


@resource("AWS::EC2::VPC").update
def _update_vpc(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    return _with_blocks(stock(physical_id, old, new, stack, logical_id))


def _with_blocks(vpc: Created) -> Created:
    record = ec2._vpcs[vpc[0]]
    association = record.setdefault("CidrBlockAssociation", _random_id("vpc-cidr-assoc"))
    blocks = {
        "CidrBlock": record["CidrBlock"],
        "CidrBlockAssociations": [association],
        # One list in the record and in the attributes: a block is associated after the VPC is made.
        "Ipv6CidrBlocks": record.setdefault(_IPV6_BLOCKS, []),
    }
    return vpc[0], {**vpc[1], **blocks}


@resource("AWS::EC2::SecurityGroup").create
def _create_group(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    return _marked_as_open(stock(logical_id, properties, stack), properties)


@resource("AWS::EC2::SecurityGroup").update
def _update_group(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    return _marked_as_open(stock(physical_id, old, new, stack, logical_id), new)


def _marked_as_open(group: Created, properties: Properties) -> Created:
    record = ec2._security_groups[group[0]]
    if properties.get("SecurityGroupEgress"):
        record[_OPEN] = False
    record.setdefault(_OPEN, True)
    return group

"""EC2: the parts of a network that the CDK's `Vpc` makes and the emulator's CloudFormation does not know.

Faithful to: `AWS::EC2::EIP`, `NatGateway`, `SecurityGroupIngress`, `SecurityGroupEgress` and `FlowLog` with
their `Ref`, attributes, tags and replacement; the first egress rule of its own takes the place of the rule
that lets everything out. A VPC has `CidrBlock`, `CidrBlockAssociations` and `Ipv6CidrBlocks`.
Not to: packets. Nothing is routed, translated, filtered or logged: a function reaches every address, whatever
its subnets, security groups and endpoint policies say. What a template asks for is recorded, and can be read.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_EC2.html
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from ministack.services import ec2
from ministack.services.cloudformation import provisioners

Properties = dict[str, Any]
Made = tuple[str, dict[str, Any]]

_RULE = (
    *("CidrIp", "CidrIpv6", "FromPort", "GroupId", "GroupName", "IpProtocol", "ToPort"),
    *("SourcePrefixListId", "SourceSecurityGroupId", "SourceSecurityGroupName", "SourceSecurityGroupOwnerId"),
    *("DestinationPrefixListId", "DestinationSecurityGroupId", "Description"),
)

#: The properties of each new type that need a new resource when they change.
_REPLACING = {
    "AWS::EC2::EIP": ("Address", "Domain", "IpamPoolId", "NetworkBorderGroup", "TransferAddress"),
    "AWS::EC2::NatGateway": ("AllocationId", "ConnectivityType", "PrivateIpAddress", "SubnetId", "VpcId"),
    "AWS::EC2::SecurityGroupIngress": _RULE,
    "AWS::EC2::SecurityGroupEgress": _RULE,
    "AWS::EC2::FlowLog": (
        *("DeliverLogsPermissionArn", "DestinationOptions", "LogDestination", "LogDestinationType"),
        *("LogFormat", "LogGroupName", "MaxAggregationInterval", "ResourceId", "ResourceType", "TrafficType"),
    ),
}

#: Marks, in the record of a group, that its only egress rule is the one that EC2 adds by itself.
_OPEN = "_OpenByDefault"


def install() -> None:
    """Register the types, and complete those that the emulator knows."""
    handlers = provisioners._RESOURCE_HANDLERS
    handlers["AWS::EC2::EIP"] = _tagged(_create_address, _delete_address, _address_attributes, "AllocationId")
    handlers["AWS::EC2::NatGateway"] = _tagged(
        _create_nat_gateway, _delete_nat_gateway, lambda id_: {"NatGatewayId": id_}, "NatGatewayId"
    )
    handlers["AWS::EC2::SecurityGroupIngress"] = _rules("IpPermissions")
    handlers["AWS::EC2::SecurityGroupEgress"] = _rules("IpPermissionsEgress")
    handlers["AWS::EC2::FlowLog"] = _tagged(_create_flow_log, _delete_flow_log, lambda id_: {"Id": id_})
    provisioners._REPLACING_PROPERTIES.update(_REPLACING)
    for type_ in ("AWS::EC2::EIP", "AWS::EC2::NatGateway", "AWS::EC2::FlowLog"):
        provisioners._STACK_TAG_PROPERTY[type_] = ("Tags", "list")
    for type_, complete in {
        "AWS::EC2::VPC": _complete_vpc,
        "AWS::EC2::SecurityGroup": _complete_group,
    }.items():
        handler = handlers[type_]
        handler["create"] = completed(handler["create"], complete, properties_at=1)
        handler["update"] = completed(handler["update"], complete, properties_at=2)


def _tagged(
    create: Callable[[Properties], str],
    delete: Callable[[str], None],
    attributes: Callable[[str], dict[str, Any]],
    tagged: str = "Id",
) -> dict[str, Any]:
    """The handler of a type of which only tags change in place; `tagged` names the attribute they hang on."""

    def create_tagged(_logical_id: str, properties: Properties, _stack: str) -> Made:
        return tag(create(properties), properties, {})

    def update_tags(physical_id: str, old: Properties, new: Properties, _stack: str) -> Made:
        return tag(physical_id, new, old)

    def tag(physical_id: str, properties: Properties, old: Properties) -> Made:
        found = attributes(physical_id)
        provisioners._ec2_apply_tags(found[tagged], properties, old)
        return physical_id, found

    return {
        "create": create_tagged,
        "update": update_tags,
        "delete": lambda physical_id, _properties: delete(physical_id),
    }


def call(operation: Callable[..., Any], parameters: Properties, returns: str = "return") -> str:
    """Call an operation of the emulator's EC2 as CloudFormation does; fail with its reason.

    Args:
        operation: The function behind the API's operation.
        parameters: Its parameters; those without a value are left out.
        returns: The name of the element of the answer that is returned.
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


# --- Rules of security groups


def _rules(direction: str) -> dict[str, Any]:
    """The handler of rules that a template keeps outside their group."""

    def create(_logical_id: str, properties: Properties, _stack: str) -> Made:
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

    def delete(physical_id: str, properties: Properties) -> None:
        record = ec2._security_groups.get(properties.get("GroupId"))
        if record is not None:
            kept = [rule for rule in record[direction] if rule.get("SecurityGroupRuleId") != physical_id]
            record[direction][:] = kept

    return {"create": create, "delete": delete}


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


# --- What the emulator's own types lack


def completed(
    provision: Callable[..., Made],
    complete: Callable[[str, Properties], dict[str, Any]],
    *,
    properties_at: int,
) -> Callable[..., Made]:
    """The handler, with the attributes that `complete` adds to its own."""

    def provision_completely(*args: Any) -> Made:
        physical_id, attributes = provision(*args)
        return physical_id, {**attributes, **complete(physical_id, args[properties_at])}

    return provision_completely


def _complete_vpc(vpc: str, _properties: Properties) -> dict[str, Any]:
    record = ec2._vpcs[vpc]
    association = record.setdefault("CidrBlockAssociation", _random_id("vpc-cidr-assoc"))
    return {
        "CidrBlock": record["CidrBlock"],
        "CidrBlockAssociations": [association],
        "Ipv6CidrBlocks": [],
    }


def _complete_group(group: str, properties: Properties) -> dict[str, Any]:
    record = ec2._security_groups[group]
    if properties.get("SecurityGroupEgress"):
        record[_OPEN] = False
    record.setdefault(_OPEN, True)
    return {}

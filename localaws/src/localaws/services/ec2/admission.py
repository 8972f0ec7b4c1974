"""Which connections security groups allow, for the services that make connections here.

The emulator stores the rules of security groups, without the prefix lists that the API gives, and nothing
asks for them.

Faithful to: a connection needs a rule for outbound traffic in a group of its source, and one for inbound
traffic in a group of its destination: protocol TCP or all, the port, and as the other side a group, a prefix
list or a range of addresses. Rules are revoked one by one; a rule that is not there is refused
(`InvalidPermission.NotFound`), except in a default VPC.
Not to: network ACLs and routes; addresses of single hosts, which have those of their subnets. For clients of
this machine, any range of addresses counts as one that has theirs. In a default VPC, the answer does not list
what was not revoked (`unknownIpPermissionSet`).

https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from ministack.services import ec2

from localaws.patching import action, around, replaces

_TCP = ("tcp", "6")
_EVERYWHERE = ipaddress.ip_network("0.0.0.0/0")


@dataclass(frozen=True)
class Side:
    """One side of a connection.

    Attributes:
        groups: Its security groups.
        subnets: The subnets whose addresses it may have.
        prefix_list: The prefix list of AWS that has its addresses.
        is_client: Whether it is a client of this machine, somewhere on the internet.
    """

    groups: Collection[str] = ()
    subnets: Collection[str] = ()
    prefix_list: str = ""
    is_client: bool = False


@around(ec2, "_parse_ip_permissions")
def _parse_ip_permissions(stock: Callable[[Any, str], list[Any]], params: Any, prefix: str) -> list[Any]:
    rules = stock(params, prefix)
    for number, rule in enumerate(rules, 1):
        for one in itertools.count(1):
            item = f"{prefix}.{number}.PrefixListIds.{one}"
            if not (prefix_list := ec2._p(params, f"{item}.PrefixListId")):
                break
            described = ec2._p(params, f"{item}.Description")
            more = {"Description": described} if described else {}
            rule["PrefixListIds"].append({"PrefixListId": prefix_list, **more})
    return rules


def may_connect(source: Side, destination: Side, port: int) -> bool:
    """Whether the security groups of both sides allow a connection; a side without groups allows all."""
    return _allowed(source.groups, "IpPermissionsEgress", destination, port) and _allowed(
        destination.groups, "IpPermissions", source, port
    )


def _allowed(groups: Collection[str], direction: str, other: Side, port: int) -> bool:
    rules = [rule for one in groups for rule in ec2._security_groups.get(one, {}).get(direction, [])]
    return not groups or any(_covers(rule, port) and _names(rule, other) for rule in rules)


def _covers(rule: dict[str, Any], port: int) -> bool:
    kind = str(rule.get("IpProtocol"))
    ports = int(rule.get("FromPort", 0)), int(rule.get("ToPort", 65_535))
    return kind == "-1" or (kind in _TCP and ports[0] <= port <= ports[1])


def _names(rule: dict[str, Any], other: Side) -> bool:
    ranges = [ipaddress.ip_network(one["CidrIp"], strict=False) for one in rule.get("IpRanges") or []]
    lists = [ec2._aws_pl_id_from_name(other.prefix_list)] if other.prefix_list else []
    if any(pair.get("GroupId") in other.groups for pair in rule.get("UserIdGroupPairs") or []):
        return True
    if any(one["PrefixListId"] in lists for one in rule.get("PrefixListIds") or []):
        return True
    if other.is_client:
        return bool(ranges or rule.get("Ipv6Ranges"))
    return _EVERYWHERE in ranges or _within(other.subnets, ranges)


def _within(subnets: Collection[str], ranges: Iterable[Any]) -> bool:
    blocks = [ipaddress.ip_network(ec2._subnets[one]["CidrBlock"]) for one in subnets if one in ec2._subnets]
    known = list(ranges)
    return bool(blocks) and all(any(block.subnet_of(one) for one in known) for block in blocks)


# --- Rules as they are described


@replaces(ec2, "_strip_descriptions")
def _strip_descriptions(rule: dict[str, Any]) -> dict[str, Any]:
    """What of a rule decides whether two are the same: not their descriptions, accounts and names."""
    lists = {
        "IpRanges": "CidrIp",
        "Ipv6Ranges": "CidrIpv6",
        "PrefixListIds": "PrefixListId",
        "UserIdGroupPairs": "GroupId",
    }
    same: dict[str, Any] = {name: rule.get(name) for name in ("IpProtocol", "FromPort", "ToPort")}
    for kind, name in lists.items():
        sources = (one.get(name) or one if isinstance(one, dict) else one for one in rule.get(kind) or [])
        same[kind] = sorted(map(str, sources))
    return same


# --- Rules that are revoked


def _revoked(stock: Callable[[Any], Any], params: Any, direction: str, operation: str) -> Any:
    """Revoke rules by what they allow: each source of a permission is a rule, and each has to be there.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RevokeSecurityGroupIngress.html
    """
    group = ec2._security_groups.get(name := ec2._p(params, "GroupId"))
    if group is None or ec2._parse_member_list(params, "SecurityGroupRuleId"):
        return stock(params)
    wanted = [one for rule in ec2._parse_ip_permissions(params, "IpPermissions") for one in _single(rule)]
    known = [one for rule in group[direction] for one in _single(rule)]
    missing = [one for one in wanted if not any(ec2._rules_match(one, other) for other in known)]
    if missing and not ec2._vpcs.get(group["VpcId"], {}).get("IsDefault"):
        message = "The specified rule does not exist in this security group."
        return ec2._error("InvalidPermission.NotFound", message, 400)
    is_egress, revoked = direction == "IpPermissionsEgress", ""
    left: list[dict[str, Any]] = []
    for rule in group[direction]:
        rest = []
        for one in _single(rule):
            if any(ec2._rules_match(one, other) for other in wanted):
                revoked += ec2._revoked_sg_rule_xml(name, one, is_egress=is_egress)
            else:
                rest.append(one)
        left += [rule] if len(rest) == len(_single(rule)) else rest
    group[direction][:] = left
    content = f"<return>true</return><revokedSecurityGroupRuleSet>{revoked}</revokedSecurityGroupRuleSet>"
    return ec2._xml(200, f"{operation}Response", content)


def _single(rule: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a rule for each source of a permission."""
    kinds = ("IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs")
    none: dict[str, list[Any]] = {kind: [] for kind in kinds}
    return [{**rule, **none, kind: [one]} for kind in kinds for one in rule.get(kind) or []] or [rule]


@action(ec2, "RevokeSecurityGroupIngress")
def _revoke_sg_ingress(stock: Callable[[Any], Any], p: Any) -> Any:
    return _revoked(stock, p, "IpPermissions", "RevokeSecurityGroupIngress")


@action(ec2, "RevokeSecurityGroupEgress")
def _revoke_sg_egress(stock: Callable[[Any], Any], p: Any) -> Any:
    return _revoked(stock, p, "IpPermissionsEgress", "RevokeSecurityGroupEgress")

"""Who reaches whom in a network, as the security groups of a template say: edges for its diagram."""

from collections.abc import Iterator, Mapping
from typing import Any

# Where a resource names the security groups that it is in.
_GROUPS = {
    "AWS::EC2::VPCEndpoint": ("SecurityGroupIds",),
    "AWS::Lambda::Function": ("VpcConfig", "SecurityGroupIds"),
    "AWS::RDS::DBCluster": ("VpcSecurityGroupIds",),
    "AWS::RDS::DBInstance": ("VPCSecurityGroups",),
    "AWS::RDS::DBProxy": ("VpcSecurityGroupIds",),
}


def ways(resources: Mapping[str, dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Each rule that lets one resource in to another: from whom, at which port, to whom.

    Args:
        resources: The resources of a template by logical id.
    """
    members: dict[str, list[str]] = {}
    for logical_id, resource in resources.items():
        value: Any = resource.get("Properties", {})
        for name in _GROUPS.get(resource["Type"], ("",)):
            value = value.get(name, {})
        for group in value:
            members.setdefault(_group(group), []).append(logical_id)
    for resource in resources.values():
        if resource["Type"] == "AWS::EC2::SecurityGroupIngress":
            rule = resource["Properties"]
            port = rule["FromPort"] if isinstance(rule["FromPort"], int) else "its port"
            for source in members.get(_group(rule.get("SourceSecurityGroupId")), []):
                for target in members.get(_group(rule["GroupId"]), []):
                    yield source, f"TCP {port}", target


def _group(value: object) -> str:
    match value:
        case {"Fn::GetAtt": [str(name), "GroupId"]}:
            return name
        case _:
            return str(value)

"""The roles in a template: which there are, who has them, and what they allow."""

from __future__ import annotations

from typing import Any

from tests.templates import Resources, as_list

# What a resource calls its role.
_NAMES = ("Role", "RoleArn", "ServiceRoleArn")


def role_of(template: dict[str, Any], output: str) -> str:
    """Return the logical id of the role that an output names, or of what it names, such as a function."""
    resources, named = template["Resources"], template["Outputs"][output]["Value"]["Ref"]
    if resources[named]["Type"] == "AWS::IAM::Role":
        return str(named)
    return role_in(resources[named]["Properties"])


def role_in(properties: dict[str, Any]) -> str:
    """Return the logical id of the role that a resource names."""
    properties = {**properties, **properties.get("Target", {})}
    [role] = [properties[name] for name in _NAMES if name in properties]
    logical_id: str = role["Fn::GetAtt"][0]
    return logical_id


def roles_of_custom_resources(template: dict[str, Any]) -> set[str]:
    """Return the logical ids of the roles of the functions behind custom resources."""
    resources = template["Resources"]
    return {
        role_in(resources[resource["Properties"]["ServiceToken"]["Fn::GetAtt"][0]]["Properties"])
        for resource in resources.values()
        if "ServiceToken" in resource.get("Properties", {})
    }


def statements_of(stack: Resources, role: str) -> list[tuple[set[str], list[Any]]]:
    """Return the actions and the resources of each statement that a role allows."""
    return [
        (set(as_list(statement["Action"])), as_list(statement["Resource"]))
        for statement in stack.statements(role)
        if statement["Effect"] == "Allow"
    ]

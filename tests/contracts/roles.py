"""The roles in a template: which there are, who has them, and what they allow."""

from __future__ import annotations

from typing import Any

from tests.templates import Resources, as_list

# What a resource calls its role.
_NAMES = ("Role", "RoleArn", "ServiceRoleArn")


def role_of(template: dict[str, Any], output: str) -> str:
    """Return the logical id of the role of what an output names: a function, a proxy, a group, or a role."""
    resources, value = template["Resources"], template["Outputs"][output]["Value"]
    if "Fn::GetAtt" in value:  # the ARN of a role that a caller assumes
        logical_id: str = value["Fn::GetAtt"][0]
        return logical_id
    return role_in(resources[value["Ref"]]["Properties"])


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


def roles_of_api_gateway(stack: Resources) -> set[str]:
    """Return the logical id of the role with which API Gateway writes the logs of an account.

    Its actions are those that API Gateway asks for, whatever it uses.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html
    """
    accounts = stack.all("AWS::ApiGateway::Account").values()
    return {account["CloudWatchRoleArn"]["Fn::GetAtt"][0] for account in accounts}


def statements_of(stack: Resources, role: str) -> list[tuple[set[str], list[Any]]]:
    """Return the actions and the resources of each statement that a role allows."""
    return [
        (set(as_list(statement["Action"])), as_list(statement["Resource"]))
        for statement in stack.statements(role)
        if statement["Effect"] == "Allow"
    ]

"""CloudFormation's types for CodeDeploy.

Faithful to: `AWS::CodeDeploy::Application`, `DeploymentConfig` and `DeploymentGroup` for Lambda, with
`Ref`, tags, update and replacement.
Not to: the properties of other compute platforms, and TriggerConfigurations: they are reported as not
emulated.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-codedeploy-application.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-codedeploy-deploymentconfig.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-codedeploy-deploymentgroup.html
"""

from __future__ import annotations

from typing import Any

from ministack.services.cloudformation import provisioners

from localaws.services.codedeploy import configs, groups, records

Properties = dict[str, Any]
Made = tuple[str, dict[str, Any]]

_APPLICATION = "AWS::CodeDeploy::Application"
_CONFIG = "AWS::CodeDeploy::DeploymentConfig"
_GROUP = "AWS::CodeDeploy::DeploymentGroup"
_GROUP_SETTINGS = (
    "DeploymentConfigName",
    "ServiceRoleArn",
    "DeploymentStyle",
    "AlarmConfiguration",
    "AutoRollbackConfiguration",
)


def install() -> None:
    """Register the types."""
    table = provisioners._RESOURCE_HANDLERS
    table[_APPLICATION] = {
        "create": _create_application,
        "update": _update_application,
        "delete": _delete_application,
    }
    table[_CONFIG] = {"create": _create_config, "delete": _delete_config}
    table[_GROUP] = {"create": _create_group, "update": _update_group, "delete": _delete_group}
    provisioners._REPLACING_PROPERTIES |= {
        _APPLICATION: ("ApplicationName", "ComputePlatform"),
        _CONFIG: ("DeploymentConfigName", "ComputePlatform", "TrafficRoutingConfig"),
        _GROUP: ("ApplicationName", "DeploymentGroupName"),
    }
    for type_ in (_APPLICATION, _GROUP):
        provisioners._STACK_TAG_PROPERTY[type_] = ("Tags", "list")


def _named(properties: Properties, member: str, logical_id: str, stack: str) -> str:
    return str(properties.get(member) or provisioners._physical_name(stack, logical_id, max_len=100))


def _request(value: Any) -> Any:
    """Properties as the API has them: each name begins with a small letter."""
    if isinstance(value, dict):
        return {name[0].lower() + name[1:]: _request(member) for name, member in value.items()}
    return [_request(item) for item in value] if isinstance(value, list) else _boolean(value)


def _boolean(value: Any) -> Any:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


# --- Applications


def _create_application(logical_id: str, properties: Properties, stack: str) -> Made:
    name = _named(properties, "ApplicationName", logical_id, stack)
    request = {"applicationName": name, "computePlatform": properties.get("ComputePlatform", "Server")}
    records.create_application(request)
    records.set_tags(records.application_arn(name), properties.get("Tags"))
    return name, {}


def _update_application(physical_id: str, _old: Properties, new: Properties, _stack: str) -> Made:
    records.set_tags(records.application_arn(physical_id), new.get("Tags"))
    return physical_id, {}


def _delete_application(physical_id: str, _properties: Properties) -> None:
    records.delete_application({"applicationName": physical_id})


# --- Configurations


def _create_config(logical_id: str, properties: Properties, stack: str) -> Made:
    name = _named(properties, "DeploymentConfigName", logical_id, stack)
    request = {"deploymentConfigName": name, "computePlatform": properties.get("ComputePlatform", "Server")}
    routing = properties.get("TrafficRoutingConfig")
    configs.create_config(request | {"trafficRoutingConfig": _request(routing)})
    return name, {}


def _delete_config(physical_id: str, _properties: Properties) -> None:
    configs.delete_config({"deploymentConfigName": physical_id})


# --- Groups


def _create_group(logical_id: str, properties: Properties, stack: str) -> Made:
    name = _named(properties, "DeploymentGroupName", logical_id, stack)
    owner = properties["ApplicationName"]
    named = {"applicationName": owner, "deploymentGroupName": name}
    groups.create_group(named | _settings(properties))
    records.set_tags(records.group_arn(owner, name), properties.get("Tags"))
    return name, {}


def _update_group(physical_id: str, _old: Properties, new: Properties, _stack: str) -> Made:
    owner = new["ApplicationName"]
    named = {"applicationName": owner, "currentDeploymentGroupName": physical_id}
    groups.update_group(named | _settings(new))
    records.set_tags(records.group_arn(owner, physical_id), new.get("Tags"))
    return physical_id, {}


def _settings(properties: Properties) -> dict[str, Any]:
    """All settings: one that the template no longer has goes back to its default."""
    given = {name: properties.get(name) for name in _GROUP_SETTINGS}
    request: dict[str, Any] = _request(given)
    request["deploymentConfigName"] = request["deploymentConfigName"] or configs.DEFAULT_CONFIG
    return request


def _delete_group(physical_id: str, properties: Properties) -> None:
    owner = properties.get("ApplicationName")
    groups.delete_group({"applicationName": owner, "deploymentGroupName": physical_id})

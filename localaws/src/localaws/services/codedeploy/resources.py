"""The CloudFormation types of CodeDeploy.

Faithful to: `AWS::CodeDeploy::Application`, `DeploymentConfig` and `DeploymentGroup` for Lambda, with `Ref`,
tags, update and replacement.
Not to: the properties of other compute platforms, and TriggerConfigurations, which are reported as not
emulated.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-codedeploy-application.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-codedeploy-deploymentconfig.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-codedeploy-deploymentgroup.html
"""

from __future__ import annotations

from typing import Any

from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Properties, new_resource
from localaws.services.codedeploy import configs, groups, records

_application = new_resource(
    "AWS::CodeDeploy::Application", replaced_by=("ApplicationName", "ComputePlatform"), stack_tags=True
)
_config = new_resource(
    "AWS::CodeDeploy::DeploymentConfig",
    replaced_by=("DeploymentConfigName", "ComputePlatform", "TrafficRoutingConfig"),
)
_group = new_resource(
    "AWS::CodeDeploy::DeploymentGroup",
    replaced_by=("ApplicationName", "DeploymentGroupName"),
    stack_tags=True,
)
_GROUP_SETTINGS = (
    "DeploymentConfigName",
    "ServiceRoleArn",
    "DeploymentStyle",
    "AlarmConfiguration",
    "AutoRollbackConfiguration",
)


def _named(properties: Properties, member: str, logical_id: str, stack: str) -> str:
    return str(properties.get(member) or provisioners._physical_name(stack, logical_id, max_len=100))


def _request(value: Any) -> Any:
    """Properties as parameters of the API, whose names start in lower case."""
    if isinstance(value, dict):
        return {name[0].lower() + name[1:]: _request(member) for name, member in value.items()}
    return [_request(item) for item in value] if isinstance(value, list) else _boolean(value)


def _boolean(value: Any) -> Any:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


# --- Applications


@_application.create
def _create_application(logical_id: str, properties: Properties, stack: str) -> Created:
    name = _named(properties, "ApplicationName", logical_id, stack)
    request = {"applicationName": name, "computePlatform": properties.get("ComputePlatform", "Server")}
    records.create_application(request)
    records.set_tags(records.application_arn(name), properties.get("Tags"))
    return name, {}


@_application.update
def _update_application(physical_id: str, _old: Properties, new: Properties, _stack: str) -> Created:
    records.set_tags(records.application_arn(physical_id), new.get("Tags"))
    return physical_id, {}


@_application.delete
def _delete_application(physical_id: str, _properties: Properties) -> None:
    records.delete_application({"applicationName": physical_id})


# --- Configurations


@_config.create
def _create_config(logical_id: str, properties: Properties, stack: str) -> Created:
    name = _named(properties, "DeploymentConfigName", logical_id, stack)
    request = {"deploymentConfigName": name, "computePlatform": properties.get("ComputePlatform", "Server")}
    routing = properties.get("TrafficRoutingConfig")
    configs.create_config(request | {"trafficRoutingConfig": _request(routing)})
    return name, {}


@_config.delete
def _delete_config(physical_id: str, _properties: Properties) -> None:
    configs.delete_config({"deploymentConfigName": physical_id})


# --- Groups


@_group.create
def _create_group(logical_id: str, properties: Properties, stack: str) -> Created:
    name = _named(properties, "DeploymentGroupName", logical_id, stack)
    owner = properties["ApplicationName"]
    named = {"applicationName": owner, "deploymentGroupName": name}
    groups.create_group(named | _settings(properties))
    records.set_tags(records.group_arn(owner, name), properties.get("Tags"))
    return name, {}


@_group.update
def _update_group(physical_id: str, _old: Properties, new: Properties, _stack: str) -> Created:
    owner = new["ApplicationName"]
    named = {"applicationName": owner, "currentDeploymentGroupName": physical_id}
    groups.update_group(named | _settings(new))
    records.set_tags(records.group_arn(owner, physical_id), new.get("Tags"))
    return physical_id, {}


def _settings(properties: Properties) -> dict[str, Any]:
    """All settings; one that the template omits returns to its default."""
    given = {name: properties.get(name) for name in _GROUP_SETTINGS}
    request: dict[str, Any] = _request(given)
    request["deploymentConfigName"] = request["deploymentConfigName"] or configs.DEFAULT_CONFIG
    return request


@_group.delete
def _delete_group(physical_id: str, properties: Properties) -> None:
    owner = properties.get("ApplicationName")
    groups.delete_group({"applicationName": owner, "deploymentGroupName": physical_id})

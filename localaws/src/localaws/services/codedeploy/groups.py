"""Deployment groups: service role, deployment configuration, alarms and automatic rollback.

Used by `codedeploy.service`. Settings of other compute platforms are not emulated, and triggers are stored
and send nothing.

https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_CreateDeploymentGroup.html
https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-groups-configure-advanced-options.html
"""

from __future__ import annotations

from ministack.core.responses import new_uuid

from localaws.services.codedeploy.configs import DEFAULT_CONFIG, config
from localaws.services.codedeploy.records import (
    CodeDeployError,
    Record,
    application,
    checked_name,
    group_arn,
    groups,
    set_tags,
)
from localaws.services.iam.roles import role_trusts

ROLLBACK_EVENTS = ("DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST")
_MOST_ALARMS = 50  # https://docs.aws.amazon.com/codedeploy/latest/userguide/limits.html


def create_group(request: Record) -> Record:
    """CreateDeploymentGroup."""
    owner = application(request)
    name = checked_name(request, "deploymentGroupName", "DeploymentGroup")
    if (owner["applicationName"], name) in groups:
        raise CodeDeployError("DeploymentGroupAlreadyExistsException", f"{name} already exists")
    record = {
        "applicationName": owner["applicationName"],
        "deploymentGroupId": new_uuid(),
        "deploymentGroupName": name,
        "computePlatform": "Lambda",
        "deploymentConfigName": DEFAULT_CONFIG,
    }
    groups[owner["applicationName"], name] = record | _checked_group(record | request)
    set_tags(group_arn(owner["applicationName"], name), request.get("tags"))
    return {"deploymentGroupId": record["deploymentGroupId"]}


def update_group(request: Record) -> Record:
    """UpdateDeploymentGroup; settings that the request omits stay."""
    name = request.get("currentDeploymentGroupName", "")
    record = group(request | {"deploymentGroupName": name})
    renamed = request.get("newDeploymentGroupName") or name
    key = (record["applicationName"], renamed)
    if renamed != name and key in groups:
        raise CodeDeployError("DeploymentGroupAlreadyExistsException", f"{renamed} already exists")
    changed = record | _checked_group(record | request) | {"deploymentGroupName": renamed}
    groups.pop((record["applicationName"], name))
    groups[key] = changed
    return {}


def group(request: Record) -> Record:
    """The deployment group in a request."""
    owner = application(request)
    name = checked_name(request, "deploymentGroupName", "DeploymentGroup")
    found: Record | None = groups.get((owner["applicationName"], name))
    if found is None:
        raise CodeDeployError(
            "DeploymentGroupDoesNotExistException", f"No Deployment Group found for name: {name}"
        )
    return found


def delete_group(request: Record) -> Record:
    """DeleteDeploymentGroup."""
    groups.pop((request.get("applicationName"), request.get("deploymentGroupName")), None)
    return {"hooksNotCleanedUp": []}


def _checked_group(given: Record) -> Record:
    """The settings of a group; raises CodeDeployError where CodeDeploy refuses them."""
    config(given)
    role = given.get("serviceRoleArn")
    if not role:
        raise CodeDeployError("RoleRequiredException", "The service role was not specified")
    if not role_trusts(role, "codedeploy.amazonaws.com"):
        raise CodeDeployError(
            "InvalidRoleException",
            f"AWS CodeDeploy does not have the permissions required to assume the role {role}.",
        )
    style = given.get("deploymentStyle") or {}
    wanted = {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"}
    if style != wanted:
        raise CodeDeployError(
            "InvalidDeploymentStyleException",
            f"deploymentStyle={style}: for Lambda give BLUE_GREEN and WITH_TRAFFIC_CONTROL",
        )
    return {
        "deploymentConfigName": given["deploymentConfigName"],
        "serviceRoleArn": role,
        "deploymentStyle": wanted,
        "alarmConfiguration": checked_alarms(given.get("alarmConfiguration") or {}),
        "autoRollbackConfiguration": checked_rollback(given.get("autoRollbackConfiguration") or {}),
        "triggerConfigurations": given.get("triggerConfigurations") or [],
    }


def checked_alarms(given: Record) -> Record:
    """The alarms of a group or of a deployment.

    https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_CreateDeploymentGroup.html#API_CreateDeploymentGroup_Errors
    """
    alarms = [{"name": (alarm or {}).get("name") or ""} for alarm in given.get("alarms") or []]
    names = [alarm["name"] for alarm in alarms]
    if not all(1 <= len(name) <= 255 for name in names) or len(set(names)) < len(names):
        raise CodeDeployError(
            "InvalidAlarmConfigException",
            f"alarms={names}: each needs a name of 1 to 255 characters that no other one has",
        )
    if given.get("enabled") and not alarms:
        raise CodeDeployError("InvalidAlarmConfigException", "enabled without alarms: give at least one")
    if len(alarms) > _MOST_ALARMS:
        raise CodeDeployError(
            "AlarmsLimitExceededException", f"{len(alarms)} alarms: a group has at most {_MOST_ALARMS}"
        )
    return {
        "enabled": bool(given.get("enabled")),
        "ignorePollAlarmFailure": bool(given.get("ignorePollAlarmFailure")),
        "alarms": alarms,
    }


def checked_rollback(given: Record) -> Record:
    """After what a group or a deployment is rolled back."""
    events = list(given.get("events") or [])
    if [event for event in events if event not in ROLLBACK_EVENTS] or (given.get("enabled") and not events):
        raise CodeDeployError(
            "InvalidAutoRollbackConfigException",
            f"events={events}: give some of {', '.join(ROLLBACK_EVENTS)}",
        )
    return {"enabled": bool(given.get("enabled")), "events": events}

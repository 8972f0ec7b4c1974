"""CodeDeploy's records: applications, deployment configurations and deployment groups.

Faithful to: names, the predefined configurations for Lambda, the limits of percentages and times, the
settings that a group of functions needs, and the error codes of what is refused.
Not to: the compute platforms Server and ECS, TagResource, paging, quotas of the account. Triggers are kept
and send nothing.

https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_Operations.html
https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-configurations.html
https://docs.aws.amazon.com/codedeploy/latest/userguide/limits.html
"""

from __future__ import annotations

import math
import re
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region, new_uuid, now_epoch

from localaws.bridges.iam_roles import role_trusts

Record = dict[str, Any]

ROLLBACK_EVENTS = ("DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST")
DEFAULT_CONFIG = "CodeDeployDefault.LambdaAllAtOnce"
_LONGEST_SHIFT_MINUTES = 2880
_MOST_ALARMS = 10

applications = AccountRegionScopedDict()  # by name
configs = AccountRegionScopedDict()  # by name, without the predefined ones
groups = AccountRegionScopedDict()  # by application and name
_tags = AccountRegionScopedDict()  # by ARN


class CodeDeployError(Exception):
    """A request that CodeDeploy refuses.

    Args:
        code: CodeDeploy's name for it.
        message: What was wrong.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _canary(percentage: int, minutes: int) -> Record:
    canary = {"canaryPercentage": percentage, "canaryInterval": minutes}
    return {"type": "TimeBasedCanary", "timeBasedCanary": canary}


def _linear(percentage: int, minutes: int) -> Record:
    linear = {"linearPercentage": percentage, "linearInterval": minutes}
    return {"type": "TimeBasedLinear", "timeBasedLinear": linear}


def _config(name: str, routing: Record) -> Record:
    return {
        "deploymentConfigId": new_uuid(),
        "deploymentConfigName": name,
        "computePlatform": "Lambda",
        "trafficRoutingConfig": routing,
        "createTime": now_epoch(),
    }


_ROUTINGS = {
    DEFAULT_CONFIG: {"type": "AllAtOnce"},
    **{f"CodeDeployDefault.LambdaCanary10Percent{m}Minutes": _canary(10, m) for m in (5, 10, 15, 30)},
    "CodeDeployDefault.LambdaLinear10PercentEvery1Minute": _linear(10, 1),
    **{f"CodeDeployDefault.LambdaLinear10PercentEvery{m}Minutes": _linear(10, m) for m in (2, 3, 10)},
}
_PREDEFINED = {name: _config(name, routing) for name, routing in _ROUTINGS.items()}


# --- Applications


def create_application(request: Record) -> Record:
    """CreateApplication."""
    name = _name(request, "applicationName", "Application")
    if request.get("computePlatform", "Server") != "Lambda":
        raise CodeDeployError(
            "InvalidComputePlatformException",
            f"computePlatform={request.get('computePlatform', 'Server')!r}: "
            "the embedded AWS deploys Lambda functions alone; give 'Lambda'",
        )
    if name in applications:
        raise CodeDeployError("ApplicationAlreadyExistsException", f"Application already exists: {name}")
    record = {"applicationId": new_uuid(), "applicationName": name, "computePlatform": "Lambda"}
    set_tags(application_arn(name), request.get("tags"))
    applications[name] = record | {"createTime": now_epoch(), "linkedToGitHub": False}
    return {"applicationId": record["applicationId"]}


def application(request: Record) -> Record:
    """The application that a request names."""
    name = _name(request, "applicationName", "Application")
    found: Record | None = applications.get(name)
    if found is None:
        raise CodeDeployError("ApplicationDoesNotExistException", f"No application found for name: {name}")
    return found


def delete_application(request: Record) -> Record:
    """DeleteApplication, with its groups."""
    name = _name(request, "applicationName", "Application")
    applications.pop(name, None)
    for key in [key for key in groups if key[0] == name]:
        groups.pop(key, None)
    return {}


# --- Deployment configurations


def create_config(request: Record) -> Record:
    """CreateDeploymentConfig."""
    name = _name(request, "deploymentConfigName", "DeploymentConfig")
    if request.get("computePlatform", "Server") != "Lambda":
        raise CodeDeployError("InvalidComputePlatformException", "The embedded AWS knows 'Lambda' alone")
    if name.startswith("CodeDeployDefault."):
        raise CodeDeployError(
            "InvalidDeploymentConfigNameException", f"{name}: names of CodeDeployDefault are reserved"
        )
    if name in configs:
        raise CodeDeployError("DeploymentConfigAlreadyExistsException", f"{name} already exists")
    record = _config(name, _checked_routing(request.get("trafficRoutingConfig") or {"type": "AllAtOnce"}))
    configs[name] = record
    return {"deploymentConfigId": record["deploymentConfigId"]}


def _checked_routing(given: Record) -> Record:
    """The routing with whole numbers; refused outside of CodeDeploy's limits."""
    kinds = {"TimeBasedCanary": ("canary", 2), "TimeBasedLinear": ("linear", 0), "AllAtOnce": ("", 0)}
    if given.get("type") not in kinds:
        raise _routing_error(f"type={given.get('type')!r}: give one of {', '.join(kinds)}")
    kind, shifts = kinds[given["type"]]
    if not kind:
        return {"type": "AllAtOnce"}
    member = f"timeBased{kind.title()}"
    settings = given.get(member) or {}
    try:
        percentage, minutes = (int(settings[f"{kind}{each}"]) for each in ("Percentage", "Interval"))
    except (KeyError, ValueError) as error:
        raise _routing_error(f"{member} needs {kind}Percentage and {kind}Interval") from error
    if not 1 <= percentage <= 99:
        raise _routing_error(f"{kind}Percentage={percentage}: give 1 to 99")
    length = minutes * ((shifts or math.ceil(100 / percentage)) - 1)
    if minutes < 1 or length > _LONGEST_SHIFT_MINUTES:
        raise _routing_error(
            f"{kind}Interval={minutes}: the last shift would come {length} minutes after the first; "
            f"give at least 1 minute, and at most {_LONGEST_SHIFT_MINUTES} minutes in all"
        )
    return {"type": given["type"], member: {f"{kind}Percentage": percentage, f"{kind}Interval": minutes}}


def _routing_error(message: str) -> CodeDeployError:
    return CodeDeployError("InvalidTrafficRoutingConfigurationException", message)


def config(request: Record) -> Record:
    """The configuration that a request names, predefined or not."""
    name = _name(request, "deploymentConfigName", "DeploymentConfig")
    found: Record | None = _PREDEFINED.get(name) or configs.get(name)
    if found is None:
        raise CodeDeployError(
            "DeploymentConfigDoesNotExistException", f"No deployment configuration found for name: {name}"
        )
    return found


def config_names() -> list[str]:
    """All configurations that there are."""
    return [*_PREDEFINED, *configs]


def delete_config(request: Record) -> Record:
    """DeleteDeploymentConfig; not while a group uses it, and not a predefined one."""
    name = _name(request, "deploymentConfigName", "DeploymentConfig")
    if name in _PREDEFINED:
        raise CodeDeployError("InvalidOperationException", f"{name} is predefined and cannot be deleted")
    if any(group["deploymentConfigName"] == name for group in groups.values()):
        raise CodeDeployError("DeploymentConfigInUseException", f"{name} is used by a deployment group")
    configs.pop(name, None)
    return {}


# --- Deployment groups


def create_group(request: Record) -> Record:
    """CreateDeploymentGroup."""
    owner = application(request)
    name = _name(request, "deploymentGroupName", "DeploymentGroup")
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
    """UpdateDeploymentGroup: what is not given stays."""
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
    """The deployment group that a request names."""
    owner = application(request)
    name = _name(request, "deploymentGroupName", "DeploymentGroup")
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
    """The settings of a group, refused where CodeDeploy refuses them."""
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
    """The alarms of a group or of a deployment."""
    alarms = [{"name": alarm["name"]} for alarm in given.get("alarms") or []]
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


def _name(request: Record, member: str, kind: str) -> str:
    name = request.get(member)
    if not name:
        raise CodeDeployError(f"{kind}NameRequiredException", f"{member} was not specified")
    if not re.fullmatch(r"[\w+=,.@-]{1,100}", name, re.ASCII):
        raise CodeDeployError(
            f"Invalid{kind}NameException", f"{member}={name!r}: give 1 to 100 letters, digits and +-=.,@_"
        )
    return str(name)


# --- Tags


def application_arn(name: str) -> str:
    """The ARN of an application."""
    return f"arn:aws:codedeploy:{get_region()}:{get_account_id()}:application:{name}"


def group_arn(application_name: str, name: str) -> str:
    """The ARN of a deployment group."""
    return f"arn:aws:codedeploy:{get_region()}:{get_account_id()}:deploymentgroup:{application_name}/{name}"


def set_tags(arn: str, tags: list[dict[str, str]] | None) -> None:
    """Give a resource these tags, and no others."""
    _tags[arn] = [{"Key": tag["Key"], "Value": tag["Value"]} for tag in tags or []]


def list_tags(request: Record) -> Record:
    """ListTagsForResource."""
    return {"Tags": _tags.get(request.get("ResourceArn"), [])}


def clear() -> None:
    """Forget everything."""
    for store in (applications, configs, groups, _tags):
        store.clear()

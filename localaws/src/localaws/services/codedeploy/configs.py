"""Deployment configurations: how traffic shifts from one version of a function to the next.

Used by `codedeploy.service`. The predefined configurations for Lambda, and custom canary and linear ones with
the limits of their percentages and intervals, which are whole numbers. Configurations for other compute
platforms are not emulated.

https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-configurations.html
https://docs.aws.amazon.com/codedeploy/latest/userguide/limits.html
https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_TimeBasedCanary.html (integers)
"""

from __future__ import annotations

import math

from ministack.core.responses import new_uuid, now_epoch

from localaws.services.codedeploy.records import CodeDeployError, Record, checked_name, configs, groups

DEFAULT_CONFIG = "CodeDeployDefault.LambdaAllAtOnce"
_LONGEST_SHIFT_MINUTES = 2880


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


def create_config(request: Record) -> Record:
    """CreateDeploymentConfig."""
    name = checked_name(request, "deploymentConfigName", "DeploymentConfig")
    if request.get("computePlatform", "Server") != "Lambda":
        raise CodeDeployError(
            "InvalidComputePlatformException", "Only the compute platform 'Lambda' is emulated"
        )
    if name.startswith("CodeDeployDefault."):
        raise CodeDeployError(
            "InvalidDeploymentConfigNameException",
            f"{name}: names that start with CodeDeployDefault are reserved",
        )
    if name in configs:
        raise CodeDeployError("DeploymentConfigAlreadyExistsException", f"{name} already exists")
    record = _config(name, _checked_routing(request.get("trafficRoutingConfig") or {"type": "AllAtOnce"}))
    configs[name] = record
    return {"deploymentConfigId": record["deploymentConfigId"]}


def _checked_routing(given: Record) -> Record:
    """The routing with integers; values beyond CodeDeploy's limits are refused."""
    kinds = {"TimeBasedCanary": ("canary", 2), "TimeBasedLinear": ("linear", 0), "AllAtOnce": ("", 0)}
    if given.get("type") not in kinds:
        raise _routing_error(f"type={given.get('type')!r}: it must be one of {', '.join(kinds)}")
    kind, shifts = kinds[given["type"]]
    if not kind:
        return {"type": "AllAtOnce"}
    member = f"timeBased{kind.title()}"
    settings = given.get(member) or {}
    try:
        percentage, minutes = (_whole(settings[f"{kind}{each}"]) for each in ("Percentage", "Interval"))
    except (KeyError, TypeError, ValueError) as error:
        raise _routing_error(
            f"{member} needs {kind}Percentage and {kind}Interval, which are whole numbers; it has {settings}"
        ) from error
    if not 1 <= percentage <= 99:
        raise _routing_error(f"{kind}Percentage={percentage}: it must be from 1 to 99")
    length = minutes * ((shifts or math.ceil(100 / percentage)) - 1)
    if minutes < 1 or length > _LONGEST_SHIFT_MINUTES:
        raise _routing_error(
            f"{kind}Interval={minutes}: the last shift would be {length} minutes after the first; "
            f"an interval is at least 1 minute, and all together are at most {_LONGEST_SHIFT_MINUTES} minutes"
        )
    return {"type": given["type"], member: {f"{kind}Percentage": percentage, f"{kind}Interval": minutes}}


def _whole(value: object) -> int:
    """An integer; CloudFormation passes numbers also as strings.

    Raises:
        ValueError: It is something else, such as 12.5.
    """
    if isinstance(value, bool) or float(str(value)) % 1:
        raise ValueError(value)
    return int(float(str(value)))


def _routing_error(message: str) -> CodeDeployError:
    return CodeDeployError("InvalidTrafficRoutingConfigurationException", message)


def config(request: Record) -> Record:
    """The configuration in a request, predefined or custom."""
    name = checked_name(request, "deploymentConfigName", "DeploymentConfig")
    found: Record | None = _PREDEFINED.get(name) or configs.get(name)
    if found is None:
        raise CodeDeployError(
            "DeploymentConfigDoesNotExistException", f"No deployment configuration found for name: {name}"
        )
    return found


def config_names() -> list[str]:
    """The names of all configurations."""
    return [*_PREDEFINED, *configs]


def delete_config(request: Record) -> Record:
    """DeleteDeploymentConfig. Predefined configurations, and those in use, are refused."""
    name = checked_name(request, "deploymentConfigName", "DeploymentConfig")
    if name in _PREDEFINED:
        raise CodeDeployError("InvalidOperationException", f"{name} is predefined and cannot be deleted")
    if any(group["deploymentConfigName"] == name for group in groups.values()):
        raise CodeDeployError("DeploymentConfigInUseException", f"{name} is used by a deployment group")
    configs.pop(name, None)
    return {}

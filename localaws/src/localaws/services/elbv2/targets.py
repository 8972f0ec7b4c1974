"""Target groups with the targets and health check settings of their template or API call.

The emulator drops the targets in a template, registers any function, and checks the health of none.

Faithful to: `AWS::ElasticLoadBalancingV2::TargetGroup` Targets, when it is created and updated. A function is
registered, by a template or by RegisterTargets, only if it exists and its policy allows
`elasticloadbalancing.amazonaws.com` to invoke it for this target group. Health checks of functions are
disabled by default, with the documented interval, timeout and threshold. Names, settings of health checks and
idle timeouts that Elastic Load Balancing does not allow are refused. Deleting the stack of a load balancer
with deletion protection fails.
Not to: target groups with other types of targets, which are those of the emulator; weights of several target
groups, stickiness, access logs and WAF, which are only recorded.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-elasticloadbalancingv2-targetgroup.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from ministack.services import alb, lambda_svc
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Handler, Properties, action, resource
from localaws.services.elbv2.functions import may_invoke
from localaws.services.elbv2.rules import InvalidRequestError

Response = tuple[int, dict[str, str], bytes]

# The defaults for target groups of functions differ from those for other types.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html
_HEALTH_CHECK_DEFAULTS = {
    "HealthCheckEnabled": False,
    "HealthCheckIntervalSeconds": 35,
    "HealthCheckTimeoutSeconds": 30,
    "UnhealthyThresholdCount": 5,
}
_RANGES = {
    "HealthCheckIntervalSeconds": (5, 300),
    "HealthCheckTimeoutSeconds": (2, 120),
    "HealthyThresholdCount": (2, 10),
    "UnhealthyThresholdCount": (2, 10),
}
# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancerAttribute.html
_IDLE_TIMEOUT, _IDLE_RANGE = "idle_timeout.timeout_seconds", (1, 4000)
_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,32}(?<!-)")
_HTTP_CODES = re.compile(r"[2-4]\d\d([,-][2-4]\d\d)*")


# --- CloudFormation


@resource("AWS::ElasticLoadBalancingV2::TargetGroup", after=["elbv2.shapes"]).create
def _create_group(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    _check_group(properties, (properties.get("Matcher") or {}).get("HttpCode"))
    arn, attributes = stock(logical_id, properties, stack)
    _apply_defaults(alb._tgs[arn], properties)
    try:
        _set_targets(arn, properties.get("Targets") or [])
    except ValueError:  # CloudFormation does not delete a resource whose creation failed
        provisioners._elbv2_target_group_delete(arn, properties)
        raise
    return arn, attributes


@resource("AWS::ElasticLoadBalancingV2::TargetGroup").update
def _update_group(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    _check_group(new, (new.get("Matcher") or {}).get("HttpCode"))
    arn, attributes = stock(physical_id, old, new, stack, logical_id)
    _apply_defaults(alb._tgs[arn], new)
    if arn != physical_id or old.get("Targets") != new.get("Targets"):
        _set_targets(arn, new.get("Targets") or [])
    return arn, attributes


@resource("AWS::ElasticLoadBalancingV2::LoadBalancer").delete
def _delete_balancer(stock: Callable[..., None], physical_id: str, properties: Properties) -> None:
    if alb._lb_attr(physical_id, "deletion_protection.enabled", "false") == "true":
        raise ValueError(
            f"Load balancer '{physical_id}' cannot be deleted because deletion protection is enabled"
        )
    stock(physical_id, properties)


@resource("AWS::ElasticLoadBalancingV2::LoadBalancer").create
def _create_balancer(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    _check_attributes(properties.get("LoadBalancerAttributes") or [])
    return stock(logical_id, properties, stack)


@resource("AWS::ElasticLoadBalancingV2::LoadBalancer").update
def _update_balancer(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    _check_attributes(new.get("LoadBalancerAttributes") or [])
    return stock(physical_id, old, new, stack, logical_id)


def _check_attributes(attributes: Sequence[Properties]) -> None:
    for one in attributes:
        if one.get("Key") == _IDLE_TIMEOUT:
            _check_number(_IDLE_TIMEOUT, one.get("Value"), _IDLE_RANGE, "InvalidConfigurationRequest")


def _check_group(given: Properties, matcher: str | None, current: Properties | None = None) -> None:
    """Check the settings of a target group.

    Args:
        given: What the request sets.
        matcher: The codes that pass a health check, if the request sets them.
        current: The target group, if it exists.

    Raises:
        InvalidRequestError: Elastic Load Balancing does not allow a value.
    """
    name = given.get("Name")
    if name and not _NAME.fullmatch(str(name)):
        raise InvalidRequestError(
            f"Target group name '{name}' cannot be longer than '32' characters, must contain only letters, "
            "digits or hyphens, and must not begin or end with a hyphen"
        )
    for setting, allowed in _RANGES.items():
        if given.get(setting) not in (None, ""):
            _check_number(setting, given[setting], allowed)
    current = current or {}
    if given.get("TargetType", current.get("TargetType")) != "lambda":
        return
    path = given.get("HealthCheckPath")
    if path and not str(path).startswith("/"):
        raise InvalidRequestError(f"Health check path '{path}' must start with a '/'")
    if matcher and not _HTTP_CODES.fullmatch(str(matcher)):
        raise InvalidRequestError(
            f"Health check matcher HTTP code '{matcher}' must be within the range 200-499"
        )
    settings = {
        **_HEALTH_CHECK_DEFAULTS,
        **current,
        **{name: value for name, value in given.items() if value},
    }
    if int(settings["HealthCheckTimeoutSeconds"]) >= int(settings["HealthCheckIntervalSeconds"]):
        raise InvalidRequestError("Health check interval must be greater than the timeout.")


def _check_number(name: str, value: object, allowed: tuple[int, int], code: str = "ValidationError") -> None:
    low, high = allowed
    if not re.fullmatch(r"\d{1,9}", str(value)) or not low <= int(str(value)) <= high:
        raise InvalidRequestError(
            f"{name} '{value}' must be a whole number between {low} and {high} inclusive", code
        )


def _apply_defaults(group: dict[str, Any], given: Properties) -> None:
    if group["TargetType"] == "lambda":
        group.update({name: value for name, value in _HEALTH_CHECK_DEFAULTS.items() if name not in given})


def _set_targets(arn: str, targets: Sequence[Properties]) -> None:
    if alb._tgs[arn]["TargetType"] == "lambda":
        for target in targets:
            _check_function(target["Id"], arn)
    alb._targets[arn] = [
        {"Id": target["Id"], **({"Port": int(target["Port"])} if "Port" in target else {})}
        for target in targets
    ]


def _check_function(function: str, target_group: str) -> None:
    """Refuse a function as Elastic Load Balancing does.

    Raises:
        ValueError: It does not exist, or the load balancer may not invoke it.
    """
    record, _config, _name = lambda_svc._get_func_record_for_ref(function)
    if record is None:
        raise ValueError(f"The Lambda function {function} could not be found")
    if not may_invoke(function, target_group):
        raise ValueError(
            f"elasticloadbalancing principal does not have permission to invoke {function} from target group "
            f"{target_group}"
        )


# --- The API


@action(alb, "CreateTargetGroup")
def _create_target_group(stock: Callable[..., Response], params: dict[str, Any]) -> Response:
    if refused := _refused_group(params, None):
        return refused
    response = stock(params)
    name = alb._p(params, "Name")
    for group in alb._tgs.values():
        if response[0] == 200 and group["TargetGroupName"] == name:
            _apply_defaults(group, params)
    return response


@action(alb, "ModifyTargetGroup")
def _modify_target_group(stock: Callable[..., Response], params: dict[str, Any]) -> Response:
    return _refused_group(params, alb._tgs.get(alb._p(params, "TargetGroupArn"))) or stock(params)


def _refused_group(params: dict[str, Any], current: Properties | None) -> Response | None:
    given = {
        name: alb._p(params, name)
        for name in ("Name", "TargetType", "HealthCheckPath", *_RANGES)
        if name in params
    }
    try:
        _check_group(given, alb._p(params, "Matcher.HttpCode"), current)
    except InvalidRequestError as refused:
        return refused.response()
    return None


@action(alb, "ModifyLoadBalancerAttributes")
def _modify_attributes(stock: Callable[..., Response], params: dict[str, Any]) -> Response:
    attributes: list[Properties] = []
    while key := alb._p(params, f"Attributes.member.{len(attributes) + 1}.Key"):
        value = alb._p(params, f"Attributes.member.{len(attributes) + 1}.Value")
        attributes.append({"Key": key, "Value": value})
    try:
        _check_attributes(attributes)
    except InvalidRequestError as refused:
        return refused.response()
    return stock(params)


@action(alb, "RegisterTargets")
def _register_targets(stock: Callable[..., Response], params: dict[str, Any]) -> Response:
    arn = alb._p(params, "TargetGroupArn")
    if alb._tgs.get(arn, {}).get("TargetType") == "lambda":
        for target in alb._parse_targets_param(params):
            try:
                _check_function(target["Id"], arn)
            except ValueError as refusal:
                refused: Response = alb._error("AccessDenied", str(refusal), 403)
                return refused
    return stock(params)

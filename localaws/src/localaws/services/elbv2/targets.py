"""Target groups: the targets and health check settings of their template or API call, and what is refused.

The emulator drops the targets in a template, registers any function, and checks the health of none.

Faithful to: `AWS::ElasticLoadBalancingV2::TargetGroup` Targets, when it is created and updated. Through the
API and in templates,
- a function is registered only if it exists and its policy allows `elasticloadbalancing.amazonaws.com` to
  invoke it for this target group, and as the only target of its group;
- a name has at most 32 letters, digits and hyphens; a target group is created again only with the same
  settings;
- target groups of functions have no protocol, port and VPC, and others need them;
- settings of health checks are in range, and their defaults are those of functions: disabled, with the
  documented interval, timeout and threshold; attributes are those of the type of target;
- a target group that a listener or rule uses is not deleted.
Not to: target groups with other types of targets, which are otherwise those of the emulator; weights of
several target groups, stickiness, access logs and WAF, which are only recorded.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-elasticloadbalancingv2-targetgroup.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RegisterTargets.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetGroupAttribute.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ministack.services import alb, ec2, lambda_svc
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Handler, Properties, action, resource
from localaws.services.elbv2.functions import may_invoke
from localaws.services.elbv2.listeners import users_of
from localaws.services.elbv2.refusals import (
    InvalidRequestError,
    Response,
    answered,
    check_choice,
    check_range,
    nested,
    violated,
)

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
_NAME = r"(?!^-)(?!.*-$)^[A-Za-z0-9-]+$"
_HTTP_CODES = re.compile(r"\d{3}([,-]\d{3})*")
_TYPES = ("instance", "ip", "lambda", "alb")
_NETWORK = {"Protocol": "protocol", "Port": "port", "VpcId": "VPC ID"}
_SETTINGS = ("Name", "TargetType", "HealthCheckPath", *_NETWORK, *_RANGES)

_BOOLEAN = ("true", "false")
_COUNT = re.compile(r"off|[1-9]\d{0,5}")
# What the values of an attribute are: choices, a range or a pattern.
_OF_ALL: dict[str, Any] = {
    "stickiness.enabled": _BOOLEAN,
    "stickiness.type": re.compile(r"lb_cookie|app_cookie|source_ip(_dest_ip(_proto)?)?"),
}
_OF_FUNCTIONS: dict[str, Any] = {**_OF_ALL, "lambda.multi_value_headers.enabled": _BOOLEAN}
_OF_OTHERS: dict[str, Any] = {
    **_OF_ALL,
    "deregistration_delay.timeout_seconds": range(3601),
    "deregistration_delay.connection_termination.enabled": _BOOLEAN,
    "load_balancing.algorithm.anomaly_mitigation": ("on", "off"),
    "load_balancing.algorithm.type": ("round_robin", "least_outstanding_requests", "weighted_random"),
    "load_balancing.cross_zone.enabled": (*_BOOLEAN, "use_load_balancer_configuration"),
    "preserve_client_ip.enabled": _BOOLEAN,
    "proxy_protocol_v2.enabled": _BOOLEAN,
    "slow_start.duration_seconds": range(30, 901),  # or 0, which is off
    "stickiness.app_cookie.cookie_name": re.compile(r"(?!AWSALB).+"),
    "stickiness.app_cookie.duration_seconds": range(1, 604_801),
    "stickiness.lb_cookie.duration_seconds": range(1, 604_801),
    "target_failover.on_deregistration": ("rebalance", "no_rebalance"),
    "target_failover.on_unhealthy": ("rebalance", "no_rebalance"),
    "target_health_state.unhealthy.connection_termination.enabled": _BOOLEAN,
    "target_health_state.unhealthy.draining_interval_seconds": range(360_001),
    **{
        f"target_group_health.{part}.minimum_healthy_targets.{unit}": _COUNT
        for part in ("dns_failover", "unhealthy_state_routing")
        for unit in ("count", "percentage")
    },
}


# --- CloudFormation


@resource("AWS::ElasticLoadBalancingV2::TargetGroup", after=["elbv2.shapes"]).create
def _create_group(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    kind = _check_group(properties, (properties.get("Matcher") or {}).get("HttpCode"))
    _check_attributes(kind, properties.get("TargetGroupAttributes") or [])
    if (name := properties.get("Name")) and _named(str(name)):
        raise _duplicate(str(name))
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
    kind = _check_group(new, (new.get("Matcher") or {}).get("HttpCode"))
    _check_attributes(kind, new.get("TargetGroupAttributes") or [])
    arn, attributes = stock(physical_id, old, new, stack, logical_id)
    _apply_defaults(alb._tgs[arn], new)
    if arn != physical_id or old.get("Targets") != new.get("Targets"):
        _set_targets(arn, new.get("Targets") or [])
    return arn, attributes


@resource("AWS::ElasticLoadBalancingV2::TargetGroup").delete
def _delete_group(stock: Callable[..., None], physical_id: str, properties: Properties) -> None:
    _check_unused(physical_id)
    stock(physical_id, properties)


def _check_group(given: Properties, matcher: str | None, current: Properties | None = None) -> str:
    """Check the settings of a target group; returns the type of its targets.

    Args:
        given: What the request sets.
        matcher: The codes that pass a health check, if the request sets them.
        current: The target group, if it exists.

    Raises:
        InvalidRequestError: Elastic Load Balancing does not allow a value.
    """
    current = current or {}
    if name := given.get("Name"):
        _check_name(str(name))
    kind = str(given.get("TargetType") or current.get("TargetType") or "instance")
    check_choice("targetType", kind, _TYPES)
    if not current:
        _check_network(kind, given)
    for setting, (low, high) in _RANGES.items():
        if given.get(setting) not in (None, ""):
            check_range(setting[0].lower() + setting[1:], given[setting], low, high)
    if kind != "lambda":
        return kind
    path = given.get("HealthCheckPath")
    if path and not str(path).startswith("/"):
        raise InvalidRequestError(f"Health check path '{path}' must begin with a '/' character")
    if matcher and not _is_matcher(str(matcher)):
        text = f"Health check matcher HTTP code '{matcher}' must be within '200-499' inclusive"
        raise InvalidRequestError(text)
    changed = {name: value for name, value in given.items() if value}
    settings = {**_HEALTH_CHECK_DEFAULTS, **current, **changed}
    timeout, interval = settings["HealthCheckTimeoutSeconds"], settings["HealthCheckIntervalSeconds"]
    if int(timeout) >= int(interval):
        text = f"Health check timeout '{timeout}' must be smaller than the interval '{interval}'"
        raise InvalidRequestError(text)
    return kind


def _check_name(name: str) -> None:
    if len(name) > 32:
        raise InvalidRequestError(f"Target group name '{name}' cannot be longer than '32' characters")
    if not re.fullmatch(_NAME, name):
        pattern = f"Member must satisfy regular expression pattern: {_NAME}"
        raise violated("targetGroupName", name, pattern)


def _check_network(kind: str, given: Properties) -> None:
    """Check that a target group has a protocol, a port and a VPC exactly if it needs them."""
    for setting, words in _NETWORK.items():
        if kind == "lambda" and given.get(setting):
            what = words[0].upper() + words[1:]
            raise InvalidRequestError(
                f"{what} cannot be specified for target groups with target type 'lambda'"
            )
        if kind != "lambda" and not given.get(setting):
            raise InvalidRequestError(f"A {words} must be specified")
    if kind != "lambda":
        check_range("port", given["Port"], 1, 65_535)
        ec2._ensure_defaults_initialized()
        if given["VpcId"] not in ec2._vpcs:
            raise InvalidRequestError(f"The VPC ID '{given['VpcId']}' is not found")


def _is_matcher(codes: str) -> bool:
    numbers = [int(code) for code in re.findall(r"\d{3}", codes)]
    return _HTTP_CODES.fullmatch(codes) is not None and all(200 <= code <= 499 for code in numbers)


def _check_attributes(kind: str, attributes: Sequence[Properties]) -> None:
    allowed, others = (_OF_FUNCTIONS, _OF_OTHERS) if kind == "lambda" else (_OF_OTHERS, _OF_FUNCTIONS)
    for key, count in Counter(str(one.get("Key")) for one in attributes).items():
        if count > 1:
            raise InvalidRequestError(f"Attribute key '{key}' has been specified more than once")
        if key not in allowed and key in others:
            text = f"A target group with target type '{kind}' does not support the attribute {key}"
            raise InvalidRequestError(text, "InvalidConfigurationRequest")
        if key not in allowed:
            raise InvalidRequestError(f"Target group attribute key '{key}' is not recognized")
    for one in attributes:
        key, value = one["Key"], str(one.get("Value", ""))
        if (key, value) != ("slow_start.duration_seconds", "0") and (
            reason := _of_value(value, allowed[key])
        ):
            raise InvalidRequestError(f"'{key}' value '{value}' {reason}")


def _of_value(value: str, allowed: Any) -> str | None:
    """Why an attribute cannot have a value; None if it can."""
    if isinstance(allowed, range):
        fits = re.fullmatch(r"\d{1,9}", value, re.ASCII) and int(value) in allowed
        return None if fits else f"must be between '{allowed.start}-{allowed.stop - 1}' inclusive"
    if isinstance(allowed, re.Pattern):
        return None if allowed.fullmatch(value) else "is not valid"
    return None if value.lower() in allowed else f"must be one of [{', '.join(allowed)}]"


def _check_unused(arn: str) -> None:
    if users_of(arn):
        text = f"Target group '{arn}' is currently in use by a listener or a rule"
        raise InvalidRequestError(text, "ResourceInUse")


def _named(name: str) -> dict[str, Any] | None:
    found = (group for group in alb._tgs.values() if group["TargetGroupName"] == name)
    return next(found, None)


def _duplicate(name: str) -> InvalidRequestError:
    text = f"A target group with the same name '{name}' exists, but with different settings"
    return InvalidRequestError(text, "DuplicateTargetGroupName")


def _apply_defaults(group: dict[str, Any], given: Properties) -> None:
    if group["TargetType"] == "lambda":
        group.update({name: value for name, value in _HEALTH_CHECK_DEFAULTS.items() if name not in given})


def _set_targets(arn: str, targets: Sequence[Properties]) -> None:
    if alb._tgs[arn]["TargetType"] == "lambda":
        _check_single({str(target["Id"]) for target in targets})
        for target in targets:
            _check_function(target["Id"], arn)
    alb._targets[arn] = [
        {"Id": target["Id"], **({"Port": int(target["Port"])} if "Port" in target else {})}
        for target in targets
    ]


def _check_single(functions: set[str]) -> None:
    if len(functions) > 1:
        text = f"Up to '1' Lambda function target(s) can be registered, but '{len(functions)}' were specified"
        raise InvalidRequestError(text, "TooManyTargets")


def _check_function(function: str, target_group: str) -> None:
    """Refuse a function as Elastic Load Balancing does.

    Raises:
        InvalidRequestError: It does not exist, or the load balancer may not invoke it.
    """
    record, _config, _name = lambda_svc._get_func_record_for_ref(function)
    if record is None:
        raise InvalidRequestError(f"The Lambda function {function} could not be found", "AccessDenied")
    if not may_invoke(function, target_group):
        raise InvalidRequestError(
            f"elasticloadbalancing principal does not have permission to invoke {function} from target group "
            f"{target_group}",
            "AccessDenied",
        )


# --- The API


@action(alb, "CreateTargetGroup")
@answered
def _create_target_group(stock: Callable[..., Response], params: dict[str, Any]) -> Response:
    given = _given(params)
    _check_group(given, alb._p(params, "Matcher.HttpCode"))
    existing = _named(str(given.get("Name")))
    if existing is None:
        response = stock(params)
        if group := _named(str(given.get("Name"))):
            _apply_defaults(group, params)
        return response
    wanted = {"TargetType": "instance", **given}
    if any(str(existing.get(name, value)) != str(value) for name, value in wanted.items()):
        raise _duplicate(given["Name"])
    found: Response = alb._xml(
        200, "CreateTargetGroup", f"<TargetGroups>{alb._tg_xml(existing)}</TargetGroups>"
    )
    return found


@action(alb, "ModifyTargetGroup")
@answered
def _modify_target_group(stock: Callable[..., Response], params: dict[str, Any]) -> Response:
    current = alb._tgs.get(alb._p(params, "TargetGroupArn"))
    if current:
        _check_group(_given(params), alb._p(params, "Matcher.HttpCode"), current)
    return stock(params)


def _given(params: dict[str, Any]) -> Properties:
    return {name: alb._p(params, name) for name in _SETTINGS if name in params}


@action(alb, "ModifyTargetGroupAttributes")
@answered
def _modify_attributes(stock: Callable[..., Response], params: dict[str, Any]) -> Response:
    if group := alb._tgs.get(alb._p(params, "TargetGroupArn")):
        _check_attributes(group["TargetType"], nested(params, "Attributes"))
    return stock(params)


@action(alb, "DeleteTargetGroup")
@answered
def _delete_target_group(stock: Callable[..., Response], params: dict[str, Any]) -> Response:
    _check_unused(alb._p(params, "TargetGroupArn"))
    return stock(params)


@action(alb, "RegisterTargets")
@answered
def _register_targets(stock: Callable[..., Response], params: dict[str, Any]) -> Response:
    arn = alb._p(params, "TargetGroupArn")
    if alb._tgs.get(arn, {}).get("TargetType") == "lambda":
        functions = {target["Id"] for target in alb._parse_targets_param(params)}
        _check_single(functions)
        for function in functions:
            _check_function(function, arn)
        _check_single(functions | {target["Id"] for target in alb._targets.get(arn, [])})
    return stock(params)

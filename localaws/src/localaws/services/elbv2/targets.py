"""Load balancers: target groups with the targets and settings that their template or an API call gives them.

The emulator drops the targets of a template, lets any function be one, and checks the health of none.

Faithful to: `AWS::ElasticLoadBalancingV2::TargetGroup` Targets, when it is created and when they change. A
function is registered, by a template or by RegisterTargets, only if it exists and its policy lets
`elasticloadbalancing.amazonaws.com` invoke it for this target group. Health checks of functions are off
unless they are asked for, with the documented interval and timeout. A load balancer with deletion protection
is not deleted with its stack.
Not to: what a target group with another type of target does with them (that is the emulator's), weights of
several target groups, stickiness, access logs, WAF: they are recorded.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-elasticloadbalancingv2-targetgroup.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ministack.services import alb, lambda_svc
from ministack.services.cloudformation import provisioners

from localaws.services.elbv2 import functions as alb_functions
from localaws.services.elbv2 import health as alb_health
from localaws.services.elbv2 import requests as alb_requests
from localaws.services.elbv2.functions import may_invoke

Properties = Mapping[str, Any]
Response = tuple[int, dict[str, str], bytes]

# For target groups of functions, other than for the rest.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html
_HEALTH_CHECK_DEFAULTS = {
    "HealthCheckEnabled": False,
    "HealthCheckIntervalSeconds": 35,
    "HealthCheckTimeoutSeconds": 30,
}


def install() -> None:
    """Extend the handlers of the types, and of the API calls that do the same."""
    alb_requests.install()
    alb_functions.install()
    alb_health.install()
    handlers = provisioners._RESOURCE_HANDLERS
    group = handlers["AWS::ElasticLoadBalancingV2::TargetGroup"]
    group["create"] = _creating(group["create"])
    group["update"] = _updating(group["update"])
    balancer = handlers["AWS::ElasticLoadBalancingV2::LoadBalancer"]
    balancer["delete"] = _deleting(balancer["delete"])
    calls = alb._ACTION_MAP
    calls["CreateTargetGroup"] = _create_target_group(calls["CreateTargetGroup"])
    calls["RegisterTargets"] = _register_targets(calls["RegisterTargets"])


# --- CloudFormation


def _creating(create: Callable[..., tuple[str, dict[str, Any]]]) -> Callable[..., Any]:
    def create_and_register(logical_id: str, properties: Properties, stack: str) -> Any:
        arn, attributes = create(logical_id, properties, stack)
        _apply_defaults(alb._tgs[arn], properties)
        try:
            _set_targets(arn, properties.get("Targets") or [])
        except ValueError:  # a resource whose creation fails is not there
            provisioners._elbv2_target_group_delete(arn, properties)
            raise
        return arn, attributes

    return create_and_register


def _updating(update: Callable[..., tuple[str, dict[str, Any]]]) -> Callable[..., Any]:
    def update_and_register(physical_id: str, old: Properties, new: Properties, *args: Any) -> Any:
        arn, attributes = update(physical_id, old, new, *args)
        _apply_defaults(alb._tgs[arn], new)
        if arn != physical_id or old.get("Targets") != new.get("Targets"):
            _set_targets(arn, new.get("Targets") or [])
        return arn, attributes

    return update_and_register


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
    """Refuse a function as ELB does.

    Raises:
        ValueError: It does not exist, or ELB may not invoke it.
    """
    record, _config, _name = lambda_svc._get_func_record_for_ref(function)
    if record is None:
        raise ValueError(f"The Lambda function {function} could not be found")
    if not may_invoke(function, target_group):
        raise ValueError(
            f"elasticloadbalancing principal does not have permission to invoke {function} from target group "
            f"{target_group}"
        )


def _deleting(delete: Callable[..., None]) -> Callable[..., None]:
    def delete_unless_protected(physical_id: str, properties: Properties) -> None:
        if alb._lb_attr(physical_id, "deletion_protection.enabled", "false") == "true":
            raise ValueError(
                f"Load balancer '{physical_id}' cannot be deleted because deletion protection is enabled"
            )
        delete(physical_id, properties)

    return delete_unless_protected


# --- The API


def _create_target_group(create: Callable[..., Response]) -> Callable[..., Response]:
    def create_with_defaults(params: dict[str, Any]) -> Response:
        response = create(params)
        name = alb._p(params, "Name")
        for group in alb._tgs.values():
            if response[0] == 200 and group["TargetGroupName"] == name:
                _apply_defaults(group, params)
        return response

    return create_with_defaults


def _register_targets(register: Callable[..., Response]) -> Callable[..., Response]:
    def register_if_allowed(params: dict[str, Any]) -> Response:
        arn = alb._p(params, "TargetGroupArn")
        if alb._tgs.get(arn, {}).get("TargetType") == "lambda":
            for target in alb._parse_targets_param(params):
                try:
                    _check_function(target["Id"], arn)
                except ValueError as refusal:
                    refused: Response = alb._error("AccessDenied", str(refusal), 403)
                    return refused
        return register(params)

    return register_if_allowed

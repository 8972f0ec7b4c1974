"""Target groups with the targets and health check settings of their template or API call.

The emulator drops the targets in a template, registers any function, and checks the health of none.

Faithful to: `AWS::ElasticLoadBalancingV2::TargetGroup` Targets, when it is created and updated. A function is
registered, by a template or by RegisterTargets, only if it exists and its policy allows
`elasticloadbalancing.amazonaws.com` to invoke it for this target group. Health checks of functions are
disabled by default, with the documented interval and timeout. Deleting the stack of a load balancer with
deletion protection fails.
Not to: target groups with other types of targets, which are those of the emulator; weights of several target
groups, stickiness, access logs and WAF, which are only recorded.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-elasticloadbalancingv2-targetgroup.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ministack.services import alb, lambda_svc
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Handler, Properties, action, resource
from localaws.services.elbv2.functions import may_invoke

Response = tuple[int, dict[str, str], bytes]

# The defaults for target groups of functions differ from those for other types.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html
_HEALTH_CHECK_DEFAULTS = {
    "HealthCheckEnabled": False,
    "HealthCheckIntervalSeconds": 35,
    "HealthCheckTimeoutSeconds": 30,
}


# --- CloudFormation


@resource("AWS::ElasticLoadBalancingV2::TargetGroup", after=["elbv2.shapes"]).create
def _create_group(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
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
    response = stock(params)
    name = alb._p(params, "Name")
    for group in alb._tgs.values():
        if response[0] == 200 and group["TargetGroupName"] == name:
            _apply_defaults(group, params)
    return response


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

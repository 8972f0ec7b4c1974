"""AWS::ApplicationAutoScaling::ScalableTarget and AWS::ApplicationAutoScaling::ScalingPolicy.

Faithful to: both are created as by the API, with the same checks. `Ref` of a target is its resource id,
dimension and namespace, with `|` between them, that of a policy its ARN. Scheduled actions belong to the
target, and one that an update removes is deleted.
Not to: `RoleARN`, in place of which the service-linked role is used, as AWS does for Lambda.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-applicationautoscaling-scalabletarget.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-applicationautoscaling-scalingpolicy.html
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

from localaws.patching import Created, Properties, new_resource
from localaws.services.applicationautoscaling import records, service
from localaws.services.applicationautoscaling.records import Record, Refused

_IDENTITY = ("ResourceId", "ScalableDimension", "ServiceNamespace")
_TARGET_TYPE = "AWS::ApplicationAutoScaling::ScalableTarget"
_POLICY_TYPE = "AWS::ApplicationAutoScaling::ScalingPolicy"

_target = new_resource(_TARGET_TYPE, replaced_by=_IDENTITY, stack_tags=True)
_policy = new_resource(_POLICY_TYPE, replaced_by=("PolicyName", "ScalingTargetId", *_IDENTITY))


@_target.create
def _create_target(_logical_id: str, properties: Properties, _stack: str) -> Created:
    identity = {name: properties.get(name) for name in _IDENTITY}
    names = ("MinCapacity", "MaxCapacity", "SuspendedState", "RoleARN")
    given = {name: _value(properties, name) for name in names}
    scheduled = _value(properties, "ScheduledActions") or []
    given["Tags"] = {one["Key"]: one["Value"] for one in properties.get("Tags") or []}
    try:
        service.register(identity | {name: value for name, value in given.items() if value is not None})
        for action in scheduled:
            records.put_action(identity | action)
    except Refused as refused:
        raise ValueError(f"{_TARGET_TYPE}: {refused}") from None
    wanted = {action["ScheduledActionName"] for action in scheduled}
    for resource_id, name in [key for key in records.actions if key[0] == identity["ResourceId"]]:
        if name not in wanted:
            records.actions.pop((resource_id, name), None)
    physical_id = "|".join(str(identity[name]) for name in _IDENTITY)
    return physical_id, {"Id": physical_id}


@_target.update
def _update_target(_id: str, _old: Properties, new: Properties, stack: str, logical_id: str) -> Created:
    return _create_target(logical_id, new, stack)


@_target.delete
def _delete_target(physical_id: str, _properties: Properties) -> None:
    with contextlib.suppress(Refused):  # its alias may be deleted, and it may be deregistered
        records.deregister(_identity(physical_id))


@_policy.create
def _create_policy(_logical_id: str, properties: Properties, _stack: str) -> Created:
    names = ("PolicyName", "PolicyType", "TargetTrackingScalingPolicyConfiguration", *_IDENTITY)
    given = {name: _value(properties, name) for name in names}
    request = {name: value for name, value in given.items() if value is not None}
    if target := properties.get("ScalingTargetId"):
        request |= _identity(str(target))
    try:
        policy = records.put_policy(request)
    except Refused as refused:
        raise ValueError(f"{_POLICY_TYPE}: {refused}") from None
    return policy["PolicyARN"], {"Arn": policy["PolicyARN"]}


@_policy.update
def _update_policy(_id: str, _old: Properties, new: Properties, stack: str, logical_id: str) -> Created:
    return _create_policy(logical_id, new, stack)


@_policy.delete
def _delete_policy(physical_id: str, _properties: Properties) -> None:
    for policy in list(records.policies.values()):
        if policy["PolicyARN"] == physical_id:
            records.delete_policy(policy)


def _identity(physical_id: str) -> Record:
    return dict(zip(_IDENTITY, physical_id.split("|"), strict=True))


def _value(properties: Properties, name: str) -> Any:
    """A copy of a property's value, with numbers where the template has them as text."""
    value = json.loads(json.dumps(properties.get(name)))
    if name in ("MinCapacity", "MaxCapacity") and value is not None:
        return int(str(value))
    return value

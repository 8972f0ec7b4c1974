"""The API of Application Auto Scaling for Lambda, which the emulator lacks.

Faithful to: RegisterScalableTarget, DeregisterScalableTarget, DescribeScalableTargets, PutScalingPolicy,
DeleteScalingPolicy, DescribeScalingPolicies, PutScheduledAction, DeleteScheduledAction,
DescribeScheduledActions, DescribeScalingActivities and the three actions of tags, with their error codes.
What they store is in `applicationautoscaling.records`, what happens then in `applicationautoscaling.scaling`.
Not to: the other actions; pages: lists are complete; the permission to create the service-linked role, and
the role itself.

https://docs.aws.amazon.com/autoscaling/application/APIReference/API_Operations.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from ministack.core.responses import error_response_json, json_response

from localaws.patching import new_service
from localaws.services.applicationautoscaling import records, scaling
from localaws.services.applicationautoscaling.records import Record, Refused

# https://docs.aws.amazon.com/autoscaling/application/APIReference/API_DescribeScalableTargets.html
_NAMESPACES = (
    *("ecs", "elasticmapreduce", "ec2", "appstream", "dynamodb", "rds", "sagemaker", "custom-resource"),
    *("comprehend", "lambda", "cassandra", "kafka", "elasticache", "neptune", "workspaces"),
)
_JSON = "application/x-amz-json-1.1"


@new_service("application-autoscaling", target_prefix="AnyScaleFrontendService")
async def handle_request(_method: str, _path: str, headers: dict[str, str], body: bytes, _query: Any) -> Any:
    """Respond to a request."""
    name = headers.get("x-amz-target", "").rpartition(".")[2]
    action = _ACTIONS.get(name)
    try:
        if action is None:
            raise Refused(f"{name} is not emulated")
        answer = action(json.loads(body or b"{}"))
    except Refused as refusal:
        return error_response_json(refusal.code, str(refusal), 400, content_type=_JSON)
    return json_response(answer, content_type=_JSON)


def register(request: Record) -> Record:
    """RegisterScalableTarget."""
    target = records.register(request)
    scaling.bring_into_range(target["ResourceId"])
    scaling.start()
    return {"ScalableTargetARN": target["ScalableTargetARN"]}


def _put_policy(request: Record) -> Record:
    policy = records.put_policy(request)
    return {"PolicyARN": policy["PolicyARN"], "Alarms": policy["Alarms"]}


def _put_action(request: Record) -> Record:
    records.put_action(request)
    return {}


def _listed(found: Iterable[Record], request: Record, names: str = "", member: str = "") -> list[Record]:
    """Those of the namespace, resource, dimension and names of a request."""
    if request.get("ServiceNamespace") not in _NAMESPACES:
        raise Refused(f"ServiceNamespace {request.get('ServiceNamespace')} is not one of {_NAMESPACES}.")
    wanted = request.get("ResourceIds") or [request[key] for key in ("ResourceId",) if request.get(key)]
    return [
        one
        for one in found
        if one["ServiceNamespace"] == request.get("ServiceNamespace")
        and (not wanted or one["ResourceId"] in wanted)
        and request.get("ScalableDimension") in (None, one["ScalableDimension"])
        and (not request.get(names) or one[member] in request[names])
    ]


def _describe_activities(request: Record) -> Record:
    for resource_id in list(records.activities.keys()):
        scaling.settle(resource_id)
    found = (one for all_ in records.activities.values() for one in all_)
    return {"ScalingActivities": _listed(found, request)}


_ACTIONS: dict[str, Callable[[Record], Record]] = {
    "DeleteScalingPolicy": records.delete_policy,
    "DeleteScheduledAction": records.delete_action,
    "DeregisterScalableTarget": records.deregister,
    "DescribeScalableTargets": lambda request: {
        "ScalableTargets": _listed(records.targets.values(), request),
    },
    "DescribeScalingActivities": _describe_activities,
    "DescribeScalingPolicies": lambda request: {
        "ScalingPolicies": _listed(records.policies.values(), request, "PolicyNames", "PolicyName"),
    },
    "DescribeScheduledActions": lambda request: {
        "ScheduledActions": _listed(
            records.actions.values(), request, "ScheduledActionNames", "ScheduledActionName"
        ),
    },
    "ListTagsForResource": records.tagged,
    "PutScalingPolicy": _put_policy,
    "PutScheduledAction": _put_action,
    "RegisterScalableTarget": register,
    "TagResource": records.change_tags,
    "UntagResource": records.change_tags,
}

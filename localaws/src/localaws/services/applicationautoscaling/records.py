"""Scalable targets, scaling policies, scheduled actions and scaling activities of Application Auto Scaling.

Faithful to: what is required, and what belongs together; ARNs and names of alarms; a policy of target
tracking has two alarms, as AWS makes them: three minutes above the target, fifteen minutes below nine tenths
of it. When a target is registered, its capacity is brought into its range. Deregistering a target deletes its
policies, alarms and actions, and leaves the capacity.
Not to: other services than Lambda, predictive scaling and metric math, which are refused as not emulated;
quotas of targets and actions; a one-time action whose time has passed runs at once; tags in conditions of
policies; the words of most errors.

https://docs.aws.amazon.com/autoscaling/application/APIReference/API_RegisterScalableTarget.html
https://docs.aws.amazon.com/autoscaling/application/APIReference/API_PutScalingPolicy.html
https://docs.aws.amazon.com/autoscaling/application/APIReference/API_PutScheduledAction.html
https://docs.aws.amazon.com/autoscaling/application/userguide/services-that-can-integrate-lambda.html
https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
"""

from __future__ import annotations

import json
import re
import time
import uuid
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region
from ministack.services import cloudwatch, lambda_svc, scheduler

from localaws.patching import on_reset
from localaws.services.scheduler import expressions, schedules

Record = dict[str, Any]

NAMESPACE, DIMENSION = "lambda", "lambda:function:ProvisionedConcurrency"
_RESOURCE = re.compile(r"function:([A-Za-z0-9_-]{1,140}):((?!\$)[A-Za-z0-9_-]+)")
_ROLE = "aws-service-role/lambda.application-autoscaling.amazonaws.com"
_ROLE += "/AWSServiceRoleForApplicationAutoScaling_LambdaConcurrency"
_METRIC = "LambdaProvisionedConcurrencyUtilization"
_ALARMS = (("High", "GreaterThanThreshold", 1.0, 3), ("Low", "LessThanThreshold", 0.9, 15))
_ACTIVITIES = 1000
_ACTION = re.compile(r"(?! )[^:/|\x00-\x1f\x7f-\x9f]{1,256}(?<! )")

targets = AccountRegionScopedDict()  # by resource id
policies = AccountRegionScopedDict()  # by resource id and name
actions = AccountRegionScopedDict()  # likewise
activities = AccountRegionScopedDict()  # lists by resource id, newest first
tags = AccountRegionScopedDict()  # by the ARN of the target


@on_reset
def _forget() -> None:
    for one in (targets, policies, actions, activities, tags):
        one.clear()


class Refused(Exception):
    """A request that is refused.

    Args:
        message: What was wrong.
        code: The error code.
    """

    def __init__(self, message: str, code: str = "ValidationException") -> None:
        super().__init__(message)
        self.code = code


# --- Scalable targets


def function_of(resource_id: str) -> tuple[str, str, Record]:
    """The name of the function, the version or alias, and the function's record.

    Raises:
        Refused: There is no such version or alias.
    """
    found = _RESOURCE.fullmatch(resource_id)
    if not found:
        raise Refused(
            f"Unsupported resource ID: {resource_id}. Give function:NAME:QUALIFIER, with an alias or version."
        )
    name, qualifier = found.groups()
    function: Record = lambda_svc._functions.get(name) or {}
    if qualifier not in function.get("aliases", {}) and qualifier not in function.get("versions", {}):
        raise Refused(f"Function not found: {lambda_svc._func_arn(name)}:{qualifier}")
    return name, qualifier, function


def register(request: Record) -> Record:
    """RegisterScalableTarget; returns the target."""
    resource_id = _checked(request)
    function_of(resource_id)
    target = targets.get(resource_id) or {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": resource_id,
        "ScalableDimension": DIMENSION,
        "RoleARN": f"arn:aws:iam::{get_account_id()}:role/{_ROLE}",
        "CreationTime": time.time(),
        "SuspendedState": {
            "DynamicScalingInSuspended": False,
            "DynamicScalingOutSuspended": False,
            "ScheduledScalingSuspended": False,
        },
        "ScalableTargetARN": f"arn:aws:application-autoscaling:{get_region()}:{get_account_id()}:"
        f"scalable-target/{uuid.uuid4().hex}{uuid.uuid4().hex[:4]}",
    }
    changed = target | numbers(request)
    if "MinCapacity" not in changed or "MaxCapacity" not in changed:
        raise Refused("MinCapacity and MaxCapacity are required when a scalable target is registered.")
    check_range(changed["MinCapacity"], changed["MaxCapacity"])
    changed["SuspendedState"] = target["SuspendedState"] | (request.get("SuspendedState") or {})
    targets[resource_id] = changed
    if request.get("Tags"):
        tags[changed["ScalableTargetARN"]] = dict(request["Tags"])
    return changed


def numbers(given: Record) -> dict[str, int]:
    """The ends of a range that are given."""
    found = {name: given[name] for name in ("MinCapacity", "MaxCapacity") if given.get(name) is not None}
    for name, value in found.items():
        if not str(value).isdecimal():
            raise Refused(f"{name} is {value!r}: it must be an integer from 0.")
    return {name: int(value) for name, value in found.items()}


def check_range(low: int, high: int) -> None:
    """Refuse a range that is none."""
    if low < 0 or high < low:
        raise Refused(f"Maximum capacity {high} cannot be less than minimum capacity {low}, or 0.")


def deregister(request: Record) -> Record:
    """DeregisterScalableTarget."""
    resource_id = _checked(request)
    _require_target(resource_id)
    for key in [key for key in policies if key[0] == resource_id]:
        delete_policy({**request, "PolicyName": key[1]})
    for key in [key for key in actions if key[0] == resource_id]:
        actions.pop(key, None)
    target = targets.pop(resource_id, None)
    tags.pop(target["ScalableTargetARN"], None)
    return {}


def change_tags(request: Record) -> Record:
    """TagResource and UntagResource."""
    kept = tagged(request)["Tags"] | request.get("Tags", {})
    removed = request.get("TagKeys", [])
    tags[request["ResourceARN"]] = {name: text for name, text in kept.items() if name not in removed}
    return {}


def tagged(request: Record) -> Record:
    """ListTagsForResource."""
    arn = request["ResourceARN"]
    if all(target["ScalableTargetARN"] != arn for target in targets.values()):
        raise Refused(f"The scalable target {arn} does not exist.", "ResourceNotFoundException")
    return {"Tags": tags.get(arn) or {}}


def _checked(request: Record) -> str:
    """The resource id of a request, whose namespace and dimension are those of Lambda."""
    for name, allowed in (("ServiceNamespace", NAMESPACE), ("ScalableDimension", DIMENSION)):
        if request.get(name) != allowed:
            raise Refused(f"{name} {request.get(name)} is not emulated: only {allowed} is.")
    return str(request.get("ResourceId"))


def _require_target(resource_id: str) -> None:
    if resource_id not in targets:
        raise Refused(
            f"No scalable target registered for service namespace: {NAMESPACE}, resource ID: {resource_id}, "
            f"scalable dimension: {DIMENSION}",
            "ObjectNotFoundException",
        )


# --- Scaling policies


def put_policy(request: Record) -> Record:
    """PutScalingPolicy; returns the policy."""
    resource_id, name = _checked(request), str(request["PolicyName"])
    before = policies.get((resource_id, name)) or {}
    kind = request.get("PolicyType") or before.get("PolicyType") or "StepScaling"
    if kind != "TargetTrackingScaling":
        raise Refused(f"PolicyType {kind} is not supported for {NAMESPACE}: use TargetTrackingScaling.")
    _require_target(resource_id)
    tracking = request.get("TargetTrackingScalingPolicyConfiguration")
    if not tracking:
        raise Refused("TargetTrackingScalingPolicyConfiguration is required.")
    metric = _metric(resource_id, tracking)
    policy = {
        "PolicyARN": before.get("PolicyARN") or _arn("scalingPolicy", resource_id, f"policyName/{name}"),
        "PolicyName": name,
        "ServiceNamespace": NAMESPACE,
        "ResourceId": resource_id,
        "ScalableDimension": DIMENSION,
        "PolicyType": kind,
        "TargetTrackingScalingPolicyConfiguration": tracking,
        "CreationTime": before.get("CreationTime") or time.time(),
    }
    delete_alarms(before)
    policies[resource_id, name] = policy | {"Alarms": _put_alarms(policy, metric)}
    answer: Record = policies[resource_id, name]
    return answer


def _metric(resource_id: str, tracking: Record) -> Record:
    """The metric of a policy, as an alarm has it."""
    own, predefined = (
        tracking.get("CustomizedMetricSpecification"),
        tracking.get("PredefinedMetricSpecification"),
    )
    if (own is None) == (predefined is None):
        raise Refused("Give either PredefinedMetricSpecification or CustomizedMetricSpecification.")
    value = float(tracking.get("TargetValue") or 0)
    if value <= 0:
        raise Refused(f"TargetValue is {value:g}: it must be above 0.")
    if own is not None:
        if own.get("Metrics"):
            raise Refused("Metric math in CustomizedMetricSpecification is not emulated.")
        names = ("MetricName", "Namespace", "Dimensions", "Statistic", "Unit")
        return {name: own[name] for name in names if own.get(name)}
    kind = (predefined or {}).get("PredefinedMetricType")
    if kind != _METRIC:
        raise Refused(f"PredefinedMetricType {kind} is not of {NAMESPACE}: use {_METRIC}.")
    if not 0.1 <= value <= 0.9:
        raise Refused(f"TargetValue is {value:g}: it must be from 0.1 to 0.9 for {_METRIC}.")
    name, qualifier, _ = function_of(resource_id)
    dimensions = {"FunctionName": name, "Resource": f"{name}:{qualifier}"}
    return {
        "MetricName": _METRIC.removeprefix("Lambda"),
        "Namespace": "AWS/Lambda",
        "Dimensions": [{"Name": key, "Value": text} for key, text in dimensions.items()],
        "Statistic": "Average",
    }


def _put_alarms(policy: Record, metric: Record) -> list[Record]:
    made, tracking = [], policy["TargetTrackingScalingPolicyConfiguration"]
    for kind, comparison, share, minutes in _ALARMS:
        name = f"TargetTracking-{policy['ResourceId']}-Alarm{kind}-{uuid.uuid4()}"
        description = f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy['PolicyARN']}."
        alarm = metric | {
            "AlarmName": name,
            "AlarmDescription": description,
            "AlarmActions": [policy["PolicyARN"]],
            "ComparisonOperator": comparison,
            "Threshold": round(float(tracking["TargetValue"]) * share, 10),
            "Period": 60,
            "EvaluationPeriods": minutes,
        }
        # Read now: `cloudwatch.alarms` has replaced it.
        status, _, body = cloudwatch._put_metric_alarm({}, alarm, is_cbor=False, is_json=True)
        if status != 200:
            raise Refused(json.loads(body)["message"])
        made.append({"AlarmName": name, "AlarmARN": cloudwatch._alarms[name]["AlarmArn"]})
    return made


def delete_alarms(policy: Record) -> None:
    """Delete the alarms of a policy."""
    for alarm in policy.get("Alarms", []):
        cloudwatch._delete_alarms({}, {"AlarmNames": [alarm["AlarmName"]]}, is_cbor=False, is_json=True)


def delete_policy(request: Record) -> Record:
    """DeleteScalingPolicy."""
    key = _checked(request), str(request["PolicyName"])
    found = policies.pop(key, None)
    if found is None:
        raise Refused(f"No scaling policy found for {key[0]}: {key[1]}", "ObjectNotFoundException")
    delete_alarms(found)
    return {}


# --- Scheduled actions


def put_action(request: Record) -> Record:
    """PutScheduledAction; returns the action."""
    resource_id, name = _checked(request), str(request["ScheduledActionName"])
    if not _ACTION.fullmatch(name):
        raise Refused(f"ScheduledActionName {name!r} is not valid: 1 to 256 characters, without : / |.")
    _require_target(resource_id)
    before = actions.get((resource_id, name)) or {}
    names = ("Schedule", "Timezone", "StartTime", "EndTime", "ScalableTargetAction")
    action = {
        "Timezone": "UTC",
        "ScheduledActionARN": _arn("scheduledAction", resource_id, f"scheduledActionName/{name}"),
        "CreationTime": time.time(),
        # Without them, the old ones are deleted.
        **{each: value for each, value in before.items() if each not in ("StartTime", "EndTime")},
        "ScheduledActionName": name,
        "ServiceNamespace": NAMESPACE,
        "ResourceId": resource_id,
        "ScalableDimension": DIMENSION,
        **{each: request[each] for each in names if request.get(each)},
    }
    if not expressions.is_valid(str(action.get("Schedule") or "")):
        raise Refused(f"Schedule {action.get('Schedule')!r} is not valid: give at(), rate() or cron().")
    if action["Timezone"] not in schedules.time_zones():
        raise Refused(f"Timezone {action['Timezone']} is not valid.")
    begin, end = (scheduler._to_epoch(action.get(each)) for each in ("StartTime", "EndTime"))
    if begin and end and end <= begin:
        raise Refused("EndTime must be after StartTime.")
    wanted = numbers(action.get("ScalableTargetAction") or {})
    if not wanted:
        raise Refused("ScalableTargetAction needs MinCapacity, MaxCapacity or both.")
    if len(wanted) == 2:
        check_range(wanted["MinCapacity"], wanted["MaxCapacity"])
    actions[resource_id, name] = action
    return action


def delete_action(request: Record) -> Record:
    """DeleteScheduledAction."""
    key = _checked(request), str(request["ScheduledActionName"])
    if actions.pop(key, None) is None:
        raise Refused(f"No scheduled action found for {key[0]}: {key[1]}", "ObjectNotFoundException")
    return {}


def _arn(kind: str, resource_id: str, name: str) -> str:
    where = f"{get_region()}:{get_account_id()}"
    return f"arn:aws:autoscaling:{where}:{kind}:{uuid.uuid4()}:resource/{NAMESPACE}/{resource_id}:{name}"


# --- Activities


def add_activity(
    resource_id: str, description: str, cause: str, problem: str = "", *, is_done: bool = True
) -> None:
    """Record what was done or has begun, or what Lambda refused."""
    now = time.time()
    activity = {
        "ActivityId": str(uuid.uuid4()),
        "ServiceNamespace": NAMESPACE,
        "ResourceId": resource_id,
        "ScalableDimension": DIMENSION,
        "Description": description,
        "Cause": cause,
        "StartTime": now,
    }
    if is_done or problem:
        end(activity, problem)
    else:
        waits = f"{_done(activity)}. Waiting for change to be fulfilled by {NAMESPACE}."
        activity |= {"StatusCode": "InProgress", "StatusMessage": waits}
    activities[resource_id] = [activity, *(activities.get(resource_id) or [])][:_ACTIVITIES]


def end(activity: Record, problem: str = "") -> None:
    """End an activity: Lambda has done what was asked for, or there was a problem."""
    fulfilled = f"{_done(activity)}. Change successfully fulfilled by {NAMESPACE}."
    activity |= {
        "EndTime": time.time(),
        "StatusCode": "Failed" if problem else "Successful",
        "StatusMessage": problem or fulfilled,
    }


def _done(activity: Record) -> str:
    return str(activity["Description"]).replace("Setting", "Successfully set", 1).rstrip(".")

"""Auto Scaling groups have instances of EC2, which are the targets of their target groups.

The emulator's CloudFormation starts none and drops the target groups; its API makes up ids.

Faithful to: a group starts the instances of its desired capacity from its launch template or launch
configuration, one subnet after the other, with the tags that propagate, and registers them as targets. It
terminates those that are too many, the oldest first, and all when it is deleted. One that is terminated
otherwise is replaced.
Not to: the time that this takes; replacement of unhealthy instances; mixed instances, whose groups keep the
ids that the emulator makes up; scaling by policies; lifecycle hooks; the target groups in
DescribeAutoScalingGroups.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-autoscaling-autoscalinggroup.html
https://docs.aws.amazon.com/autoscaling/ec2/userguide/attach-load-balancer-asg.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import alb, autoscaling, ec2

from localaws.patching import Created, Handler, Properties, action, around, resource
from localaws.services.ec2.instances import launch, terminate

Record = dict[str, Any]

_GROUPS = "TargetGroupARNs"
_handlers = resource("AWS::AutoScaling::AutoScalingGroup")


# --- CloudFormation


@_handlers.create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    name, attributes = stock(logical_id, properties, stack)
    _apply(autoscaling._asgs[name], properties)
    return name, attributes


@_handlers.update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    name, attributes = stock(physical_id, old, new, stack, logical_id)
    _apply(autoscaling._asgs[name], new)
    return name, attributes


@_handlers.delete
def _delete(stock: Callable[..., None], physical_id: str, properties: Properties) -> None:
    group = autoscaling._asgs.get(physical_id)
    if group is not None:
        _leave(group, list(group["Instances"]))
    stock(physical_id, properties)


def _apply(group: Record, properties: Properties) -> None:
    group[_GROUPS] = list(properties.get(_GROUPS) or [])
    group["DesiredCapacity"] = min(max(group["DesiredCapacity"], group["MinSize"]), group["MaxSize"])
    autoscaling._reconcile_instances(group)


# --- The API


@action(autoscaling, "CreateAutoScalingGroup")
def _create_group(stock: Callable[[Any], Any], p: Any) -> Any:
    answer = stock(p)
    if answer[0] == 200:
        group = autoscaling._asgs[autoscaling._p(p, "AutoScalingGroupName")]
        group[_GROUPS] = autoscaling._parse_member_list(p, _GROUPS)
        _register(group)
    return answer


@action(autoscaling, "DeleteAutoScalingGroup")
def _delete_group(stock: Callable[[Any], Any], p: Any) -> Any:
    group = autoscaling._asgs.get(autoscaling._p(p, "AutoScalingGroupName"))
    if group is not None:
        _leave(group, list(group["Instances"]))
    return stock(p)


@action(ec2, "TerminateInstances")
def _terminate_instances(stock: Callable[[Any], Any], p: Any) -> Any:
    answer = stock(p)
    gone = set(ec2._parse_member_list(p, "InstanceId")) if answer[0] == 200 else set()
    for group in autoscaling._asgs.values():
        if lost := [one for one in group["Instances"] if one["InstanceId"] in gone]:
            _leave(group, lost)
            autoscaling._reconcile_instances(group)
    return answer


# --- Instances


@around(autoscaling, "_reconcile_instances")
def _reconcile_instances(stock: Callable[[Record], None], asg: Record) -> None:
    surplus = len(asg["Instances"]) - asg["DesiredCapacity"]
    if surplus > 0:
        _leave(asg, asg["Instances"][:surplus])
    before = len(asg["Instances"])
    stock(asg)
    template = _template(asg)
    if template is None:
        return
    subnets = [one for one in asg["VPCZoneIdentifier"].split(",") if one] or [ec2._DEFAULT_SUBNET_ID]
    for number, entry in enumerate(asg["Instances"][before:], before):
        subnet = subnets[number % len(subnets)]
        entry["InstanceId"] = launch({**template, "SubnetId": subnet})
        entry["AvailabilityZone"] = ec2._instances[entry["InstanceId"]]["Placement"]["AvailabilityZone"]
        named = {"Key": "aws:autoscaling:groupName", "Value": asg["AutoScalingGroupName"]}
        given = [
            {"Key": tag["Key"], "Value": tag["Value"]} for tag in asg["Tags"] if tag["PropagateAtLaunch"]
        ]
        ec2._tags[entry["InstanceId"]] = [*given, named]
    _register(asg)


def _template(group: Record) -> Properties | None:
    """The properties of an instance, from the launch template or the launch configuration."""
    configuration = autoscaling._launch_configs.get(group.get("LaunchConfigurationName"))
    if configuration is not None:
        same = {name: configuration[name] for name in ("ImageId", "InstanceType", "KeyName", "UserData")}
        return {**same, "SecurityGroupIds": configuration["SecurityGroups"]}
    used = group.get("LaunchTemplate") or {}
    known = ec2._launch_templates.get(used.get("LaunchTemplateId"))
    if known is None:
        return None
    wanted = str(used.get("Version") or "$Default")
    number = {"$Latest": known["LatestVersionNumber"], "$Default": known["DefaultVersionNumber"]}.get(
        wanted, wanted
    )
    versions = [one for one in known["Versions"] if str(one["VersionNumber"]) == str(number)]
    if not versions:
        return None
    data = versions[0]["LaunchTemplateData"]
    profile = data.get("IamInstanceProfile") or {}
    interfaces = data.get("NetworkInterfaces") or [{}]
    return {
        **{name: data.get(name) for name in ("ImageId", "InstanceType", "KeyName", "UserData")},
        "SecurityGroupIds": data.get("SecurityGroupIds") or interfaces[0].get("Groups"),
        "IamInstanceProfile": profile.get("Name") or str(profile.get("Arn", "")).rpartition("/")[2],
    }


def _register(group: Record) -> None:
    for arn in group.get(_GROUPS) or []:
        targets = alb._targets.setdefault(arn, [])
        known = {target["Id"] for target in targets}
        targets.extend(
            {"Id": one["InstanceId"]} for one in group["Instances"] if one["InstanceId"] not in known
        )


def _leave(group: Record, entries: list[Record]) -> None:
    """Terminate instances of a group, and deregister them."""
    gone = {entry["InstanceId"] for entry in entries}
    for arn in group.get(_GROUPS) or []:
        alb._targets[arn] = [target for target in alb._targets.get(arn, []) if target["Id"] not in gone]
    for instance in gone:
        terminate(instance)
    group["Instances"] = [one for one in group["Instances"] if one["InstanceId"] not in gone]

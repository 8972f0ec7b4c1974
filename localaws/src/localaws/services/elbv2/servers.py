"""What listens on instances: servers of a test on this machine, and which connections reach them.

There are no machines here, so `aws.instances_answer` says where the requests go that an instance gets: of an
Auto Scaling group, a target group, or one instance, which counts first. Nothing listens on other instances.
A group has its server in its account and Region: others may have a group of the same name.

Faithful to: only a running instance answers, and only on connections that its security groups and those of
the load balancer allow.
Not to: ports, of which a server of a test has one, whatever the target group's; user data, which never runs.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-register-targets.html
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ministack.core.responses import AccountRegionScopedDict
from ministack.services import alb, autoscaling, ec2

from localaws.patching import on_reset
from localaws.services.ec2.admission import Side, may_connect
from localaws.services.elbv2.listeners import users_of

Record = dict[str, Any]

_servers = AccountRegionScopedDict()  # by the id of an instance, or the name or ARN of a group
on_reset(_servers.clear)


def answer(account: str, region: str, group: str, url: str | None) -> dict[str, str | None]:
    """Set, or with None remove, the server of an instance or a group.

    Returns:
        `refused`: why it cannot, `None` if it can; `before`: the URL of the server of before.
    """
    before = _servers.pop_scoped(account, region, group, None)
    stores = (autoscaling._asgs, alb._tgs, ec2._instances)
    if url is None:
        return {"refused": None, "before": before}
    if not any(store.contains_scoped(account, region, group) for store in stores):
        there = sorted(
            f"{place} {name}"
            for store in stores[:2]
            for (owner, place, name), _ in store.all_items()
            if owner == account
        )
        text = (
            f"group={group!r}: no Auto Scaling group, target group or instance of {region}; the groups are: "
        )
        return {"refused": text + (", ".join(there) or "none"), "before": before}
    _servers.set_scoped(account, region, group, url)
    return {"refused": None, "before": before}


def server_of(instance: str, target_group: str) -> tuple[str, int] | None:
    """Host and port of what listens on an instance; None if nothing does."""
    groups = (
        one["AutoScalingGroupName"]
        for one in autoscaling._asgs.values()
        if any(member["InstanceId"] == instance for member in one["Instances"])
    )
    url = next((_servers[name] for name in (instance, *groups, target_group) if name in _servers), None)
    if url is None:
        return None
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 80)


def is_running(instance: str) -> bool:
    """Whether an instance exists and runs."""
    state = ec2._instances.get(instance, {}).get("State", {})
    return bool(state.get("Name") == "running")


def port_of(target_group: str, target: Record) -> int:
    """The port of a target."""
    return int(target.get("Port") or alb._tgs[target_group].get("Port") or 80)


def reaches(target_group: str, target: Record) -> bool:
    """Whether the security groups allow a connection of the load balancer to a target."""
    instance = ec2._instances.get(target["Id"], {})
    destination = Side(
        groups=[one["GroupId"] for one in instance.get("SecurityGroups", [])],
        subnets=[instance["SubnetId"]] if instance.get("SubnetId") else [],
    )
    balancers = [alb._lbs[arn] for arn in users_of(target_group) if arn in alb._lbs]
    sources = [Side(one.get("SecurityGroups") or (), one.get("Subnets") or ()) for one in balancers]
    return all(may_connect(source, destination, port_of(target_group, target)) for source in sources)

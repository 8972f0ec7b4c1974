"""What fails: Origin Shield is off, a machine is lost, CloudFront is shut out, the whole fleet is gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scenarios.framework import DeployedStack, NotYet, Outcome, Story, require
from scenarios.solutions.software_updates.releases import EDGES, Updates, updates
from scenarios.support.faults import Faults


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Each failure costs what is not in the cache, and nothing else.

    Raises:
        ScenarioFailed: A client saw something else than expected.
    """
    story = Story("The fleet fails in parts, and as a whole", stack.tell)
    seen: dict[str, Any] = {}
    with updates(stack) as vendor:
        for version in ("2.0", "2.1", "2.2", "2.3", "2.4"):
            vendor.upload(version)
        vendor.announce("2.0")
        vendor.wait_for("2.0")
        with _without_shield(stack):
            for edge in (*EDGES, *EDGES):
                vendor.get(vendor.path("2.1"), edge)
            seen["requests at the origin without Origin Shield"] = vendor.counted("2.1")
        story.say(f"Without Origin Shield, each of {len(EDGES)} edge locations asked the origin once.")
        lost = _lose_a_machine(stack)
        seen["a machine lost"] = vendor.get(vendor.path("2.2")).status
        story.say(f"Machine {lost} was terminated: the other one answered, and the group started a new one.")
        with _shut_out(stack):
            seen |= _asked(vendor, "CloudFront shut out", unknown="2.3")
        # Not 2.3: its 504 is cached for 10 seconds, as is the answer of the last manifest.
        seen["CloudFront admitted again"] = vendor.get(vendor.path("2.4")).status
        story.say("Without its rule CloudFront gets no connection: 504 for what is not in the cache.")
    seen |= _asked(vendor, "fleet gone", unknown="2.5")  # nothing listens any more
    story.say("With nothing listening on the fleet, clients still get the last manifest and its release.")
    for name, value in seen.items():
        story.fact(name, value)
    expected = [len(EDGES), 200, "2.0", 200, 504, 200, "2.0", 200, 502]
    require(list(seen.values()) == expected, f"saw {seen}")
    return story.outcome()


def _asked(vendor: Updates, when: str, unknown: str) -> dict[str, Any]:
    known = vendor.current()
    return {
        f"{when}: manifest": known,
        f"{when}: its release": vendor.get(vendor.path(known)).status,
        f"{when}: a new file": vendor.get(vendor.path(unknown)).status,
    }


@contextmanager
def _without_shield(stack: DeployedStack) -> Iterator[None]:
    """Switch Origin Shield off while the body runs."""
    client, name = stack.client("cloudfront"), stack.output("DistributionId")

    def change(shields: list[Any]) -> list[Any]:
        found = client.get_distribution_config(Id=name)
        config, before = found["DistributionConfig"], []
        for origin, shield in zip(config["Origins"]["Items"], shields, strict=True):
            before.append(origin["OriginShield"])
            origin["OriginShield"] = shield
        client.update_distribution(Id=name, IfMatch=found["ETag"], DistributionConfig=config)
        return before

    before = change([{"Enabled": False}])
    try:
        yield
    finally:
        change(before)


def _lose_a_machine(stack: DeployedStack) -> str:
    """Terminate a machine of the fleet, and wait until there are two again."""
    scaling, name = stack.client("autoscaling"), stack.output("FleetName")

    def machines() -> list[str]:
        described = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return [one["InstanceId"] for one in described[0]["Instances"]]

    lost = machines()[0]
    stack.client("ec2").terminate_instances(InstanceIds=[lost])

    def check() -> None:
        now = machines()
        if lost in now or len(now) < 2:
            raise NotYet(f"machines: {now}")

    stack.wait_until(check, "the group replaces the machine")
    return lost


@contextmanager
def _shut_out(stack: DeployedStack) -> Iterator[None]:
    """Remove the rules that admit CloudFront to the load balancer while the body runs."""
    balancers = stack.client("elbv2").describe_load_balancers()["LoadBalancers"]
    (groups,) = [one["SecurityGroups"] for one in balancers if one["DNSName"] == stack.output("BalancerName")]
    ec2, (group,) = stack.client("ec2"), groups
    found = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    (rule,) = [one for one in found["SecurityGroupRules"] if not one["IsEgress"]]
    ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])
    try:
        yield
    finally:
        source = {"GroupId": rule["ReferencedGroupInfo"]["GroupId"], "Description": rule["Description"]}
        permission = {name: rule[name] for name in ("IpProtocol", "FromPort", "ToPort")}
        ec2.authorize_security_group_ingress(
            GroupId=group, IpPermissions=[{**permission, "UserIdGroupPairs": [source]}]
        )

"""What Elastic Load Balancing refuses, in its API and in templates, and which requests meet a condition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.load_balancers import OUTPUTS, Balanced, balanced, listener, resources
from helpers.stacks import DeploymentFailedError, deploy, ref
from localaws import LocalAws

pytestmark = pytest.mark.local

ANSWER = {"StatusCode": "200", "ContentType": "text/plain", "MessageBody": "rule"}
ACTION = {"Type": "fixed-response", "FixedResponseConfig": ANSWER}
PATH = {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/a"]}}


@pytest.fixture(scope="module")
def balancer(local_aws: LocalAws, _empty_account: None) -> Balanced:
    """A load balancer in front of a function."""
    return balanced(local_aws)


@pytest.fixture(scope="module")
def elb(local_aws: LocalAws) -> Any:
    """A client."""
    return local_aws.client("elbv2")


@pytest.fixture
def listener_arn(balancer: Balanced, elb: Any) -> Iterator[str]:
    """Its listener, whose rules are deleted after the test."""
    arn = elb.describe_listeners(LoadBalancerArn=balancer.stack.outputs["Balancer"])["Listeners"][0][
        "ListenerArn"
    ]
    yield arn
    for rule in elb.describe_rules(ListenerArn=arn)["Rules"]:
        if not rule["IsDefault"]:
            elb.delete_rule(RuleArn=rule["RuleArn"])


def config(field: str, **given: object) -> dict[str, Any]:
    """A condition with the configuration of its field."""
    name = "".join(part.title() for part in field.split("-"))
    return {"Field": field, f"{name}Config": given}


REFUSED = {
    "an address without a prefix length": [config("source-ip", Values=["203.0.113.5"])],
    "an address within its network": [config("source-ip", Values=["10.0.0.1/8"])],
    "a netmask": [config("source-ip", Values=["10.0.0.0/255.0.0.0"])],
    "a method in small letters": [config("http-request-method", Values=["get"])],
    "a host name without a dot": [config("host-header", Values=["localhost"])],
    "a host name with a port": [config("host-header", Values=["a.example:80"])],
    "a path with a space": [config("path-pattern", Values=["/a b"])],
    "a path that is too long": [config("path-pattern", Values=["/" + "a" * 128])],
    "a header's name with a space": [config("http-header", HttpHeaderName="x y", Values=["1"])],
    "a header's name that is too long": [config("http-header", HttpHeaderName="x" * 41, Values=["1"])],
    "the header that has a condition": [config("http-header", HttpHeaderName="Host", Values=["1"])],
    "a header without values": [config("http-header", HttpHeaderName="x", Values=[])],
    "an empty value of a query string": [config("query-string", Values=[{"Key": "a", "Value": ""}])],
    "another field": [{"Field": "cookie", "Values": ["1"]}],
    "six values": [config("path-pattern", Values=list("/abcde"))],
    "six values in two conditions": [
        config("source-ip", Values=[f"10.{number}.0.0/16" for number in range(5)]),
        PATH,
    ],
    "six wildcards": [
        config("path-pattern", Values=["/a*b?", "/*/*"]),
        config("http-header", HttpHeaderName="x", Values=["**"]),
    ],
    "two conditions on the path": [PATH, PATH],
    "no condition": [],
}


@pytest.mark.parametrize("conditions", REFUSED.values(), ids=REFUSED)
def test_the_api_refuses_a_condition(elb: Any, listener_arn: str, conditions: list[dict[str, Any]]) -> None:
    with pytest.raises(ClientError, match="ValidationError"):
        elb.create_rule(ListenerArn=listener_arn, Priority=1, Conditions=conditions, Actions=[ACTION])
    rule = elb.create_rule(ListenerArn=listener_arn, Priority=2, Conditions=[PATH], Actions=[ACTION])["Rules"]
    with pytest.raises(ClientError, match="ValidationError"):
        elb.modify_rule(RuleArn=rule[0]["RuleArn"], Conditions=conditions)
    (made,) = (one for one in elb.describe_rules(ListenerArn=listener_arn)["Rules"] if not one["IsDefault"])
    assert made["Conditions"][0]["Values"] == ["/a"]


def with_rule(*conditions: dict[str, Any], priority: object = 1) -> dict[str, Any]:
    """A load balancer with a rule."""
    made = resources()
    nothing = {"StatusCode": "404", "ContentType": "text/plain", "MessageBody": "no rule"}
    made["Listener"] = listener(80, {"Type": "fixed-response", "FixedResponseConfig": nothing})
    properties = {
        "ListenerArn": ref("Listener"),
        "Priority": priority,
        "Conditions": list(conditions),
        "Actions": [ACTION],
    }
    made["Rule"] = {"Type": "AWS::ElasticLoadBalancingV2::ListenerRule", "Properties": properties}
    return made


def test_a_template_with_a_refused_rule_is_rolled_back(local_aws: LocalAws) -> None:
    address = REFUSED["an address without a prefix length"]
    with pytest.raises(DeploymentFailedError, match=r"'203\.0\.113\.5' is not a valid CIDR block"):
        deploy(local_aws, with_rule(*address), OUTPUTS)
    with pytest.raises(DeploymentFailedError, match="Value '50001' at 'priority' failed"):
        deploy(local_aws, with_rule(PATH, priority=50_001), OUTPUTS)
    made = deploy(local_aws, with_rule(PATH, priority=3), OUTPUTS)
    with pytest.raises(DeploymentFailedError, match="only have '5' condition values and regex values"):
        made.update(with_rule(*REFUSED["six values"], priority=3), OUTPUTS)


def test_a_priority_is_in_range_and_unique_for_its_listener(elb: Any, listener_arn: str) -> None:
    def make(priority: int) -> str:
        made = elb.create_rule(
            ListenerArn=listener_arn, Priority=priority, Conditions=[PATH], Actions=[ACTION]
        )
        arn: str = made["Rules"][0]["RuleArn"]
        return arn

    one, other = make(1), make(50_000)
    for priority, error in ((1, "PriorityInUse"), (50_001, "ValidationError")):
        with pytest.raises(ClientError, match=error):
            make(priority)
    with pytest.raises(ClientError, match="PriorityInUse"):
        elb.set_rule_priorities(RulePriorities=[{"RuleArn": one, "Priority": 50_000}])
    exchanged = [{"RuleArn": one, "Priority": 50_000}, {"RuleArn": other, "Priority": 1}]
    elb.set_rule_priorities(RulePriorities=exchanged)
    rules = {rule["RuleArn"]: rule["Priority"] for rule in elb.describe_rules(RuleArns=[one, other])["Rules"]}
    assert rules == {one: "50000", other: "1"}


@pytest.mark.parametrize("from_template", [True, False])
def test_a_query_string_meets_one_of_its_conditions(
    local_aws: LocalAws, elb: Any, listener_arn: str, balancer: Balanced, from_template: bool
) -> None:
    wanted = [{"Key": "version", "Value": "v?"}, {"Value": "*BETA*"}, {"Key": "q", "Value": r"\*"}]
    condition = config("query-string", Values=wanted)
    if from_template:
        balancer = Balanced(local_aws, deploy(local_aws, with_rule(condition), OUTPUTS))
    else:
        made = elb.create_rule(ListenerArn=listener_arn, Priority=9, Conditions=[condition], Actions=[ACTION])
        assert made["Rules"][0]["Conditions"] == [condition]
    met = {query: balancer.send("GET", f"/?{query}").body == b"rule" for query in QUERIES}
    assert met == QUERIES


QUERIES = {
    "version=V1": True,
    "a=b&version=v2": True,
    "x=a-beta-b": True,
    "q=*": True,
    "q=a": False,
    "version=v10": False,
    "version": False,
    "beta=x": False,
    "": False,
}


# --- Target groups and load balancers


@pytest.mark.parametrize(
    "given",
    [
        {"Name": "-a"},
        {"Name": "a-"},
        {"Name": "a" * 33},
        {"Name": "a_b"},
        {"HealthCheckIntervalSeconds": 301},
        {"HealthCheckTimeoutSeconds": 121},
        {"HealthyThresholdCount": 11},
        {"UnhealthyThresholdCount": 11},
        {"Matcher": {"HttpCode": "200-500"}},
        {"HealthCheckPath": "health"},
        {"HealthCheckIntervalSeconds": 30},  # the timeout is 30 seconds by default
        {"HealthCheckTimeoutSeconds": 35},
    ],
)
def test_settings_of_a_target_group_are_checked(
    elb: Any, balancer: Balanced, local_aws: LocalAws, given: dict[str, Any]
) -> None:
    with pytest.raises(ClientError, match="ValidationError"):
        elb.create_target_group(**{"Name": "other", "TargetType": "lambda", **given})
    if "Name" not in given:
        with pytest.raises(ClientError, match="ValidationError"):
            elb.modify_target_group(TargetGroupArn=balancer.stack.outputs["Group"], **given)
    with pytest.raises(DeploymentFailedError, match=r"must (be|begin)|failed to satisfy|cannot be"):
        balanced(local_aws, **given)


@pytest.mark.parametrize("seconds", ["0", "4001", "1.5"])
def test_the_idle_timeout_is_checked(elb: Any, balancer: Balanced, local_aws: LocalAws, seconds: str) -> None:
    attribute = {"Key": "idle_timeout.timeout_seconds", "Value": seconds}
    with pytest.raises(ClientError, match="InvalidConfigurationRequest"):
        elb.modify_load_balancer_attributes(
            LoadBalancerArn=balancer.stack.outputs["Balancer"], Attributes=[attribute]
        )
    made = resources()
    made["Balancer"]["Properties"]["LoadBalancerAttributes"] = [attribute]
    with pytest.raises(DeploymentFailedError, match=r"idle_timeout\.timeout_seconds"):
        deploy(local_aws, made, OUTPUTS)


SLOW = """
import time
def handler(event, context):
    time.sleep(float(event["path"][1:]))
    return {"statusCode": 200, "isBase64Encoded": False, "multiValueHeaders": {}, "body": "done"}
"""


def test_a_load_balancer_does_not_wait_longer_than_its_idle_timeout(local_aws: LocalAws) -> None:
    made = resources(SLOW)
    made["Function"]["Properties"]["Timeout"] = 20
    attribute = {"Key": "idle_timeout.timeout_seconds", "Value": "2"}
    made["Balancer"]["Properties"]["LoadBalancerAttributes"] = [attribute]
    balancer = Balanced(local_aws, deploy(local_aws, made, OUTPUTS))
    late = balancer.send("GET", "/15")
    assert (late.status, late.header("content-type")) == (504, "text/html")
    attribute["Value"] = "60"
    balancer.stack.update(made, OUTPUTS)
    assert balancer.send("GET", "/2.1").body == b"done"


# --- Still needed


def test_the_emulator_still_accepts_any_rule(stock_aws: LocalAws) -> None:
    address = REFUSED["an address without a prefix length"]
    deploy(stock_aws, with_rule(*address, *REFUSED["six values"], priority=50_001), OUTPUTS)

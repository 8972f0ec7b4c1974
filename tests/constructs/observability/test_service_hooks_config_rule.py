"""ConfigFunctionRule: what invokes the function, and what it may do."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_config as config
from aws_cdk import aws_lambda as lambda_

from cdk_lambda_patterns.observability.service_hooks import ConfigFunctionRule
from tests.templates import Resources, stack_with

FUNCTIONS = [config.ResourceType.LAMBDA_FUNCTION]
DAILY = config.MaximumExecutionFrequency.TWENTY_FOUR_HOURS


def runtimes(stack: Stack, **more: Any) -> ConfigFunctionRule:
    code = lambda_.Code.from_inline("def handler(event, context): ...")
    return ConfigFunctionRule(stack, "Runtimes", code=code, handler="index.handler", **more)


@stack_with
def changes(stack: Stack) -> None:
    runtimes(stack, resource_types=FUNCTIONS, parameters={"runtimes": "python3.14"})


@stack_with
def periodic(stack: Stack) -> None:
    runtimes(stack)


def kinds(resources: Resources) -> list[str]:
    """The types of events that invoke the function."""
    (rule,) = resources.all("AWS::Config::ConfigRule").values()
    return [one["MessageType"] for one in rule["Source"]["SourceDetails"]]


def actions(resources: Resources) -> list[str]:
    """What the role may do with AWS Config."""
    (policy,) = resources.all("AWS::IAM::Policy").values()
    listed = [one["Action"] for one in policy["PolicyDocument"]["Statement"]]
    found = [action for one in listed for action in ([one] if isinstance(one, str) else one)]
    return [action for action in found if action.startswith("config:")]


def test_changes_of_resources_come_also_as_a_summary_and_the_function_may_get_the_rest(
    changes: Resources,
) -> None:
    assert kinds(changes) == [
        "ConfigurationItemChangeNotification",
        "OversizedConfigurationItemChangeNotification",
    ]
    assert sorted(actions(changes)) == ["config:GetResourceConfigHistory", "config:PutEvaluations"]
    (rule,) = changes.all("AWS::Config::ConfigRule").values()
    assert rule["Scope"] == {"ComplianceResourceTypes": ["AWS::Lambda::Function"]}
    assert rule["InputParameters"] == {"runtimes": "python3.14"}


def test_a_rule_for_a_regular_time_only_reports(periodic: Resources) -> None:
    assert kinds(periodic) == ["ScheduledNotification"]
    assert actions(periodic) == ["config:PutEvaluations"]
    (rule,) = periodic.all("AWS::Config::ConfigRule").values()
    assert rule["MaximumExecutionFrequency"] == "TwentyFour_Hours"


def test_the_role_has_no_managed_policy_and_config_of_this_account_may_invoke(changes: Resources) -> None:
    (role,) = changes.all("AWS::IAM::Role").values()
    assert "ManagedPolicyArns" not in role
    (permission,) = changes.all("AWS::Lambda::Permission").values()
    assert permission["Principal"] == "config.amazonaws.com"
    assert permission["SourceAccount"] == {"Ref": "AWS::AccountId"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"frequency": DAILY, "parameters": {"runtimes": "x" * 1024}},
            r"len\(parameters\)=1,039: .*1,024 characters",
        ),
        ({"resource_types": FUNCTIONS * 2}, "AWS::Lambda::Function is given twice"),
        (
            {"resource_types": [config.ResourceType.of(f"A::B::C{number}") for number in range(101)]},
            "allows 0 to 100 types",
        ),
        ({"frequency": DAILY, "description": "x" * 257}, r"len\(description\)=257: .*256 characters"),
    ],
)
def test_what_config_would_refuse_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        runtimes(Stack(App(builtin_cloud_formation_validation=False), "Stack"), **given)


def test_parameters_are_counted_as_the_shortest_json() -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "Stack")
    runtimes(stack, parameters={f"k{number:02}": "é" for number in range(92)})  # 1,013 characters
